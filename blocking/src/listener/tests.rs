//! Waking the threads that wait to accept, on real sockets.

use super::*;
use std::thread;

#[test]
fn t2_closing_a_listener_wakes_every_thread_that_waits_on_it() {
    let listener = Listener::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    thread::scope(|scope| {
        let waiting = [(); 8].map(|()| scope.spawn(|| listener.accept()));
        listener.close(8);
        for thread in waiting {
            assert!(thread.join().unwrap().is_err());
        }
    });
    assert!(std::net::TcpStream::connect(listener.address()).is_err());
}

#[test]
fn t2_connections_of_our_own_wake_the_threads_where_closing_does_not() {
    let listener = Listener::new(TcpListener::bind("0.0.0.0:0").unwrap()).unwrap();
    thread::scope(|scope| {
        let waiting = [(); 8].map(|()| scope.spawn(|| listener.accept()));
        listener.wake_by_connecting(8);
        for thread in waiting {
            thread.join().unwrap().unwrap();
        }
    });
}
