//! Bring a fifth model.

use std::io::{self, ErrorKind, Write};
use std::iter;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use poetry::event::Unobserved;
use poetry::netstring::Decoder;
use poetry::panics::{contain, silence_contained};
use poetry::{
    Cancel, Client, Clock, CloseReason, Counters, Counts, FetchRequest, Model, Observer, Options,
    Pace, Poem, PoemService, Refusal, Server, Service, Summary, TransformService,
};

/// One thread asks each connection in turn whether it takes more, and sleeps between two rounds. Serves fast poems only.
struct Polling;

/// A running server, and what its thread shares with it.
struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    counters: Counters,
    stops: AtomicBool,
}

impl Model for Polling {
    fn name(&self) -> &'static str {
        "polling"
    }

    fn serve(
        &self,
        listener: TcpListener,
        service: Service,
        _: &Options,
        _: Arc<dyn Observer>,
    ) -> io::Result<Box<dyn Server>> {
        let Service::Poem(PoemService { poem, .. }) = service else {
            return Err(ErrorKind::Unsupported.into());
        };
        listener.set_nonblocking(true)?;
        let (address, shared) = (listener.local_addr()?, Arc::<Shared>::default());
        let theirs = Arc::clone(&shared);
        let thread = Some(thread::spawn(move || poll(&listener, &poem, &theirs)));
        Ok(Box::new(Running {
            address,
            shared,
            thread,
        }))
    }

    fn client(&self, _: &Options) -> io::Result<Box<dyn Client>> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// Serves until the server stops, and then those that have been accepted.
fn poll(listener: &TcpListener, poem: &Poem, shared: &Shared) {
    let (poem, counters) = (poem.as_bytes(), &shared.counters);
    let mut open: Vec<(TcpStream, usize)> = Vec::new();
    loop {
        let stops = shared.stops.load(Ordering::SeqCst);
        while let Some((client, _)) = (!stops).then(|| listener.accept().ok()).flatten() {
            counters.accepted();
            counters.requests(1);
            let _ = client.set_nonblocking(true);
            open.push((client, 0));
        }
        open.retain_mut(|(client, sent)| {
            match client.write(&poem[*sent..]) {
                Ok(count) => {
                    counters.wrote(count as u64);
                    *sent += count;
                    if *sent < poem.len() {
                        return true;
                    }
                    counters.answered(1);
                    counters.closed(CloseReason::Done);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => {
                    counters.failed(1);
                    counters.closed(CloseReason::Reset);
                }
            }
            false
        });
        if stops && open.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

impl Server for Running {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn counters(&self) -> Counts {
        Counts::of(iter::once(&self.shared.counters))
    }

    fn shutdown(mut self: Box<Self>, _: Duration) -> Summary {
        self.stop();
        Summary {
            counters: self.counters(),
            ..Summary::default()
        }
    }
}

impl Running {
    fn stop(&mut self) {
        self.shared.stops.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn the_four_clients_read_from_a_fifth_server() {
    let listener = models::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let options = Options::new(models::clock());
    let (poem, pace) = ("Ahoy".into(), Pace::Fast);
    let service = Service::Poem(PoemService { poem, pace });
    let server = Polling.serve(listener, service, &options, Arc::new(Unobserved));
    let server = server.unwrap();
    for model in models::ALL {
        let requests = [(); 2].map(|()| FetchRequest::new(server.address()));
        let client = model.client(&options).unwrap();
        for outcome in client.fetch(&requests, Arc::new(Unobserved), &Cancel::new()) {
            assert_eq!(outcome.poem.as_deref(), Ok("Ahoy"), "{}", model.name());
        }
        server.counters().check().unwrap();
    }
    let counts = server.shutdown(Duration::from_secs(1)).counters;
    assert_eq!((counts.accepted, counts.open, counts.answered), (8, 0, 8));
}

/// Returns the replies to what one client sends, in the pieces in which it arrives, and why the connection ends early.
fn replies(pieces: &[&[u8]]) -> (Vec<u8>, Option<String>) {
    let service = TransformService {
        keep_alive: true,
        lab: Some(Clock::stopped()),
        offload: false,
    };
    let (mut decoder, mut replies) = (Decoder::new(99_999), Vec::new());
    for piece in pieces {
        let mut frames = decoder.feed(piece);
        loop {
            let answered = match frames.next() {
                Ok(None) => break,
                Ok(Some(frame)) => contain(|| service.answer(frame, 99_999, &mut replies)),
                Err(error) => Ok(Err(Refusal::from(error))),
            };
            match answered {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => return (replies, Some(refusal.to_string())),
                Err(panic) => return (replies, Some(panic)),
            }
        }
    }
    (replies, None)
}

#[test]
fn the_replies_do_not_depend_on_the_cuts() {
    silence_contained();
    let wire = b"10:shout.Ahoy,12:reverse.a\nb\n,7:crash.x,11:shout.later,";
    let (whole, end) = replies(&[wire]);
    assert_eq!(whole, b"4:AHOY,4:b\na\n,");
    assert_eq!(end.as_deref(), Some("the crash transform was requested"));
    for cut in 0..=wire.len() {
        let (before, behind) = wire.split_at(cut);
        assert_eq!(replies(&[before, behind]), (whole.clone(), end.clone()));
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(replies(&bytes), (whole, end));

    let (before, end) = replies(&[b"10:shout.Ahoy,011:shout.later,"]);
    assert_eq!(before, b"4:AHOY,");
    assert!(end.unwrap().contains("leading zero"));
}
