//! Starting a program with broken standard streams, under what a shell sets.

use std::fs;
use std::io::{PipeReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use crate::failure::{Check, During, Failure};

/// One of a program's standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// A pipe that the case reads.
    #[default]
    Read,
    /// Closed before the program starts.
    Closed,
    /// A pipe that is full and that no process reads.
    FullPipe,
    /// A pipe whose reader has gone.
    ReaderGone,
    /// A pipe whose reader takes some bytes and goes, as `head` does.
    ReaderLeaves,
    /// A device that has no room: every write fails.
    FullDevice,
}

/// The ends of pipes that must stay open while the program runs.
pub(super) type Pipes = Vec<PipeReader>;

/// The words that have the system kill a program when the thread that started it ends: also if that thread hangs, and this process
/// is killed. Empty if there is no such command (util-linux).
fn ends_with_us() -> &'static [&'static str] {
    const SETPRIV: &[&str] = &["setpriv", "--pdeathsig", "KILL", "--"];
    static WORKS: OnceLock<bool> = OnceLock::new();
    let try_it = || {
        let mut command = Command::new(SETPRIV[0]);
        command.args(&SETPRIV[1..]).arg("true");
        command.stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    match WORKS.get_or_init(try_it) {
        true => SETPRIV,
        false => &[],
    }
}

/// Starts a program, through a shell that runs the commands `before` and closes streams. It ends with this thread.
pub(super) fn spawn(
    words: &[String],
    before: &[String],
    stdout: Output,
    stderr: Output,
) -> Check<(std::process::Child, Pipes)> {
    let mut script = before.join(" && ");
    if !script.is_empty() {
        script.push_str(" && ");
    }
    script.push_str(r#"exec "$@""#);
    for (stream, output) in [("1", stdout), ("2", stderr)] {
        if output == Output::Closed {
            script.push_str(&format!(" {stream}>&-"));
        }
    }
    let mut pipes = Pipes::new();
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]);
    command.args(ends_with_us()).args(words);
    command.stdin(Stdio::null());
    command.stdout(stream(stdout, &mut pipes)?);
    command.stderr(stream(stderr, &mut pipes)?);
    let child = command.spawn().during("starting the program")?;
    Ok((child, pipes))
}

fn stream(output: Output, pipes: &mut Pipes) -> Check<Stdio> {
    Ok(match output {
        Output::Read => Stdio::piped(),
        Output::Closed => Stdio::null(),
        Output::FullPipe => {
            let (reader, writer) = std::io::pipe().during("creating a pipe")?;
            fill(&writer)?;
            pipes.push(reader);
            writer.into()
        }
        Output::ReaderGone => std::io::pipe().during("creating a pipe")?.1.into(),
        Output::ReaderLeaves => {
            let (mut reader, writer) = std::io::pipe().during("creating a pipe")?;
            // If the program prints nothing, the thread ends with it.
            thread::spawn(move || reader.read_exact(&mut [0; 100]));
            writer.into()
        }
        Output::FullDevice => {
            let full = Path::new("/dev/full");
            let opened = fs::OpenOptions::new().write(true).open(full);
            opened
                .map_err(|error| Failure::Needs(format!("/dev/full: {error}")))?
                .into()
        }
    })
}

/// Fills a pipe.
fn fill(mut pipe: impl Write + std::os::fd::AsFd) -> Check {
    use nix::fcntl::{FcntlArg, fcntl};
    let capacity = fcntl(&pipe, FcntlArg::F_GETPIPE_SZ).during("reading a pipe's capacity")?;
    let bytes = vec![b'x'; usize::try_from(capacity).during("reading a pipe's capacity")?];
    pipe.write_all(&bytes).during("filling a pipe")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn a_program_ends_with_the_thread_that_started_it() {
        if ends_with_us().is_empty() {
            return; // This system has no such command.
        }
        let start = || {
            let words = ["sh", "-c", "echo runs; exec sleep 60"].map(str::to_owned);
            let (mut child, _) = spawn(&words, &[], Output::Read, Output::Read).unwrap();
            let mut line = String::new();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            output.read_line(&mut line).unwrap();
            assert_eq!(line, "runs\n");
            child
        };
        let mut child = thread::spawn(start).join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
