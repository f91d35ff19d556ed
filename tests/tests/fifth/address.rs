//! A server of the fifth model that runs already, as a subject: no case fails, the cases of smoke that apply pass, and a flaw is
//! caught.

use std::net::SocketAddr;
use std::sync::Arc;

use conformance::fake_servers::{FakeServer, Serves};
use conformance::subject::Address;
use conformance::{Role, Subject, Verdict, cases, check};
use libtest_mimic::{Failed, Trial};
use poetry::event::Unobserved;
use poetry::{FramedPoem, Library, LibraryService, Model, Options, Pace, Poem};
use poetry::{PoemService, ProxyService, Server, Service, TransformService};

use crate::flaw::Flaw;
use crate::{Fifth, common};

const POEM: &str = "Ahoy, Ships\nof every port\n";

/// What is served, and a case that must run and pass with it.
const SERVED: [(&str, Role, bool, &str); 6] = [
    ("poem", Role::PoemServer, false, "sends_the_poem_then_fin"),
    ("proxy", Role::Proxy, false, "sends_the_poem_then_fin"),
    (
        "transform",
        Role::TransformServer,
        false,
        "transforms_a_non_ascii_poem",
    ),
    (
        "transform_keep_alive",
        Role::TransformServer,
        true,
        "keep_alive_answers_pipelined_requests_in_order",
    ),
    (
        "library",
        Role::LibraryServer,
        false,
        "replies_with_one_netstring_then_closes",
    ),
    (
        "library_keep_alive",
        Role::LibraryServer,
        true,
        "requests_before_a_refused_one_are_answered",
    ),
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, role, keep_alive, case) in SERVED {
        trials.push(Trial::test(
            format!("address::{name}::no_case_fails"),
            move || no_case_fails(role, keep_alive, case),
        ));
        trials.push(Trial::test(
            format!("address::{name}::a_flaw_is_caught"),
            move || a_flaw_is_caught(role, keep_alive),
        ));
    }
    trials.push(Trial::test(
        "address::without_a_word_about_it_a_poem_is_not_compared",
        an_unknown_poem_is_not_compared,
    ));
    trials
}

/// A running server, its description as a subject, and the upstream server of a proxy.
struct Running {
    subject: Arc<Subject>,
    server: Box<dyn Server>,
    _upstream: Option<FakeServer>,
}

fn start(flaw: Flaw, role: Role, keep_alive: bool) -> Result<Running, Failed> {
    let library = Library::new(
        [("ships", POEM), ("nothing", ""), ("wave", "🌊")]
            .map(|(name, poem)| {
                (
                    name.parse().expect("a name"),
                    FramedPoem::from(&Poem::from(poem)),
                )
            })
            .into(),
    );
    let upstream = FakeServer::start(Serves(POEM.into())).map_err(|failure| failure.to_string())?;
    let service = match role {
        Role::LibraryServer => Service::Library(LibraryService {
            library: library.clone(),
            keep_alive,
        }),
        Role::Proxy => Service::Proxy(ProxyService {
            upstream: upstream.address().into(),
            ttl: None,
        }),
        Role::PoemServer => Service::Poem(PoemService {
            poem: Poem::from(POEM),
            pace: Pace::Fast,
        }),
        _ => Service::Transform(TransformService {
            keep_alive,
            lab: None,
            offload: false,
        }),
    };
    let model: &'static Fifth = Box::leak(Box::new(Fifth(flaw)));
    let listener = models::listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let options = Options::new(models::clock());
    let server = model.serve(listener, service, &options, Arc::new(Unobserved))?;
    let mut described = Address::new(server.address(), role)
        .serving(Poem::from(POEM))
        .with_library(library);
    if keep_alive {
        described = described.keeping_alive();
    }
    Ok(Running {
        subject: Arc::new(Subject::Address(described)),
        server,
        _upstream: Some(upstream),
    })
}

fn no_case_fails(role: Role, keep_alive: bool, must_pass: &str) -> Result<(), Failed> {
    let running = start(Flaw::None, role, keep_alive)?;
    let mut cases = cases::all();
    cases.retain(|case| case.role == role);
    let (mut failed, mut passed) = (Vec::new(), Vec::new());
    check::run(&running.subject, &cases, common::seed(), |tested| {
        match tested.verdict {
            Verdict::Passed => passed.push(tested.case.name),
            Verdict::Skipped(_) => {}
            Verdict::Failed(why) => failed.push(format!("{}: {why}", tested.case.name)),
        }
        true
    });
    match failed.is_empty() && passed.contains(&must_pass) {
        true => Ok(check::verify(&running.subject, role, common::seed())?),
        false => Err(format!("passed: {passed:?}; failed: {failed:?}").into()),
    }
}

fn a_flaw_is_caught(role: Role, keep_alive: bool) -> Result<(), Failed> {
    let running = start(Flaw::CutsTheEnd, role, keep_alive)?;
    match check::verify(&running.subject, role, common::seed()) {
        Err(_) => Ok(()),
        Ok(()) => Err("expected a failed case".into()),
    }
}

fn an_unknown_poem_is_not_compared() -> Result<(), Failed> {
    let running = start(Flaw::None, Role::PoemServer, false)?;
    let address = running.server.address();
    let unknown = Arc::new(Subject::Address(Address::new(address, Role::PoemServer)));
    match check::verify(&unknown, Role::PoemServer, common::seed()) {
        Err(problem) if problem.contains("needs the poem that is served") => Ok(()),
        other => Err(format!("expected that no case applies, got {other:?}").into()),
    }
}
