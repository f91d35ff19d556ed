//! An actix actor for each connection, as in actix's example of a chat: it reads with `add_stream` and writes with a `Writer`.

use std::io;
use std::rc::Rc;

use actix::io::{WriteHandler, Writer};
use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, StreamHandler, System, WrapFuture,
};
use poetry::limits::FRAME_BYTES_MAX;
use poetry::netstring::Decoder;
use poetry::{Pace, Poem, PoemService, ProxyService, Service};
use tokio::io::{AsyncReadExt, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::{BytesCodec, FramedRead};

use crate::Cache;
use crate::reply::{Reply, keeps_alive};

pub(crate) fn serve(listener: std::net::TcpListener, service: Service) -> io::Result<()> {
    System::new().block_on(async {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (service, cache) = (Rc::new(service), Cache::default());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (service, cache) = (Rc::clone(&service), cache.clone());
            Connection::create(|context| {
                let (reader, writer) = split(stream);
                Connection {
                    reader: Some(reader),
                    writer: Writer::new(writer, context),
                    decoder: Decoder::new(FRAME_BYTES_MAX),
                    service,
                    cache,
                }
            });
        }
    })
}

struct Connection {
    /// Until the actor starts to read.
    reader: Option<ReadHalf<TcpStream>>,
    writer: Writer<WriteHalf<TcpStream>, io::Error>,
    decoder: Decoder,
    service: Rc<Service>,
    cache: Cache,
}

impl Actor for Connection {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        match &*Rc::clone(&self.service) {
            Service::Poem(service) => self.send_chunk(service, 0, context),
            Service::Proxy(service) => self.send_cached(service, context),
            Service::Transform(_) | Service::Library(_) => {
                if let Some(reader) = self.reader.take() {
                    context.add_stream(FramedRead::new(reader, BytesCodec::new()));
                }
            }
        }
    }
}

impl Connection {
    fn send_chunk(&mut self, service: &PoemService, index: usize, context: &mut Context<Self>) {
        let poem = service.poem.as_bytes();
        let Some(chunk) = service.pace.chunk(index, poem.len()) else {
            return self.close();
        };
        self.writer.write(&poem[chunk]);
        let Pace::Slow { delay, .. } = service.pace else {
            return self.close();
        };
        let service = service.clone();
        context.run_later(delay, move |this, context| {
            this.send_chunk(&service, index + 1, context);
        });
    }

    fn send_cached(&mut self, service: &ProxyService, context: &mut Context<Self>) {
        if let Some(poem) = self.cache.get(service) {
            self.writer.write(poem.as_bytes());
            return self.close();
        }
        let fetched = fetch(service.clone()).into_actor(self);
        context.spawn(fetched.map(|poem, this, context| match poem {
            Ok(poem) => {
                this.cache.store(&poem);
                this.writer.write(poem.as_bytes());
                this.close();
            }
            Err(error) => this.fail(&error, context),
        }));
    }

    fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut frames = self.decoder.feed(bytes);
        while let Some(frame) = frames.next().map_err(io::Error::other)? {
            self.writer.write(Reply::to(frame, &self.service)?.as_ref());
            if !keeps_alive(&self.service) {
                drop(frames);
                self.close();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Closes once everything has been sent. The empty write wakes the writer, which `close` alone does not.
    fn close(&mut self) {
        self.writer.close();
        self.writer.write(b"");
    }

    fn fail(&mut self, error: &io::Error, context: &mut Context<Self>) {
        eprintln!("connection failed: {error}");
        context.stop();
    }
}

async fn fetch(service: ProxyService) -> io::Result<Poem> {
    let upstream = service.upstream.addresses().map_err(io::Error::other)?;
    let mut text = String::new();
    let mut stream = TcpStream::connect(upstream).await?;
    stream.read_to_string(&mut text).await?;
    Ok(text.into())
}

impl StreamHandler<io::Result<BytesMut>> for Connection {
    fn handle(&mut self, read: io::Result<BytesMut>, context: &mut Self::Context) {
        if let Err(error) = read.and_then(|bytes| self.answer(&bytes)) {
            self.fail(&error, context);
        }
    }

    /// The client has finished sending; the replies to it have not necessarily been sent.
    fn finished(&mut self, _: &mut Self::Context) {
        self.close();
    }
}

impl WriteHandler<io::Error> for Connection {}
