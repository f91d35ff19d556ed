//! Part 10: a poem, transformed.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use callbacks::{Deferred, Failure};
use futures::TryStreamExt;
use poetry::event::Unobserved;
use poetry::{Cancel, FetchFailure, FetchRequest, Options, Pace, PoemService, Service, Via};
use solutions::{PlayedServer, runtime};
use streams::joins::as_they_end;
use streams::{FetchError, Peer, Poem, TransformService};

type Transform = fn(Poem) -> Result<Poem, Failure>;

fn cummingsify(poem: Poem) -> Result<Poem, Failure> {
    Ok(poem.as_str().to_lowercase().into())
}

fn gibberish(_: Poem) -> Result<Poem, Failure> {
    Err(Failure::message("this transform always fails"))
}

/// The text to print: of the poem as it is transformed; of the original if that fails; or why there is no poem.
fn shown(fetched: Deferred<Poem>, transform: Transform) -> Deferred<String> {
    fetched
        // A chain of its own, so that its errback sees the failure of the transform only.
        .add_callback(move |poem| {
            let original = poem.clone();
            Deferred::succeed(poem)
                .add_callback(transform)
                .add_errback(move |_| Ok(original))
        })
        .add_callbacks(
            |poem| Ok(poem.to_string()),
            |failure| Ok(format!("no poem: {failure}")),
        )
}

#[test]
fn a_failed_transform_is_not_a_failed_fetch() {
    let text =
        |fetched, transform: Transform| shown(fetched, transform).take_result().unwrap().unwrap();
    let arrived = || Deferred::succeed(Poem::from("Ahoy"));
    assert_eq!(text(arrived(), cummingsify), "ahoy");
    assert_eq!(text(arrived(), gibberish), "Ahoy");
    let refused = Deferred::fail(FetchFailure::Refused);
    let why = "no poem: refused: closed without a reply";
    assert_eq!(text(refused, cummingsify), why);
}

#[test]
fn every_model_keeps_the_original() {
    let options = Options::new(models::clock());
    let poem = PoemService {
        poem: "Ahoy".into(),
        pace: Pace::Fast,
    };
    for model in models::ALL {
        let serve = |service| {
            let listener = models::listen(([127, 0, 0, 1], 0).into()).unwrap();
            let server = model.serve(listener, service, &options, Arc::new(Unobserved));
            server.unwrap()
        };
        let poems = serve(Service::Poem(poem.clone()));
        let transforms = serve(Service::Transform(TransformService::default()));
        let requests = ["shout", "gibberish"].map(|transform| {
            let via = Via {
                transform: transform.to_owned(),
                peer: transforms.address().into(),
            };
            FetchRequest::new(poems.address()).via(via)
        });
        let client = model.client(&options).unwrap();
        let outcomes = client.fetch(&requests, Arc::new(Unobserved), &Cancel::new());
        let (shouted, kept) = (&outcomes[0], &outcomes[1]);
        assert_eq!(shouted.poem.as_deref(), Ok("AHOY"), "{}", model.name());
        assert_eq!(shouted.transform_failure, None);
        assert_eq!(kept.poem.as_deref(), Ok("Ahoy"), "{}", model.name());
        let error = kept.transform_failure.as_ref().unwrap();
        assert_eq!(error.failure, FetchFailure::Refused);
        assert_eq!(error.peer, transforms.address().to_string());
    }
}

/// The poem at `peer`, shouted by the server at `via`, or as it is.
async fn shouted(peer: Peer, via: Peer) -> Result<Poem, FetchError> {
    let poem = streams::get_poetry(peer).await?;
    let shouted = streams::transform(via, "shout", poem.as_str()).await;
    Ok(shouted.unwrap_or(poem))
}

#[test]
fn a_poem_is_transformed_before_the_next_has_arrived() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let transforms = streams::serve_transforms(listener, TransformService::default()).unwrap();
    let [late, early] = [(); 2].map(|()| PlayedServer::open().unwrap());
    let via = Peer::from(transforms.address());
    let poems = [&late, &early].map(|server| {
        let peer = Peer::from(server.address().unwrap());
        shouted(peer, via.clone())
    });
    runtime().unwrap().block_on(async {
        let mut poems = as_they_end(poems, 2);
        let serving = thread::spawn(move || early.serve("Ahoy"));
        let first = poems.try_next().await.unwrap().unwrap();
        assert_eq!(first.as_str(), "AHOY");
        serving.join().unwrap().unwrap();

        // Now there is no transform server any more, and the poem is kept.
        drop(transforms);
        let serving = thread::spawn(move || late.serve("Stars fall."));
        let second = poems.try_next().await.unwrap().unwrap();
        assert_eq!(second.as_str(), "Stars fall.");
        serving.join().unwrap().unwrap();
    });
}
