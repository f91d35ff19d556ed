//! A temporary folder for one comparison.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that is removed when this is dropped.
pub(super) struct Scratch {
    folder: PathBuf,
    files: AtomicU32,
}

impl Scratch {
    /// Creates a folder in the system's temporary folder. An existing folder belongs to another process and is not used.
    pub(super) fn new() -> io::Result<Self> {
        let base = std::env::temp_dir();
        for attempt in 0..100 {
            let folder = base.join(format!("quatrain-{}-{attempt}", std::process::id()));
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    return Ok(Self {
                        folder,
                        files: AtomicU32::new(0),
                    });
                }
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Returns a path in the folder that no other call returns.
    pub(super) fn new_file(&self, name: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{number}-{name}"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The system removes what cannot be removed here.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_is_new_and_removed_with_its_handle() {
        let (one, other) = (Scratch::new().unwrap(), Scratch::new().unwrap());
        assert_ne!(one.folder, other.folder);
        assert_ne!(one.new_file("a"), one.new_file("a"));
        fs::write(one.new_file("a"), "text").unwrap();
        let folder = one.folder.clone();
        drop(one);
        assert!(!folder.exists() && other.folder.exists());
    }
}
