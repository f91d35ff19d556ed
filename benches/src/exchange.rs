//! A request as it goes over the wire, and the one reply that is right for it.

use std::time::Instant;

use poetry::limits::FRAME_BYTES_MAX;
use poetry::{Clock, TransformService, netstring, panics, request};

/// The length of the poem that servers are measured with unless told otherwise, in bytes.
pub const POEM_BYTES: usize = 600;

/// One request and its reply, both as the bytes of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What is sent.
    pub request: Vec<u8>,
    /// What must come back, to the last byte.
    pub reply: Vec<u8>,
}

impl Exchange {
    /// The exchange that asks for `transform` of `poem`; those of the laboratory are known too.
    ///
    /// # Errors
    /// Why every server would refuse it (S4), or that the transform panics (S20).
    pub fn transform(transform: &str, poem: &str) -> Result<Self, String> {
        let origin = Instant::now();
        let service = TransformService {
            keep_alive: false,
            lab: Some(Clock::new(move || origin.elapsed())),
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

    /// What servers are measured with: `cummingsify` of [`poem`] with `bytes` bytes.
    ///
    /// # Errors
    /// That the request would not fit a frame.
    pub fn cummingsify(bytes: usize) -> Result<Self, String> {
        Self::transform("cummingsify", &poem(bytes))
    }
}

/// A poem of exactly `bytes` ASCII bytes, with capitals and ends of line where poems have them.
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
    fn the_reply_is_what_a_server_owes() {
        let exchange = Exchange::transform("shout", "ahoy").unwrap();
        assert_eq!(exchange.request, b"10:shout.ahoy,");
        assert_eq!(exchange.reply, b"4:AHOY,");
    }

    #[test]
    fn s4_what_would_be_refused_is_not_measured() {
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
    fn a_transform_that_takes_time_is_known() {
        assert_eq!(Exchange::transform("burn", "x").unwrap().reply, b"1:x,");
    }
}
