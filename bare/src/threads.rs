//! A thread for each connection, as in the last chapter of *The Rust Programming Language*.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use poetry::limits::FRAME_BYTES_MAX;
use poetry::netstring::Decoder;
use poetry::{Pace, Poem, PoemService, ProxyService, Service};

use crate::Cache;
use crate::reply::{Reply, keeps_alive};

pub(crate) fn serve(listener: TcpListener, service: Service) -> io::Result<()> {
    let (service, cache) = (Arc::new(service), Cache::default());
    for stream in listener.incoming() {
        let stream = stream?;
        let (service, cache) = (Arc::clone(&service), cache.clone());
        thread::spawn(move || {
            if let Err(error) = serve_one(stream, &service, &cache) {
                eprintln!("connection failed: {error}");
            }
        });
    }
    Ok(())
}

fn serve_one(mut stream: TcpStream, service: &Service, cache: &Cache) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match service {
        Service::Poem(service) => send_poem(stream, service),
        Service::Transform(_) | Service::Library(_) => answer_requests(stream, service),
        Service::Proxy(service) => stream.write_all(cached(service, cache)?.as_bytes()),
    }
}

fn send_poem(mut stream: TcpStream, service: &PoemService) -> io::Result<()> {
    let poem = service.poem.as_bytes();
    let Pace::Slow { num_bytes, delay } = service.pace else {
        return stream.write_all(poem);
    };
    for chunk in poem.chunks(num_bytes.get()) {
        stream.write_all(chunk)?;
        thread::sleep(delay);
    }
    Ok(())
}

fn answer_requests(mut stream: TcpStream, service: &Service) -> io::Result<()> {
    let mut decoder = Decoder::new(FRAME_BYTES_MAX);
    let mut buffer = [0; 16 << 10];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let mut frames = decoder.feed(&buffer[..read]);
        while let Some(frame) = frames.next().map_err(io::Error::other)? {
            stream.write_all(Reply::to(frame, service)?.as_ref())?;
            if !keeps_alive(service) {
                return Ok(());
            }
        }
    }
}

fn cached(service: &ProxyService, cache: &Cache) -> io::Result<Poem> {
    if let Some(poem) = cache.get(service) {
        return Ok(poem);
    }
    let upstream = service.upstream.addresses().map_err(io::Error::other)?;
    let mut text = String::new();
    TcpStream::connect(upstream)?.read_to_string(&mut text)?;
    let poem = Poem::from(text);
    cache.store(&poem);
    Ok(poem)
}
