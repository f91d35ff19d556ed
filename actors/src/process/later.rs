//! Messages that a process receives later: those that it sends itself after a time (O8).

use std::rc::Rc;
use std::time::Duration;

use super::Process;
use super::me::Me;
use super::pid::SendError;
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
}
