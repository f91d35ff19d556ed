//! Part 22: choosing a model.

use std::sync::Arc;
use std::time::Duration;

use poetry::event::Unobserved;
use poetry::{Cancel, Client, FetchRequest, Limits, Options, Pace, Peer, PoemService, Service};
use solutions::{PlayedServer, runtime};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

/// Fetches one poem, or returns why there is none.
fn fetch(client: &dyn Client, peer: impl Into<Peer>) -> Result<String, String> {
    let request = FetchRequest::new(peer);
    let mut outcomes = client.fetch(&[request], Arc::new(Unobserved), &Cancel::new());
    outcomes.remove(0).poem.map_err(|error| error.to_string())
}

#[test]
fn every_client_reads_every_server() {
    let options = Options::new(models::clock());
    for server in models::ALL {
        let service = Service::Poem(PoemService {
            poem: server.name().into(),
            pace: Pace::Fast,
        });
        let listener = models::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let running = server.serve(listener, service, &options, Arc::new(Unobserved));
        let running = running.unwrap();
        for client in models::ALL {
            let client = client.client(&options).unwrap();
            let poem = fetch(&*client, running.address());
            assert_eq!(poem.as_deref(), Ok(server.name()));
        }
        running.shutdown(Duration::from_secs(1));
    }
}

#[test]
fn one_deadline_ends_the_wait_in_each_model() {
    let silent = PlayedServer::open().unwrap();
    let options = Options {
        limits: Limits {
            total_deadline: Some(Duration::from_millis(50)),
            ..Limits::default()
        },
        ..Options::new(models::clock())
    };
    for model in models::ALL {
        let client = model.client(&options).unwrap();
        let failure = fetch(&*client, silent.address().unwrap()).unwrap_err();
        assert!(failure.contains("timed out"), "{}: {failure}", model.name());
        // It has connected, so that what timed out was the poem.
        drop(silent.accept().unwrap());
    }
}

#[test]
fn a_blocking_call_leaves_the_loop_free() {
    runtime().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer: Peer = listener.local_addr().unwrap().into();
        let fetched = spawn_blocking(move || blocking::get_poetry(peer));
        // The server is a part of this loop: if the call held it, both would wait for ever.
        let (mut client, _) = listener.accept().await.unwrap();
        client.write_all(b"Ahoy").await.unwrap();
        drop(client);
        assert_eq!(fetched.await.unwrap().unwrap().as_str(), "Ahoy");
    });
}
