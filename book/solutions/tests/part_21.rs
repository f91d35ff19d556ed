//! Part 21: laziness.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::{iter, mem, thread};

use futures::future::select;
use futures::{StreamExt, TryStreamExt};
use solutions::{PlayedServer, has_ended, runtime};
use streams::{FetchError, Poem};

#[test]
fn a_title_closes_the_connection() {
    let server = PlayedServer::open().unwrap();
    let mut title = streams::lines(streams::poem(server.address().unwrap())).take(1);
    assert!(!server.has_another().unwrap(), "built, and not connected");
    let serving = thread::spawn(move || {
        let mut client = server.accept().unwrap();
        client.write_all(b"The title\nand the fir").unwrap();
        assert!(has_ended(&mut client)); // The poem goes on, and nobody reads it.
    });
    let runtime = runtime().unwrap();
    let first = runtime.block_on(title.try_next()).unwrap();
    assert_eq!(first.as_deref(), Some("The title"));
    drop(title);
    serving.join().unwrap();
}

/// What `source` sends, read when it is asked for. A failure is the last item.
fn chunks(mut source: impl Read) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    let mut ended = false;
    iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut chunk = vec![0; 512];
        let read = source.read(&mut chunk);
        ended = !matches!(read, Ok(1..));
        match read {
            Ok(0) => None,
            read => Some(read.map(|length| chunk[..length].to_vec())),
        }
    })
}

/// The lines in `chunks`; asking for one asks for no more chunks than it needs.
struct Lines<I> {
    chunks: I,
    left: Vec<u8>,
}

impl<I: Iterator<Item = io::Result<Vec<u8>>>> Iterator for Lines<I> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(end) = self.left.iter().position(|&byte| byte == b'\n') {
                let rest = self.left.split_off(end + 1);
                let mut line = mem::replace(&mut self.left, rest);
                line.pop();
                return Some(Ok(line));
            }
            match self.chunks.next() {
                Some(Ok(chunk)) => self.left.extend(chunk),
                Some(Err(failure)) => {
                    self.left.clear();
                    return Some(Err(failure));
                }
                None => return (!self.left.is_empty()).then(|| Ok(mem::take(&mut self.left))),
            }
        }
    }
}

/// An endless poem, two lines in three pieces, which counts how often it is read.
struct Endless<'c>(&'c Cell<usize>);

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = ["on", "e\ntwo", "\n"][self.0.replace(self.0.get() + 1) % 3];
        buffer[..piece.len()].copy_from_slice(piece.as_bytes());
        Ok(piece.len())
    }
}

#[test]
fn an_iterator_reads_no_further_than_it_is_asked() {
    let reads = Cell::new(0);
    let mut lines = Lines {
        chunks: chunks(Endless(&reads)),
        left: Vec::new(),
    };
    assert_eq!(reads.get(), 0);
    assert_eq!(lines.next().unwrap().unwrap(), b"one");
    assert_eq!(reads.get(), 2);
    assert_eq!(lines.next().unwrap().unwrap(), b"two");
    assert_eq!(reads.get(), 3);
}

/// The poem that arrives first. The other fetch is dropped where it waits.
async fn first(one: SocketAddr, other: SocketAddr) -> Result<Poem, FetchError> {
    let (one, other) = (streams::get_poetry(one), streams::get_poetry(other));
    select(pin!(one), pin!(other)).await.factor_first().0
}

#[test]
fn the_first_poem_wins_and_the_other_fetch_ends() {
    let [slow, fast] = [(); 2].map(|()| PlayedServer::open().unwrap());
    let fetched = first(slow.address().unwrap(), fast.address().unwrap());
    let serving = thread::spawn(move || {
        let mut waits = slow.accept().unwrap();
        fast.serve("Ahoy").unwrap();
        assert!(has_ended(&mut waits));
    });
    assert_eq!(
        runtime().unwrap().block_on(fetched).unwrap().as_str(),
        "Ahoy"
    );
    serving.join().unwrap();
}
