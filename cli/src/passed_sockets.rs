//! The sockets that a service manager such as systemd has bound and passes to this process, by their names: sd_listen_fds(3).

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use tracing::warn;

use crate::failure::{Failure, cause};

/// What was passed.
#[derive(Debug, Default)]
pub(crate) struct PassedSockets(Vec<Passed>);

#[derive(Debug)]
struct Passed {
    name: String,
    /// The listener, or why it is none.
    listener: Result<TcpListener, String>,
}

impl PassedSockets {
    /// Takes over the sockets that the environment announces. Call this while the process has one thread and no descriptors of its
    /// own.
    pub(crate) fn take_over() -> Result<Self, Failure> {
        let names = sd_notify::listen_fds_with_names().map_err(|error| {
            let cause = cause(&error);
            Failure::new(format_args!(
                "cannot use the sockets that were passed: {cause}; check LISTEN_FDS and LISTEN_FDNAMES"
            ))
        })?;
        let names: Vec<String> = names.map(|(_, name)| name).collect();
        if names.is_empty() {
            return Ok(Self::default());
        }
        let mut passed = ListenFd::from_env();
        let take = |(index, name)| Passed {
            name,
            listener: match passed.take_tcp_listener(index) {
                Ok(Some(listener)) => Ok(listener),
                Ok(None) => Err("it was not passed".to_owned()),
                Err(error) => Err(cause(&error)),
            },
        };
        Ok(Self(names.into_iter().enumerate().map(take).collect()))
    }

    /// Returns listeners of all sockets called `name`: a unit with several ListenStream= has several of one name.
    pub(crate) fn listeners(&self, name: &str) -> Result<Vec<TcpListener>, Failure> {
        let of_name: Vec<&Passed> = self.0.iter().filter(|passed| passed.name == name).collect();
        if of_name.is_empty() {
            return Err(Failure::new(format_args!(
                "no socket called {name} was passed; {}",
                self.advice()
            )));
        }
        let listeners = of_name.into_iter().map(|passed| match &passed.listener {
            Ok(listener) => models::share(listener).map_err(|error: io::Error| cause(&error)),
            Err(cause) => Err(cause.clone()),
        });
        let listeners: Result<_, String> = listeners.collect();
        listeners.map_err(|cause| {
            Failure::new(format_args!(
                "the socket {name} cannot be served: {cause}; give its unit ListenStream=ADDRESS:PORT"
            ))
        })
    }

    fn advice(&self) -> String {
        let mut names: Vec<&str> = self.0.iter().map(|passed| passed.name.as_str()).collect();
        names.dedup();
        match names.is_empty() {
            true => "start it by a socket unit with FileDescriptorName=, or leave --socket out"
                .to_owned(),
            false => format!("passed were: {}", names.join(", ")),
        }
    }

    /// Warns of sockets whose names are not in `used`: clients that connect to them are never served.
    pub(crate) fn warn_of_others(&self, used: &[&str]) {
        for Passed { name, .. } in &self.0 {
            if !used.contains(&name.as_str()) {
                warn!("the socket {name} was passed, but nothing serves on it");
            }
        }
    }
}
