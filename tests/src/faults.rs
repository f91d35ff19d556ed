//! Fault cases: what a program does when its peers, the network or the system fail, seen from outside its process.
//!
//! | module | contents |
//! |---|---|
//! | [`program`] | the program under test: a command for its servers, and one for its client |
//! | [`launch`], [`spawn`], [`daemon`] | starting a server within limits and with broken streams; the running server |
//! | [`fetch`] | a running client |
//! | [`clients`] | raw connections to it, and what they ask and are answered |
//! | [`guest`], [`in_flight`] | clients of any of the servers: their connections last, or have something in flight |
//! | [`process`] | what the system says about a process: memory, processor time, descriptors |
//! | [`observed`] | what a case observed, in words |
//! | `beside`, [`network`], [`cgroup`] | what several cases share: fetches beside good ones, broken networks, a bound on threads |
//! | [`page`] | the page FAULTS.md, written from what was observed |

mod beside;
pub mod cases;
pub mod cgroup;
pub mod clients;
pub mod daemon;
pub mod fetch;
pub mod guest;
pub mod in_flight;
pub mod launch;
mod lines;
pub mod network;
pub mod observed;
pub mod page;
pub mod process;
pub mod program;
pub mod spawn;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use daemon::Daemon;
pub use launch::{Content, Launch};
pub use observed::Observed;
pub use program::Program;
pub use spawn::Output;

use crate::case::{Verdict, verdict};
use crate::failure::Check;

/// The program that a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultRole {
    /// Serves one poem.
    PoemServer,
    /// Answers transform requests.
    TransformServer,
    /// Serves poems by name.
    LibraryServer,
    /// Serves the cached poem of another server.
    Proxy,
    /// Fetches poems, and has them transformed.
    Client,
}

impl FaultRole {
    /// Every role.
    pub const ALL: [Self; 5] = [
        Self::PoemServer,
        Self::TransformServer,
        Self::LibraryServer,
        Self::Proxy,
        Self::Client,
    ];

    /// The role in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PoemServer => "poem server",
            Self::TransformServer => "transform server",
            Self::LibraryServer => "library server",
            Self::Proxy => "proxy",
            Self::Client => "client",
        }
    }
}

/// Why a case does not always run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It takes long, or much memory; it runs alone.
    Long,
    /// It needs root.
    Root,
    /// It needs Linux.
    Linux,
    /// It takes much memory: such cases run one after another, beside others.
    OneAtATime,
}

/// A fault, and what a program must do about it.
#[derive(Debug, Clone, Copy)]
pub struct FaultCase {
    /// What the program does, in snake case.
    pub name: &'static str,
    /// The fault: the title of its rows on the page.
    pub fault: &'static str,
    /// The program.
    pub role: FaultRole,
    /// The rules of SEMANTICS.md that it tests.
    pub rules: &'static [&'static str],
    /// Why it does not always run.
    pub marks: &'static [Mark],
    /// Tests the program of the context.
    pub run: fn(&FaultContext) -> Check<Observed>,
}

/// Declares the cases of some faults, each by the name of its function, with the rules for each role:
/// `"floods": is_served [S17] for [PoemServer Client] [S17 S9] for [Proxy] marks [Long],`.
macro_rules! fault_cases {
    ($($fault:literal: $($name:ident $([$($rule:ident)*] for [$($role:ident)*])+ $(marks [$($mark:ident)*])?,)*)*) => {
        pub(super) fn cases() -> Vec<$crate::faults::FaultCase> {
            let mut cases = Vec::new();
            $($(
                let marks: &[$crate::faults::Mark] = &[$($($crate::faults::Mark::$mark),*)?];
                $(
                    for role in [$($crate::faults::FaultRole::$role),*] {
                        cases.push($crate::faults::FaultCase {
                            name: stringify!($name),
                            fault: $fault,
                            role,
                            rules: &[$(stringify!($rule)),*],
                            marks,
                            run: $name,
                        });
                    }
                )+
            )*)*
            cases
        }
    };
}
pub(crate) use fault_cases;

/// Keeps every other case from running.
type Alone = RwLockWriteGuard<'static, ()>;
/// Keeps cases from running alone.
type Beside = RwLockReadGuard<'static, ()>;

impl FaultCase {
    /// The case's full name: `poem_server::is_served`.
    pub fn path(&self) -> String {
        format!("{}::{}", self.role.name().replace(' ', "_"), self.name)
    }

    /// Returns what the case needs besides its program and is not there. Cases marked `Long` or `Root` need to be asked for.
    pub fn lacks(&self, asked_for: bool) -> Option<&'static str> {
        let lacking = |mark: &Mark| match mark {
            Mark::Long if !asked_for => Some("QUATRAIN_FAULTS=all: it takes long"),
            Mark::Root if !asked_for => Some("QUATRAIN_FAULTS=all, and root"),
            Mark::Root if !nix::unistd::geteuid().is_root() => Some("root"),
            Mark::Linux | Mark::Root if !cfg!(target_os = "linux") => Some("Linux"),
            _ => None,
        };
        self.marks.iter().find_map(lacking)
    }

    /// Waits until the case may run: a long one takes much of what the kernel has for all sockets, and runs alone.
    fn wait_for_its_turn(&self) -> (Option<Alone>, Option<Beside>) {
        static TURN: RwLock<()> = RwLock::new(());
        match self.marks.contains(&Mark::Long) {
            true => (
                Some(TURN.write().unwrap_or_else(PoisonError::into_inner)),
                None,
            ),
            false => (
                None,
                Some(TURN.read().unwrap_or_else(PoisonError::into_inner)),
            ),
        }
    }

    /// Runs the case against `program`, and returns what was observed, if it passed.
    pub fn test(self, program: &Arc<Program>) -> (Verdict, Option<Observed>) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let lock = || ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // Neither this wait nor that for its turn counts towards the case's time.
        let _one = self.marks.contains(&Mark::OneAtATime).then(lock);
        let context = FaultContext {
            program: Arc::clone(program),
            role: self.role,
            witness: Witness::default(),
        };
        let witness = context.witness.clone();
        let (_alone, _beside) = self.wait_for_its_turn();
        let seen = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&seen);
        let verdict = verdict(self.rules, 0, move || {
            let observed = (self.run)(&context)?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(observed);
            Ok(())
        });
        let observed = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        (witness.testify(verdict), observed)
    }
}

/// The context of one run of one case.
#[derive(Clone)]
pub struct FaultContext {
    program: Arc<Program>,
    role: FaultRole,
    witness: Witness,
}

/// Notes what a failed case does not see: that a server has ended by itself.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Option<String>>>);

impl Witness {
    fn note(&self, what: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    /// Adds to the message of a failure what was noted.
    fn testify(&self, verdict: Verdict) -> Verdict {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (verdict, noted) {
            (Verdict::Failed(message), Some(noted)) => {
                Verdict::Failed(format!("{message}; {noted}"))
            }
            (verdict, _) => verdict,
        }
    }
}

impl FaultContext {
    /// Returns the role under test.
    pub fn role(&self) -> FaultRole {
        self.role
    }

    /// Returns the program under test.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Prepares a server of the role under test.
    pub fn server(&self, content: Content) -> Launch {
        let witness = self.witness.clone();
        Launch::new(Arc::clone(&self.program), self.role, content, witness)
    }

    /// Prepares a fetch by the program's client.
    pub fn fetch(&self) -> fetch::Fetch {
        fetch::Fetch::new(Arc::clone(&self.program))
    }
}

impl fmt::Debug for FaultContext {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} as {}", self.program.name(), self.role.name())
    }
}
