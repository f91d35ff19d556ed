//! A bare server as a program: `cargo run -p quatrain-bare --example bare_server -- threads poem poems/lantern.txt --fast`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    bare::command::run(std::env::args().skip(1))
}
