//! Starts an example: parses its arguments, prints its result, and sets the exit status to 0, to 1 if it failed, or to 2
//! if the arguments are wrong.
// Each example uses one of the two parsers.
#![allow(dead_code)]

use std::io;
use std::process::ExitCode;

use poetry::Peer;

/// Runs an example with the arguments of this process.
pub(crate) fn start<T>(
    usage: &str,
    parse: fn(&[String]) -> Result<T, String>,
    run: fn(T) -> io::Result<String>,
) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (status, text) = outcome(&args, parse, run);
    match status {
        0 => println!("{text}"),
        2 => eprintln!("{text}\nusage: {usage}"),
        _ => eprintln!("{text}"),
    }
    ExitCode::from(status)
}

/// Returns the exit status and what is printed.
pub(crate) fn outcome<T>(
    args: &[String],
    parse: fn(&[String]) -> Result<T, String>,
    run: fn(T) -> io::Result<String>,
) -> (u8, String) {
    match parse(args).map(run) {
        Ok(Ok(text)) => (0, text),
        Ok(Err(error)) => (1, error.to_string()),
        Err(message) => (2, message),
    }
}

/// Accepts no argument.
pub(crate) fn no_arguments(args: &[String]) -> Result<(), String> {
    match args {
        [] => Ok(()),
        [first, ..] => Err(format!("unexpected argument '{first}'")),
    }
}

/// Accepts any number of addresses, `[host:]port`.
pub(crate) fn addresses(args: &[String]) -> Result<Vec<Peer>, String> {
    args.iter().map(|arg| arg.parse()).collect()
}
