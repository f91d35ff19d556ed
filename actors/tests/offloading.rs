//! The workers of a server that offloads heavy requests (S25) in its supervision tree (O6). The conformance suite tests the rest.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use actors::Actors;
use poetry::event::Unobserved;
use poetry::transform::BURN;
use poetry::{Clock, Model, Options, Server, Service, TransformService};

const GENEROUS: Duration = Duration::from_secs(10);

/// A server whose heavy transforms say that they have begun, and wait until `gate` is not locked.
fn serve(gate: &Arc<Mutex<()>>) -> (Box<dyn Server>, mpsc::Receiver<()>) {
    poetry::panics::silence_contained();
    let ((begins, begun), gate) = (mpsc::channel(), Arc::clone(gate));
    let calls = AtomicU32::new(0);
    let clock = Clock::new(move || {
        // The test may have ended. A transform asks for the time once when it begins, and then until it has computed enough.
        let _ = begins.send(());
        drop(gate.lock());
        BURN * calls.fetch_add(1, Ordering::SeqCst)
    });
    let service = Service::Transform(TransformService {
        keep_alive: true,
        lab: Some(clock),
        offload: true,
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options::new(Clock::stopped());
    let server = Actors.serve(listener, service, &options, Arc::new(Unobserved));
    (server.unwrap(), begun)
}

fn ask(server: &dyn Server, request: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(server.address()).unwrap();
    client.set_read_timeout(Some(GENEROUS)).unwrap();
    client.write_all(request).unwrap();
    client
}

#[test]
fn s25_o6_the_workers_are_in_the_supervision_tree() {
    let gate = Arc::default();
    let (server, begun) = serve(&gate);
    let closed = gate.lock().unwrap();
    let mut client = ask(&*server, b"6:burn.a,");
    begun.recv_timeout(GENEROUS).unwrap();
    let tree = server.details().unwrap();
    let workers = "workers (supervisor of at most 4 workers, 0 waiting, 0 crashed, 0 restarts,";
    assert!(tree.contains(workers), "{tree}");
    // It computes.
    assert!(
        tree.contains("worker-0 (mailbox 0/1, no answer in 100 ms)"),
        "{tree}"
    );
    drop(closed);
    let mut reply = [0; 4];
    client.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"1:a,");
    let mut client = ask(&*server, b"10:overheat.a,");
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let tree = server.details().unwrap();
    assert!(tree.contains("0 waiting, 1 crashed, 0 restarts"), "{tree}");
}
