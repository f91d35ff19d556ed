//! A listener that servers use one after another, or that another process keeps (S26): nothing that has connected is lost.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use poetry::event::{Interest, Unobserved};
use poetry::{
    Event, Model, Observer, Options, Pace, PoemService, Server, Service, TransformService,
};

/// How long a wait may take; every test needs far less.
const DEADLINE: Duration = Duration::from_secs(30);

/// Every model, also with several threads, or with a pool.
fn each(test: impl Fn(&dyn Model, usize)) {
    for threads in [1, 2] {
        for model in models::ALL {
            println!("{} with {threads} threads", model.name());
            test(*model, threads);
        }
    }
    println!("blocking with a pool");
    test(&*models::pooled(4.try_into().unwrap()), 1);
}

fn shared_listener() -> TcpListener {
    let listener = models::listen(([127, 0, 0, 1], 0).into()).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn start(
    model: &dyn Model,
    threads: usize,
    listener: &TcpListener,
    service: Service,
) -> Box<dyn Server> {
    start_observed(model, threads, listener, service, Arc::new(Unobserved))
}

fn start_observed(
    model: &dyn Model,
    threads: usize,
    listener: &TcpListener,
    service: Service,
    observer: Arc<dyn Observer>,
) -> Box<dyn Server> {
    let options = Options {
        threads: NonZeroUsize::new(threads).unwrap(),
        ..Options::new(models::clock())
    };
    let listener = listener.try_clone().unwrap();
    model.serve(listener, service, &options, observer).unwrap()
}

fn poem(text: &str) -> Service {
    let (poem, pace) = (text.into(), Pace::Fast);
    Service::Poem(PoemService { poem, pace })
}

fn transforms() -> Service {
    Service::Transform(TransformService {
        keep_alive: true,
        ..Default::default()
    })
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn ask(mut stream: &TcpStream, request: &[u8], reply: &[u8]) {
    stream.write_all(request).unwrap();
    let mut read = vec![0; reply.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read, reply);
}

#[test]
fn s26_a_server_that_accepts_no_more_serves_its_connections_while_another_accepts() {
    each(|model, threads| {
        let listener = shared_listener();
        let old = start(model, threads, &listener, transforms());
        let kept: Vec<_> = (0..3).map(|_| connect(old.address())).collect();
        for kept in &kept {
            ask(kept, b"7:shout.a,", b"1:A,");
        }
        assert!(old.stop_accepting());
        // In the backlog until the next server accepts it.
        let waiting = connect(old.address());
        let new = start(model, threads, &listener, poem("new"));
        let read_all = |mut stream: TcpStream| {
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(read_all(waiting), "new");
        assert_eq!(read_all(connect(old.address())), "new");
        for kept in &kept {
            ask(kept, b"7:shout.b,", b"1:B,");
        }
        assert_eq!((old.counters().open, old.counters().accepted), (3, 3));
        // It can be asked twice, and still stops as S21 says.
        assert!(old.stop_accepting());
        let summary = old.shutdown(DEADLINE);
        assert_eq!((summary.cut, summary.counters.open), (0, 0));
        for mut kept in kept {
            assert_eq!(kept.read(&mut [0; 1]).unwrap(), 0);
        }
        assert_eq!(read_all(connect(new.address())), "new");
        new.shutdown(DEADLINE);
        listener.accept().unwrap_err();
    });
}

#[test]
fn s26_no_client_of_a_listener_that_is_kept_is_refused_or_unserved_while_servers_follow_each_other()
{
    const SERVERS: usize = 30;
    each(|model, threads| {
        let listener = shared_listener();
        let address = listener.local_addr().unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let clients: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut served = 0;
                        while !done.load(Ordering::Relaxed) {
                            let mut text = String::new();
                            match connect(address).read_to_string(&mut text) {
                                Ok(_) if text == "poem" => served += 1,
                                other => panic!("{other:?} after {served} poems: {text:?}"),
                            }
                        }
                        served
                    })
                })
                .collect();
            let finish = SetOnDrop(&done);
            for _ in 0..SERVERS {
                let server = start(model, threads, &listener, poem("poem"));
                let served = server.counters().closed.done;
                while server.counters().closed.done == served {
                    thread::yield_now();
                }
                assert_eq!(server.shutdown(DEADLINE).cut, 0);
            }
            // The clients that wait now are served by the last.
            let last = start(model, threads, &listener, poem("poem"));
            drop(finish);
            let served: u64 = clients
                .into_iter()
                .map(|client| client.join().unwrap())
                .sum();
            assert!(served >= SERVERS as u64);
            last.shutdown(DEADLINE);
        });
        let left = listener.accept().unwrap_err();
        assert_eq!(left.kind(), ErrorKind::WouldBlock);
    });
}

/// Ends the clients also when a test fails.
struct SetOnDrop<'f>(&'f AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn s26_every_thread_of_a_server_responds() {
    each(|model, threads| {
        let listener = shared_listener();
        let server = start(model, threads, &listener, transforms());
        assert!(server.responds(DEADLINE));
        server.stop_accepting();
        assert!(server.responds(DEADLINE));
    });
}

/// An observer that holds up the thread of the first connection, as a handler that does not return would.
struct Stuck {
    entered: Sender<()>,
    release: Mutex<Receiver<()>>,
}

impl Observer for Stuck {
    fn interest(&self) -> Interest {
        Interest::ACCEPTED
    }

    fn observe(&self, _: &Event) {
        self.entered.send(()).unwrap();
        // It fails when the test drops the other end.
        let _ = self.release.lock().unwrap().recv();
    }
}

#[test]
fn s26_a_server_with_a_stuck_loop_does_not_respond() {
    for threads in [1, 2] {
        for model in models::ALL {
            println!("{} with {threads} threads", model.name());
            let (entered, is_stuck) = channel();
            let (release, released) = channel::<()>();
            let stuck = Stuck {
                entered,
                release: Mutex::new(released),
            };
            let listener = shared_listener();
            let server = start_observed(*model, threads, &listener, transforms(), Arc::new(stuck));
            let _client = connect(server.address());
            is_stuck.recv_timeout(DEADLINE).unwrap();
            // A thread of the blocking model serves one connection, and the others go on.
            let others_go_on = model.name() == "blocking";
            assert_eq!(server.responds(Duration::from_millis(50)), others_go_on);
            drop(release);
            assert!(server.responds(DEADLINE));
        }
    }
}
