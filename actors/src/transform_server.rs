//! The transform server (Part 12): netstrings in, netstrings out (S3–S7). The processes of its connections are in
//! `request_server`; here is how one request is answered.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::event::Unobserved;
use poetry::{Observer, Options, Role, TransformService, Unanswered};

use crate::listener::{self, RunningServer};
use crate::request_server::Answers;

/// Serves transforms on `listener` until the server is shut down or dropped: in one thread, with the default limits.
///
/// ```
/// use actors::{Server, TransformService, serve_transforms};
/// use std::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let server = serve_transforms(listener, TransformService::default())?;
/// println!("Serving transforms on {}", server.address());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The system refused a thread or a descriptor.
pub fn serve_transforms(
    listener: TcpListener,
    service: TransformService,
) -> io::Result<RunningServer> {
    let options = crate::default_options();
    serve_transforms_with(listener, service, &options, Arc::new(Unobserved))
}

/// Serves transforms with the given threads, limits and clock, and reports events to `observer`.
///
/// # Errors
/// As [`serve_transforms`].
pub fn serve_transforms_with(
    listener: TcpListener,
    service: TransformService,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    let service = Arc::new(service);
    listener::serve(listener, service, Role::TransformServer, options, observer)
}

impl Answers for TransformService {
    /// Netstrings, one after another.
    type Replies = Vec<u8>;

    fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    fn offloads(&self) -> bool {
        self.offload
    }

    #[inline]
    fn answer(
        &self,
        frame: &[u8],
        frame_bytes_max: usize,
        replies: &mut Vec<u8>,
    ) -> Result<(), Unanswered> {
        self.answer_or_offload(frame, frame_bytes_max, replies)
    }
}

#[cfg(test)]
mod tests;
