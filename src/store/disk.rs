//! The folder of files a store lives in, as a few verbs: the real one, and room for simulated ones, so that a power
//! cut is a test. What the files contain is not known here.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `out` from `offset` on; an error where the file ends before.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Cuts or grows it; what is new reads as zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// When it returns, everything written and the length survive a power cut.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of files, without folders in it.
pub trait Disk: Debug + Send + Sync {
    /// Takes the folder for this process; None where another has it. Dropping what is returned gives it back.
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
    /// A new, empty file; one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// When it returns, every creation, renaming and removal survives a power cut.
    fn sync(&self) -> io::Result<()>;
    /// Whether the folder, and every file in it that was opened or made here, still is what stands under its name. An
    /// error says what does not. What was written to a file that nobody finds again is lost.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder of the file system. Everything is done through an open handle on it, so that what is locked is what is
/// written, whatever becomes of its name.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    directory: File,
    read_only: bool,
    /// The files that were opened or made, by name.
    known: Mutex<BTreeMap<String, Identity>>,
}

/// Device and inode: what a file is, whatever it is called.
type Identity = (u64, u64);

/// Passwords' hashes and messages are nobody else's business.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// What the group and all others may do.
const OTHERS: u32 = 0o077;
/// The group passes through the folder to what is in it, and sees nothing of the folder itself.
const PASS_OF_GROUP: u32 = 0o010;

impl Folder {
    /// The folder at `path`, which is made where it is missing. Says so where others may use one that is there.
    pub fn create(path: &Path) -> io::Result<Folder> {
        make(path, FOLDER_MODE)?;
        let folder = Folder::open_at(path, false)?;
        if folder.is_exposed()? {
            let quoted = path.display().to_string().replace('\'', "'\\''");
            tracing::warn!(
                "other users of this machine have rights on the data directory or on files in it; \
                 to take them away: chmod -R go= '{quoted}'"
            );
        }
        Ok(folder)
    }

    /// The folder at `path`, which must be there.
    pub fn existing(path: &Path) -> io::Result<Folder> {
        Folder::open_at(path, false)
    }

    /// The same where nothing may be changed, as on a read-only file system. Several processes may lock it so at a
    /// time, as long as nobody locks it to write.
    pub fn read_only(path: &Path) -> io::Result<Folder> {
        Folder::open_at(path, true)
    }

    fn open_at(path: &Path, read_only: bool) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(directory) => Ok(Folder {
                path: path.to_owned(),
                directory: directory.into(),
                read_only,
                known: Mutex::default(),
            }),
            Err(error) => Err(unusable(path, error.into())),
        }
    }

    /// Whether users other than the folder's owner may use it or a file in it. Whoever serves a socket sees who comes.
    fn is_exposed(&self) -> io::Result<bool> {
        if self.directory.metadata()?.mode() & OTHERS & !PASS_OF_GROUP != 0 {
            return Ok(true);
        }
        for name in self.list()? {
            let found = rustix::fs::statat(&self.directory, &name, AtFlags::empty());
            let is_socket = |mode| FileType::from_raw_mode(mode) == FileType::Socket;
            if found.is_ok_and(|found| found.st_mode & OTHERS != 0 && !is_socket(found.st_mode)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let mode = Mode::from_raw_mode(FILE_MODE);
        let file = File::from(rustix::fs::openat(&self.directory, name, flags | OFlags::CLOEXEC, mode)?);
        let found = file.metadata()?;
        self.known.lock().insert(name.to_owned(), (found.dev(), found.ino()));
        Ok(file)
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }
}

/// Makes the folder and those above it that are missing; returns once they survive a power cut.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut made = DirBuilder::new().mode(mode).create(path);
    if let (Err(error), Some(parent)) = (&made, parent)
        && error.kind() == io::ErrorKind::NotFound
    {
        make(parent, 0o777)?;
        made = DirBuilder::new().mode(mode).create(path);
    }
    match made {
        Ok(()) => File::open(parent.unwrap_or(Path::new(".")))?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Why a folder cannot be opened, where the system's words leave it open.
fn unusable(path: &Path, error: io::Error) -> io::Error {
    match (error.kind(), fs::read_link(path)) {
        (io::ErrorKind::NotFound, Ok(target)) => io::Error::new(
            io::ErrorKind::NotADirectory,
            format!(
                "it is a link to {}, which does not exist; make that directory, or remove the link",
                target.display()
            ),
        ),
        (io::ErrorKind::NotADirectory, _) => {
            io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory")
        }
        _ => error,
    }
}

impl Disk for Folder {
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        // A handle of its own, for a lock ends with the handle it was taken by.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = File::from(rustix::fs::openat(&self.directory, ".", flags, Mode::empty())?);
        let locked = if self.read_only { handle.try_lock_shared() } else { handle.try_lock() };
        match locked {
            Ok(()) => Ok(Some(Box::new(handle))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io::Error::new(
                error.kind(),
                format!(
                    "it cannot be locked ({error}); it has to be on a file system that can lock directories"
                ),
            )),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.check_writable()?;
        let file = self.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)?;
        if file.metadata()?.mode() & OTHERS != 0 {
            // One of that name was there. What will be in it is new.
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let access = if self.read_only { OFlags::RDONLY } else { OFlags::RDWR };
        Ok(Arc::new(RealFile(self.open_file(name, access)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        rustix::fs::renameat(&self.directory, from, &self.directory, to)?;
        let mut known = self.known.lock();
        if let Some(file) = known.remove(from) {
            known.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())?;
        self.known.lock().remove(name);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let name = entry?.file_name().to_str().map(str::to_owned);
            names.extend(name.ok().filter(|name| name != "." && name != ".."));
        }
        Ok(names)
    }

    fn sync(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn check(&self) -> io::Result<()> {
        let gone = |what: &str| Err(io::Error::new(io::ErrorKind::NotFound, what.to_owned()));
        let own = self.directory.metadata()?;
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (own.dev(), own.ino()) => {}
            Ok(_) => return gone("another directory stands in its place"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return gone("it was removed or renamed");
            }
            Err(error) => return Err(error),
        }
        for (name, &file) in &*self.known.lock() {
            match rustix::fs::statat(&self.directory, name, AtFlags::empty()) {
                Ok(found) if (found.st_dev, found.st_ino) == file => {}
                Ok(_) => return gone(&format!("another file stands in the place of {name}")),
                Err(Errno::NOENT) => return gone(&format!("{name} was removed or renamed")),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("above/data");
        let folder = Folder::create(&path).unwrap();
        folder.create("new").unwrap();
        fs::write(path.join("old"), "").unwrap();
        fs::set_permissions(path.join("old"), Permissions::from_mode(0o644)).unwrap();
        folder.create("old").unwrap();
        assert_eq!((mode(&path), mode(&path.join("new")), mode(&path.join("old"))), (0o700, 0o600, 0o600));
        assert!(!folder.is_exposed().unwrap());
    }

    #[test]
    fn a_folder_or_file_that_others_may_use_is_noticed_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for (of_folder, of_file, exposed) in [
            (0o700, 0o600, false),
            (0o710, 0o600, false),
            (0o710, 0o640, true),
            (0o750, 0o600, true),
            (0o701, 0o600, true),
            (0o700, 0o640, true),
            (0o700, 0o604, true),
        ] {
            fs::set_permissions(folder.path(), Permissions::from_mode(of_folder)).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(of_file)).unwrap();
            let opened = Folder::create(folder.path()).unwrap();
            assert_eq!(opened.is_exposed().unwrap(), exposed, "{of_folder:o} {of_file:o}");
            opened.open("file").unwrap();
            assert_eq!((mode(folder.path()), mode(&file)), (of_folder, of_file));
        }
    }

    #[test]
    fn what_is_written_is_what_is_locked() {
        let folder = tempfile::tempdir().unwrap();
        let one = Folder::create(folder.path()).unwrap();
        let lock = one.lock().unwrap().expect("nobody else has it");
        one.create("file").unwrap();
        // Whatever is removed in it, nobody else gets in.
        for name in one.list().unwrap() {
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        let other = Folder::create(folder.path()).unwrap();
        let reader = Folder::read_only(folder.path()).unwrap();
        assert!(other.lock().unwrap().is_none() && reader.lock().unwrap().is_none());
        drop(lock);
        let readers = (reader.lock().unwrap(), Folder::read_only(folder.path()).unwrap().lock().unwrap());
        assert!(readers.0.is_some() && readers.1.is_some(), "who only reads may do so together");
        assert!(other.lock().unwrap().is_none());
        drop(readers);
        assert!(other.lock().unwrap().is_some());
    }

    #[test]
    fn a_folder_to_be_read_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "abc").unwrap();
        let reader = Folder::read_only(folder.path()).unwrap();
        let file = reader.open("file").unwrap();
        let mut read = [0; 3];
        file.read(0, &mut read).unwrap();
        assert_eq!(&read, b"abc");
        assert!(file.write(0, b"x").is_err() && file.set_len(0).is_err());
        assert!(reader.create("file").is_err() && reader.remove("file").is_err());
        assert!(reader.rename("file", "other").is_err());
        assert_eq!(
            (reader.list().unwrap(), fs::read(folder.path().join("file")).unwrap()),
            (vec!["file".to_owned()], b"abc".to_vec())
        );
    }

    #[test]
    fn a_folder_that_cannot_be_opened_says_why() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        std::os::unix::fs::symlink("/nowhere/at-all", &path).unwrap();
        let refused = Folder::create(&path).unwrap_err().to_string();
        assert!(refused.starts_with("it is a link to /nowhere/at-all, which does not exist"), "{refused}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(Folder::create(&path).unwrap_err().to_string(), "it is not a directory");
    }

    #[test]
    fn what_is_taken_away_from_outside_is_noticed() {
        // What is done to a folder, and maybe with a place beside it.
        type Change = fn(&Path, &Path);
        let changes: [(&str, Change); 6] = [
            ("it was removed or renamed", |data, aside| fs::rename(data, aside).unwrap()),
            ("it was removed or renamed", |data, _| fs::remove_dir_all(data).unwrap()),
            ("another directory stands in its place", |data, aside| {
                fs::rename(data, aside).unwrap();
                fs::create_dir(data).unwrap();
            }),
            ("two was removed or renamed", |data, _| fs::remove_file(data.join("two")).unwrap()),
            ("two was removed or renamed", |data, aside| fs::rename(data.join("two"), aside).unwrap()),
            ("another file stands in the place of one", |data, _| {
                fs::copy(data.join("one"), data.join("copy")).unwrap();
                fs::rename(data.join("copy"), data.join("one")).unwrap();
            }),
        ];
        for (expected, change) in changes {
            let parent = tempfile::tempdir().unwrap();
            let data = parent.path().join("data");
            let folder = Folder::create(&data).unwrap();
            // What the store itself does is no matter, nor is what it does not know.
            folder.create("new").unwrap();
            folder.rename("new", "one").unwrap();
            folder.create("gone").unwrap();
            folder.remove("gone").unwrap();
            folder.create("two").unwrap();
            fs::write(data.join("other"), "").unwrap();
            fs::remove_file(data.join("other")).unwrap();
            folder.check().unwrap();
            change(&data, &parent.path().join("aside"));
            assert_eq!(folder.check().unwrap_err().to_string(), expected);
        }
    }
}
