//! Tells the command the commit that it is built from: `QUATRAIN_COMMIT`, with `-dirty` if its sources have changed since, and
//! `QUATRAIN_VERSION`, which includes it. Without git, or outside a checkout, there is only the version.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the command is built from, as git's patterns.
const SOURCES: [&str; 4] = ["*.rs", "*.css", "*Cargo.toml", "Cargo.lock"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = manifest.as_deref().and_then(Path::parent);
    let version = match root.and_then(commit) {
        Some(commit) => {
            println!("cargo:rustc-env=QUATRAIN_COMMIT={commit}");
            format!("{version} ({commit})")
        }
        None => version,
    };
    println!("cargo:rustc-env=QUATRAIN_VERSION={version}");
}

/// Returns the commit of the checkout in `root`, and has this run again when it changes.
fn commit(root: &Path) -> Option<String> {
    let top = PathBuf::from(git(root, &["rev-parse", "--show-toplevel"])?);
    // A copy of the sources may be within a checkout of something else.
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    watch(root);
    let commit = git(root, &["rev-parse", "--short", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(SOURCES);
    let dirty = match git(root, &status)?.is_empty() {
        true => "",
        false => "-dirty",
    };
    Some(commit + dirty)
}

/// Has this run again after a commit, a checkout, or a change in sources that the command is compiled from anyway.
fn watch(root: &Path) {
    let moved = ["HEAD", "logs/HEAD"].map(|file| git(root, &["rev-parse", "--git-path", file]));
    let moved = moved.into_iter().flatten().map(|file| root.join(file));
    let folders = std::fs::read_dir(root).into_iter().flatten().flatten();
    let folders = folders.map(|folder| folder.path());
    // The sources of the book are text.
    let crates = folders.filter(|folder| folder.join("Cargo.toml").exists());
    let sources = crates.map(|folder| folder.join("src"));
    for path in moved.chain(sources).filter(|path| path.exists()) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
}

/// Returns what git prints, if it succeeds.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
