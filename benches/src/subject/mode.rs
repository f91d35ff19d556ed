//! What a server is told to serve: the words for `{mode}`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use poetry::Pace;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Serves one poem.
    Poem,
    /// Answers requests to transform poems.
    Transform,
    /// Serves poems by name.
    Library,
    /// Fetches the poem of another server once for all clients.
    Proxy,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Poem, Self::Transform, Self::Library, Self::Proxy];

    /// Returns its name, a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Poem => "poem",
            Self::Transform => "transform",
            Self::Library => "library",
            Self::Proxy => "proxy",
        }
    }
}

/// What a server is told to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The poem of a file.
    Poem {
        /// The file.
        file: PathBuf,
        /// How fast.
        pace: Pace,
    },
    /// Transforms.
    Transform {
        /// Any number of requests on a connection, not only one.
        keep_alive: bool,
        /// With the transforms of the laboratory, such as `burn`.
        lab: bool,
        /// Heavy transforms are computed elsewhere than in the loop.
        offload: bool,
    },
    /// The poems of a folder.
    Library {
        /// The folder.
        folder: PathBuf,
        /// Any number of requests on a connection, not only one.
        keep_alive: bool,
    },
    /// The poem of another server.
    Proxy {
        /// The other server.
        upstream: SocketAddr,
        /// How long a poem is served from memory; for ever if `None`.
        ttl: Option<Duration>,
    },
}

impl Mode {
    /// Returns the mode of transforms that all servers have, without those of the laboratory.
    pub const fn transform(keep_alive: bool) -> Self {
        Self::Transform {
            keep_alive,
            lab: false,
            offload: false,
        }
    }

    /// Returns the role of a server in this mode.
    pub fn role(&self) -> Role {
        match self {
            Self::Poem { .. } => Role::Poem,
            Self::Transform { .. } => Role::Transform,
            Self::Library { .. } => Role::Library,
            Self::Proxy { .. } => Role::Proxy,
        }
    }

    /// Returns the words for `{mode}`.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![self.role().name().to_owned()];
        let switch = |on: bool, name: &str| on.then(|| name.to_owned());
        match self {
            Self::Poem { file, pace } => {
                words.push(file.display().to_string());
                match pace {
                    Pace::Fast => words.push("--fast".to_owned()),
                    Pace::Slow { num_bytes, delay } => {
                        words.extend(["--num-bytes".to_owned(), num_bytes.to_string()]);
                        words.extend(["--delay".to_owned(), seconds(*delay)]);
                    }
                }
            }
            Self::Transform {
                keep_alive,
                lab,
                offload,
            } => {
                words.extend(switch(*keep_alive, "--keep-alive"));
                words.extend(switch(*lab, "--lab"));
                words.extend(switch(*offload, "--offload"));
            }
            Self::Library { folder, keep_alive } => {
                words.push(folder.display().to_string());
                words.extend(switch(*keep_alive, "--keep-alive"));
            }
            Self::Proxy { upstream, ttl } => {
                words.push(upstream.to_string());
                if let Some(ttl) = ttl {
                    words.extend(["--cache-ttl".to_owned(), seconds(*ttl)]);
                }
            }
        }
        words
    }
}

fn seconds(time: Duration) -> String {
    time.as_secs_f64().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_quatrain_serve() {
        let words = |mode: Mode| mode.words().join(" ");
        let pace = Pace::SLOW;
        let file = "p.txt".into();
        let poem = "poem p.txt --num-bytes 10 --delay 0.7";
        assert_eq!(words(Mode::Poem { file, pace }), poem);
        let burning = Mode::Transform {
            keep_alive: true,
            lab: true,
            offload: true,
        };
        assert_eq!(words(burning), "transform --keep-alive --lab --offload");
        let proxy = Mode::Proxy {
            upstream: ([127, 0, 0, 1], 7).into(),
            ttl: Some(Duration::from_millis(1_500)),
        };
        assert_eq!(words(proxy), "proxy 127.0.0.1:7 --cache-ttl 1.5");
    }
}
