//! The transform client against good and bad servers, in memory and on virtual time.

use std::time::Duration;

use poetry::error::Timeout;
use poetry::netstring::Flaw;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::sleep;

use super::*;
use crate::testing::on_virtual_time;

/// Sends a request to a server that reads it, replies with `reply`, and then closes or does not.
fn ask_for_reply(reply: &[u8], closes: bool) -> Result<String, FetchFailure> {
    on_virtual_time(async {
        let limits = Limits::default();
        let request = encode("shout", "ahoy", &limits)?;
        let (ours, mut theirs) = duplex(1024);
        let server = async {
            theirs
                .read_exact(&mut vec![0; request.len()])
                .await
                .unwrap();
            for byte in reply.chunks(1) {
                theirs.write_all(byte).await.unwrap();
            }
            if !closes {
                sleep(Duration::from_secs(600)).await;
            }
            drop(theirs);
        };
        futures::join!(server, exchange(ours, &request, &limits, |_| ())).1
    })
}

#[test]
fn s13_the_reply_is_the_poem() {
    assert_eq!(ask_for_reply(b"4:AHOY,", true), Ok("AHOY".to_owned()));
    assert_eq!(ask_for_reply(b"4:AHOY,", false), Ok("AHOY".to_owned()));
    assert_eq!(ask_for_reply(b"0:,", true), Ok(String::new()));
}

#[test]
fn s13_failures_are_told_apart() {
    use FetchFailure::*;
    assert_eq!(ask_for_reply(b"", true), Err(Refused));
    assert_eq!(ask_for_reply(b"4:AH", true), Err(CutShort));
    assert_eq!(ask_for_reply(b"4:AH", false), Err(TimedOut(Timeout::Idle)));
    assert_eq!(ask_for_reply(b"1:\xff,", true), Err(NotUtf8 { at: 0 }));
    let garbled = ask_for_reply(b"AHOY", true);
    assert!(matches!(garbled, Err(Garbled(error)) if error.flaw == Flaw::NotADigit(b'A')));
    let too_long = ask_for_reply(b"999999999:", true);
    assert!(matches!(too_long, Err(Garbled(error)) if matches!(error.flaw, Flaw::OverLimit(_))));
}

#[test]
fn s15_a_server_that_takes_a_long_request_slowly_but_steadily_is_not_given_up() {
    on_virtual_time(async {
        let limits = Limits::default();
        let request = encode("shout", &"ahoy".repeat(16), &limits).unwrap();
        for (bytes, reply) in [
            (request.len(), Ok("AHOY".to_owned())),
            (
                request.len() / 2,
                Err(FetchFailure::TimedOut(Timeout::Idle)),
            ),
        ] {
            let (ours, mut theirs) = duplex(1);
            let server = async {
                for _ in 0..bytes {
                    sleep(limits.idle_timeout / 2).await;
                    theirs.read_exact(&mut [0]).await.unwrap();
                }
                let _ = theirs.write_all(b"4:AHOY,").await;
                sleep(limits.idle_timeout * 2).await;
            };
            let exchanged = exchange(ours, &request, &limits, |_| ());
            assert_eq!(futures::join!(exchanged, server).0, reply);
        }
    });
}

#[test]
fn s15_a_request_that_fits_no_frame_is_not_sent() {
    let limits = Limits {
        frame_bytes_max: 9,
        ..Limits::default()
    };
    let unresolved = Peer::new("never connected", Vec::new());
    let too_long = on_virtual_time(transform_with(unresolved, "shout", "ahoy", &limits));
    assert_eq!(
        too_long.unwrap_err().failure,
        FetchFailure::TooLong { limit: 9 }
    );
}
