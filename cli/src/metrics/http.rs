//! The least of HTTP/1.1 that a scraper needs: `GET /metrics`, a reply, and the end of the connection. One request is answered at
//! a time, within bounds, in the thread of the metrics.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use socket2::SockRef;
use tracing::debug;

use crate::failure::cause;

/// Where the metrics are.
pub(super) const PATH: &str = "/metrics";
/// Where the counts are, as lines of JSON, for `quatrain stats`.
pub(crate) const COUNTS_PATH: &str = "/counts";
/// The most bytes of a request's head; those of scrapers have a few hundred.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// The most header lines of a request.
const HEADERS_MAX: usize = 64;
/// How long a scraper may take to send its request, which fits into one packet. Others wait meanwhile.
const HEAD_PATIENCE: Duration = Duration::from_millis(500);
/// How long it may take to take the reply, which is a few kilobytes.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait after accepting failed, such as for want of a descriptor.
const PAUSE: Duration = Duration::from_millis(100);
/// The type of an error.
const TEXT: &str = "text/plain; charset=utf-8";
/// Lines of JSON.
const JSON_LINES: &str = "application/jsonl; charset=utf-8";
/// OpenMetrics text.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens for scrapers.
pub(super) struct Endpoint {
    listener: TcpListener,
    current: Mutex<Current>,
}

/// Whose request is being answered.
#[derive(Default)]
struct Current {
    stopped: bool,
    stream: Option<TcpStream>,
}

impl Endpoint {
    /// Creates the endpoint of a listener.
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            current: Mutex::default(),
        }
    }

    /// Returns where it listens.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests with `counts` until it is stopped.
    pub(super) fn answer(&self, counts: &impl Fn(&Asked) -> Option<String>) {
        loop {
            let accepted = self.listener.accept();
            if self.is_stopped() {
                break;
            }
            let answered = accepted.and_then(|(stream, _)| {
                self.begin(stream.try_clone()?);
                answer_one(stream, counts)
            });
            if let Err(error) = answered {
                debug!("a scrape of the metrics failed: {}", cause(&error));
                if is_of_accepting(&error) {
                    thread::sleep(PAUSE);
                }
            }
            self.end();
        }
    }

    /// Returns a value that stops it when it is dropped, at once even if a scraper is slow.
    pub(super) fn stop_when_dropped(&self) -> impl Drop {
        Stop(self)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.current().stopped
    }

    fn begin(&self, stream: TcpStream) {
        let mut current = self.current();
        if current.stopped {
            hang_up(&stream);
        }
        current.stream = Some(stream);
    }

    fn end(&self) {
        self.current().stream = None;
    }
}

struct Stop<'e>(&'e Endpoint);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let mut current = self.0.current();
        current.stopped = true;
        current.stream.iter().for_each(hang_up);
        // It wakes the thread in `accept`, and cannot fail for a listener.
        let _ = SockRef::from(&self.0.listener).shutdown(Shutdown::Both);
    }
}

fn hang_up(stream: &TcpStream) {
    // It fails if the connection is gone.
    let _ = stream.shutdown(Shutdown::Both);
}

/// Whether accepting failed for want of something that may be there later.
fn is_of_accepting(error: &io::Error) -> bool {
    let wanting = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS];
    error
        .raw_os_error()
        .is_some_and(|number| wanting.contains(&number))
}

/// Answers one request, and closes its connection.
fn answer_one(mut stream: TcpStream, counts: &impl Fn(&Asked) -> Option<String>) -> io::Result<()> {
    let asked = read_request(&mut stream, Instant::now() + HEAD_PATIENCE)?;
    let (status, kind, body) = match asked {
        Asked::Metrics | Asked::Counts => match (counts(&asked), &asked) {
            (None, _) => (
                "503 Service Unavailable",
                TEXT,
                "the server is stopping\n".to_owned(),
            ),
            (Some(text), Asked::Counts) => ("200 OK", JSON_LINES, text),
            (Some(text), _) => ("200 OK", CONTENT_TYPE, text),
        },
        Asked::OtherPath => (
            "404 Not Found",
            TEXT,
            format!("the metrics are at {PATH}\n"),
        ),
        Asked::OtherMethod => ("405 Method Not Allowed", TEXT, "use GET\n".to_owned()),
        Asked::Nonsense => (
            "400 Bad Request",
            TEXT,
            "this is not HTTP/1, or too long\n".to_owned(),
        ),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    write_until(
        &mut stream,
        (head + &body).as_bytes(),
        Instant::now() + PATIENCE,
    )?;
    stream.shutdown(Shutdown::Write)
}

/// Writes all bytes, until `deadline` in all.
fn write_until(stream: &mut TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        let written = stream.write(bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Returns the time until `deadline`.
///
/// # Errors
/// It is over.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Metrics,
    Counts,
    OtherPath,
    OtherMethod,
    Nonsense,
}

/// Reads the head of a request, until `deadline` in all.
///
/// # Errors
/// It did not come in time, or the connection ended before.
fn read_request(stream: &mut TcpStream, deadline: Instant) -> io::Result<Asked> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while head.len() < HEAD_BYTES_MAX {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&part[..read]);
        if let Some(asked) = parse(&head) {
            return Ok(asked);
        }
    }
    Ok(Asked::Nonsense)
}

/// Returns what a request asks for, once its head is complete or cannot be one.
fn parse(head: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Err(_) => Some(Asked::Nonsense),
        Ok(httparse::Status::Partial) => None,
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.unwrap_or_default();
            let path = path.split_once('?').map_or(path, |(path, _)| path);
            Some(match (request.method, path) {
                (Some("GET"), PATH) => Asked::Metrics,
                (Some("GET"), COUNTS_PATH) => Asked::Counts,
                (Some("GET"), _) => Asked::OtherPath,
                _ => Asked::OtherMethod,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn only_a_complete_head_is_a_request() {
        assert_eq!(parse(b"GET /metrics HTTP/1.1\r\nHost: x\r\n"), None);
        let asked = |head: &str| parse(head.as_bytes()).unwrap();
        assert_eq!(
            asked("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
            Asked::Metrics
        );
        assert_eq!(asked("GET /metrics?a=b HTTP/1.0\r\n\r\n"), Asked::Metrics);
        assert_eq!(asked("GET / HTTP/1.1\r\n\r\n"), Asked::OtherPath);
        assert_eq!(asked("POST /metrics HTTP/1.1\r\n\r\n"), Asked::OtherMethod);
        assert_eq!(asked("11:shout.hello,"), Asked::Nonsense);
        let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
        assert_eq!(
            asked(&format!("GET / HTTP/1.1\r\n{many}\r\n")),
            Asked::Nonsense
        );
    }

    /// Runs `clients` beside a thread that answers, and returns how many scrapes there were.
    fn scrapes(clients: impl FnOnce(SocketAddr)) -> usize {
        let endpoint = Endpoint::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let count = AtomicUsize::new(0);
        let scrape = |_: &Asked| {
            count.fetch_add(1, Ordering::Relaxed);
            Some("# EOF\n".to_owned())
        };
        thread::scope(|scope| {
            scope.spawn(|| endpoint.answer(&scrape));
            let _stop = endpoint.stop_when_dropped();
            clients(endpoint.address().unwrap());
        });
        count.into_inner()
    }

    fn reply(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        let mut reply = String::new();
        // A reset may follow the reply to a request that is too long.
        let _ = stream.read_to_string(&mut reply);
        reply
    }

    #[test]
    fn hostile_clients_hold_up_neither_other_scrapers_nor_the_end() {
        let mut silent = None;
        let scraped = scrapes(|address| {
            drop(TcpStream::connect(address).unwrap());
            let long = reply(address, &[b'a'; HEAD_BYTES_MAX + 1]);
            assert!(
                long.is_empty() || long.starts_with("HTTP/1.1 400 "),
                "{long}"
            );
            let metrics = reply(address, b"GET /metrics HTTP/1.1\r\n\r\n");
            assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
            assert!(
                metrics.ends_with("Connection: close\r\n\r\n# EOF\n"),
                "{metrics}"
            );
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /metr").unwrap();
            silent = Some(stream);
        });
        assert_eq!(scraped, 1);
        // It was hung up on; its own patience would have been longer.
        assert!(!matches!(silent.unwrap().read(&mut [0]), Ok(1..)));
    }
}
