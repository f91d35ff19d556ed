//! The fifth model as a command: this program itself, run with the word `serve`. Its template has only a mode and limits, so
//! cases that need another feature must be skipped.

use std::num::NonZeroUsize;
use std::time::Duration;

use conformance::subject::Command;
use poetry::{FramedPoem, Library, LibraryService, Options, Pace, Peer, Poem};
use poetry::{PoemService, ProxyService, Service, TransformService};

use crate::Fifth;
use crate::daemon::Conduct;
use crate::faults::Wrong;

/// The first argument with which this program serves instead of testing.
pub(crate) const SERVE: &str = "serve";

/// Returns this program as a subject.
pub(crate) fn subject() -> Command {
    let program = std::env::current_exe().expect("the path of this program");
    let program = program.to_string_lossy().into_owned();
    let words = [program.as_str(), SERVE, "{mode}", "{limits}"].map(str::to_owned);
    Command::from_words("fifth_command", words.to_vec())
}

/// Serves with the options in `words` until a signal ends the process.
pub(crate) fn serve(words: &[String]) -> ! {
    let mut options = Options::new(models::clock());
    let limits = &mut options.limits;
    let (mut path, mut pace) = (None, Pace::Fast);
    let mut transform = TransformService::default();
    let (mut library, mut keep_alive) = (None, false);
    let (mut upstream, mut ttl) = (None, None);
    let (mut port, mut grace, mut stats) = (0, Duration::ZERO, None);
    let (mut logs_all, mut wrong) = (false, Wrong::default());
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("a value");
        match word {
            "transform" | "--fast" => {}
            "poem" => path = Some(value().to_owned()),
            "--num-bytes" => {
                let num_bytes: NonZeroUsize = value().parse().expect("a number");
                pace = Pace::Slow {
                    num_bytes,
                    delay: Duration::ZERO,
                };
            }
            "--delay" => pace = with_delay(pace, seconds(value())),
            "proxy" => upstream = Some(value().parse::<Peer>().expect("an address")),
            "--cache-ttl" => ttl = Some(seconds(value())),
            "library" => library = Some(value().to_owned()),
            "--keep-alive" => keep_alive = true,
            "--lab" => transform.lab = Some(models::clock()),
            "--connections-max" => limits.connections_max = value().parse().expect("a number"),
            "--frame-bytes-max" => limits.frame_bytes_max = value().parse().expect("a number"),
            "--idle-timeout" => limits.idle_timeout = seconds(value()),
            "--deadline" => limits.request_deadline = seconds(value()),
            "--connect-timeout" => limits.connect_timeout = seconds(value()),
            "--poem-bytes-max" => limits.poem_bytes_max = value().parse().expect("a number"),
            "--write-timeout" => limits.write_timeout = seconds(value()),
            "--port" => port = value().parse().expect("a port"),
            "--grace" => grace = seconds(value()),
            "--stats" => stats = Some(value().to_owned()),
            "--log" => logs_all = value() == "trace",
            "--flaw" => wrong = Wrong::find(value()),
            unknown => panic!("unknown word {unknown}"),
        }
    }
    transform.keep_alive = keep_alive;
    let mut reloaded = None;
    let (name, service) = match (path, library) {
        (Some(path), _) => {
            let poem = Poem::from_utf8(&std::fs::read(&path).expect("a poem")).expect("UTF-8");
            (path, Service::Poem(PoemService { poem, pace }))
        }
        (None, Some(folder)) => {
            let library = read_library(&folder);
            reloaded = Some((folder.clone(), library.clone()));
            let service = LibraryService {
                library,
                keep_alive,
            };
            (folder, Service::Library(service))
        }
        (None, None) if upstream.is_some() => {
            let upstream = upstream.expect("an upstream");
            let name = upstream.to_string();
            (name, Service::Proxy(ProxyService { upstream, ttl }))
        }
        (None, None) => ("transforms".to_owned(), Service::Transform(transform)),
    };
    let conduct = Conduct {
        port,
        grace,
        stats,
        library: reloaded,
        logs_all,
        flaw: wrong.command,
    };
    conduct.run(&name, service, &options, &Fifth(wrong.model))
}

pub(crate) fn read_library(folder: &str) -> Library {
    let entries = std::fs::read_dir(folder).expect("a folder of poems");
    let poems = entries.map(|entry| {
        let path = entry.expect("a file").path();
        let poem = Poem::from_utf8(&std::fs::read(&path).expect("a poem")).expect("UTF-8");
        let name = path.file_stem().and_then(|stem| stem.to_str());
        let name = name.and_then(|name| name.parse().ok()).expect("a name");
        (name, FramedPoem::from(&poem))
    });
    Library::new(poems.collect())
}

fn seconds(word: &str) -> Duration {
    Duration::from_secs_f64(word.parse().expect("seconds"))
}

fn with_delay(pace: Pace, delay: Duration) -> Pace {
    match pace {
        Pace::Slow { num_bytes, .. } => Pace::Slow { num_bytes, delay },
        Pace::Fast => Pace::Fast,
    }
}
