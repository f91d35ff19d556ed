//! The acceptor: accepts connections while a connection supervisor has room, and hands them to the supervisors in turn.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use poetry::error::costs_one_connection;
use poetry::event::Scene;
use poetry::limits::{ACCEPT_RETRY, THREADS_MAX};
use poetry::{Kind, Reporter};

use super::connections::GRANTED_MAX;
use crate::messages::{ToAcceptor, ToConnections};
use crate::net::{Handed, Listener, Socket};
use crate::port::Listening;
use crate::process::{Me, Next, Pid, Process, Received};

pub(super) struct Acceptor {
    supervisors: Vec<ConnectionSupervisor>,
    /// The index of the supervisor that receives the next connection, if it has room.
    turn: usize,
    /// The connections accepted so far, also by acceptors before this one.
    accepted: Arc<AtomicU64>,
    reporter: Reporter,
}

/// A connection supervisor, and the room it has granted.
struct ConnectionSupervisor {
    connections: Pid<ToConnections>,
    /// Whether it runs in the acceptor's arbiter.
    here: bool,
    room: usize,
}

impl Acceptor {
    /// Creates an acceptor for `supervisors`, which are in the order of their arbiters. It runs in the first arbiter, and
    /// counts on in `accepted`.
    pub(super) fn new(
        supervisors: Vec<Pid<ToConnections>>,
        accepted: Arc<AtomicU64>,
        reporter: Reporter,
    ) -> Self {
        let supervisors =
            (0..)
                .zip(supervisors)
                .map(|(arbiter, connections)| ConnectionSupervisor {
                    connections,
                    here: arbiter == 0,
                    room: 0,
                });
        Self {
            supervisors: supervisors.collect(),
            turn: 0,
            accepted,
            reporter,
        }
    }

    /// Hands a socket to the next supervisor that has room. The port accepts no more sockets than there is room for.
    fn hand_on(
        &mut self,
        socket: Socket,
        peer: SocketAddr,
        me: &mut Me<'_, Self>,
    ) -> io::Result<()> {
        let supervisors = self.supervisors.len();
        let turn = (self.turn..self.turn + supervisors)
            .map(|turn| turn % supervisors)
            .find(|&turn| self.supervisors[turn].room > 0);
        let Some(turn) = turn else { return Ok(()) };
        let supervisor = &mut self.supervisors[turn];
        let socket = if supervisor.here {
            Handed::Here(socket)
        } else {
            Handed::Released(socket.release()?)
        };
        self.turn = turn + 1;
        supervisor.room -= 1;
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        me.send(
            &supervisor.connections,
            ToConnections::Serve {
                socket,
                number,
                peer,
            },
        );
        Ok(())
    }

    /// Pauses after an error that is a shortage, of descriptors for example, so that accepting does not spin (S17).
    fn failed(&mut self, error: &io::Error, me: &mut Me<'_, Self>) {
        if costs_one_connection(error) {
            return;
        }
        self.reporter
            .report(Scene::default(), Kind::AcceptFailed(error.to_string()));
        me.port.set_paused(true);
        me.after(ACCEPT_RETRY);
    }
}

impl Process for Acceptor {
    type Message = ToAcceptor;
    type Port = Listening<Listener>;
    /// Room for one message for each place that can be granted, so that a connection supervisor never waits here.
    const MAILBOX: usize = THREADS_MAX * GRANTED_MAX;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        for supervisor in &self.supervisors {
            me.send(&supervisor.connections, ToConnections::Meet(me.pid()));
        }
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Port(Ok((socket, peer))) => {
                if let Err(error) = self.hand_on(socket, peer, me) {
                    me.port.add_room(1);
                    self.failed(&error, me);
                }
            }
            Received::Port(Err(error)) => self.failed(&error, me),
            Received::Message(ToAcceptor::Room { index, connections }) => {
                self.supervisors[index].room += connections;
                me.port.add_room(connections);
            }
            Received::Timeout => me.port.set_paused(false),
            Received::Exit(_) | Received::Down(_) => {}
        }
        Next::Receive
    }
}
