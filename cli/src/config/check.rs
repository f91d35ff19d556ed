//! `quatrain config check FILE`: validates a file, reads what its services serve, and prints what would run.

use std::path::Path;

use super::{Config, Flaw, Flaws, ServiceConfig};
use crate::args::{ConfigArgs, ConfigCommand};
use crate::failure::{Ended, Status};
use crate::line_writer::LineWriter;
use crate::output;
use crate::serve::{Chosen, Offer};
use crate::words::counted;

/// Runs the subcommand.
pub(crate) fn run(args: &ConfigArgs, stderr: &LineWriter) -> Ended {
    let ConfigCommand::Check { file } = &args.command;
    let summary = check(file).map_err(|flaws| flaws.fail(stderr))?;
    Ok(output::last_text(&summary, Status::Success, stderr))
}

/// Returns what would run.
fn check(file: &Path) -> Result<String, Flaws> {
    let config = Config::read(file)?;
    let (mut flaws, mut summary) = (Vec::new(), String::new());
    for service in &config.services {
        match describe(service) {
            Ok(text) => summary += &text,
            Err(flaw) => flaws.push(flaw),
        }
    }
    if !flaws.is_empty() {
        return Err(Flaws::of(file).with(flaws));
    }
    let (services, connections) = (
        counted(config.services.len() as u64, "service"),
        counted(config.connections_max() as u64, "connection"),
    );
    Ok(format!("{summary}{services}, at most {connections}\n"))
}

fn describe(service: &ServiceConfig) -> Result<String, Flaw> {
    let limits = service.command.options(models::clock()).limits;
    let model = Chosen::by(service.command.server());
    let model = model.map_err(|failure| service.flaw("pool", &failure))?;
    let offer = Offer::of(&service.command, &limits);
    let offer = offer.map_err(|failure| service.flaw(service.subject(), &failure))?;
    let mut listen: Vec<String> = service.listen.iter().map(ToString::to_string).collect();
    listen.extend(service.socket().map(|name| format!("the socket {name}")));
    let values = service
        .values
        .iter()
        .filter(|(key, _)| *key != "model" && *key != "socket" && *key != service.subject());
    let values: Vec<String> = values
        .map(|(key, value)| format!("{key} {value}"))
        .collect();
    Ok(format!(
        "{}: {} on {} with {}\n    {}\n",
        service.name,
        String::from_utf8_lossy(&offer.name),
        listen.join(", "),
        model.name(),
        values.join(", ")
    ))
}
