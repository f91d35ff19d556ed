//! A tokio task for each connection, as in tokio's tutorial.

use std::io;
use std::sync::Arc;

use poetry::limits::FRAME_BYTES_MAX;
use poetry::netstring::Decoder;
use poetry::{Pace, Poem, PoemService, ProxyService, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::Cache;
use crate::reply::{Reply, keeps_alive};

pub(crate) fn serve(listener: std::net::TcpListener, service: Service) -> io::Result<()> {
    Runtime::new()?.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (service, cache) = (Arc::new(service), Cache::default());
        loop {
            let (stream, _) = listener.accept().await?;
            let (service, cache) = (Arc::clone(&service), cache.clone());
            tokio::spawn(async move {
                if let Err(error) = serve_one(stream, &service, &cache).await {
                    eprintln!("connection failed: {error}");
                }
            });
        }
    })
}

async fn serve_one(mut stream: TcpStream, service: &Service, cache: &Cache) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match service {
        Service::Poem(service) => send_poem(stream, service).await,
        Service::Transform(_) | Service::Library(_) => answer_requests(stream, service).await,
        Service::Proxy(service) => {
            let poem = cached(service, cache).await?;
            stream.write_all(poem.as_bytes()).await
        }
    }
}

async fn send_poem(mut stream: TcpStream, service: &PoemService) -> io::Result<()> {
    let poem = service.poem.as_bytes();
    let Pace::Slow { num_bytes, delay } = service.pace else {
        return stream.write_all(poem).await;
    };
    for chunk in poem.chunks(num_bytes.get()) {
        stream.write_all(chunk).await?;
        sleep(delay).await;
    }
    Ok(())
}

async fn answer_requests(mut stream: TcpStream, service: &Service) -> io::Result<()> {
    let mut decoder = Decoder::new(FRAME_BYTES_MAX);
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let mut frames = decoder.feed(&buffer[..read]);
        while let Some(frame) = frames.next().map_err(io::Error::other)? {
            let reply = Reply::to(frame, service)?;
            stream.write_all(reply.as_ref()).await?;
            if !keeps_alive(service) {
                return Ok(());
            }
        }
    }
}

async fn cached(service: &ProxyService, cache: &Cache) -> io::Result<Poem> {
    if let Some(poem) = cache.get(service) {
        return Ok(poem);
    }
    let upstream = service.upstream.addresses().map_err(io::Error::other)?;
    let mut text = String::new();
    let mut stream = TcpStream::connect(upstream).await?;
    stream.read_to_string(&mut text).await?;
    let poem = Poem::from(text);
    cache.store(&poem);
    Ok(poem)
}
