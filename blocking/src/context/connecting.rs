//! Beginning a fetch's connection and waiting for it, also for a descriptor.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use poetry::error::{Timeout, is_short_of_descriptors};
use poetry::event::Wait;
use poetry::{FetchFailure, Kind};

use super::{Begun, Connected, Context, Shared};
use crate::deadlines::Timed;
use crate::descriptors::{Held, Patience, Waited};
use crate::net::{self, Connecting, Socket};
use crate::sockets::Holder;

impl<'a> Context<'a> {
    /// Returns the connection that was begun beforehand, if it is established and the cancel has not hung up on it: the
    /// whole poem may have arrived before the cancel. Reads from it do not wait.
    pub(super) fn drain(&mut self) -> Option<Connected<'a>> {
        let Begun { connecting, held } = self.begun.take()?;
        self.drains = self.sockets.unregister(self.index);
        let socket = connecting.established().filter(|_| self.drains)?;
        self.report(Kind::Connected);
        Some(Connected {
            wire: Timed::new(socket),
            _held: held,
        })
    }

    /// Waits for the connection to `address`, and begins it unless that was done beforehand.
    pub(super) fn connect_to(
        &mut self,
        address: SocketAddr,
    ) -> Result<(Socket, Held<'a>), FetchFailure> {
        let Begun { connecting, held } = match self.begun.take() {
            Some(begun) => {
                self.register(Holder::Thread(begun.connecting.hang_up()));
                begun
            }
            None => {
                self.report_connecting(address);
                let begun = self.open_in_turn(address)?;
                self.register_begun(&begun, address, Holder::Thread)?;
                begun
            }
        };
        if self.is_cancelled() {
            return Err(FetchFailure::Cancelled);
        }
        let connect_deadline = connecting
            .since()
            .saturating_add(self.limits.connect_timeout);
        let (deadline, on_timeout) = match self.total_deadline {
            Some(total) if total < connect_deadline => {
                (total, FetchFailure::TimedOut(Timeout::Total))
            }
            _ => (connect_deadline, FetchFailure::connect_timed_out()),
        };
        match self.sleeping(Wait::Connect, || connecting.wait(deadline)) {
            Ok(socket) => Ok((socket, held)),
            Err(error) if error.kind() == ErrorKind::TimedOut => Err(on_timeout),
            Err(error) => Err(FetchFailure::connection_failed(&error)),
        }
    }

    /// Begins to connect to `address`. Without a free descriptor it uses the spare one, if the client keeps one.
    pub(super) fn open(&self, address: SocketAddr) -> io::Result<Begun<'a>> {
        let Shared { descriptors, .. } = self.shared;
        descriptors.refill_spares(); // If there was no descriptor when the last connection ended.
        let connecting = match Connecting::begin(address) {
            Err(error) if is_short_of_descriptors(&error) => {
                let spare = descriptors.take_spare(address).ok_or(error)?;
                Connecting::begin_with(spare, address)?
            }
            begun => begun?,
        };
        let held = descriptors.hold();
        Ok(Begun { connecting, held })
    }

    /// Begins to connect to `address`. If there is no descriptor, waits until another fetch of the client has ended its
    /// connection; if none has one, tries again for the connect timeout (S15).
    fn open_in_turn(&self, address: SocketAddr) -> Result<Begun<'a>, FetchFailure> {
        let Shared { descriptors, .. } = self.shared;
        let mut patience = None;
        loop {
            let ended = descriptors.ended();
            let error = match self.open(address) {
                Err(error) if is_short_of_descriptors(&error) => error,
                opened => return opened.map_err(|error| FetchFailure::connection_failed(&error)),
            };
            let patience = *patience.get_or_insert_with(|| Patience {
                since: net::now(),
                without_any: self.limits.connect_timeout,
                deadline: self.total_deadline,
            });
            let waited = self.sleeping(Wait::Permit, || {
                descriptors.wait(ended, patience, || !self.is_cancelled())
            });
            match waited {
                Waited::TryAgain => {}
                Waited::Unwanted => return Err(FetchFailure::Cancelled),
                Waited::InVain => return Err(FetchFailure::connection_failed(&error)),
                Waited::DeadlinePassed => return Err(FetchFailure::TimedOut(Timeout::Total)),
            }
        }
    }
}
