//! Opens the files that options name for output. One that cannot be written is wrong usage.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::failure::{Failure, cause};
use crate::words::shown;

/// Opens the file at `path`, which `option` names, as `how` says. Opening does not wait for the reader of a FIFO; writes block.
pub(crate) fn open(option: &str, path: &Path, how: &mut OpenOptions) -> Result<File, Failure> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = how.custom_flags(flags.bits()).open(path);
    let opened = opened.and_then(|file| set_blocking(&file).map(|()| file));
    opened.map_err(|error| match error.raw_os_error() {
        Some(number) if number == Errno::ENXIO as i32 => {
            let path = shown(path);
            Failure::new(format_args!(
                "cannot write {option} {path}: no process reads it; start its reader first, or name a file"
            ))
        }
        _ => unusable(option, path, cause(&error)),
    })
}

/// Says why the file that `option` names cannot be written.
pub(crate) fn unusable(option: &str, path: &Path, cause: impl Display) -> Failure {
    let path = shown(path);
    Failure::new(format_args!(
        "cannot write {option} {path}: {cause}; name a file that can be written"
    ))
}

fn set_blocking(file: &File) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    fcntl(file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(())
}
