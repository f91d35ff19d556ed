//! A request in its wire format, and its only correct reply.

use std::time::Instant;

use poetry::limits::FRAME_BYTES_MAX;
use poetry::{Clock, PoemName, TransformService, netstring, panics, request};

/// The default length of the poem that servers are measured with, in bytes.
pub const POEM_BYTES: usize = 600;

/// One request and its reply, both in their wire format. A poem server is sent nothing: its request is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The bytes to send.
    pub request: Vec<u8>,
    /// The bytes that must come back, exactly.
    pub reply: Vec<u8>,
}

impl Exchange {
    /// The exchange for `transform` of `poem`; the laboratory's transforms are available too.
    ///
    /// # Errors
    /// Servers would refuse the request (S4), or the transform panics (S20). The text says which.
    pub fn transform(transform: &str, poem: &str) -> Result<Self, String> {
        let origin = Instant::now();
        let service = TransformService {
            keep_alive: false,
            lab: Some(Clock::new(move || origin.elapsed())),
            offload: false,
        };
        if request::len(transform, poem) > FRAME_BYTES_MAX {
            return Err(format!("the request is over {FRAME_BYTES_MAX} bytes"));
        }
        let frame = format!("{transform}.{poem}");
        let mut reply = Vec::new();
        panics::contain(|| service.answer(frame.as_bytes(), FRAME_BYTES_MAX, &mut reply))?
            .map_err(|refusal| refusal.to_string())?;
        let mut request = Vec::new();
        netstring::encode(frame.as_bytes(), &mut request);
        Ok(Self { request, reply })
    }

    /// The exchange for the poem `name` of a library, which holds `poem` (S8).
    ///
    /// # Errors
    /// The poem does not fit a frame, so servers would refuse it.
    pub fn library(name: &PoemName, poem: &str) -> Result<Self, String> {
        if poem.len() > FRAME_BYTES_MAX {
            return Err(format!("the poem is over {FRAME_BYTES_MAX} bytes"));
        }
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        netstring::encode(name.as_str().as_bytes(), &mut request);
        netstring::encode(poem.as_bytes(), &mut reply);
        Ok(Self { request, reply })
    }

    /// The exchange with a server of `poem`, or a proxy of one: nothing is sent, and the poem ends with FIN (S1).
    pub fn poem(poem: &str) -> Self {
        Self {
            request: Vec::new(),
            reply: poem.as_bytes().to_vec(),
        }
    }

    /// The default exchange for measuring: `cummingsify` of a [`poem`] of `bytes` bytes.
    ///
    /// # Errors
    /// The request would not fit a frame.
    pub fn cummingsify(bytes: usize) -> Result<Self, String> {
        Self::transform("cummingsify", &poem(bytes))
    }
}

/// Returns a poem of exactly `bytes` ASCII bytes, with capitals and line breaks as in a real one.
///
/// ```
/// assert_eq!(measure::exchange::poem(600).len(), 600);
/// ```
pub fn poem(bytes: usize) -> String {
    const STANZA: &str = "Count what was asked, count what was told,\n\
        And let no Answer go unweighed;\n\
        The Clock that hurries is not bold,\n\
        It only tells you when it strayed.\n\n";
    STANZA.chars().cycle().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_is_the_transformed_poem_as_a_netstring() {
        let exchange = Exchange::transform("shout", "ahoy").unwrap();
        assert_eq!(exchange.request, b"10:shout.ahoy,");
        assert_eq!(exchange.reply, b"4:AHOY,");
    }

    #[test]
    fn s4_a_request_that_servers_refuse_is_an_error() {
        panics::silence_contained();
        for (transform, poem, why) in [
            ("nonsense", "x", "unknown transform"),
            ("gibberish", "x", "GibberishError"),
            ("crash", "x", "crash transform"),
        ] {
            let error = Exchange::transform(transform, poem).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(Exchange::cummingsify(FRAME_BYTES_MAX).is_err());
    }

    #[test]
    fn s8_a_poem_is_asked_for_by_name() {
        let name = "lantern".parse().unwrap();
        let exchange = Exchange::library(&name, "a light\n").unwrap();
        assert_eq!(exchange.request, b"7:lantern,");
        assert_eq!(exchange.reply, b"8:a light\n,");
        assert!(Exchange::library(&name, &poem(FRAME_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn the_laboratory_transforms_are_available() {
        assert_eq!(Exchange::transform("burn", "x").unwrap().reply, b"1:x,");
    }
}
