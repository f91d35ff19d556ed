//! The bytes on the wire, written here once more: the suite must not agree with a subject because both call the
//! same encoder.

/// `payload` as one netstring.
pub fn netstring(payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = payload.len().to_string().into_bytes();
    bytes.push(b':');
    bytes.extend_from_slice(payload);
    bytes.push(b',');
    bytes
}

/// A request for `transform` of `poem`.
pub fn request(transform: &str, poem: &str) -> Vec<u8> {
    netstring(format!("{transform}.{poem}"))
}

/// What the transforms must make of a poem, said a second time and slowly.
///
/// # Panics
/// If the suite itself asks for a transform it does not know.
pub fn transformed(transform: &str, poem: &str) -> String {
    match transform {
        "cummingsify" => poem.chars().collect::<String>().to_lowercase(),
        "shout" => poem.to_uppercase(),
        "reverse" => {
            let (body, end) = match poem.strip_suffix('\n') {
                Some(body) => (body, "\n"),
                None => (poem, ""),
            };
            let mut lines: Vec<&str> = body.split('\n').collect();
            lines.reverse();
            lines.join("\n") + end
        }
        "burn" => poem.to_owned(),
        unknown => panic!("the suite knows no transform '{unknown}'"),
    }
}

/// A text of about `bytes` bytes, in lines, with both cases of letters, and the same for the same length.
pub fn text(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 40);
    let mut line = 0_usize;
    while text.len() < bytes {
        text.push_str(&format!("Line {line} of a Poem that goes ON\n"));
        line += 1;
    }
    text.truncate(bytes);
    text
}

/// A short text far from ASCII, with characters of two, three and four bytes, and one that grows in lower case.
pub const NON_ASCII: &str = "ΦΑΡΟΣ — İstanbul, 詩, 🌊 ÅÄÖ\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_a_netstring_is_length_colon_bytes_comma() {
        assert_eq!(netstring(""), b"0:,");
        assert_eq!(request("shout", "ü"), "8:shout.ü,".as_bytes());
    }

    #[test]
    fn a_text_has_exactly_the_bytes_asked_for() {
        assert_eq!(text(0), "");
        assert_eq!(text(1_000).len(), 1_000);
    }

    #[test]
    fn the_slow_transforms_say_what_the_fast_ones_do() {
        for transform in ["cummingsify", "shout", "reverse"] {
            for poem in [NON_ASCII, "", "a\nB\n", "a\n\nB", "\n"] {
                let mut reply = Vec::new();
                let frame = format!("{transform}.{poem}");
                let service = poetry::TransformService::default();
                service.answer(frame.as_bytes(), 1_000, &mut reply).unwrap();
                assert_eq!(reply, netstring(transformed(transform, poem)));
            }
        }
    }
}
