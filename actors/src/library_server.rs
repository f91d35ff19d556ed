//! The library server: names in, poems out, each a netstring (S8). The processes of its connections are in `request_server`;
//! here is how one request is answered. A poem is sent from the library's own bytes.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::event::Unobserved;
use poetry::{LibraryService, Observer, Options, Role, Unanswered};

use crate::listener::{self, RunningServer};
use crate::replies::PoemList;
use crate::request_server::Answers;

/// Serves a library on `listener` until the server is shut down or dropped: in one thread, with the default limits. Its
/// owner can [replace](poetry::Library::replace) the poems meanwhile.
///
/// ```
/// use actors::{FramedPoem, Library, LibraryService, Poem, Server, serve_library};
/// use std::net::TcpListener;
///
/// let star = FramedPoem::from(&Poem::from("Stars fall."));
/// let library = Library::new([("star".parse()?, star)].into());
/// let service = LibraryService { library: library.clone(), keep_alive: true };
/// let server = serve_library(TcpListener::bind("127.0.0.1:0")?, service)?;
/// println!("Serving {} poems on {}", library.len(), server.address());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The system refused a thread or a descriptor.
pub fn serve_library(listener: TcpListener, service: LibraryService) -> io::Result<RunningServer> {
    let options = crate::default_options();
    serve_library_with(listener, service, &options, Arc::new(Unobserved))
}

/// Serves a library with the given threads, limits and clock, and reports events to `observer`.
///
/// # Errors
/// As [`serve_library`].
pub fn serve_library_with(
    listener: TcpListener,
    service: LibraryService,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    let service = Arc::new(service);
    listener::serve(listener, service, Role::LibraryServer, options, observer)
}

impl Answers for LibraryService {
    type Replies = PoemList;

    fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    // ANCHOR: find_poem
    /// Finds the poem called `name`. Its bytes are shared: they stay whole if the library's poems are replaced meanwhile.
    #[inline]
    fn answer(
        &self,
        name: &[u8],
        poem_bytes_max: usize,
        replies: &mut PoemList,
    ) -> Result<(), Unanswered<PoemList>> {
        replies.push(LibraryService::answer(self, name, poem_bytes_max)?);
        Ok(())
    }
    // ANCHOR_END: find_poem
}

#[cfg(test)]
mod tests;
