//! `cargo xtask`: runs the checks and generators of [`tasks`] by their names. `.ci/run` calls it, too.

mod tasks;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use tasks::{Kind, Step, TASKS, Task};

/// Runs every quick check, in the order of their cost.
const ALL: &str = "ci";

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).collect();
    if names.is_empty()
        || names
            .iter()
            .any(|name| matches!(&name[..], "list" | "help" | "-h" | "--help"))
    {
        print!("{}", list());
        return ExitCode::SUCCESS;
    }
    let chosen: Result<Vec<Vec<&Task>>, &String> =
        names.iter().map(|name| chosen(name).ok_or(name)).collect();
    match chosen {
        Err(unknown) => {
            eprintln!("xtask: there is no task {unknown}; `cargo xtask` lists all");
            ExitCode::from(2)
        }
        Ok(tasks) => match tasks
            .iter()
            .flatten()
            .flat_map(|task| task.steps)
            .try_for_each(run)
        {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("xtask: {failure}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Returns the tasks of a name.
fn chosen(name: &str) -> Option<Vec<&'static Task>> {
    let of_name = |task: &&Task| match name {
        ALL => task.kind == Kind::Check,
        name => task.name == name,
    };
    let tasks: Vec<&Task> = TASKS.iter().filter(of_name).collect();
    (!tasks.is_empty()).then_some(tasks)
}

/// Runs a step in the root of the checkout.
///
/// # Errors
/// The command, and how it ended.
fn run(step: &Step) -> Result<(), String> {
    println!("\n== {step}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let mut command = Command::new(step.words[0]);
    command
        .args(&step.words[1..])
        .current_dir(root.unwrap_or(Path::new(".")))
        .envs(step.variables.iter().copied());
    // Cargo has set these for this program, not for those that it starts.
    for inherited in [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_PKG_NAME",
    ] {
        command.env_remove(inherited);
    }
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{step}: {status}")),
        Err(error) => Err(format!("{step}: cannot start {}: {error}", step.words[0])),
    }
}

/// Lists the tasks by kind.
fn list() -> String {
    let mut list = "Usage: cargo xtask TASK…\n".to_owned();
    for kind in [Kind::Check, Kind::Long, Kind::Generator] {
        list += &format!("\n{}\n", kind.title());
        if kind == Kind::Check {
            list += &line(ALL, "all of these, in this order; what .ci/run does");
        }
        for task in TASKS.iter().filter(|task| task.kind == kind) {
            list += &line(task.name, task.about);
        }
    }
    list
}

fn line(name: &str, about: &str) -> String {
    format!("  {name:<14} {about}\n")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;

    fn read(path: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
    }

    #[test]
    fn every_task_has_a_name_of_its_own_and_starts_what_exists() {
        let mut names = HashSet::from([ALL]);
        for task in TASKS {
            assert!(names.insert(task.name), "{} is there twice", task.name);
            for step in task.steps {
                let program = step.words[0];
                let ours = program.contains('/');
                assert!(!ours || !read(program).is_empty(), "{step}");
            }
        }
    }

    #[test]
    fn ci_is_every_check_and_both_scripts_call_it() {
        let all: Vec<&str> = chosen(ALL).unwrap().iter().map(|task| task.name).collect();
        assert!(all.contains(&"test") && !all.contains(&"faults"), "{all:?}");
        assert!(read(".ci/run").ends_with("\nexec cargo xtask ci\n"));
        assert!(read(".github/workflows/ci.yml").ends_with("- run: .ci/run\n"));
    }

    #[test]
    fn the_list_and_the_guide_for_contributors_name_every_task() {
        let (list, guide) = (list(), read("CONTRIBUTING.md"));
        for Task {
            name, kind, about, ..
        } in TASKS
        {
            assert!(list.contains(&line(name, about)), "{name}");
            let named = guide.contains(&format!("cargo xtask {name}"));
            assert!(
                named || *kind == Kind::Check,
                "CONTRIBUTING.md does not name {name}"
            );
        }
    }

    #[test]
    fn an_unknown_task_is_refused_and_a_failed_step_is_named() {
        assert!(chosen("nosuch").is_none());
        let failing = Step {
            variables: &[("A", "b c")],
            words: &["false"],
        };
        let failure = run(&failing).unwrap_err();
        assert!(
            failure.starts_with("A='b c' false: exit status: 1"),
            "{failure}"
        );
        let missing = Step {
            variables: &[],
            words: &["./no-such-program"],
        };
        assert!(
            run(&missing)
                .unwrap_err()
                .contains("cannot start ./no-such-program")
        );
    }
}
