//! Labs: each `sh lab` block is run by `sh` in a folder of its own, and its output is compared with the block's patterns.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::ROOT;
use super::chapters::Chapter;
use super::support::Folder;

/// How long a lab may take; most take a second or two.
const DEADLINE: Duration = Duration::from_secs(20);

/// What every script begins with: the function `serve`. Its servers end with the script's process group.
const PRELUDE: &str = include_str!("serve.sh");

/// One lab.
pub(crate) struct Lab {
    /// The chapter, and the line of the lab.
    pub(crate) name: String,
    script: String,
    patterns: Vec<String>,
}

/// Returns the labs of a chapter.
pub(crate) fn of(chapter: &Chapter) -> Vec<Lab> {
    let blocks = chapter.blocks().into_iter();
    let labs = blocks.filter(|block| block.info.trim() == "sh lab");
    labs.map(|block| {
        let (patterns, script): (Vec<_>, Vec<_>) =
            block.lines.iter().partition(|line| line.starts_with("#>"));
        Lab {
            name: format!("{}::line_{}", chapter.name(), block.line),
            script: script.into_iter().cloned().collect::<Vec<_>>().join("\n"),
            patterns: patterns
                .iter()
                .map(|line| line[2..].trim().to_owned())
                .collect(),
        }
    })
    .collect()
}

/// Runs a lab, and compares what it prints.
pub(crate) fn run(lab: &Lab) -> Result<(), Failed> {
    if lab.patterns.is_empty() {
        return Err("a lab must say what is to be seen".into());
    }
    let folder = Folder::with(&[]);
    symlink(
        fs::canonicalize(format!("{ROOT}/poems"))?,
        folder.path("poems"),
    )?;
    let output = output(lab, &folder)?;
    let mut lines = output.lines();
    for pattern in &lab.patterns {
        let pattern = regex::Regex::new(pattern)?;
        if !lines.any(|line| pattern.is_match(line)) {
            return Err(
                format!("no line matches '{pattern}', in this order, in:\n{output}").into(),
            );
        }
    }
    Ok(())
}

/// Runs the script to its end, and returns what it printed. Then ends its process group.
fn output(lab: &Lab, folder: &Folder) -> Result<String, Failed> {
    let path = folder.path("output");
    let file = File::create(&path)?;
    let program = Path::new(env!("CARGO_BIN_EXE_quatrain")).parent();
    let program = program.ok_or("the command has no folder")?.display();
    let search = format!("{program}:{}", std::env::var("PATH")?);
    let mut script = Command::new("sh");
    script.args(["-c", &format!("{PRELUDE}{}", lab.script)]);
    script
        .current_dir(folder.as_str())
        .env("PATH", search)
        .process_group(0);
    script
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let mut child = script.spawn()?;
    let group = Pid::from_raw(child.id().try_into()?);
    let (ended, end) = channel();
    let waits = thread::spawn(move || {
        let _ = ended.send(child.wait());
    });
    let in_time = end.recv_timeout(DEADLINE).is_ok();
    // The servers, and whatever else was started with &.
    let _ = killpg(group, Signal::SIGKILL);
    waits
        .join()
        .map_err(|_| "the wait for the script panicked")?;
    let output = fs::read_to_string(path)?;
    if in_time {
        return Ok(output);
    }
    Err(format!("it did not end in time; it printed:\n{output}").into())
}
