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

#[test]
fn s26_a_listener_that_others_use_wakes_its_threads_and_stays_open() {
    let shared = TcpListener::bind("127.0.0.1:0").unwrap();
    shared.set_nonblocking(true).unwrap();
    let listener = Listener::new(shared.try_clone().unwrap()).unwrap();
    thread::scope(|scope| {
        let waiting = [(); 8].map(|()| scope.spawn(|| listener.accept()));
        let client = std::net::TcpStream::connect(listener.address()).unwrap();
        // One of them gets the connection, and waits no longer.
        let accepted = waiting.into_iter().map(|thread| {
            if !thread.is_finished() {
                listener.close(8);
            }
            thread.join().unwrap()
        });
        let accepted: Vec<_> = accepted.flatten().collect();
        // Closing came first, if no thread has it.
        let left = shared.accept().is_ok();
        assert_eq!(accepted.len() + usize::from(left), 1);
        drop(client);
    });
    assert!(listener.accept().is_err());
    drop(listener);
    assert!(std::net::TcpStream::connect(shared.local_addr().unwrap()).is_ok());
    assert!(shared.accept().is_ok());
}
