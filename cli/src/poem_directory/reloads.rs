//! Reads the directory again in a thread of its own, so that no signal has to wait for a slow disk.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use super::PoemDirectory;
use crate::failure::{Failure, cause_at_start};

/// Asks for readings of a directory.
pub(crate) struct Reloads(SyncSender<()>);

impl Reloads {
    /// Starts the thread that reads `directory` when asked.
    pub(crate) fn start(mut directory: PoemDirectory) -> Result<Self, Failure> {
        Self::start_with(move || directory.reload())
    }

    fn start_with(mut reload: impl FnMut() + Send + 'static) -> Result<Self, Failure> {
        let (ask, asked) = sync_channel(1);
        let read = move || asked.iter().for_each(|()| reload());
        let thread = thread::Builder::new().name("library".to_owned());
        thread.spawn(read).map_err(|error| {
            let cause = cause_at_start(&error);
            Failure::new(format_args!(
                "cannot start a thread for the library: {cause}"
            ))
        })?;
        Ok(Self(ask))
    }

    /// Asks for a reading that begins after this call. Any number of calls during a reading cause one more.
    pub(crate) fn ask(&self) {
        // If the channel is full, a reading that has not begun serves this call too.
        let _ = self.0.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, channel};
    use std::time::Duration;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[test]
    fn s8_any_number_of_requests_during_a_reading_cause_one_more() {
        let (begin, begun) = channel();
        let (end, ended) = channel::<()>();
        let reloads = Reloads::start_with(move || {
            begin.send(()).unwrap();
            ended.recv().unwrap();
        })
        .unwrap();
        reloads.ask();
        begun.recv_timeout(DEADLINE).unwrap();
        for _ in 0..5 {
            reloads.ask();
        }
        end.send(()).unwrap();
        begun.recv_timeout(DEADLINE).unwrap();
        end.send(()).unwrap();
        // Without `reloads` the thread ends when it has done what was asked.
        drop(reloads);
        let no_more = begun.recv_timeout(DEADLINE);
        assert_eq!(no_more, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
