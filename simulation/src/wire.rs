//! The wire, read by a second implementation: the whole input at once, rule by rule, without states. What it says is compared
//! with what the incremental decoder and the services of `poetry` do.

use std::ops::Range;
use std::str;

use poetry::netstring::Flaw;

/// What follows the last frame of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Between,
    /// A part of a netstring that begins at this byte; more bytes may make it valid.
    InFrame(usize),
    /// A byte that cannot belong to a netstring: its place, and what is wrong with it.
    Flawed(usize, Flaw),
}

/// Puts the frames of `input` into `frames`, as ranges of bytes, and returns what follows the last (S2).
pub fn frames(input: &[u8], limit: usize, frames: &mut Vec<Range<usize>>) -> End {
    frames.clear();
    let mut start = 0;
    while start < input.len() {
        let colon = match length(&input[start..], limit) {
            Ok((digits, length)) => (start + digits, length),
            Err(None) => return End::InFrame(start),
            Err(Some((at, flaw))) => return End::Flawed(start + at, flaw),
        };
        let (colon, length) = colon;
        let body = colon + 1;
        match body
            .checked_add(length)
            .and_then(|comma| Some((comma, *input.get(comma)?)))
        {
            Some((comma, b',')) => {
                frames.push(body..comma);
                start = comma + 1;
            }
            Some((comma, other)) => return End::Flawed(comma, Flaw::NotAComma(other)),
            None => return End::InFrame(start),
        }
    }
    End::Between
}

/// Returns the number of digits before the colon, and the length they say; or, without a colon, the flaw and its place, if the
/// bytes have one.
fn length(input: &[u8], limit: usize) -> Result<(usize, usize), Option<(usize, Flaw)>> {
    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    let digits = input.iter().take_while(is_digit).count();
    if digits >= 2 && input[0] == b'0' {
        return Err(Some((1, Flaw::LeadingZero)));
    }
    let over = (1..=digits).find(|&count| value(&input[..count]) > limit as u128);
    if let Some(count) = over {
        return Err(Some((count - 1, Flaw::OverLimit(limit))));
    }
    match input.get(digits) {
        Some(b':') if digits > 0 => Ok((digits, value(&input[..digits]) as usize)),
        Some(&other) => Err(Some((digits, Flaw::NotADigit(other)))),
        None => Err(None),
    }
}

/// Returns the number that `digits` say, or the largest one if they say a larger one.
fn value(digits: &[u8]) -> u128 {
    let digits = str::from_utf8(digits).unwrap_or_default();
    digits.parse().unwrap_or(u128::MAX)
}

/// Returns the reply to a transform request in a frame (S3), or the reason to refuse it (S4), by its name in the counters.
///
/// # Errors
/// Returns that reason.
pub fn transformed(frame: &[u8], limit: usize) -> Result<String, &'static str> {
    let mut parts = frame.splitn(2, |&byte| byte == b'.');
    let (Some(name), Some(poem)) = (parts.next(), parts.next()) else {
        return Err("no_dot");
    };
    let transform: fn(&str) -> Option<String> = match name {
        b"cummingsify" => |poem| Some(poem.to_lowercase()),
        b"shout" => |poem| Some(poem.to_uppercase()),
        b"reverse" => |poem| Some(reversed(poem)),
        b"gibberish" => |_| None,
        _ => return Err("unknown_transform"),
    };
    let poem = str::from_utf8(poem).map_err(|_| "not_utf8")?;
    let reply = transform(poem).ok_or("transform_failed")?;
    match reply.len() > limit {
        true => Err("reply_too_long"),
        false => Ok(reply),
    }
}

fn reversed(poem: &str) -> String {
    let end = if poem.ends_with('\n') { "\n" } else { "" };
    let body = &poem[..poem.len() - end.len()];
    let lines: Vec<&str> = body.split('\n').rev().collect();
    lines.join("\n") + end
}

/// Returns whether a frame can be a poem's name (S8).
pub fn is_poem_name(frame: &[u8]) -> bool {
    const FORBIDDEN: &[char] = &['.', '/', '\\'];
    let name = str::from_utf8(frame).unwrap_or_default();
    let allowed = |character: char| !FORBIDDEN.contains(&character) && !character.is_control();
    (1..=255).contains(&name.len()) && name.chars().all(allowed)
}

/// Appends `payload` as one netstring.
pub fn netstring(payload: &[u8], out: &mut Vec<u8>) {
    out.extend(payload.len().to_string().bytes());
    out.push(b':');
    out.extend(payload);
    out.push(b',');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], limit: usize) -> (Vec<&[u8]>, End) {
        let mut ranges = Vec::new();
        let end = frames(input, limit, &mut ranges);
        (ranges.into_iter().map(|frame| &input[frame]).collect(), end)
    }

    #[test]
    fn s2_frames_and_what_follows_them() {
        assert_eq!(read(b"0:,2:ab,", 9), (vec![&b""[..], b"ab"], End::Between));
        assert_eq!(read(b"1:a,3:a", 9), (vec![&b"a"[..]], End::InFrame(4)));
        assert_eq!(read(b"1:a,3", 9), (vec![&b"a"[..]], End::InFrame(4)));
        let flawed = |input, limit| match read(input, limit).1 {
            End::Flawed(at, flaw) => (at, flaw),
            end => panic!("{end:?}"),
        };
        assert_eq!(flawed(b"1:a,:", 9), (4, Flaw::NotADigit(b':')));
        assert_eq!(flawed(b"1:a,01", 9), (5, Flaw::LeadingZero));
        assert_eq!(flawed(b"10", 9), (1, Flaw::OverLimit(9)));
        assert_eq!(flawed(b"1:ab", 9), (3, Flaw::NotAComma(b'b')));
        let huge = [b'9'; 60];
        assert_eq!(flawed(&huge, usize::MAX), (19, Flaw::OverLimit(usize::MAX)));
    }

    #[test]
    fn s3_s4_replies_and_refusals() {
        assert_eq!(transformed(b"shout.a.b", 9), Ok("A.B".to_owned()));
        assert_eq!(transformed(b"reverse.a\nb\n", 9), Ok("b\na\n".to_owned()));
        for (frame, reason) in [
            (&b"shout"[..], "no_dot"),
            (b".a", "unknown_transform"),
            (b"shout.\xff", "not_utf8"),
            (b"gibberish.a", "transform_failed"),
            (b"shout.1234567890", "reply_too_long"),
        ] {
            assert_eq!(transformed(frame, 9), Err(reason));
        }
    }

    #[test]
    fn s8_names() {
        assert!(is_poem_name("詩 1".as_bytes()) && is_poem_name(&[b'a'; 255]));
        for name in [
            &b""[..],
            b"a.b",
            b"a/b",
            b"a\\b",
            b"a\n",
            b"\xff",
            &[b'a'; 256],
        ] {
            assert!(!is_poem_name(name));
        }
    }
}
