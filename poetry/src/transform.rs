//! Transforms: pure functions from poem to poem, found by name (S3).
//!
//! Each transform checks by itself that the poem is UTF-8. Most poems are ASCII, and the case transforms notice that while
//! they work, which saves a pass. The result is the same as if the poem were checked first.

use std::time::Duration;

use crate::ascii;
use crate::event::Clock;

/// Why a transform failed; the request is refused (S4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// The poem is not UTF-8.
    #[error("the poem is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Bytes of the poem before the first bad one.
        at: usize,
    },
    /// The transform itself failed.
    #[error("{0}")]
    Failed(&'static str),
}

/// Returns the poem as text, or where it is not UTF-8.
fn text(poem: &[u8]) -> Result<&str, TransformError> {
    str::from_utf8(poem).map_err(|error| TransformError::NotUtf8 {
        at: error.valid_up_to(),
    })
}

/// A named function from poem to poem.
#[derive(Debug, Clone, Copy)]
pub struct Transform {
    /// Its name in requests: ASCII `[a-z0-9-]+`.
    pub name: &'static str,
    /// A short description for `--help`.
    pub about: &'static str,
    /// Whether it is served only with `serve transform --lab`.
    pub lab: bool,
    apply: Apply,
}

type Applied = Result<(), TransformError>;

#[derive(Debug, Clone, Copy)]
enum Apply {
    Light(fn(&[u8], &mut Vec<u8>) -> Applied),
    /// Computes until the clock tells it to stop.
    Heavy(fn(&[u8], &mut Vec<u8>, &Clock) -> Applied),
}

impl Transform {
    /// Returns whether it computes for so long that a server may want to run it outside its event loop (S25).
    #[inline]
    pub const fn is_heavy(&self) -> bool {
        matches!(self.apply, Apply::Heavy(_))
    }

    /// Appends the transformed `poem` to `out`. The poem may be any bytes. A heavy transform needs `clock` to know when to
    /// stop.
    ///
    /// # Errors
    /// Fails if the poem is not UTF-8, the transform fails, or the clock is missing; `out` may then hold a part.
    #[inline]
    pub fn apply(&self, poem: &[u8], out: &mut Vec<u8>, clock: Option<&Clock>) -> Applied {
        match (self.apply, clock) {
            (Apply::Light(apply), _) => apply(poem, out),
            (Apply::Heavy(apply), Some(clock)) => apply(poem, out, clock),
            (Apply::Heavy(_), None) => Err(TransformError::Failed(
                "it needs a clock and was given none",
            )),
        }
    }
}

/// Every transform: the tutorial's first, the laboratory's last.
pub const TRANSFORMS: [Transform; 7] = [
    pure(
        "cummingsify",
        "lower case, as E. E. Cummings would",
        cummingsify,
    ),
    pure("shout", "upper case", shout),
    pure("reverse", "the lines in reverse order", reverse),
    pure("gibberish", "always fails", gibberish),
    Transform {
        name: "crash",
        about: "panics, to show what a panic costs",
        lab: true,
        apply: Apply::Light(crash),
    },
    Transform {
        name: "burn",
        about: "computes for 10 ms, to show which clients that delays",
        lab: true,
        apply: Apply::Heavy(burn),
    },
    Transform {
        name: "overheat",
        about: "computes for 10 ms and panics, to show what a panic elsewhere costs",
        lab: true,
        apply: Apply::Heavy(overheat),
    },
];

const fn pure(
    name: &'static str,
    about: &'static str,
    apply: fn(&[u8], &mut Vec<u8>) -> Applied,
) -> Transform {
    Transform {
        name,
        about,
        lab: false,
        apply: Apply::Light(apply),
    }
}

/// Splits `request` at its first dot and returns the transform of that name and the poem after the dot. Transforms of the
/// laboratory are found only if `lab`. Names have no dots, so comparing each with the beginning is enough.
#[inline]
pub(crate) fn named_by(request: &[u8], lab: bool) -> Option<(&'static Transform, &[u8])> {
    TRANSFORMS.iter().find_map(|transform| {
        let behind = request.strip_prefix(transform.name.as_bytes())?;
        let (b'.', poem) = behind.split_first()? else {
            return None;
        };
        (lab || !transform.lab).then_some((transform, poem))
    })
}

/// Unicode lower case: exactly `str::to_lowercase`.
fn cummingsify(poem: &[u8], out: &mut Vec<u8>) -> Applied {
    if !append_if_ascii(poem, out, ascii::make_lowercase) {
        out.extend_from_slice(text(poem)?.to_lowercase().as_bytes());
    }
    Ok(())
}

/// Unicode upper case: exactly `str::to_uppercase`.
fn shout(poem: &[u8], out: &mut Vec<u8>) -> Applied {
    if !append_if_ascii(poem, out, ascii::make_uppercase) {
        out.extend_from_slice(text(poem)?.to_uppercase().as_bytes());
    }
    Ok(())
}

/// Appends the poem as changed by `change`, or nothing if it is not ASCII.
#[inline]
fn append_if_ascii(poem: &[u8], out: &mut Vec<u8>, change: fn(&mut [u8]) -> bool) -> bool {
    let start = out.len();
    out.extend_from_slice(poem);
    let is_ascii = change(&mut out[start..]);
    if !is_ascii {
        out.truncate(start);
    }
    is_ascii
}

/// The lines in reverse order. A final newline stays at the end, and none is added.
fn reverse(poem: &[u8], out: &mut Vec<u8>) -> Applied {
    let poem = text(poem)?.as_bytes();
    let (body, newline) = match poem.strip_suffix(b"\n") {
        Some(body) => (body, true),
        None => (poem, false),
    };
    for (index, line) in body.rsplit(|&byte| byte == b'\n').enumerate() {
        if index > 0 {
            out.push(b'\n');
        }
        out.extend_from_slice(line);
    }
    if newline {
        out.push(b'\n');
    }
    Ok(())
}

/// The tutorial's `GibberishError`.
fn gibberish(poem: &[u8], _: &mut Vec<u8>) -> Applied {
    text(poem)?;
    Err(TransformError::Failed(
        "GibberishError: this transform always fails",
    ))
}

/// Panics, as a handler with a bug would (S20).
fn crash(poem: &[u8], _: &mut Vec<u8>) -> Applied {
    text(poem)?;
    panic!("the crash transform was requested")
}

/// Keeps its thread busy for [`BURN`], then returns the poem unchanged.
fn burn(poem: &[u8], out: &mut Vec<u8>, clock: &Clock) -> Applied {
    text(poem)?;
    let end = clock.now() + BURN;
    while clock.now() < end {
        std::hint::spin_loop();
    }
    out.extend_from_slice(poem);
    Ok(())
}

/// Keeps its thread busy for [`BURN`], then panics.
fn overheat(poem: &[u8], out: &mut Vec<u8>, clock: &Clock) -> Applied {
    burn(poem, out, clock)?;
    panic!("the overheat transform was requested")
}

/// How long `burn` and `overheat` compute.
pub const BURN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(name: &str, lab: bool) -> Option<&'static Transform> {
        let request = format!("{name}.a poem");
        let (transform, poem) = named_by(request.as_bytes(), lab)?;
        assert_eq!(poem, b"a poem");
        Some(transform)
    }

    fn run(name: &str, poem: &str) -> Result<String, TransformError> {
        let transform = find(name, true).expect("a known transform");
        let mut out = b"kept ".to_vec();
        transform.apply(poem.as_bytes(), &mut out, None)?;
        assert_eq!(&out[..5], b"kept ");
        Ok(String::from_utf8(out[5..].to_vec()).expect("UTF-8"))
    }

    #[test]
    fn s3_names_are_ascii_and_find_their_transforms() {
        for transform in &TRANSFORMS {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(transform.name.bytes().all(plain) && !transform.name.is_empty());
            assert_eq!(find(transform.name, true).unwrap().name, transform.name);
        }
    }

    #[test]
    fn s3_a_prefix_or_an_extension_of_a_name_is_unknown() {
        for name in ["", "shou", "shouts", "Shout", "shout ", "s\0", "crash-"] {
            assert!(find(name, true).is_none(), "{name:?}");
        }
        assert!(named_by(b"shout", true).is_none());
    }

    #[test]
    fn s20_transforms_that_do_harm_are_served_only_in_the_laboratory() {
        for name in ["crash", "burn", "overheat"] {
            assert!(find(name, false).is_none());
            assert!(find(name, true).is_some());
        }
    }

    #[test]
    fn reverse_keeps_the_final_newline_where_it_was() {
        assert_eq!(run("reverse", "a\nb\nc\n").unwrap(), "c\nb\na\n");
        assert_eq!(run("reverse", "a\nb").unwrap(), "b\na");
        assert_eq!(run("reverse", "\n\na\n").unwrap(), "a\n\n\n");
        assert_eq!(run("reverse", "").unwrap(), "");
        assert_eq!(run("reverse", "\n").unwrap(), "\n");
    }

    #[test]
    fn s4_every_transform_rejects_a_poem_that_is_not_utf8() {
        for transform in &TRANSFORMS {
            let mut out = Vec::new();
            let error = transform.apply(b"ab\xff", &mut out, Some(&Clock::stopped()));
            assert_eq!(
                error,
                Err(TransformError::NotUtf8 { at: 2 }),
                "{}",
                transform.name
            );
        }
    }

    #[test]
    fn s4_gibberish_always_fails() {
        assert!(
            run("gibberish", "anything")
                .unwrap_err()
                .to_string()
                .starts_with("GibberishError")
        );
    }

    #[test]
    fn lower_case_follows_unicode_in_length_and_final_sigma() {
        assert_eq!(run("cummingsify", "İZ").unwrap(), "i\u{307}z");
        assert_eq!(run("cummingsify", "ΟΔΟΣ ΣΟΦΟΣ").unwrap(), "οδος σοφος");
    }

    proptest! {
        #[test]
        fn cummingsify_is_exactly_to_lowercase(poem in any::<String>(), ascii in "[ -~\n]{0,80}") {
            for poem in [&poem, &ascii] {
                prop_assert_eq!(run("cummingsify", poem).unwrap(), poem.to_lowercase());
                prop_assert_eq!(run("shout", poem).unwrap(), poem.to_uppercase());
            }
        }

        #[test]
        fn reversing_a_file_twice_gives_it_back(poem in "([ab]*\n){0,8}") {
            prop_assert_eq!(run("reverse", &run("reverse", &poem).unwrap()).unwrap(), poem);
        }
    }
}
