//! A bare server as a program: `cargo run -p quatrain-bare --example bare_server -- threads poem poems/lantern.txt --fast`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match bare::command::run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare_server: {error}");
            ExitCode::FAILURE
        }
    }
}
