//! A client short of descriptors: a fetch without a free one waits until another fetch of the client ends its connection
//! (S15).

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poetry::error::is_short_of_descriptors;
use poetry::limits::ACCEPT_RETRY;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::deadlines::after;
use crate::net::{self, Unconnected};

/// The connections of one client, which its fetches on all threads share.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    open: AtomicUsize,
    ended: Notify,
    /// A proxy keeps a socket for its fetch, one for each family of its upstream. Otherwise its own clients could take all
    /// descriptors and wait for a fetch that has none. The socket is connected, not closed for another: nothing can take
    /// its descriptor meanwhile.
    spares: Mutex<Vec<Spare>>,
}

/// One connection of a client. Drop it after the socket: a fetch that waits may then have the descriptor.
#[derive(Debug, Default)]
pub(crate) struct Descriptor(Option<Arc<Descriptors>>);

impl Descriptors {
    /// A client of `addresses` that keeps a spare socket (S9).
    pub(crate) fn with_spares(addresses: &[SocketAddr]) -> Self {
        let first = |is_ipv4| addresses.iter().find(move |one| one.is_ipv4() == is_ipv4);
        let spares = [true, false].into_iter().filter_map(first).copied();
        Self {
            spares: Mutex::new(spares.map(Spare::like).collect()),
            ..Self::default()
        }
    }

    /// What `open` returns once there is a descriptor for it. While the client has another connection, this waits until one
    /// ends. Otherwise it tries again every [`ACCEPT_RETRY`].
    ///
    /// # Errors
    /// Fails with an error of `open`: at once if it is not a shortage, or when the shortage has lasted for `patience`
    /// although the client has no connection.
    pub(crate) async fn with_one<S>(
        self: &Arc<Self>,
        patience: Duration,
        mut open: impl FnMut() -> io::Result<S>,
    ) -> io::Result<(S, Descriptor)> {
        // If there was no descriptor for it when the last connection ended.
        self.refill_spares();
        let mut patient_until = None;
        loop {
            // Created before the attempt, so that no end is missed.
            let ended = self.ended.notified();
            match open() {
                Ok(socket) => return Ok((socket, self.count())),
                Err(error) if !is_short_of_descriptors(&error) => return Err(error),
                Err(_) if self.open.load(Ordering::SeqCst) > 0 => {
                    ended.await;
                    patient_until = None;
                }
                Err(error) => {
                    let now = Instant::now();
                    let until = *patient_until.get_or_insert_with(|| after(now, patience));
                    if now >= until {
                        return Err(error);
                    }
                    sleep(ACCEPT_RETRY.min(until - now)).await;
                }
            }
        }
    }

    /// Takes the spare socket for `address`, if there is one.
    pub(crate) fn take_spare(&self, address: SocketAddr) -> Option<Unconnected> {
        (self.spares().iter_mut()).find_map(|spare| spare.take_for(address))
    }

    fn refill_spares(&self) {
        self.spares().iter_mut().for_each(Spare::refill);
    }

    /// Every statement leaves the spares consistent, so a poisoned lock can still be used.
    fn spares(&self) -> MutexGuard<'_, Vec<Spare>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(self: &Arc<Self>) -> Descriptor {
        self.open.fetch_add(1, Ordering::SeqCst);
        Descriptor(Some(Arc::clone(self)))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let Some(descriptors) = self.0.take() {
            descriptors.refill_spares();
            match descriptors.open.fetch_sub(1, Ordering::SeqCst) {
                // No other end will wake those that wait.
                1 => descriptors.ended.notify_waiters(),
                _ => descriptors.ended.notify_one(),
            }
        }
    }
}

/// An unconnected socket, kept for an address of one family.
#[derive(Debug)]
struct Spare {
    like: SocketAddr,
    socket: Option<Unconnected>,
}

impl Spare {
    /// A socket for addresses like this one.
    fn like(like: SocketAddr) -> Self {
        let socket = net::open(like).ok();
        Self { like, socket }
    }

    /// Opens the socket again if it has been taken.
    fn refill(&mut self) {
        self.socket = self.socket.take().or_else(|| net::open(self.like).ok());
    }

    /// Takes the socket, if there is one and it can connect to `address`.
    fn take_for(&mut self, address: SocketAddr) -> Option<Unconnected> {
        let fits = address.is_ipv4() == self.like.is_ipv4();
        self.socket.take_if(|_| fits)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::{FutureExt, poll};
    use tokio::time::advance;

    use super::*;
    use crate::testing::on_virtual_time;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn short() -> io::Error {
        io::Error::from_raw_os_error(24)
    }

    /// A system with a number of free descriptors.
    #[derive(Debug)]
    struct System(Cell<u32>);

    impl System {
        fn open(&self) -> io::Result<&Self> {
            let left = self.0.get().checked_sub(1);
            self.0.set(left.ok_or_else(short)?);
            Ok(self)
        }

        fn free(&self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn s15_a_fetch_waits_for_the_end_of_another_for_as_long_as_it_takes() {
        on_virtual_time(async {
            let system = System(Cell::new(1));
            let client = Arc::<Descriptors>::default();
            let (_, first) = client.with_one(PATIENCE, || system.open()).await.unwrap();
            let mut waiting: Vec<_> = (0..3)
                .map(|_| client.with_one(PATIENCE, || system.open()).boxed_local())
                .collect();
            let mut held = first;
            for mut next in waiting.drain(..) {
                assert!(poll!(&mut next).is_pending());
                advance(PATIENCE * 100).await;
                assert!(poll!(&mut next).is_pending());
                system.free();
                drop(held);
                held = next.await.unwrap().1;
            }
        });
    }

    #[test]
    fn s15_all_that_wait_try_by_themselves_once_the_last_connection_has_ended() {
        on_virtual_time(async {
            let system = System(Cell::new(1));
            let client = Arc::<Descriptors>::default();
            let (_, only) = client.with_one(PATIENCE, || system.open()).await.unwrap();
            let mut waiting: Vec<_> = (0..3)
                .map(|_| client.with_one(PATIENCE, || system.open()).boxed_local())
                .collect();
            for next in &mut waiting {
                assert!(poll!(next).is_pending());
            }
            // Another process takes the descriptor.
            drop(only);
            let began = Instant::now();
            for failed in futures::future::join_all(waiting).await {
                assert_eq!(failed.unwrap_err().raw_os_error(), Some(24));
            }
            assert_eq!(began.elapsed(), PATIENCE);
        });
    }

    #[test]
    fn s15_without_a_connection_a_fetch_tries_again_every_100_ms() {
        on_virtual_time(async {
            let system = System(Cell::new(0));
            let client = Arc::<Descriptors>::default();
            let began = Instant::now();
            let attempts = Cell::new(0);
            let opened = client.with_one(PATIENCE, || {
                attempts.set(attempts.get() + 1);
                if attempts.get() == 5 {
                    system.free();
                }
                system.open()
            });
            opened.await.unwrap();
            assert_eq!((attempts.get(), began.elapsed()), (5, 4 * ACCEPT_RETRY));
        });
    }

    #[test]
    fn s9_a_spare_socket_is_kept_for_each_family_and_again_after_a_connection() {
        on_virtual_time(async {
            let addresses =
                ["127.0.0.1:1", "[::1]:1", "127.0.0.2:1"].map(|one| one.parse().unwrap());
            let client = Arc::new(Descriptors::with_spares(&addresses));
            let [v4, v6, other_v4] = addresses;
            assert!(client.take_spare(other_v4).is_some());
            assert!(client.take_spare(v4).is_none());
            assert!(client.take_spare(v6).is_some());
            assert!(client.take_spare(v6).is_none());
            // The next attempt refills them, and so does the end of its connection.
            let opened = client.with_one(PATIENCE, || client.take_spare(v4).ok_or(short()));
            let (_, descriptor) = opened.await.unwrap();
            assert!(client.take_spare(v4).is_none());
            drop(descriptor);
            assert!(client.take_spare(v4).is_some());
        });
    }

    #[test]
    fn s9_a_failed_fetch_does_not_cost_the_next_one_its_spare_socket() {
        on_virtual_time(async {
            let address = "127.0.0.1:1".parse().unwrap();
            let client = Arc::new(Descriptors::with_spares(&[address]));
            // Taken, and its connection could not be kept either.
            drop(client.take_spare(address));
            let failed = client.with_one(PATIENCE, || io::Result::<()>::Err(short()));
            assert!(failed.await.is_err());
            assert!(client.take_spare(address).is_some());
        });
    }

    #[test]
    fn s15_another_error_fails_at_once() {
        on_virtual_time(async {
            let client = Arc::<Descriptors>::default();
            let failed = client.with_one(PATIENCE, || {
                io::Result::<()>::Err(io::ErrorKind::Other.into())
            });
            assert_eq!(failed.await.unwrap_err().kind(), io::ErrorKind::Other);
        });
    }
}
