//! Round robin: deals the connections that one worker accepts evenly to all.

use futures::{Stream, StreamExt};
use poetry::limits::LISTEN_BACKLOG;
use tokio::sync::mpsc;

use crate::net::{self, Accepted, Released, Socket};

/// A connection on its way to another worker's runtime.
pub(crate) type HandedOver = Accepted<Released>;

/// Creates a channel to each of the `others`.
pub(crate) fn channels(
    others: usize,
) -> (
    Vec<mpsc::Sender<HandedOver>>,
    Vec<mpsc::Receiver<HandedOver>>,
) {
    (0..others)
        .map(|_| mpsc::channel(LISTEN_BACKLOG as usize))
        .unzip()
}

/// The connections that this worker keeps. It deals them in turn to itself and to each of the `others`.
pub(crate) fn keep_every_nth(
    accepted: impl Stream<Item = Accepted<Socket>>,
    others: Vec<mpsc::Sender<HandedOver>>,
) -> impl Stream<Item = Accepted<Socket>> {
    let workers = others.len() as u64 + 1;
    accepted.filter_map(move |accepted| {
        let other = (accepted.arrival.number % workers).checked_sub(1);
        let other = other.map(|other| others[other as usize].clone());
        async move {
            let Some(other) = other else {
                return Some(accepted);
            };
            // A socket that cannot change runtimes is dropped, which costs only that connection.
            if let Ok(handed_over) = accepted.try_map(net::release) {
                let _ = other.send(handed_over).await;
            }
            None
        }
    })
}
