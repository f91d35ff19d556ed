//! The keys of a service: the options of its role on the command line, by the same names, from the same definitions.

use std::sync::LazyLock;

use clap::{Arg, ArgAction, Command};

use crate::args::{NOT_KEYS, roles};

/// The definitions of all roles.
static ROLES: LazyLock<Command> = LazyLock::new(roles);

/// The keys that are not options.
pub(super) const OWN: [&str; 3] = ["name", "role", "listen"];

/// Returns the names of the roles.
pub(super) fn role_names() -> Vec<&'static str> {
    ROLES.get_subcommands().map(Command::get_name).collect()
}

/// Returns the options that are keys of `role`, or `None` if there is no such role.
pub(super) fn of(role: &str) -> Option<impl Iterator<Item = &'static Arg>> {
    let command = ROLES.find_subcommand(role)?;
    Some(command.get_arguments().filter(|arg| is_key(arg)))
}

fn is_key(arg: &Arg) -> bool {
    !arg.is_hide_set() && !NOT_KEYS.contains(&name(arg))
}

/// Returns the key of an option: its name without dashes; of what a role serves, such as `file`, its identifier.
pub(super) fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or(arg.get_id().as_str())
}

/// Returns whether the option is a switch.
pub(super) fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Returns whether `key` is an option of `role` that is not a key.
pub(super) fn is_only_an_option(role: &str, key: &str) -> bool {
    let command = ROLES.find_subcommand(role);
    let mut options = command.into_iter().flat_map(Command::get_arguments);
    options.any(|arg| !is_key(arg) && name(arg) == key)
}

/// Returns the key of what the role serves, if it has one.
pub(super) fn subject(role: &str) -> Option<&'static str> {
    let mut keys = of(role)?;
    keys.find(|arg| arg.is_positional()).map(name)
}

/// Writes the options in `message` as keys.
pub(super) fn named(message: &str, role: &str) -> String {
    // A service has its interface and port in one key.
    let mut message = message.replace("--iface ", "");
    let Some(command) = ROLES.find_subcommand(role) else {
        return message;
    };
    for arg in command.get_arguments() {
        let key = name(arg);
        let values = arg.get_value_names().unwrap_or_default();
        let value = values.first().map_or("", |value| value.as_str());
        for form in [
            format!("'--{key} <{value}>'"),
            format!("'--{key}=<{value}>'"),
            format!("'--{key}'"),
            format!("--{key}"),
            format!("'<{value}>'"),
        ] {
            message = message.replace(&form, key);
        }
    }
    message.replace("argument", "key")
}
