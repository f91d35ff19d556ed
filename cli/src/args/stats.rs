//! The options of `quatrain stats`.

use std::str::FromStr;

use clap::Args;

use super::values::Address;

const DETAILS: &str = "\
Examples:
  quatrain serve library poems --port 10200 &
  quatrain stats $!                                 by the process id, on the same machine
  quatrain serve library poems --metrics 9100 &
  quatrain stats :9100                              by the address of its metrics, from anywhere

The counts are those that SIGUSR1 writes (S23): every connection that was accepted is open or closed for one reason, and every \
request was answered, refused for one reason, failed, or is in flight. Reasons with a count of 0 are left out.
Asking by the process id needs Linux, and the server's user or root.
--json prints a line of JSON for each server: service, role, model, address, and the counts as SIGUSR1 writes them.
Exit status: 0 success, 1 no server answered, 2 wrong usage.";

#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct StatsArgs {
    /// The server: a process id, or HOST:PORT of its --metrics; without HOST this machine
    #[arg(value_name = "PID|ADDR")]
    pub(crate) server: Target,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// By its process id.
    Process(u32),
    /// By the address of its metrics.
    Metrics(Address),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(process) = text.parse() {
            return Ok(Self::Process(process));
        }
        let address = match text.strip_prefix(':') {
            Some(port) => port.parse(),
            None => text.parse(),
        };
        address
            .map(Self::Metrics)
            .map_err(|_| "write a process id, or HOST:PORT of the server's --metrics".to_owned())
    }
}
