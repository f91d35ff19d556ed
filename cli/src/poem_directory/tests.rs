//! Directories with bad files, and how they change.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// A directory that is removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("quatrain-library-{}-{next}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn with(files: &[(&str, &[u8])]) -> Self {
        let folder = Self::new();
        files
            .iter()
            .for_each(|(name, bytes)| folder.write(name, bytes));
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.join(name), bytes).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(name)).unwrap();
    }

    fn open(&self) -> PoemDirectory {
        PoemDirectory::open(self.0.clone(), 10).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns what is served: `name=poem`, in order.
fn served(directory: &PoemDirectory) -> String {
    let poems = directory.library().poems();
    let poem = |(name, poem): (&PoemName, &FramedPoem)| {
        format!("{name}={}", String::from_utf8_lossy(poem.poem_bytes()))
    };
    poems.iter().map(poem).collect::<Vec<_>>().join(" ")
}

fn skipped(directory: &PoemDirectory) -> u64 {
    directory.read().unwrap().skipped
}

/// Returns how many files keep their earlier poems, and how many are skipped.
fn kept_and_skipped(directory: &PoemDirectory) -> (u64, u64) {
    let reading = directory.read().unwrap();
    (reading.kept, reading.skipped)
}

#[test]
fn s8_each_file_is_a_poem_called_by_its_name_without_the_ending() {
    let folder = Folder::with(&[
        ("a.txt", b"A"),
        ("b", b"B"),
        ("c.poem", b""),
        ("d e.md", b"D"),
    ]);
    let directory = folder.open();
    assert_eq!(served(&directory), "a=A b=B c= d e=D");
    assert_eq!(skipped(&directory), 0);
}

#[test]
fn s8_directories_and_hidden_files_are_passed_over() {
    let folder = Folder::with(&[(".hidden.txt", b"x"), ("a.txt", b"A")]);
    fs::create_dir(folder.0.join("sub.txt")).unwrap();
    symlink("sub.txt", folder.0.join("link.txt")).unwrap();
    let directory = folder.open();
    assert_eq!(
        (served(&directory).as_str(), skipped(&directory)),
        ("a=A", 0)
    );
}

#[test]
fn s8_a_bad_file_is_skipped_and_costs_no_other() {
    let folder = Folder::with(&[
        ("a.txt", b"A"),
        ("a.md", b"other"),
        ("b.c.txt", b"a dot"),
        ("new\nline.txt", b"a newline"),
        ("latin.txt", b"na\xefve"),
        ("long.txt", b"12345678901"),
        ("fits.txt", b"1234567890"),
    ]);
    symlink("nowhere", folder.0.join("dangling.txt")).unwrap();
    symlink("a.txt", folder.0.join("linked.txt")).unwrap();
    mkfifo(&folder.0.join("fifo.txt"), Mode::S_IRUSR).unwrap();
    let directory = folder.open();
    assert_eq!(served(&directory), "a=other fits=1234567890 linked=A");
    assert_eq!(skipped(&directory), 7);
}

#[test]
fn s8_a_reading_replaces_the_poems() {
    let folder = Folder::with(&[("a.txt", b"A"), ("b.txt", b"B"), ("c.txt", b"C")]);
    let mut directory = folder.open();
    let kept = directory.library().find(b"c").unwrap();
    folder.remove("a.txt");
    folder.write("b.txt", b"B2");
    folder.write("d.txt", b"D");
    directory.reload();
    assert_eq!(served(&directory), "b=B2 c=C d=D");
    // An unchanged poem keeps its memory.
    let again = directory.library().find(b"c").unwrap();
    assert!(std::ptr::eq(kept.as_bytes(), again.as_bytes()));
}

#[test]
fn s8_a_file_that_becomes_bad_keeps_its_earlier_poem_until_it_is_gone() {
    let folder = Folder::with(&[("a.txt", b"A"), ("b.txt", b"B")]);
    let mut directory = folder.open();
    for bad in [&b"\xff"[..], b"12345678901"] {
        folder.write("a.txt", bad);
        directory.reload();
        assert_eq!(served(&directory), "a=A b=B");
        assert_eq!(kept_and_skipped(&directory), (1, 0));
    }
    folder.remove("a.txt");
    mkfifo(&folder.0.join("a.txt"), Mode::S_IRUSR).unwrap();
    directory.reload();
    assert_eq!(served(&directory), "a=A b=B");
    folder.remove("a.txt");
    directory.reload();
    assert_eq!(served(&directory), "b=B");
}

#[test]
fn s8_a_new_file_does_not_take_the_name_of_one_that_is_served() {
    let folder = Folder::with(&[("a.txt", b"A")]);
    let mut directory = folder.open();
    folder.write("a.md", b"new");
    directory.reload();
    assert_eq!(
        (served(&directory).as_str(), skipped(&directory)),
        ("a=A", 1)
    );
    folder.write("a.txt", b"\xff");
    directory.reload();
    assert_eq!(served(&directory), "a=A");
    assert_eq!(kept_and_skipped(&directory), (1, 1));
    folder.remove("a.txt");
    directory.reload();
    assert_eq!(
        (served(&directory).as_str(), skipped(&directory)),
        ("a=new", 0)
    );
}

#[test]
fn s8_a_directory_that_cannot_be_read_keeps_all_poems() {
    let folder = Folder::with(&[("a.txt", b"A")]);
    let mut directory = folder.open();
    fs::remove_dir_all(&folder.0).unwrap();
    directory.reload();
    assert_eq!(served(&directory), "a=A");
    // Not even a file in its place, or a FIFO, which would block.
    mkfifo(&folder.0, Mode::S_IRUSR).unwrap();
    directory.reload();
    assert_eq!(served(&directory), "a=A");
    fs::remove_file(&folder.0).unwrap();
}

#[test]
fn s21_an_unusable_directory_is_a_failure_to_start() {
    let folder = Folder::with(&[("a.txt", b"A")]);
    for path in ["missing", "a.txt"] {
        let opened = PoemDirectory::open(folder.0.join(path), 10);
        assert!(opened.is_err(), "{path}");
    }
}

#[test]
fn s8_files_beyond_the_bound_are_the_last_by_name() {
    let folder = Folder::with(&[("c", b""), ("a", b""), ("d", b""), ("b", b"")]);
    let files = files::of(&folder.0, 3).unwrap();
    let names: Vec<_> = files.names.into_iter().collect();
    assert_eq!(
        (names.as_slice(), files.left_out),
        (&["a", "b", "c"].map(OsString::from)[..], 1)
    );
}

#[test]
fn s8_a_library_has_a_most_of_bytes() {
    let folder = Folder::with(&[("a", b"1234")]);
    let directory = folder.open();
    let read = |left| directory.read_file(OsStr::new("a"), &Poems::new(), left);
    assert!(read(4).is_ok());
    assert_eq!(read(3).err(), Some(Flaw::LibraryFull));
}

#[test]
fn s8_poems_that_are_kept_count_towards_the_most_bytes() {
    let folder = Folder::with(&[("a", b"12"), ("b", b"12"), ("c", b"12")]);
    let mut directory = folder.open();
    directory.bytes_max = 7;
    // `a` would take the room of the poems that are served.
    folder.write("a", b"1234");
    folder.write("b", b"\xff");
    folder.write("c", b"123");
    folder.write("d", b"1");
    directory.reload();
    assert_eq!(served(&directory), "a=12 b=12 c=123");
    assert_eq!(kept_and_skipped(&directory), (2, 1));
    // What a file that is gone held is free.
    folder.remove("b");
    directory.reload();
    assert_eq!(served(&directory), "a=1234 c=123");
    assert_eq!(kept_and_skipped(&directory), (0, 1));
}
