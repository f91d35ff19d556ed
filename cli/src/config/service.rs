//! One `[[service]]`: its keys become the arguments of `quatrain serve`, whose definitions judge them.

use std::collections::HashMap;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use poetry::peer::Address;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::text::Text;
use super::{Flaw, Place, Places, ServiceConfig, keys};
use crate::args::{NOT_KEYS, effective, one_line, service};

/// Characters of a service's name, which is a word in lines of the log.
const NAME_CHARS_MAX: usize = 64;
/// Addresses of a service: each has a server of its own.
const LISTEN_MAX: usize = 64;

/// Reads a service.
pub(super) fn read(
    table: &Spanned<DeValue<'_>>,
    text: &Text<'_>,
    base: &Path,
) -> Result<ServiceConfig, Vec<Flaw>> {
    let at = text.place(table.span().start);
    let DeValue::Table(table) = table.get_ref() else {
        return Err(vec![Flaw::at(at, "write [[service]] before the keys")]);
    };
    let places = Places {
        table: at,
        keys: table
            .keys()
            .map(|key| (key.get_ref().to_string(), text.place(key.span().start)))
            .collect(),
    };
    let mut reader = Reader {
        table,
        text,
        places,
        flaws: Vec::new(),
    };
    let name = reader.name();
    let role = reader.role();
    let listen = reader.listen();
    let arguments = role.map(|role| (role, reader.arguments(role, base)));
    let Reader { places, flaws, .. } = reader;
    let (Some(name), Some((role, arguments)), true) = (name, arguments, flaws.is_empty()) else {
        return Err(flaws);
    };
    let arguments = || arguments.iter().map(String::as_str);
    let command = service(arguments()).map_err(|error| vec![of_clap(&error, role, &places)])?;
    let values = effective(arguments());
    let values = keys::of(role).into_iter().flatten().filter_map(|arg| {
        let value = values.get(arg.get_id().as_str())?;
        Some((keys::name(arg), value.clone()))
    });
    Ok(ServiceConfig {
        name,
        command,
        listen,
        values: values.collect(),
        places,
    })
}

struct Reader<'r, 't> {
    table: &'r DeTable<'t>,
    text: &'r Text<'t>,
    places: Places,
    flaws: Vec<Flaw>,
}

impl<'r, 't> Reader<'r, 't> {
    fn get(&self, key: &str) -> Option<&'r Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    fn flaw(&mut self, place: Place, message: impl std::fmt::Display) {
        self.flaws.push(Flaw::at(place, message));
    }

    fn name(&mut self) -> Option<String> {
        const FORM: &str = "write a name of up to 64 letters, digits, dots, dashes and underscores";
        let Some(value) = self.get("name") else {
            self.flaw(self.places.table, "the service needs a name");
            return None;
        };
        let fits = |name: &str| {
            let is_of_name = |c: char| c.is_alphanumeric() || "._-".contains(c);
            (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && name.chars().all(is_of_name)
        };
        match value.get_ref() {
            DeValue::String(name) if fits(name) => Some(name.to_string()),
            _ => {
                self.flaw(self.text.place(value.span().start), FORM);
                None
            }
        }
    }

    fn role(&mut self) -> Option<&'static str> {
        let roles = keys::role_names();
        let form = format!("write a role: {}", roles.join(", "));
        let Some(value) = self.get("role") else {
            self.flaw(self.places.table, form);
            return None;
        };
        let role = match value.get_ref() {
            DeValue::String(given) => roles.into_iter().find(|role| role == given),
            _ => None,
        };
        if role.is_none() {
            self.flaw(self.text.place(value.span().start), form);
        }
        role
    }

    /// Reads the addresses to listen on.
    fn listen(&mut self) -> Vec<Address> {
        let Some(value) = self.get("listen") else {
            if self.get("socket").is_some() {
                return Vec::new();
            }
            self.flaw(
                self.places.table,
                "write where it listens, such as listen = \"127.0.0.1:10001\", a list of addresses, or socket = \"NAME\"",
            );
            return Vec::new();
        };
        let place = self.text.place(value.span().start);
        if self.get("socket").is_some() {
            self.flaw(place, "a service has either listen or socket");
        }
        let addresses = match value.get_ref() {
            DeValue::Array(values) => &values[..],
            _ => std::slice::from_ref(value),
        };
        if addresses.is_empty() || addresses.len() > LISTEN_MAX {
            self.flaw(place, format_args!("write 1 to {LISTEN_MAX} addresses"));
        }
        let mut listen: Vec<Address> = Vec::new();
        for address in addresses.iter().take(LISTEN_MAX) {
            let place = self.text.place(address.span().start);
            let parsed = word(address.get_ref()).and_then(|text| Address::to_listen(&text));
            match parsed {
                Ok(address) if address.port > 0 && listen.contains(&address) => {
                    self.flaw(place, format_args!("{address} is listed twice"));
                }
                Ok(address) => listen.push(address),
                Err(form) => self.flaw(place, format_args!("invalid value for listen: {form}")),
            }
        }
        listen
    }

    /// Returns the arguments of `quatrain serve` that the keys stand for.
    fn arguments(&mut self, role: &'static str, base: &Path) -> Vec<String> {
        let mut arguments = vec![role.to_owned()];
        let mut subject = Vec::new();
        let options: HashMap<_, _> = keys::of(role)
            .into_iter()
            .flatten()
            .map(|arg| (keys::name(arg), arg))
            .collect();
        for (key, value) in self.table {
            let (key_place, key) = (self.text.place(key.span().start), key.get_ref().as_ref());
            let place = self.text.place(value.span().start);
            if keys::OWN.contains(&key) {
                continue;
            }
            if let Some(instead) = not_a_key(key) {
                self.flaw(key_place, format_args!("{key} is not a key: {instead}"));
                continue;
            }
            let is_option = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            let switch = options.get(key).is_some_and(|arg| keys::is_switch(arg));
            match (value.get_ref(), switch) {
                _ if !key.chars().all(is_option)
                    || key.is_empty()
                    || keys::is_only_an_option(role, key) =>
                {
                    self.flaw(key_place, format_args!("unknown key '{key}'"));
                }
                (DeValue::Boolean(true), true) => arguments.push(format!("--{key}")),
                (DeValue::Boolean(false), true) => {}
                (_, true) => self.flaw(place, format_args!("{key} is true or false")),
                (value, false) => match (word(value), options.get(key)) {
                    (Ok(word), Some(arg)) if arg.is_positional() => {
                        subject = vec!["--".to_owned(), relative_to(base, role, &word)];
                    }
                    (Ok(word), _) => arguments.push(format!("--{key}={word}")),
                    // clap says that there is no such key, and which one is similar.
                    (Err(_), None) => arguments.push(format!("--{key}")),
                    (Err(form), Some(_)) => {
                        self.flaw(place, format_args!("invalid value for {key}: {form}"));
                    }
                },
            }
        }
        if let Some(key) = keys::subject(role)
            && self.get(key).is_none()
        {
            let message = format_args!("a service of the role {role} needs the key {key}");
            self.flaw(self.places.table, message);
        }
        arguments.extend(subject);
        arguments
    }
}

/// Says what to use instead of an option that is not a key.
fn not_a_key(key: &str) -> Option<&'static str> {
    match key {
        "iface" | "port" => Some("write listen = \"ADDRESS:PORT\""),
        "stats" => {
            Some("write the counts of all services with quatrain serve --config FILE --stats")
        }
        "config" => Some("a service is not a file of services"),
        key if NOT_KEYS.contains(&key) => {
            Some("only a single server offers this, on its command line")
        }
        _ => None,
    }
}

/// Returns the path of a file or directory that a file in `base` names; other values are no paths.
fn relative_to(base: &Path, role: &str, word: &str) -> String {
    match role {
        "poem" | "library" if !word.is_empty() => {
            base.join(word).to_str().unwrap_or(word).to_owned()
        }
        _ => word.to_owned(),
    }
}

/// Returns a string or a number as it would be written in a command line.
fn word(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix());
            let parsed = parsed.map(|number| number.to_string());
            parsed.map_err(|_| "this number is too large".to_owned())
        }
        _ => Err("write a string or a number".to_owned()),
    }
}

/// Returns the flaw that clap has found in the arguments.
fn of_clap(error: &clap::Error, role: &'static str, places: &Places) -> Flaw {
    let culprit = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(culprit)) => culprit.as_str(),
        Some(ContextValue::Strings(culprits)) => culprits.first().map_or("", String::as_str),
        _ => "",
    };
    let key = culprit.trim_start_matches("--");
    let key = key.split([' ', '=']).next().unwrap_or_default();
    let key = match culprit.starts_with('<') {
        true => keys::subject(role).unwrap_or_default(),
        false => key,
    };
    let place = places.keys.get(key).copied().unwrap_or(places.table);
    let rendered = one_line(&error.render().to_string());
    let message = rendered.split("; see '").next().unwrap_or_default();
    // The value is the user's own: only what follows it is put into the words of keys.
    let (value, rest) = match message.split_once("' for '") {
        Some((value, rest)) if value.starts_with("invalid value '") => {
            (format!("{value}' for "), format!("'{rest}"))
        }
        _ => (String::new(), message.to_owned()),
    };
    let message = value + &keys::named(&rest, role);
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let similar = message
                .split_once(" found")
                .map_or("", |(_, similar)| similar);
            Flaw::at(
                place,
                format_args!(
                    "unknown key {key} for a service of the role {role}{}",
                    similar.replace("'", "")
                ),
            )
        }
        _ => Flaw::at(place, message),
    }
}
