//! Shared by the tests of this crate: a worker in memory, on virtual time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use poetry::event::Interest;
use poetry::limits::OFFLOADED_MAX;
use poetry::{Clock, Counters, Counts, Event, Kind, Limits, Observer, Reporter, Role};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;

use crate::answers::Answering;
use crate::connection::{Arrival, ByteStream, Connection};
use crate::net::Accepted;
use crate::shared::Shared;
use crate::transform_server::answer_requests;

impl ByteStream for DuplexStream {}
impl ByteStream for NeverAnnounces {}

// ANCHOR: on_virtual_time
/// Runs `test` on virtual time, which jumps to the next deadline whenever every task waits.
pub(crate) fn on_virtual_time<T>(test: impl Future<Output = T>) -> T {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true);
    let runtime = builder.build_local(LocalOptions::default()).unwrap();
    runtime.block_on(test)
}
// ANCHOR_END: on_virtual_time

/// Keeps every event.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let events = self.events().into_iter();
        events.map(|event| event.kind).collect()
    }
}

impl Observer for Recorder {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// One worker.
pub(crate) struct TestWorker {
    pub(crate) shared: Rc<Shared>,
    pub(crate) recorder: Arc<Recorder>,
}

impl TestWorker {
    /// A worker with its keepers. Must be called inside [`on_virtual_time`].
    pub(crate) fn new(limits: Limits) -> Self {
        let recorder = Arc::<Recorder>::default();
        let observer: Arc<dyn Observer> = recorder.clone();
        let reporter = Reporter::new(
            crate::NAME,
            Role::TransformServer,
            Clock::stopped(),
            observer,
        );
        let counters = Arc::<Counters>::default();
        let offloading = Arc::new(Semaphore::new(OFFLOADED_MAX));
        let shared = Shared::new(0, limits, counters, reporter, Arc::default(), offloading);
        let shared = Rc::new(shared);
        shared.start_keepers();
        Self { shared, recorder }
    }

    /// A connection over a pipe that holds `bytes` in each direction, and the other end.
    pub(crate) fn connect(&self, bytes: usize) -> (Connection<DuplexStream>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(bytes);
        (self.accept(ours, 0), theirs)
    }

    /// Connection `number`.
    pub(crate) fn accept<S: ByteStream>(&self, socket: S, number: u64) -> Connection<S> {
        let arrival = Box::new(Arrival {
            number,
            ..Arrival::default()
        });
        Connection::new(Accepted { socket, arrival }, &self.shared)
    }

    /// The same as [`connect`](Self::connect), but the connection is not woken when the pipe has room again.
    pub(crate) fn connect_unannounced(
        &self,
        bytes: usize,
    ) -> (Connection<NeverAnnounces>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(bytes);
        (self.accept(NeverAnnounces(ours), 0), theirs)
    }

    pub(crate) fn counts(&self) -> Counts {
        let counts = Counts::from(&*self.shared.counters);
        assert_eq!(counts.check(), Ok(()));
        counts
    }
}

/// Answers the requests of a peer until both have ended. Returns the peer's result and the server's counts.
pub(crate) fn serve<S, A, T>(
    service: A,
    limits: Limits,
    connect: impl FnOnce(&TestWorker) -> (Connection<S>, DuplexStream),
    peer: impl AsyncFnOnce(DuplexStream) -> T,
) -> (T, Counts)
where
    S: ByteStream + 'static,
    A: Answering + 'static,
{
    on_virtual_time(async {
        let worker = TestWorker::new(limits);
        let (connection, other_end) = connect(&worker);
        // A task of its own, so that a wake of the peer does not poll it.
        let served = spawn_local(answer_requests(connection, Rc::new(service)));
        let (served, result) = futures::join!(served, peer(other_end));
        served.unwrap();
        (result, worker.counts())
    })
}

/// Sends `bytes`, with FIN if it `finish`es, and reads to the end.
pub(crate) async fn send_and_read_all(
    mut socket: DuplexStream,
    bytes: &[u8],
    finish: bool,
) -> Vec<u8> {
    let mut reply = Vec::new();
    let (mut reader, mut writer) = tokio::io::split(&mut socket);
    let send = async {
        let _ = writer.write_all(bytes).await;
        if finish {
            let _ = writer.shutdown().await;
        }
    };
    let (_, read) = futures::join!(send, reader.read_to_end(&mut reply));
    read.unwrap();
    reply
}

/// A pipe that takes bytes while it has room and never announces that it has room again, like a kernel whose send buffer
/// is never a third free.
#[derive(Debug)]
pub(crate) struct NeverAnnounces(DuplexStream);

impl AsyncRead for NeverAnnounces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for NeverAnnounces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.0).poll_write(&mut cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
