//! A temporary folder for the files of one run, removed when dropped.

use std::fs;
use std::io;
use std::path::PathBuf;

/// The folder.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Creates a new, empty folder for this run alone.
    pub(crate) fn new() -> io::Result<Self> {
        let name = format!("quatrain-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder)?;
        Ok(Self { folder })
    }

    /// Returns the path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // If it fails, the folder stays among the temporary files.
        let _failed = fs::remove_dir_all(&self.folder);
    }
}
