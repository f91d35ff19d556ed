//! A gate that holds threads until a case opens it, so that no verdict depends on time: those of fake servers, and those that
//! compute heavy transforms of a server in this process. And such a server with its gate.

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use poetry::transform::BURN;
use poetry::{Clock, Counts};

use crate::WAIT_MAX;
use crate::connection::Connection;
use crate::context::Setup;
use crate::failure::{Check, ensure};
use crate::running::RunningServer;
use crate::wire::request;

/// Holds every thread that passes until it is opened. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    held: usize,
    passed: u32,
}

impl Gate {
    /// Waits until it is open, but no longer than [`WAIT_MAX`]: a case that has failed may leave its gate closed. Returns how many
    /// have passed.
    pub(crate) fn pass(&self) -> u32 {
        self.0.lock().held += 1;
        self.0.changed.notify_all();
        let mut state = self.0.wait_while(|state| !state.open);
        state.held -= 1;
        state.passed += 1;
        state.passed
    }

    /// Returns a clock that a heavy transform waits for while the gate is closed. Afterwards it shows each time that the transform
    /// has computed for long enough.
    pub(crate) fn clock(&self) -> Clock {
        let gate = self.clone();
        Clock::new(move || BURN * gate.pass())
    }

    /// Waits until it holds `threads` or more.
    ///
    /// # Errors
    /// It does not within [`WAIT_MAX`].
    pub(crate) fn wait_until_held(&self, threads: usize) -> Check {
        let held = self.0.wait_while(|state| state.held < threads).held;
        ensure(held >= threads, || {
            format!("expected {threads} threads at the gate, got {held}")
        })
    }

    /// Returns how many threads it holds.
    pub(crate) fn held(&self) -> usize {
        self.0.lock().held
    }

    /// Returns how many transforms have begun, once all of them have ended: each looks at the clock when it begins and when it ends.
    pub(crate) fn transforms_begun(&self) -> usize {
        self.0.lock().passed as usize / 2
    }

    /// Lets every thread pass from now on.
    pub(crate) fn open(&self) {
        self.0.lock().open = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for at most [`WAIT_MAX`].
    fn wait_while(&self, waits: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), WAIT_MAX, |state| waits(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A server that offloads, and the gate that holds its heavy transforms.
pub(crate) struct Gated {
    // Dropped first, since a server that is dropped waits for what computes.
    pub(crate) gate: Opens,
    pub(crate) server: RunningServer,
}

/// Opens the gate when it is dropped.
pub(crate) struct Opens(Gate);

impl Deref for Opens {
    type Target = Gate;

    fn deref(&self) -> &Gate {
        &self.0
    }
}

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

impl Gated {
    /// Starts a server with a closed gate.
    ///
    /// # Errors
    /// Those of [`Setup::start`].
    pub(crate) fn start(setup: Setup) -> Check<Self> {
        let gate = Gate::default();
        let server = setup.offloading(&gate).start()?;
        let gate = Opens(gate);
        Ok(Self { gate, server })
    }

    /// Connects a client whose heavy request computes, or waits if the gate holds others.
    ///
    /// # Errors
    /// The gate holds none.
    pub(crate) fn heavy_client(&self, poem: &str) -> Check<Connection> {
        let mut client = self.server.connect()?;
        client.send(&request("burn", poem))?;
        self.gate.wait_until_held(1)?;
        Ok(client)
    }

    /// Connects `count` clients, whose heavy requests for their own numbers are all in flight.
    ///
    /// # Errors
    /// They are not.
    pub(crate) fn heavy_clients(&self, count: usize) -> Check<Vec<Connection>> {
        let clients = (0..count).map(|number| self.heavy_client(&number.to_string()));
        let clients = clients.collect::<Check<Vec<_>>>()?;
        let all = |counts: &Counts| counts.in_flight == count as u64;
        self.server
            .wait_until("every heavy request in flight", all)?;
        Ok(clients)
    }
}
