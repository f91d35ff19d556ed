//! Step 9, the slow server of the tutorial's Part 2, by hand: ten bytes, and then it sleeps. It serves one client after
//! another: of two that ask at once, the second waits twice as long. The remedy is in step 2, a thread for each.
//!
//! `cargo run -p quatrain-blocking --example blocking_09_slow_server`, or with a port to serve on: `… -- 10001`

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const POEM: &str = "Nine boats came home\nand one came late.\n";
const NUM_BYTES: usize = 10;
const DELAY: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let port = std::env::args().nth(1).map(|port| port.parse::<u16>());
    let ended = match port {
        None => ask_itself(),
        Some(Ok(port)) => listen(port).map(|listener| serve(&listener, usize::MAX)),
        Some(Err(error)) => {
            eprintln!("error: {error}");
            eprintln!("usage: [port]; without it, the example serves two clients of its own");
            return ExitCode::from(2);
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn listen(port: u16) -> Result<TcpListener, Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("Serving on {}", listener.local_addr()?);
    Ok(listener)
}

/// Serves that many clients, one after another.
fn serve(listener: &TcpListener, clients: usize) {
    for client in listener.incoming().take(clients) {
        if let Err(error) = client.and_then(send_slowly) {
            eprintln!("a client is without its poem: {error}");
        }
    }
}

fn send_slowly(mut client: TcpStream) -> io::Result<()> {
    for chunk in POEM.as_bytes().chunks(NUM_BYTES) {
        client.write_all(chunk)?;
        thread::sleep(DELAY);
    }
    Ok(())
}

fn ask_itself() -> Result<(), Box<dyn Error>> {
    let listener = listen(0)?;
    let address = listener.local_addr()?;
    thread::spawn(move || serve(&listener, 2));
    let clients = [(); 2].map(|()| thread::spawn(move || ask(address)));
    for client in clients {
        match client.join() {
            Ok(asked) => println!("{}", asked?),
            Err(_) => return Err("a client panicked".into()),
        }
    }
    Ok(())
}

/// Returns the poem and how long it took.
fn ask(address: SocketAddr) -> Result<String, blocking::FetchError> {
    let begun = Instant::now();
    let poem = blocking::get_poetry(address)?;
    let elapsed = begun.elapsed().as_secs_f64();
    Ok(format!("{poem}after {elapsed:.1} s\n"))
}
