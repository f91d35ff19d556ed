//! Files of services (S26): TOML with a `[[service]]` for each, whose keys are the options of `quatrain serve`. The options' own
//! definitions decide which keys there are and which values are good; this module only finds the line and column of what is not.

mod check;
mod flaw;
mod keys;
mod service;
mod text;

use std::collections::HashMap;
use std::path::Path;

use poetry::peer::Address;
use toml::de::{DeTable, DeValue};

use crate::args::ServeCommand;
use crate::failure::{Failure, cause};
use crate::poem_file::read_bytes;

pub(crate) use self::check::run;
pub(crate) use self::flaw::{Flaw, Flaws, Place};
use self::text::Text;

/// Bytes of a file: a thousand services with every key commented.
const CONFIG_BYTES_MAX: usize = 8 << 20;
/// Services of a file: each has a thread at least, and most systems start some tens of thousands.
const SERVICES_MAX: usize = 1_000;

/// A file's services, in its order.
pub(crate) struct Config {
    pub(crate) services: Vec<ServiceConfig>,
}

/// One service, as its table says.
pub(crate) struct ServiceConfig {
    /// A name that no other service of the file has.
    pub(crate) name: String,
    pub(crate) command: ServeCommand,
    /// Where it listens: one server for each address.
    pub(crate) listen: Vec<Address>,
    /// The value of each key that has one, also by default, as a command line has it.
    pub(crate) values: Vec<(&'static str, String)>,
    places: Places,
}

/// Where the keys of a service are.
struct Places {
    table: Place,
    keys: HashMap<String, Place>,
}

impl Config {
    /// Reads and validates the file at `path`. What its services serve is not read yet.
    pub(crate) fn read(path: &Path) -> Result<Self, Flaws> {
        let flaws = Flaws::of(path);
        let bytes = match read_bytes(path, CONFIG_BYTES_MAX) {
            Ok(bytes) if bytes.len() > CONFIG_BYTES_MAX => {
                let cause = format!("it is longer than {CONFIG_BYTES_MAX} bytes");
                return Err(flaws.unreadable(cause));
            }
            Ok(bytes) => bytes,
            Err(error) => return Err(flaws.unreadable(cause(&error))),
        };
        Self::parse(&bytes, path.parent().unwrap_or(Path::new("")))
            .map_err(|found| flaws.with(found))
    }

    /// Parses the text of a file in the directory `base`, to which its paths are relative.
    fn parse(bytes: &[u8], base: &Path) -> Result<Self, Vec<Flaw>> {
        let text = Text::new(bytes)?;
        let document = DeTable::parse(text.as_str()).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            vec![Flaw::at(text.place(at), error.message())]
        })?;
        let mut flaws = Vec::new();
        let mut tables = None;
        for (key, value) in document.get_ref() {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("service", DeValue::Array(array)) => tables = Some(array),
                ("service", _) => flaws.push(Flaw::at(
                    text.place(key.span().start),
                    "write [[service]], with two brackets, before the keys of each service",
                )),
                (other, _) => flaws.push(Flaw::at(
                    text.place(key.span().start),
                    format_args!("unknown key {other}; a file has only [[service]] tables"),
                )),
            }
        }
        let tables = tables.map_or(&[][..], |tables| &tables[..]);
        if tables.is_empty() && flaws.is_empty() {
            flaws.push(Flaw::at(Place::START, "the file has no [[service]]"));
        }
        let mut services = Vec::new();
        for table in tables.iter().take(SERVICES_MAX) {
            match service::read(table, &text, base) {
                Ok(service) => services.push(service),
                Err(found) => flaws.extend(found),
            }
        }
        if let Some(table) = tables.get(SERVICES_MAX) {
            let message = format_args!("a file has at most {SERVICES_MAX} services");
            flaws.push(Flaw::at(text.place(table.span().start), message));
        }
        find_duplicates(&services, &mut flaws);
        match flaws.is_empty() {
            true => Ok(Self { services }),
            false => Err(flaws),
        }
    }

    /// Returns how many connections all services may have at once.
    pub(crate) fn connections_max(&self) -> usize {
        let each = self.services.iter().map(ServiceConfig::connections_max);
        each.fold(0, usize::saturating_add)
    }
}

impl ServiceConfig {
    /// Returns the name of the sockets that it serves on, if they are passed to the process.
    pub(crate) fn socket(&self) -> Option<&str> {
        self.command.server().socket.as_deref()
    }

    /// Returns how many connections the service may have at once: each of its servers as many as `connections-max` says. How many
    /// sockets are passed is not known here; mostly it is one.
    pub(crate) fn connections_max(&self) -> usize {
        let servers = self.listen.len().max(1);
        servers.saturating_mul(self.command.server().connections_max)
    }

    /// Returns the flaw that `failure` is, at `key` or, if the service has no such key, at its table.
    pub(crate) fn flaw(&self, key: &str, failure: &Failure) -> Flaw {
        let place = self.places.keys.get(key).unwrap_or(&self.places.table);
        let (name, message) = (&self.name, keys::named(failure.message(), self.role()));
        Flaw::at(*place, format_args!("service {name}: {message}"))
    }

    /// Returns the keys in which `new`, a service of the same name, differs.
    pub(crate) fn changes(&self, new: &Self) -> Vec<&'static str> {
        let mut changes = Vec::new();
        if self.role() != new.role() {
            changes.push("role");
        }
        if self.listen != new.listen {
            changes.push("listen");
        }
        for (one, other) in [(self, new), (new, self)] {
            let differs = |(key, value): &&(&'static str, String)| {
                let other = other.values.iter().find(|(name, _)| name == key);
                other.is_none_or(|(_, other)| other != value)
            };
            changes.extend(one.values.iter().filter(differs).map(|(key, _)| *key));
        }
        changes.sort_unstable();
        changes.dedup();
        changes
    }

    /// Returns the name of the role.
    pub(crate) fn role(&self) -> &'static str {
        match self.command {
            ServeCommand::Poem(_) => "poem",
            ServeCommand::Transform(_) => "transform",
            ServeCommand::Library(_) => "library",
            ServeCommand::Proxy(_) => "proxy",
        }
    }

    /// Returns the key of what is served.
    pub(crate) fn subject(&self) -> &'static str {
        keys::subject(self.role()).unwrap_or("role")
    }
}

/// Finds names and addresses that two services have.
fn find_duplicates(services: &[ServiceConfig], flaws: &mut Vec<Flaw>) {
    let mut names: HashMap<&str, Place> = HashMap::new();
    let mut addresses: HashMap<String, (&str, Place)> = HashMap::new();
    for service in services {
        let place = |key: &str| {
            service
                .places
                .keys
                .get(key)
                .unwrap_or(&service.places.table)
        };
        let (name, at) = (service.name.as_str(), *place("name"));
        if let Some(first) = names.get(name) {
            let line = first.line;
            flaws.push(Flaw::at(
                at,
                format_args!("the service of line {line} is called {name} too"),
            ));
        } else {
            names.insert(name, at);
        }
        let at = match service.socket() {
            Some(_) => *place("socket"),
            None => *place("listen"),
        };
        // Each listener of port 0 has a port of its own.
        let addressed = service.listen.iter().filter(|address| address.port > 0);
        let addressed = addressed.map(ToString::to_string);
        let socket = service.socket().map(|socket| format!("socket {socket}"));
        for address in addressed.chain(socket) {
            if let Some((other, first)) = addresses.get(&address) {
                let line = first.line;
                flaws.push(Flaw::at(
                    at,
                    format_args!("service {other} listens on {address} too, in line {line}"),
                ));
            } else {
                addresses.insert(address, (name, at));
            }
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
