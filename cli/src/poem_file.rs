//! Reads a poem from a file.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use poetry::Poem;
use poetry::limits::POEM_BYTES_MAX;

use crate::failure::{Failure, cause};

/// Reads the poem in the file at `path`: UTF-8, and no longer than what a client accepts.
pub(crate) fn read(path: &Path) -> Result<Poem, Failure> {
    let shown = path.display();
    let bytes = read_bytes(path, POEM_BYTES_MAX).map_err(|error| {
        let cause = cause(&error);
        Failure::new(format_args!(
            "cannot read {shown}: {cause}; give the path of a text file"
        ))
    })?;
    if bytes.len() > POEM_BYTES_MAX {
        return Err(Failure::new(format_args!(
            "{shown} is longer than {POEM_BYTES_MAX} bytes; give a shorter poem"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(format_args!(
            "{shown} is not UTF-8 at byte {at}; save the poem as UTF-8"
        ))
    })?;
    Ok(text.into())
}

/// Reads the regular file at `path`, but no more than one byte over `bytes_max`: the file may grow while it is read.
pub(crate) fn read_bytes(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take((bytes_max as u64).saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a regular file. Anything else is refused: opening a FIFO or a device may block, and reading it may never end.
fn open(path: &Path) -> io::Result<File> {
    // Opening a device may have effects, so the type is checked before, and again for the file that was opened.
    check(fs::metadata(path)?.file_type())?;
    let nonblocking = OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    check(file.metadata()?.file_type())?;
    Ok(file)
}

fn check(kind: FileType) -> io::Result<()> {
    let name = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::other(format!("it is {name}")))
}
