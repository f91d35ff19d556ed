//! The wire format, implemented independently of `poetry`: a bug in a shared encoder must not hide from the suite.

/// Returns `payload` as one netstring.
pub fn netstring(payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = payload.len().to_string().into_bytes();
    bytes.push(b':');
    bytes.extend_from_slice(payload);
    bytes.push(b',');
    bytes
}

/// Returns a request for `transform` of `poem`.
pub fn request(transform: &str, poem: &str) -> Vec<u8> {
    netstring(format!("{transform}.{poem}"))
}

/// Returns the expected result of a transform, by a second and simpler implementation.
///
/// # Panics
/// If `transform` is unknown.
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
        unknown => panic!("unknown transform '{unknown}'"),
    }
}

/// Returns a text of exactly `bytes` bytes, in lines, with letters of both cases. The same length gives the same text.
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

/// A short text with characters of two, three and four bytes, and one that grows in lower case.
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
    fn a_text_has_the_requested_length() {
        assert_eq!(text(0), "");
        assert_eq!(text(1_000).len(), 1_000);
    }

    #[test]
    fn the_expected_transforms_equal_those_of_poetry() {
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
