//! Records the compiler and profile of this build: part of the environment printed with every figure (MEASURING 9).

use std::env;
use std::process::Command;

fn main() {
    let compiler = env::var_os("RUSTC")
        .and_then(|rustc| Command::new(rustc).arg("--version").output().ok())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    if let Some(version) = compiler {
        println!("cargo:rustc-env=MEASURE_COMPILER={}", version.trim());
    }
    if let (Ok(profile), Ok(level)) = (env::var("PROFILE"), env::var("OPT_LEVEL")) {
        println!("cargo:rustc-env=MEASURE_PROFILE={profile}, opt-level {level}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
