//! Part 12: a server that answers. A request is a netstring, `NAME.POEM`, and may arrive in pieces, which the protocol's
//! decoder gathers. The service is a function from poem to poem that knows nothing of sockets.

mod common;

use std::rc::Rc;

use callbacks::{Address, Factory, Failure, Protocol, Reactor, Transport, Via, transform};
use poetry::limits::FRAME_BYTES_MAX;
use poetry::netstring::{self, Decoder};

fn answer(request: &str) -> Option<String> {
    let (name, poem) = request.split_once('.')?;
    match name {
        "cummingsify" => Some(poem.to_lowercase()),
        "shout" => Some(poem.to_uppercase()),
        _ => None,
    }
}

struct TransformProtocol {
    decoder: Decoder,
}

impl Protocol for TransformProtocol {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        let reply = match self.decoder.feed(data).next() {
            Ok(None) => return, // The rest of the request is still to come.
            Ok(Some(request)) => str::from_utf8(request).ok().and_then(answer),
            Err(_) => None,
        };
        if let Some(reply) = reply {
            let mut bytes = Vec::new();
            netstring::encode(reply.as_bytes(), &mut bytes);
            transport.write(&bytes);
        }
        transport.lose_connection();
    }
}

struct TransformFactory;

impl Factory for TransformFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        let decoder = Decoder::new(FRAME_BYTES_MAX);
        Some(Box::new(TransformProtocol { decoder }))
    }
}

fn main() -> Result<(), Failure> {
    let (listener, asks_itself) = common::listener()?;
    let reactor = Reactor::open()?;
    let port = reactor.listen_tcp(listener, Rc::new(TransformFactory))?;
    if asks_itself {
        let via = Via {
            transform: "cummingsify".to_owned(),
            peer: port.address().into(),
        };
        common::show_and_stop(&reactor, transform(&reactor, &via, &common::POEM.into()));
    }
    reactor.run()?;
    Ok(())
}
