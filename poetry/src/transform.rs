//! Transforms: pure functions from poem to poem, found by name (S3).
//!
//! Poems that are all ASCII, which most are, take a path without decoding; the result is the same.

use std::time::Duration;

use crate::event::Clock;

/// A poem's text, known to be UTF-8, and whether it is all ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text<'a> {
    /// Bytes below 128 only.
    Ascii(&'a [u8]),
    /// Anything else that is UTF-8.
    Unicode(&'a str),
}

impl<'a> Text<'a> {
    /// Checks that `bytes` are UTF-8; the fast check comes first.
    ///
    /// # Errors
    /// The first byte that is not UTF-8, as `str::from_utf8` says it.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, std::str::Utf8Error> {
        if bytes.is_ascii() {
            Ok(Self::Ascii(bytes))
        } else {
            std::str::from_utf8(bytes).map(Self::Unicode)
        }
    }

    /// The text's bytes.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Ascii(bytes) => bytes,
            Self::Unicode(text) => text.as_bytes(),
        }
    }
}

/// Why a transform failed; the request is refused (S4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransformError(pub &'static str);

/// A named function from poem to poem.
#[derive(Debug, Clone, Copy)]
pub struct Transform {
    /// How requests name it: ASCII `[a-z0-9-]+`.
    pub name: &'static str,
    /// What it does, in a few words, for `--help`.
    pub about: &'static str,
    /// Whether it computes so long that a model which shares a thread may want to run it elsewhere.
    pub heavy: bool,
    /// Only served when asked for (`serve transform --lab`).
    pub lab: bool,
    apply: Apply,
}

#[derive(Debug, Clone, Copy)]
enum Apply {
    Pure(fn(Text<'_>, &mut Vec<u8>) -> Result<(), TransformError>),
    Timed(fn(Text<'_>, &mut Vec<u8>, &Clock) -> Result<(), TransformError>),
}

impl Transform {
    /// Appends the transformed `poem` to `out`. A transform that takes a certain time reads `clock`.
    ///
    /// # Errors
    /// Those of the transform, and the want of a clock; `out` may then hold a part.
    #[inline]
    pub fn apply(
        &self,
        poem: Text<'_>,
        out: &mut Vec<u8>,
        clock: Option<&Clock>,
    ) -> Result<(), TransformError> {
        match (self.apply, clock) {
            (Apply::Pure(apply), _) => apply(poem, out),
            (Apply::Timed(apply), Some(clock)) => apply(poem, out, clock),
            (Apply::Timed(_), None) => Err(TransformError("it needs a clock and was given none")),
        }
    }
}

/// Every transform, the tutorial's first; those of the laboratory last.
pub const TRANSFORMS: [Transform; 6] = [
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
        heavy: false,
        lab: true,
        apply: Apply::Pure(crash),
    },
    Transform {
        name: "burn",
        about: "computes for 10 ms, to show whom that delays",
        heavy: true,
        lab: true,
        apply: Apply::Timed(burn),
    },
];

const fn pure(
    name: &'static str,
    about: &'static str,
    apply: fn(Text<'_>, &mut Vec<u8>) -> Result<(), TransformError>,
) -> Transform {
    Transform {
        name,
        about,
        heavy: false,
        lab: false,
        apply: Apply::Pure(apply),
    }
}

/// The transform called `name`; those of the laboratory only if `lab`.
#[inline]
pub fn find(name: &[u8], lab: bool) -> Option<&'static Transform> {
    TRANSFORMS
        .iter()
        .find(|transform| transform.name.as_bytes() == name && (lab || !transform.lab))
}

/// Unicode lower case: exactly `str::to_lowercase`.
fn cummingsify(poem: Text<'_>, out: &mut Vec<u8>) -> Result<(), TransformError> {
    match poem {
        Text::Ascii(bytes) => append_ascii(bytes, out, <[u8]>::make_ascii_lowercase),
        Text::Unicode(text) => out.extend_from_slice(text.to_lowercase().as_bytes()),
    }
    Ok(())
}

/// Unicode upper case: exactly `str::to_uppercase`.
fn shout(poem: Text<'_>, out: &mut Vec<u8>) -> Result<(), TransformError> {
    match poem {
        Text::Ascii(bytes) => append_ascii(bytes, out, <[u8]>::make_ascii_uppercase),
        Text::Unicode(text) => out.extend_from_slice(text.to_uppercase().as_bytes()),
    }
    Ok(())
}

fn append_ascii(bytes: &[u8], out: &mut Vec<u8>, change: fn(&mut [u8])) {
    let start = out.len();
    out.extend_from_slice(bytes);
    change(&mut out[start..]);
}

/// The lines in reverse order. A poem that ends with a newline, as files do, still does; the others get none added.
fn reverse(poem: Text<'_>, out: &mut Vec<u8>) -> Result<(), TransformError> {
    let bytes = poem.bytes();
    let (body, newline) = match bytes.strip_suffix(b"\n") {
        Some(body) => (body, true),
        None => (bytes, false),
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
fn gibberish(_: Text<'_>, _: &mut Vec<u8>) -> Result<(), TransformError> {
    Err(TransformError(
        "GibberishError: this transform always fails",
    ))
}

/// A bug in a handler, on demand (S20).
fn crash(_: Text<'_>, _: &mut Vec<u8>) -> Result<(), TransformError> {
    panic!("the crash transform was asked for")
}

/// Keeps its thread computing for [`BURN`], then returns the poem as it was.
fn burn(poem: Text<'_>, out: &mut Vec<u8>, clock: &Clock) -> Result<(), TransformError> {
    let end = clock.now() + BURN;
    while clock.now() < end {
        std::hint::spin_loop();
    }
    out.extend_from_slice(poem.bytes());
    Ok(())
}

/// How long `burn` computes.
pub const BURN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(name: &str, poem: &str) -> Result<String, TransformError> {
        let transform = find(name.as_bytes(), true).expect("a known transform");
        let mut out = b"kept ".to_vec();
        transform.apply(Text::new(poem.as_bytes()).unwrap(), &mut out, None)?;
        assert_eq!(&out[..5], b"kept ");
        Ok(String::from_utf8(out[5..].to_vec()).expect("UTF-8"))
    }

    #[test]
    fn s3_names_are_ascii_and_unique() {
        for transform in &TRANSFORMS {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(transform.name.bytes().all(plain) && !transform.name.is_empty());
            assert!(std::ptr::eq(
                find(transform.name.as_bytes(), true).unwrap(),
                find_by_scan(transform.name)
            ));
        }
    }

    fn find_by_scan(name: &str) -> &'static Transform {
        let found = find(name.as_bytes(), true).unwrap();
        assert_eq!(
            TRANSFORMS
                .iter()
                .filter(|transform| transform.name == name)
                .count(),
            1
        );
        found
    }

    #[test]
    fn s20_crash_and_burn_are_served_only_in_the_lab() {
        for name in [&b"crash"[..], b"burn"] {
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
    fn s4_gibberish_always_fails() {
        assert!(
            run("gibberish", "anything")
                .unwrap_err()
                .to_string()
                .starts_with("GibberishError")
        );
    }

    #[test]
    fn lower_case_may_be_longer_than_the_poem_and_knows_the_final_sigma() {
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
