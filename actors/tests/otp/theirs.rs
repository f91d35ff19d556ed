//! Erlang, in a process that runs `histories.escript`.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use crate::history::History;
use crate::seen::Seen;

/// Returns whether `escript` runs.
pub(crate) fn has_erlang(escript: &str) -> bool {
    // Without a script it prints its usage, and fails.
    let mut usage = Command::new(escript);
    usage
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

pub(crate) struct Erlang {
    process: Child,
    histories: ChildStdin,
    seen: BufReader<ChildStdout>,
}

/// A history to run, and the order of its processes.
pub(crate) struct Run<'a> {
    /// If it is 0, processes run in the order in which they are woken, otherwise in a random one.
    pub(crate) seed: u64,
    /// Seeds of single steps.
    pub(crate) seeds: Vec<(usize, u64)>,
    pub(crate) history: &'a History,
}

impl Erlang {
    pub(crate) fn start(escript: &str) -> io::Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/otp/histories.escript");
        let mut process = Command::new(escript)
            .arg(script)
            // No dump if the test ends before it.
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(histories), Some(seen)) = (process.stdin.take(), process.stdout.take()) else {
            unreachable!("both are piped");
        };
        let seen = BufReader::new(seen);
        Ok(Self {
            process,
            histories,
            seen,
        })
    }

    /// Runs histories, many at a time, and returns what was seen in each.
    pub(crate) fn run(&mut self, runs: &[Run<'_>]) -> io::Result<Vec<Vec<Seen>>> {
        let Self {
            histories, seen, ..
        } = self;
        thread::scope(|scope| {
            let writes = scope.spawn(move || {
                for (index, run) in runs.iter().enumerate() {
                    let Run { seed, history, .. } = run;
                    let step = |(step, seed): &_| format!("{{{step},{seed}}}");
                    let seeds: Vec<_> = run.seeds.iter().map(step).collect();
                    let seeds = seeds.join(",");
                    writeln!(histories, "{{{index},{{{seed},[{seeds}]}},{history}}}.")?;
                }
                histories.flush()
            });
            let mut all = vec![Vec::new(); runs.len()];
            for _ in runs {
                let (index, seen) = read(seen)?;
                *all.get_mut(index)
                    .ok_or_else(|| wrong(&index.to_string()))? = seen;
            }
            writes.join().map_err(|_| wrong("no histories"))??;
            Ok(all)
        })
    }
}

/// Reads what was seen in one history.
fn read(lines: &mut impl BufRead) -> io::Result<(usize, Vec<Seen>)> {
    let mut line = || {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        Ok::<_, io::Error>(line.trim_end().to_owned())
    };
    let first = line()?;
    let index = first
        .strip_prefix("history ")
        .and_then(|index| index.parse().ok());
    let index = index.ok_or_else(|| wrong(&first))?;
    let mut all = Vec::new();
    loop {
        let line = line()?;
        if line == "end" {
            return Ok((index, all));
        }
        let mut words = line.splitn(3, ' ');
        let seen = (words.next(), words.next(), words.next());
        let (Some(step), Some(who), Some(what)) = seen else {
            return Err(wrong(&line));
        };
        all.push(Seen {
            step: step.parse().map_err(|_| wrong(&line))?,
            who: who.to_owned(),
            what: what.to_owned(),
        });
    }
}

fn wrong(line: &str) -> io::Error {
    io::Error::other(format!("histories.escript wrote {line:?}"))
}

impl Drop for Erlang {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
