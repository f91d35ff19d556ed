//! Threads and `std::net`: straight-line code, and a thread for everything that waits.
//!
//! Reading this crate needs nothing but the standard library. A connection's whole life is one function that reads,
//! answers, writes and returns why it closes ([`transform_server`], [`poem_server`]); a fetch is another
//! ([`get_poetry`]). What such code usually lacks is what the other files are for: that threads are bounded and used
//! again, that every call that blocks has a way out, and that all of them end with their server.
//!
//! | module | what it holds |
//! |---|---|
//! | [`poem_client`] | one poem by calls that block; many in scoped threads |
//! | `fetching`, [`pace`] | the poems that threads take one after another, and the pace those threads are made at |
//! | [`context`] | what those calls have in common: bounds, who is told, and who may call them off |
//! | [`transform_client`] | a poem transformed, or kept as it was |
//! | [`poem_server`] | a poem, written by a thread that waits for its next chunk in `recv` |
//! | [`transform_server`] | the loop of a connection: read, answer, write |
//! | [`connection`], [`ledger`] | what that loop holds in its hands, and what is counted and told |
//! | [`server`], [`open`], [`pool`] | the two shapes of a server, who is connected, the shutdown that wakes them all |
//! | [`workers`] | threads that are bounded and used again |
//! | [`yielding`] | letting others go first before a thread blocks |
//! | [`deadlines`] | deadlines that are totals, over calls that know only timeouts |
//! | [`buffers`] | small buffers for those that wait, large ones to borrow |
//! | [`net`] | the real socket and clock |
//!
//! Four decisions carry it. **Every thread accepts for itself**: it takes a connection, makes sure that another thread
//! waits in its place, serves, and accepts again. So nothing is handed over, a finished thread is used again, and where
//! no more threads can be had the backlog waits. **A connection says where it stands** in one atomic word
//! ([`connection::Standing`]), idle or in flight; a shutdown reads it and hangs up, which wakes a blocked `recv` at once.
//! **The wait is the read**: a slow poem's thread sits in `recv` until the next chunk is due, and so discards what
//! its client sends and hears that it has gone. **A timeout is set when it changes**: a request without haste costs one
//! `recv` and one `send`, and before it blocks again its thread [yields](yielding) once.
//!
//! # What threads give
//!
//! Code that can be read from top to bottom, with `?` for what goes wrong, and pre-emption: a request that computes for
//! ten milliseconds (`burn`) disturbs nobody else's reply, as long as a core is free, and with none it is the kernel that
//! shares. Nobody has to say where to yield. (`s20_a_burning_request_disturbs_nobody_else` lets one burn for as long as
//! another takes to be answered.)
//!
//! # What they cost
//!
//! Each line says how it was measured; what counts is how they compare, on one core of a virtual Xeon, the poems' line on
//! one of a virtual EPYC, under Linux 6.18.
//!
//! | what | figure | measured by |
//! |---|---|---|
//! | a switch to a thread that is ready | 0.7 µs | two threads that yield to each other |
//! | to sleep and be woken | 1.5–1.8 µs | a value handed from one thread to another and back, halved |
//! | a thread made and joined | 15–21 µs | one with a small stack that does nothing |
//! | a request of 600 bytes, in user space | 1,080 instructions (a bare loop on epoll: 760) | `laboratory instructions` |
//! | the same, with the kernel | 1.4–1.7 times that loop | `quatrain measure` |
//! | an idle connection's memory, ours | 11.8 kB, two thirds of it two pages of stack | `laboratory memory` |
//! | 10,000 slow poems at once | 1.25–1.3 times as long as they are served (a bare thread for each: 1.6–1.7; epoll: 1.15) | `laboratory poems` |
//!
//! So to sleep and be woken, by another core at that, is the wall; that is why a thread yields before it blocks. The
//! timer of a socket's timeout, set again by the kernel for every call that blocks, is some 0.1 µs of a request's 4 to 7.
//! A thread also takes four memory maps, so that no process has more than some 16,000 ([`workers::threads_limit`]). Ten
//! thousand made at once would keep the core from the poems they wait for: a client makes those beyond the first
//! thousand [at a pace](pace), since the kernel keeps what arrives until then. And to wait for two things at once takes
//! two threads, or patience: see how [`poem_server`] hears a client while it writes.
//!
//! [`Blocking::pool`] is the classic alternative, a fixed number of threads over a queue. Its weakness is in [`pool`].
//!
//! The `examples/` grow from the tutorial's first client to this one in six steps, to be read with `diff`; the bench
//! `threads` says what a thread costs on your machine.
//!
//! # Serve and fetch
//!
//! ```
//! use std::net::TcpListener;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use blocking::{PoemClient, net, serve_poem};
//! use poetry::event::Unobserved;
//! use poetry::{Cancel, Clock, FetchRequest, Options, Pace, PoemService, Server};
//!
//! let options = Options::new(Clock::new(net::now));
//! let listener = net::Listener::new(TcpListener::bind("127.0.0.1:0")?)?;
//! let poem = PoemService { poem: "Ahoy!\n".into(), pace: Pace::Fast };
//! let server = serve_poem(listener, poem, None, &options, Arc::new(Unobserved))?;
//!
//! let request = FetchRequest { peer: server.address().into(), via: None };
//! let client = PoemClient::new(&options);
//! let outcomes = client.fetch_all(&[request], Arc::new(Unobserved), &Cancel::new());
//! assert_eq!(outcomes[0].poem.as_deref(), Ok("Ahoy!\n"));
//!
//! let summary = Box::new(server).shutdown(Duration::from_secs(1));
//! assert_eq!(summary.counters.answered, 1);
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod buffers;
pub mod connection;
pub mod context;
pub mod deadlines;
mod fetching;
pub mod ledger;
#[cfg(test)]
mod memory;
pub mod net;
pub mod open;
pub mod pace;
pub mod poem_client;
pub mod poem_server;
pub mod pool;
pub mod server;
pub mod transform_client;
pub mod transform_server;
pub mod workers;
pub mod yielding;

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::Arc;

use poetry::{Client, Model, Observer, Options, Server, Service};

pub use context::Context;
pub use poem_client::{PoemClient, get_poetry};
pub use poem_server::serve_poem;
pub use transform_client::transform;
pub use transform_server::serve_transforms;

/// The name the model is chosen by.
pub const NAME: &str = "blocking";

/// The model: a thread for each connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blocking {
    /// Serve with a fixed number of threads and a queue instead.
    pub pool: Option<NonZeroUsize>,
}

impl Blocking {
    /// A thread for each connection.
    pub const NEW: Self = Self { pool: None };
}

impl Model for Blocking {
    fn name(&self) -> &'static str {
        NAME
    }

    fn serve(
        &self,
        listener: TcpListener,
        service: Service,
        options: &Options,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Box<dyn Server>> {
        let listener = net::Listener::new(listener)?;
        Ok(match service {
            Service::Poem(service) => {
                Box::new(serve_poem(listener, service, self.pool, options, observer)?)
            }
            Service::Transform(service) => Box::new(serve_transforms(
                listener, service, self.pool, options, observer,
            )?),
        })
    }

    fn client(&self, options: &Options) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(PoemClient::new(options)))
    }
}
