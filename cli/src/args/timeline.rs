//! The options of `quatrain timeline`.

use std::path::PathBuf;

use clap::Args;

const DETAILS: &str = "\
Examples:
  quatrain serve poem poems/lantern.txt --port 10001 --delay 0.1 --record server.jsonl &
  quatrain fetch 10001 10001 --model streams --record client.jsonl
  quatrain timeline client.jsonl server.jsonl -o both.html    one sheet, on one axis of time
  quatrain timeline client.jsonl -o client.svg                a drawing
  quatrain timeline client.jsonl -o trace.json                for Perfetto and chrome://tracing
  quatrain timeline client.jsonl server.jsonl --sequence      a sequence diagram, for Mermaid
  quatrain timeline client.jsonl --sequence -o sequence.svg   a sequence diagram, drawn

A lane is a thread, and a row is a task: blocks are work, lines are waits. A server can be recorded while it runs; its record \
is complete when it has stopped. Without --record, an event costs one comparison.
Exit status: 0 success, 1 it could not be written, 2 a record could not be read.";

#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct TimelineArgs {
    /// Records, as --record of `serve` and `fetch` writes them
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Where to write: a page (.html), a drawing (.svg), a trace (.json) or a sequence diagram in Mermaid's language (.mmd)
    /// [default: timeline.html]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,

    /// A sequence diagram: print it in Mermaid's language, or draw it with --out FILE.svg
    #[arg(long)]
    pub(crate) sequence: bool,
}
