//! The library server: the pipeline of the transform server, whose replies are poems of the library; nothing is computed
//! or copied (S8, L5).
//!
//! A reply is a value that is shared, not copied: the list of replies holds pointers into the library, and the kernel takes
//! the bytes from where they are.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::event::Unobserved;
use poetry::{Clock, LibraryService, Observer, Options, Service, Unanswered};

use crate::answers::Answering;
use crate::replies::Found;
use crate::workers::RunningServer;

/// Serves the poems of a library by name on `listener`, in one thread with the default limits, until the returned server is
/// shut down or dropped. The thread has its own runtime; the caller needs none.
///
/// The library can be replaced meanwhile, through another handle of it. A reply under way stays whole.
///
/// # Errors
/// Fails if the system refuses the thread or its runtime.
pub fn serve_library(listener: TcpListener, service: LibraryService) -> io::Result<RunningServer> {
    let options = Options::new(Clock::stopped());
    serve_library_with(listener, service, &options, Arc::new(Unobserved))
}

/// [`serve_library`] with threads and limits from `options`, reporting to `observer`.
///
/// # Errors
/// Fails if the system refuses a thread or its runtime.
pub fn serve_library_with(
    listener: TcpListener,
    service: LibraryService,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    RunningServer::start(listener, Service::Library(service), options, observer)
}

// ANCHOR: find_poem
/// A request is a name, and its reply the poem of that name. Requests of one turn are one write, from where the poems are.
impl Answering for LibraryService {
    type Replies = Found;

    fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    #[inline]
    fn answer(
        &self,
        frame: &[u8],
        frame_bytes_max: usize,
        replies: &mut Found,
    ) -> Result<(), Unanswered<Found>> {
        replies.push(LibraryService::answer(self, frame, frame_bytes_max)?);
        Ok(())
    }
}
// ANCHOR_END: find_poem

#[cfg(test)]
mod tests;
