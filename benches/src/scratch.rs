//! A folder for the files of one run, removed when it is over.

use std::fs;
use std::io;
use std::path::PathBuf;

/// The folder.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// A new, empty folder of this run alone.
    pub(crate) fn new() -> io::Result<Self> {
        let name = format!("quatrain-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder)?;
        Ok(Self { folder })
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans temporary files.
        let _left = fs::remove_dir_all(&self.folder);
    }
}
