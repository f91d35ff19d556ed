//! Messages that a process receives later: those that it sends itself after a time (O8), and those that it postpones (O11).

use std::rc::Rc;
use std::time::Duration;

use super::Process;
use super::me::Me;
use super::pid::{Mail, SendError};
use crate::monitor::TimerId;

impl<P: Process> Me<'_, P> {
    /// Sends this process `message` after `wait`: `erlang:send_after(Wait, self(), Message)` (O8). It may have several
    /// timers, besides the one timeout of [`Me::after`]. A message whose time has come is received after those that are in
    /// the mailbox, and takes no room in it. Timers end with the process.
    ///
    /// ```
    /// use actors::{Me, Next, NoPort, Node, Process, Reason, Received, TimerId};
    /// use std::time::Duration;
    ///
    /// /// Recites a line every 10 ms, and is interrupted.
    /// struct Reciter {
    ///     lines: Vec<&'static str>,
    ///     interruption: Option<TimerId>,
    /// }
    ///
    /// enum Due {
    ///     Line,
    ///     Interruption,
    /// }
    ///
    /// impl Process for Reciter {
    ///     type Message = Due;
    ///     type Port = NoPort;
    ///
    ///     fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
    ///         self.interruption = me.send_after(Duration::from_secs(60), Due::Interruption).ok();
    ///         let _ = me.send_after(Duration::ZERO, Due::Line);
    ///         Next::Receive
    ///     }
    ///
    ///     fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
    ///         match received {
    ///             Received::Message(Due::Line) => match self.lines.pop() {
    ///                 Some(_line) => {
    ///                     let _ = me.send_after(Duration::from_millis(10), Due::Line);
    ///                     Next::Receive
    ///                 }
    ///                 None => {
    ///                     let left = self.interruption.and_then(|timer| me.cancel_timer(timer));
    ///                     assert!(left > Some(Duration::ZERO));
    ///                     Next::Exit(Reason::Normal)
    ///                 }
    ///             },
    ///             Received::Message(Due::Interruption) => Next::Exit(Reason::other("interrupted")),
    ///             _ => Next::Receive,
    ///         }
    ///     }
    /// }
    ///
    /// let node = Node::start_one()?;
    /// let lines = vec!["the harbour is not.", "The lamp is out,"];
    /// let reciter = node.spawn("reciter", Reciter { lines, interruption: None });
    /// assert_eq!(node.join(&reciter.process()), Reason::Normal);
    /// node.stop();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`SendError::Full`] if it has [`TIMERS_MAX`](super::TIMERS_MAX) timers. The error returns the message.
    pub fn send_after(
        &mut self,
        wait: Duration,
        message: P::Message,
    ) -> Result<TimerId, SendError<P::Message>> {
        let due = self.now().saturating_add(wait);
        let (local, process) = (Rc::clone(&self.control.local), self.process());
        let timers = &mut self.control.wait_state_mut().timers;
        timers.set(local, process, due, message)
    }

    /// Cancels a timer: its message is not received, even if its time has come. Returns how much of its time was left, or
    /// `None` if the message has been received or the timer cancelled: `erlang:cancel_timer(Timer)`.
    pub fn cancel_timer(&mut self, timer: TimerId) -> Option<Duration> {
        let (due, _) = self.control.take_timer(timer)?;
        Some(due.saturating_sub(self.now()))
    }

    /// Keeps a message that this process has received but cannot handle yet, until [`Me::receive_postponed`] (O11). Meanwhile
    /// others are received. Erlang has a selective `receive` for that, whose mailbox keeps what no pattern matches, and
    /// `gen_statem` has `postpone`.
    ///
    /// ```
    /// use actors::{Me, Next, NoPort, Node, Process, Received, Reply};
    /// use std::time::Duration;
    ///
    /// /// Lends its poem as soon as that has been written.
    /// struct Library {
    ///     poem: Option<&'static str>,
    /// }
    ///
    /// enum ToLibrary {
    ///     Keep(&'static str),
    ///     Lend(Reply<&'static str>),
    /// }
    ///
    /// impl Process for Library {
    ///     type Message = ToLibrary;
    ///     type Port = NoPort;
    ///
    ///     fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
    ///         match (received, self.poem) {
    ///             (Received::Message(ToLibrary::Keep(poem)), _) => {
    ///                 self.poem = Some(poem);
    ///                 me.receive_postponed();
    ///             }
    ///             (Received::Message(ToLibrary::Lend(reply)), Some(poem)) => reply.send(poem),
    ///             (Received::Message(lend), None) => {
    ///                 // If there are too many, this one is dropped, and its call fails.
    ///                 let _ = me.postpone(lend);
    ///             }
    ///             _ => {}
    ///         }
    ///         Next::Receive
    ///     }
    /// }
    ///
    /// let node = Node::start_one()?;
    /// let library = node.spawn("library", Library { poem: None });
    /// let lent = node.ask(&library, Duration::from_secs(5), ToLibrary::Lend);
    /// node.send(&library, ToLibrary::Keep("Stars fall."));
    /// assert_eq!(lent.wait(), Ok("Stars fall."));
    /// node.stop();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// A postponed message takes no room in the mailbox, so that the message that the process waits for can come in.
    ///
    /// # Errors
    /// [`SendError::Full`] if as many messages are postponed as the mailbox holds. The error returns the message.
    pub fn postpone(&mut self, message: P::Message) -> Result<(), SendError<P::Message>> {
        let postponed = &mut self.control.wait_state_mut().postponed;
        if postponed.len() >= P::MAILBOX {
            return Err(SendError::Full(message));
        }
        postponed.push_back(message);
        Ok(())
    }

    /// Receives all postponed messages again after this handler, in their order and before all others (O11).
    pub fn receive_postponed(&mut self) {
        if let Some(state) = &mut self.control.wait_state {
            while let Some(message) = state.postponed.pop_back() {
                state.later.push_front(Mail::Again(message));
            }
        }
    }
}
