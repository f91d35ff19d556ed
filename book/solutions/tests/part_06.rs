//! Part 6: two functions instead of a result.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use actors::{Fetched, Me, Next, NoPort, Node, Process, Reason, Received};
use blocking::{FetchError, Poem};
use poetry::Peer;
use solutions::PlayedServer;

/// A callback and an errback, of which exactly one is called, once. Taking `self` makes a second call impossible; dropping
/// it unused calls the errback.
struct Handlers<T> {
    both: Option<(Callback<T>, Callback<String>)>,
}

type Callback<T> = Box<dyn FnOnce(T)>;

impl<T> Handlers<T> {
    fn new(callback: impl FnOnce(T) + 'static, errback: impl FnOnce(String) + 'static) -> Self {
        Self {
            both: Some((Box::new(callback), Box::new(errback))),
        }
    }

    fn call(mut self, result: Result<T, String>) {
        if let Some((callback, errback)) = self.both.take() {
            match result {
                Ok(value) => callback(value),
                Err(error) => errback(error),
            }
        }
    }
}

impl<T> Drop for Handlers<T> {
    fn drop(&mut self) {
        if let Some((_, errback)) = self.both.take() {
            errback("forgotten".into());
        }
    }
}

#[test]
fn exactly_one_of_the_two_is_called() {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let handlers = || {
        let (poems, errors) = (Rc::clone(&calls), Rc::clone(&calls));
        let callback = move |poem: &str| poems.borrow_mut().push(format!("poem {poem}"));
        let errback = move |error: String| errors.borrow_mut().push(format!("error {error}"));
        Handlers::new(callback, errback)
    };
    handlers().call(Ok("Ahoy"));
    handlers().call(Err("refused".into()));
    drop(handlers());
    assert_eq!(
        *calls.borrow(),
        ["poem Ahoy", "error refused", "error forgotten"]
    );
}

/// Returns at once. The callback runs in the thread that has waited, so it must be `Send`.
fn get_poetry(peer: Peer, callback: impl FnOnce(Result<Poem, FetchError>) + Send + 'static) {
    thread::spawn(move || callback(blocking::get_poetry(peer)));
}

#[test]
fn a_thread_turns_a_result_into_a_callback() {
    let server = PlayedServer::open().unwrap();
    let (results, arrived) = mpsc::channel();
    let caller = thread::current().id();
    get_poetry(server.address().unwrap().into(), move |poem| {
        let _ = results.send((poem.unwrap(), thread::current().id()));
    });
    // It has returned although the poem has not been sent, so the call did not wait.
    let mut client = server.accept().unwrap();
    assert!(arrived.try_recv().is_err());
    client.write_all(b"Ahoy").unwrap();
    drop(client);
    let (poem, thread) = arrived.recv().unwrap();
    assert_eq!(poem.as_str(), "Ahoy");
    assert_ne!(thread, caller);
}

/// Calls `begin` with a callback; the future has what the callback is called with, or `None` if it is dropped instead.
async fn called_back<T>(begin: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> Option<T>
where
    T: Send + 'static,
{
    let (send, receive) = tokio::sync::oneshot::channel();
    begin(Box::new(move |value| {
        let _ = send.send(value);
    }));
    receive.await.ok()
}

#[test]
fn a_channel_turns_a_callback_into_a_future() {
    let server = PlayedServer::open().unwrap();
    let peer: Peer = server.address().unwrap().into();
    let serving = thread::spawn(move || server.serve("Ahoy"));
    let poem = called_back(|callback| get_poetry(peer, callback));
    let poem = futures::executor::block_on(poem).unwrap().unwrap();
    assert_eq!(poem.as_str(), "Ahoy");
    serving.join().unwrap().unwrap();

    let forgotten = called_back::<Poem>(drop);
    assert_eq!(futures::executor::block_on(forgotten), None);
}

/// Fetches one poem and passes it on. Its mailbox is its callback.
struct Reader {
    peer: Peer,
    poems: mpsc::Sender<String>,
}

impl Process for Reader {
    type Message = Fetched;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.fetch(self.peer.clone());
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Message(Fetched { outcome, .. }) = received {
            let text = outcome.poem.unwrap_or_else(|error| error.to_string());
            let _ = self.poems.send(text);
        }
        Next::Exit(Reason::Normal)
    }
}

#[test]
fn a_message_brings_the_poem_or_the_failure() {
    let server = PlayedServer::open().unwrap();
    let node = Node::start_one().unwrap();
    let (poems, fetched) = mpsc::channel();
    let peer: Peer = server.address().unwrap().into();
    let reader = || Reader {
        peer: peer.clone(),
        poems: poems.clone(),
    };
    node.spawn("reader", reader());
    server.serve("Ahoy").unwrap();
    assert_eq!(fetched.recv().unwrap(), "Ahoy");

    drop(server); // Now the peer refuses connections.
    node.spawn("reader", reader());
    let error = fetched.recv().unwrap();
    assert!(error.contains("connection failed"), "{error}");
    node.stop();
}
