//! A subject of measurement: a name, its kind, and the commands that start it as a server and as a client.

mod mode;
mod template;

use std::path::{Path, PathBuf};

pub use mode::{Mode, Role};
pub use template::Template;

use crate::process::{Launch, free_port};
use crate::results::{Entrant, Kind};

/// A program that is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name in reports, unique among the subjects.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// The name of the bare loop of its kind, if there is one.
    pub baseline: Option<String>,
    /// The command that starts it as a server, and the roles that it plays then.
    pub server: Option<(Template, Vec<Role>)>,
    /// The command that fetches poems with it.
    pub client: Option<Template>,
}

/// How a server is started, apart from its mode.
#[derive(Debug, Clone, Copy)]
pub struct Start<'s> {
    /// The core that all its threads are pinned to, if any.
    pub core: Option<usize>,
    /// The words for `{threads}`.
    pub threads: usize,
    /// The file for its counts, if it writes them; without one it is not told to.
    pub stats: Option<&'s Path>,
}

impl Subject {
    /// Creates another program from its template: a client if that contains `{fetch}`, else a server. It plays all roles if the
    /// template contains `{mode}`, the poem server if it contains `{poem}`, else the transform server: as the conformance suite
    /// takes it.
    ///
    /// # Errors
    /// The name or the template is of no use. The text says why.
    pub fn external(name: &str, template: &str) -> Result<Self, String> {
        check_name(name)?;
        let template: Template = template.parse()?;
        let (server, client) = match template.has("{fetch}") {
            true => (None, Some(template)),
            false => {
                let roles = template.roles();
                (Some((template, roles)), None)
            }
        };
        Ok(Self {
            name: name.to_owned(),
            kind: Kind::External,
            baseline: None,
            server,
            client,
        })
    }

    /// Whether it can be started as a server of `role`.
    pub fn plays(&self, role: Role) -> bool {
        let server = self.server.as_ref();
        server.is_some_and(|(_, roles)| roles.contains(&role))
    }

    /// Whether the number of its threads can be chosen.
    pub fn takes_threads(&self) -> bool {
        let server = self.server.as_ref();
        server.is_some_and(|(template, _)| template.has("{threads}"))
    }

    /// Whether it is told its port as a server. Waiting until it accepts costs it a connection then.
    pub fn is_told_its_port(&self) -> bool {
        let server = self.server.as_ref();
        server.is_some_and(|(template, _)| template.takes_a_port())
    }

    /// Returns how to start it as a server in `mode`.
    ///
    /// # Errors
    /// It does not play that role, or the system has no free port.
    pub fn launch(&self, mode: &Mode, start: &Start<'_>) -> Result<Launch, String> {
        let role = mode.role();
        let (template, _) = match &self.server {
            Some(server) if self.plays(role) => server,
            _ => return Err(format!("{} is no {} server", self.name, role.name())),
        };
        let port = match template.takes_a_port() {
            true => Some(free_port().map_err(|error| format!("no free port: {error}"))?),
            false => None,
        };
        let words = template.server(mode, start, port);
        let (program, arguments) = words.split_first().ok_or("the command has no word")?;
        Ok(Launch {
            core: start.core,
            port,
            stats: start
                .stats
                .filter(|_| template.counts())
                .map(Path::to_owned),
            // Our own programs end with this one in any case; others might outlive it.
            sheltered: self.kind != Kind::External,
            quiet: self.kind != Kind::Model,
            ..Launch::new(program, arguments)
        })
    }

    /// Returns the program and arguments that fetch poems with it; `fetch` are the words for `{fetch}`.
    pub fn fetch(&self, fetch: &[String]) -> Option<(PathBuf, Vec<String>)> {
        let words = self.client.as_ref()?.client(fetch);
        let (program, arguments) = words.split_first()?;
        Some((program.into(), arguments.to_vec()))
    }

    /// Returns it as it takes part in results.
    pub fn entrant(&self) -> Entrant {
        let server = self.server.as_ref().map(|(template, _)| template);
        let commands = [server, self.client.as_ref()];
        let shown: Vec<String> = commands
            .into_iter()
            .flatten()
            .map(Template::to_string)
            .collect();
        Entrant {
            name: self.name.clone(),
            kind: self.kind,
            baseline: self.baseline.clone(),
            again: None,
            command: shown.join("; "),
        }
    }
}

/// Names are words of files, tags and options: letters, digits, `.`, `_`, `-` and `@`.
fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_@".contains(c);
    match !name.is_empty() && name.chars().all(allowed) {
        true => Ok(()),
        false => Err(format!(
            "the name {name:?} may only contain letters, digits, '.', '_', '-' and '@'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start<'static> {
        Start {
            core: Some(1),
            threads: 2,
            stats: Some(Path::new("/tmp/counts")),
        }
    }

    const KEEP_ALIVE: Mode = Mode::transform(true);

    #[test]
    fn the_placeholders_are_filled_in() {
        let template = "serve {mode} {threads} {stats}";
        let launch = Subject::external("x", template)
            .unwrap()
            .launch(&KEEP_ALIVE, &start())
            .unwrap();
        let expected = [
            "transform",
            "--keep-alive",
            "--threads",
            "2",
            "--stats",
            "/tmp/counts",
        ];
        assert_eq!(launch.args, expected);
        assert_eq!(
            (launch.core, launch.stats.as_deref()),
            (Some(1), start().stats)
        );
        assert_eq!(launch.port, None);
    }

    #[test]
    fn a_server_that_takes_a_port_leaves_no_counts() {
        // Finding out that it accepts costs a connection, which it would count.
        let subject = Subject::external("x", "serve {mode} --port={port} {stats}").unwrap();
        let launch = subject.launch(&KEEP_ALIVE, &start()).unwrap();
        let port = launch.port.unwrap();
        assert_eq!(launch.args[2], format!("--port={port}").as_str());
        assert_eq!(launch.stats, None);
    }

    #[test]
    fn the_template_tells_the_roles() {
        let plays = |template, role| Subject::external("x", template).unwrap().plays(role);
        assert!(plays("serve {mode}", Role::Proxy) && plays("serve {mode}", Role::Transform));
        assert!(plays("serve {poem}", Role::Poem) && !plays("serve {poem}", Role::Transform));
        assert!(plays("serve {port}", Role::Transform) && !plays("serve {port}", Role::Poem));
        let client = Subject::external("x", "get {fetch}").unwrap();
        assert!(!client.plays(Role::Transform));
        let (program, arguments) = client.fetch(&["127.0.0.1:1".to_owned()]).unwrap();
        assert_eq!(
            (program, arguments),
            ("get".into(), vec!["127.0.0.1:1".to_owned()])
        );
    }

    #[test]
    fn a_server_of_another_role_is_not_started() {
        let subject = Subject::external("x", "serve {poem}").unwrap();
        let error = subject.launch(&KEEP_ALIVE, &start()).unwrap_err();
        assert_eq!(error, "x is no transform server");
    }

    #[test]
    fn names_and_templates_of_no_use_are_refused() {
        for (name, template) in [("a b", "serve"), ("", "serve"), ("a", "  "), ("a,b", "x")] {
            assert!(
                Subject::external(name, template).is_err(),
                "{name}, {template}"
            );
        }
    }
}
