//! The directory of a library server (S8): each regular file is a poem, called by the file's name without its ending. It is
//! read when the server starts and on SIGHUP. A file that cannot be served is reported and skipped; the poem that it held
//! before is still served.

mod files;
mod flaw;
mod reloads;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use poetry::limits::{LIBRARY_BYTES_MAX, LIBRARY_POEMS_MAX, POEM_BYTES_MAX};
use poetry::{FramedPoem, Library, Poem, PoemName};
use tracing::{info, warn};

use crate::failure::{Failure, cause};
use crate::poem_file;
use crate::words::{counted, shown};

use self::flaw::{Flaw, Flaws};
pub(crate) use self::reloads::Reloads;

/// A directory of poems, and the library that serves them.
pub(crate) struct PoemDirectory {
    path: PathBuf,
    /// The longest poem that the server can send.
    frame_bytes_max: usize,
    /// Bytes of all poems.
    bytes_max: usize,
    poems: Poems,
    library: Library,
}

type Poems = BTreeMap<PoemName, Entry>;

/// A poem that is served, and the file that it was read from.
#[derive(Clone)]
struct Entry {
    file: OsString,
    poem: FramedPoem,
}

impl PoemDirectory {
    /// Reads the directory at `path` for a server that sends at most `frame_bytes_max` bytes. Reports the files that cannot be
    /// served.
    pub(crate) fn open(path: PathBuf, frame_bytes_max: usize) -> Result<Self, Failure> {
        let mut directory = Self {
            path,
            frame_bytes_max,
            bytes_max: LIBRARY_BYTES_MAX,
            poems: Poems::new(),
            library: Library::default(),
        };
        match directory.read() {
            Ok(reading) => directory.take(reading),
            Err(error) => {
                let (path, cause) = (shown(&directory.path), cause(&error));
                return Err(Failure::new(format_args!(
                    "cannot read the library {path}: {cause}; give the path of a directory of poems"
                )));
            }
        }
        if directory.poems.is_empty() {
            warn!(
                "{} has no poems yet; send SIGHUP when it has",
                shown(&directory.path)
            );
        }
        Ok(directory)
    }

    /// Returns the library, for a server.
    pub(crate) fn library(&self) -> Library {
        self.library.clone()
    }

    /// Reads the directory again, and reports what has changed. If the directory cannot be read, its poems are still served.
    pub(crate) fn reload(&mut self) {
        let path = shown(&self.path);
        let reading = match self.read() {
            Ok(reading) => reading,
            Err(error) => {
                let (poems, cause) = (counted(self.poems.len() as u64, "poem"), cause(&error));
                warn!("cannot read {path} again: {cause}; still serving its {poems}");
                return;
            }
        };
        let is_new = |name: &&PoemName| !self.poems.contains_key(*name);
        let is_gone = |name: &&PoemName| !reading.poems.contains_key(*name);
        let is_changed = |(name, entry): &(&PoemName, &Entry)| {
            let earlier = self.poems.get(*name);
            earlier.is_some_and(|earlier| earlier.poem != entry.poem)
        };
        let (new, gone) = (
            reading.poems.keys().filter(is_new).count(),
            self.poems.keys().filter(is_gone).count(),
        );
        let changed = reading.poems.iter().filter(is_changed).count();
        let poems = counted(reading.poems.len() as u64, "poem");
        let kept = match reading.kept {
            0 => String::new(),
            kept => format!("{} kept as before, ", counted(kept, "file")),
        };
        let skipped = counted(reading.skipped, "file");
        self.take(reading);
        info!(
            "read {path} again: {poems}, {new} new, {changed} changed, {gone} gone; {kept}{skipped} skipped"
        );
    }

    /// Serves the poems of `reading` from now on.
    fn take(&mut self, reading: Reading) {
        let of_library = |(name, entry): (&PoemName, &Entry)| (name.clone(), entry.poem.clone());
        self.library
            .replace(reading.poems.iter().map(of_library).collect());
        self.poems = reading.poems;
    }

    /// Reads all files, those that hold poems first, in the order of their names, and reports those that cannot be served.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn read(&self) -> io::Result<Reading> {
        let files = files::of(&self.path, LIBRARY_POEMS_MAX)?;
        let mut flaws = Flaws::new(&self.path);
        let (mut poems, mut bytes) = (Poems::new(), 0);
        // A file that holds a poem keeps its name, whatever the name of a new file.
        let (held, others): (Vec<_>, Vec<_>) = files
            .names
            .into_iter()
            .partition(|file| self.earlier(file).is_some());
        let earlier_bytes =
            |file: &OsString| self.earlier(file).map_or(0, |(_, entry)| entry.poem.len());
        // Each file that is still to be read has room for the poem that it held, so that it can be kept.
        let mut reserved: usize = held.iter().map(earlier_bytes).sum();
        for file in held.into_iter().chain(others) {
            let earlier = self.earlier(&file);
            reserved -= earlier_bytes(&file);
            let read = self.read_file(&file, &poems, self.bytes_max - bytes - reserved);
            let (name, poem) = match (read, earlier) {
                (Ok(Some(read)), _) => read,
                (Ok(None), _) => continue,
                (Err(flaw), Some((name, entry))) if !poems.contains_key(name) => {
                    flaws.report_kept(&file, &flaw);
                    (name.clone(), entry.poem.clone())
                }
                (Err(flaw), _) => {
                    flaws.report(&file, &flaw);
                    continue;
                }
            };
            bytes += poem.len();
            poems.insert(name, Entry { file, poem });
        }
        flaws.report_left_out(files.left_out);
        Ok(Reading {
            poems,
            kept: flaws.kept(),
            skipped: flaws.skipped() + files.left_out,
        })
    }

    /// Returns the poem that `file` held before.
    fn earlier(&self, file: &OsStr) -> Option<(&PoemName, &Entry)> {
        let earlier = self.poems.get_key_value(name_of(file)?)?;
        (earlier.1.file == file).then_some(earlier)
    }

    /// Reads the poem in `file`, which may have `bytes_left` bytes; `None` if the file is gone. `poems` are those that have been
    /// read.
    fn read_file(
        &self,
        file: &OsStr,
        poems: &Poems,
        bytes_left: usize,
    ) -> Result<Option<(PoemName, FramedPoem)>, Flaw> {
        let name = name_of(file).and_then(|name| name.parse().ok());
        let name: PoemName = name.ok_or(Flaw::NotAName)?;
        if let Some(other) = poems.get(&name) {
            return Err(Flaw::Twice {
                name,
                other: other.file.clone(),
            });
        }
        let path = self.path.join(file);
        let limit = self.frame_bytes_max.min(POEM_BYTES_MAX);
        let bytes = match poem_file::read_bytes(&path, limit) {
            Ok(bytes) => bytes,
            Err(_) if files::is_gone(&path) => return Ok(None),
            Err(error) => return Err(Flaw::Unreadable(cause(&error))),
        };
        if bytes.len() > limit {
            return Err(Flaw::TooLong { limit });
        }
        if bytes.len() > bytes_left {
            return Err(Flaw::LibraryFull);
        }
        let text = String::from_utf8(bytes);
        let text = text.map_err(|error| Flaw::NotUtf8 {
            at: error.utf8_error().valid_up_to(),
        })?;
        let same = self.poems.get(&name).map(|earlier| &earlier.poem);
        let poem = match same.filter(|poem| poem.poem_bytes() == text.as_bytes()) {
            Some(poem) => poem.clone(),
            None => FramedPoem::from(&Poem::from(text)),
        };
        Ok(Some((name, poem)))
    }
}

/// Returns a file's name without its ending.
fn name_of(file: &OsStr) -> Option<&str> {
    Path::new(file).file_stem()?.to_str()
}

/// What was read from the directory.
struct Reading {
    poems: Poems,
    /// Files that cannot be served, but held a poem that still is.
    kept: u64,
    /// Files without a poem that is served.
    skipped: u64,
}

#[cfg(test)]
mod tests;
