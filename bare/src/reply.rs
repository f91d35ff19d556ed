//! What the bare servers send. A whole poem is shared with the service, not copied into a [`Reply`].

use std::io;

use poetry::library::FramedPoem;
use poetry::limits::FRAME_BYTES_MAX;
use poetry::{Poem, Service};

/// The bytes of one reply, or of one chunk of a slow poem.
pub(crate) enum Reply {
    Poem(Poem),
    Framed(FramedPoem),
    Bytes(Vec<u8>),
}

impl Reply {
    /// Answers the request in `frame`; a server of another role has no reply to it.
    pub(crate) fn to(frame: &[u8], service: &Service) -> io::Result<Self> {
        match service {
            Service::Transform(service) => {
                let mut reply = Vec::new();
                let answered = service.answer(frame, FRAME_BYTES_MAX, &mut reply);
                answered.map_err(io::Error::other)?;
                Ok(Self::Bytes(reply))
            }
            Service::Library(service) => {
                let found = service.answer(frame, usize::MAX);
                found.map(Self::Framed).map_err(io::Error::other)
            }
            Service::Poem(_) | Service::Proxy(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl AsRef<[u8]> for Reply {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Poem(poem) => poem.as_bytes(),
            Self::Framed(poem) => poem.as_bytes(),
            Self::Bytes(reply) => reply,
        }
    }
}

/// Returns whether a connection may send more than one request.
pub(crate) fn keeps_alive(service: &Service) -> bool {
    match service {
        Service::Transform(service) => service.keep_alive,
        Service::Library(service) => service.keep_alive,
        Service::Poem(_) | Service::Proxy(_) => false,
    }
}
