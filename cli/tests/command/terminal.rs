//! What `fetch`, the log and `--observe` look like on a terminal of some width and kind. The terminal is a pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;

use super::support::{
    DEADLINE, Process, Server, closed_port, netstring, quatrain, read_all, serve_once,
};

/// A pseudo-terminal of some width: the side that shows, and the side for a process.
fn terminal(columns: u16) -> (File, Stdio) {
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(&size, None).unwrap();
    (pty.master.into(), pty.slave.into())
}

/// Runs `command` with its stderr on a terminal, whose bytes it returns.
fn shown(mut command: Command, columns: u16) -> String {
    let (mut screen, stderr) = terminal(columns);
    let process = Process::start_as(command.stdout(Stdio::piped()).stderr(stderr));
    drop(command); // It has the terminal's other side open.
    let ended = process.end();
    let shown = read_screen(&mut screen);
    assert!(ended.status.is_some(), "{shown}");
    shown
}

/// Reads all that is shown; Linux reports the end as an error.
fn read_screen(screen: &mut File) -> String {
    let mut shown = Vec::new();
    let _ = screen.read_to_end(&mut shown);
    String::from_utf8(shown).unwrap()
}

/// Reads what is shown until it has `words`.
fn read_until(screen: &mut File, words: &str) -> String {
    let (mut shown, begin) = (Vec::new(), Instant::now());
    while !String::from_utf8_lossy(&shown).contains(words) {
        let left = DEADLINE.saturating_sub(begin.elapsed());
        let mut polled = [PollFd::new(screen.as_fd(), PollFlags::POLLIN)];
        let readable = poll(&mut polled, PollTimeout::try_from(left).unwrap()).unwrap();
        assert_eq!(readable, 1, "no {words:?} in time");
        let mut piece = [0; 4_096];
        let bytes = screen.read(&mut piece).unwrap();
        shown.extend(&piece[..bytes]);
    }
    String::from_utf8(shown).unwrap()
}

/// Removes control sequences: `ESC [`, parameters, a letter.
fn without_control(shown: &str) -> String {
    let mut pieces = shown.split("\x1b[");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        text += &piece[end + 1..];
    }
    text
}

fn fetch(kind: &str, arguments: &[&str]) -> Command {
    let mut command = quatrain([&["fetch"], arguments].concat());
    command.env("TERM", kind).env_remove("NO_COLOR");
    command
}

#[test]
fn every_line_of_the_bars_fits_the_terminal() {
    for columns in [25, 80] {
        let (good, bad) = (serve_once("a poem\n".repeat(1_000)), closed_port());
        let screen = shown(fetch("xterm", &["--progress", "bar", &good, &bad]), columns);
        let text = without_control(&screen);
        let (text, _) = text.split_once("Task 2 failed: ").unwrap();
        let bars = text.split(['\r', '\n']).map(|bars| bars.chars());
        // Rows are padded to the width, so a row that begins elsewhere is the end of a line that is too long.
        let chunks = bars.flat_map(|bars| {
            let chars: Vec<char> = bars.collect();
            let rows = chars.chunks(columns.into());
            rows.map(|row| row.iter().skip(2).collect())
                .collect::<Vec<String>>()
        });
        let rows: Vec<String> = chunks.collect();
        let begins = ["Task 1: ", "Task 2: ", "[", "0 of 2 ", "1 of 2 "];
        for row in &rows {
            let begins = row.is_empty() || begins.iter().any(|begin| row.starts_with(begin));
            assert!(begins, "{columns}: {row:?} in {screen:?}");
        }
        for words in ["arrived", "1 of 2 poems, 1 failed"] {
            assert!(rows.iter().any(|row| row.contains(words)), "{screen:?}");
        }
    }
}

#[test]
fn a_dumb_terminal_gets_lines_without_control_sequences() {
    let screen = shown(fetch("dumb", &[&serve_once("good\n")]), 80);
    assert!(screen.contains("got 5 bytes of poetry") && screen.contains("Task 1 finished"));
    assert!(!screen.contains('\x1b'), "{screen:?}");
    let screen = shown(fetch("xterm", &[&serve_once("good\n")]), 80);
    assert!(screen.contains('\x1b'), "{screen:?}");
}

#[test]
fn a_view_changes_in_place_fits_the_terminal_and_gives_it_back() {
    let (mut screen, stderr) = terminal(40);
    let mut command = quatrain(["serve", "transform", "--keep-alive", "--observe"]);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let mut process = Process::start_as(command.stdout(Stdio::piped()).stderr(stderr));
    drop(command);
    let (_, address) = process.wait_until_serving();
    let server = Server::at(process, address);
    let _stream = server.connect();
    let mut shown = read_until(&mut screen, "connection 0: its protocol");
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.end().status, Some(0));
    shown += &read_screen(&mut screen);
    let (_, shown) = shown.split_once("\x1b[?1049h").unwrap();
    let (views, log) = shown.split_once("\x1b[?1049l").unwrap();
    for view in views.split("\x1b[H\x1b[J").skip(1) {
        assert!(view.starts_with("callbacks on 127.0.0.1:"), "{views:?}");
        let fits = |line: &str| line.chars().count() <= 40;
        assert!(view.lines().all(fits), "{view:?}");
    }
    assert!(log.contains("stopped: 0 finished"), "{log:?}");
}

#[test]
fn a_view_leaves_the_line_in_which_a_user_types() {
    let size = Winsize {
        ws_row: 12,
        ws_col: 40,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(&size, None).unwrap();
    let mut screen = File::from(pty.master);
    let mut command = quatrain([
        "serve",
        "transform",
        "--lab",
        "--observe",
        "--model",
        "actors",
    ]);
    command
        .env("TERM", "xterm")
        .stdin(pty.slave.try_clone().unwrap());
    let mut process = Process::start_as(command.stdout(Stdio::piped()).stderr(pty.slave));
    drop(command);
    let (_, address) = process.wait_until_serving();
    let server = Server::at(process, address);
    let hint = "type crash and one of connections-0, acc";
    let mut shown = read_until(&mut screen, hint);
    screen.write_all(b"crash acceptor\n").unwrap();
    shown += &read_until(&mut screen, "\u{21bb} restarted 0.");
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.end().status, Some(0));
    shown += &read_screen(&mut screen);
    let (_, shown) = shown.split_once("\x1b[?1049h").unwrap();
    let (views, _) = shown.split_once("\x1b[?1049l").unwrap();
    assert!(views.contains("crashed acceptor"), "{views:?}");
    for view in views.split("\x1b7").skip(1) {
        // What follows a whole view is the echo of the input.
        let Some((view, _)) = view.split_once("\x1b8") else {
            continue;
        };
        let lines: Vec<&str> = view
            .trim_start_matches("\x1b[H")
            .split_inclusive('\n')
            .collect();
        assert_eq!(lines.len(), 11, "{view:?}");
        for line in lines {
            let line = line.trim_end().strip_suffix("\x1b[K").expect(line);
            assert!(line.chars().count() <= 40, "{view:?}");
        }
    }
}

/// What a server's log shows on a terminal for a refused request.
fn log_of(kind: &str, no_color: Option<&str>) -> String {
    let (mut screen, stderr) = terminal(80);
    let mut command = quatrain(["serve", "transform"]);
    command.env("TERM", kind).env_remove("NO_COLOR");
    command.envs(no_color.map(|value| ("NO_COLOR", value)));
    let mut process = Process::start_as(command.stdout(Stdio::piped()).stderr(stderr));
    drop(command);
    let (_, address) = process.wait_until_serving();
    let server = Server::at(process, address);
    assert_eq!(read_all(server.ask(&netstring("sing.a"))), b"");
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.end().status, Some(0));
    let log = read_screen(&mut screen);
    assert!(log.contains("unknown transform"), "{log:?}");
    log
}

#[test]
fn the_log_is_coloured_only_where_that_is_wanted() {
    assert!(log_of("xterm", None).contains('\x1b'));
    assert!(log_of("xterm", Some("")).contains('\x1b'));
    assert!(!log_of("xterm", Some("1")).contains('\x1b'));
    assert!(!log_of("dumb", None).contains('\x1b'));
}
