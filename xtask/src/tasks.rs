//! The tasks: what each is for, and the commands that it runs.

use std::fmt;

/// Something that a contributor runs by name.
pub(crate) struct Task {
    /// Its name.
    pub(crate) name: &'static str,
    /// When it is run.
    pub(crate) kind: Kind,
    /// What it is for, and what it needs.
    pub(crate) about: &'static str,
    /// Its commands; the first that fails ends it.
    pub(crate) steps: &'static [Step],
}

/// When a task is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// For every change.
    Check,
    /// Before a release, or where a change touches what it checks.
    Long,
    /// After a change of what a generated file is made from.
    Generator,
}

impl Kind {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Check => "Checks that every change must pass:",
            Self::Long => "Long checks:",
            Self::Generator => "Generators:",
        }
    }
}

/// One command.
pub(crate) struct Step {
    /// Environment variables it gets.
    pub(crate) variables: &'static [(&'static str, &'static str)],
    /// The program and its arguments.
    pub(crate) words: &'static [&'static str],
}

impl fmt::Display for Step {
    /// As one types it in a shell, for the commands of this file.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.variables {
            write!(out, "{name}='{value}' ")?;
        }
        out.write_str(&self.words.join(" "))
    }
}

/// A step without variables.
const fn step(words: &'static [&'static str]) -> Step {
    with(&[], words)
}

/// A step with variables.
const fn with(
    variables: &'static [(&'static str, &'static str)],
    words: &'static [&'static str],
) -> Step {
    Step { variables, words }
}

/// A check.
const fn check(name: &'static str, about: &'static str, steps: &'static [Step]) -> Task {
    Task {
        name,
        kind: Kind::Check,
        about,
        steps,
    }
}

/// A long check.
const fn long(name: &'static str, about: &'static str, steps: &'static [Step]) -> Task {
    Task {
        name,
        kind: Kind::Long,
        about,
        steps,
    }
}

/// A generator.
const fn generator(name: &'static str, about: &'static str, steps: &'static [Step]) -> Task {
    Task {
        name,
        kind: Kind::Generator,
        about,
        steps,
    }
}

/// All tasks; checks in the order of their cost.
pub(crate) const TASKS: &[Task] = &[
    check(
        "fmt",
        "the layout of the sources",
        &[step(&["cargo", "fmt", "--all", "--check"])],
    ),
    check(
        "clippy",
        "lints, all of them errors",
        &[step(&[
            "cargo",
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])],
    ),
    check(
        "doc",
        "the documentation, without warnings",
        &[with(
            &[("RUSTDOCFLAGS", "-D warnings")],
            &["cargo", "doc", "--workspace", "--no-deps"],
        )],
    ),
    // As the README says.
    check(
        "test",
        "the conformance suite and all other tests",
        &[step(&["cargo", "test"])],
    ),
    check(
        "xtask",
        "the tests of this list",
        &[step(&["cargo", "test", "-p", "xtask"])],
    ),
    // Its passages, links, labs and solutions are tested by the tests.
    check("book", "the book is built", &[step(&["book/build"])]),
    check(
        "benches",
        "each benchmark runs once",
        &[step(&[
            "cargo",
            "test",
            "-p",
            "quatrain-benches",
            "--benches",
        ])],
    ),
    long(
        "faults",
        "all fault cases; as root also those with networks of their own",
        &[with(
            &[("QUATRAIN_FAULTS", "all")],
            &[
                "cargo",
                "test",
                "--release",
                "-p",
                "quatrain-cli",
                "--test",
                "faults",
            ],
        )],
    ),
    long(
        "fuzz",
        "100,000,000 random inputs for the decoder",
        &[with(
            &[("QUATRAIN_INPUTS", "100_000_000")],
            &[
                "cargo",
                "test",
                "--release",
                "-p",
                "quatrain-simulation",
                "--test",
                "fuzz",
                "--",
                "--nocapture",
            ],
        )],
    ),
    long(
        "simulate",
        "100,000 simulated runs of each model's servers",
        &[with(
            &[("QUATRAIN_SIM_SEEDS", "100_000")],
            &[
                "cargo",
                "test",
                "-p",
                "quatrain-callbacks",
                "-p",
                "quatrain-actors",
                "-p",
                "quatrain-streams",
                "-p",
                "quatrain-blocking",
                "--lib",
                "simulation",
                "--",
                "--nocapture",
            ],
        )],
    ),
    long(
        "deferreds",
        "100,000 random programs of Deferreds, beside Twisted",
        &[with(
            &[("QUATRAIN_PROGRAMS", "100000")],
            &[
                "cargo",
                "test",
                "-p",
                "quatrain-callbacks",
                "--test",
                "twisted",
                "--",
                "--nocapture",
            ],
        )],
    ),
    long(
        "histories",
        "10,000 random histories of processes and supervisors, beside Erlang",
        &[with(
            &[("QUATRAIN_HISTORIES", "10000")],
            &[
                "cargo",
                "test",
                "-p",
                "quatrain-actors",
                "--test",
                "otp",
                "--",
                "--nocapture",
            ],
        )],
    ),
    long(
        "peers",
        "the programs in Python, Erlang and Haskell; installs their languages",
        &[
            step(&["peers/setup"]),
            step(&["cargo", "test", "-p", "quatrain-cli", "--test", "peers"]),
        ],
    ),
    long(
        "book-pdf",
        "the book as a PDF; needs Chromium",
        &[step(&["book/build", "--pdf"])],
    ),
    long(
        "publish",
        "every crate is built from its package, and so is its documentation",
        &[
            step(&["cargo", "publish", "--workspace", "--dry-run", "--locked"]),
            step(&["packaging/docs"]),
        ],
    ),
    long(
        "deb",
        "the Debian package; it is installed and run in a copy of this system; needs root",
        &[step(&["packaging/deb", "--check"])],
    ),
    long(
        "container",
        "the container image; needs podman and a network",
        &[
            step(&[
                "podman",
                "build",
                "-t",
                "quatrain",
                "-f",
                "packaging/Containerfile",
                ".",
            ]),
            step(&["podman", "run", "--rm", "quatrain", "--version"]),
        ],
    ),
    generator(
        "faults-page",
        "FAULTS.md, from a run of all fault cases",
        &[with(
            &[("QUATRAIN_FAULTS", "all"), ("QUATRAIN_BLESS", "1")],
            &[
                "cargo",
                "test",
                "--release",
                "-p",
                "quatrain-cli",
                "--test",
                "faults",
            ],
        )],
    ),
    generator(
        "figures",
        "the figures of the book, from new runs",
        &[
            step(&["cargo", "build", "--release", "-p", "quatrain-cli"]),
            step(&["book/record"]),
            with(
                &[("QUATRAIN_BLESS", "1")],
                &[
                    "cargo",
                    "test",
                    "-p",
                    "quatrain-cli",
                    "--test",
                    "book",
                    "figures",
                ],
            ),
        ],
    ),
    generator(
        "readme",
        "the README's table and picture, from the run in docs/measured",
        &[with(
            &[("QUATRAIN_BLESS", "1")],
            &[
                "cargo",
                "test",
                "-p",
                "quatrain-benches",
                "--test",
                "report",
                "readme",
            ],
        )],
    ),
    generator(
        "manual",
        "manual pages and completions, in target/share",
        &[step(&[
            "cargo",
            "run",
            "--release",
            "-p",
            "quatrain-cli",
            "--",
            "generate",
            "target/share",
        ])],
    ),
];
