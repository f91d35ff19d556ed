//! Dealing: the connections that one worker accepts, shared out among all.

use futures::{Stream, StreamExt};
use poetry::limits::LISTEN_BACKLOG;
use tokio::sync::mpsc;

use crate::net::{self, Accepted, Released, Socket};

/// A connection on its way to another worker's runtime.
pub(crate) type Dealt = Accepted<Released>;

/// The hands that cards are dealt from and to.
pub(crate) fn deal(others: usize) -> (Vec<mpsc::Sender<Dealt>>, Vec<mpsc::Receiver<Dealt>>) {
    (0..others)
        .map(|_| mpsc::channel(LISTEN_BACKLOG as usize))
        .unzip()
}

/// Deals the connections: one to this worker, one to each of the `hands`, and round again.
pub(crate) fn keep_every_nth(
    accepted: impl Stream<Item = Accepted<Socket>>,
    hands: Vec<mpsc::Sender<Dealt>>,
) -> impl Stream<Item = Accepted<Socket>> {
    let workers = hands.len() as u64 + 1;
    accepted.filter_map(move |accepted| {
        let hand = (accepted.number % workers).checked_sub(1);
        let hand = hand.map(|hand| hands[hand as usize].clone());
        async move {
            let Some(hand) = hand else {
                return Some(accepted);
            };
            // A socket that cannot change hands is dropped: that costs it, and nobody else.
            if let Ok(dealt) = accepted.try_map(net::release) {
                let _ = hand.send(dealt).await;
            }
            None
        }
    })
}
