//! The files of a directory that may be poems: neither directories nor hidden.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::Path;

/// The names of files, in order.
pub(super) struct Files {
    pub(super) names: BTreeSet<OsString>,
    /// Files beyond the bound.
    pub(super) left_out: u64,
}

/// Returns the first `files_max` files in the directory at `path`, in the order of their names.
pub(super) fn of(path: &Path, files_max: usize) -> io::Result<Files> {
    let mut files = Files {
        names: BTreeSet::new(),
        left_out: 0,
    };
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !is_hidden(&entry) && !is_directory(&entry) {
            files.names.insert(entry.file_name());
            if files.names.len() > files_max {
                files.names.pop_last();
                files.left_out += 1;
            }
        }
    }
    Ok(files)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Returns whether the entry is a directory, or a link to one.
fn is_directory(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).is_ok_and(|kind| kind.is_dir()),
        kind => kind.is_ok_and(|kind| kind.is_dir()),
    }
}

/// Returns whether nothing is at `path`, not even a link that leads nowhere.
pub(super) fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
