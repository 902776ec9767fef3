//! The socket `control.sock` in the data directory, by which whoever runs as the broker's user, as root or in a chosen group administers
//! the broker without a password: where it may be, who may have it, and that it is gone when the broker is. What is asked
//! by it is not seen here.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, fchown};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

use super::accounts;

/// What the socket is called.
const CONTROL_SOCKET: &str = "control.sock";

/// Bytes of a path that a socket's address has room for, with the zero behind it.
const MOST_PATH: usize = 107;
/// Write rights of the group, those of all others, and the bit that keeps what is in a directory for its owners.
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// The group may pass through the data directory, and can list nothing in it.
const PASS: u32 = 0o010;

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum ControlError {
    #[error(
        "there is no group '{0}' in /etc/group: give one that is there to --control-group, by name or number"
    )]
    NoGroup(String),
    #[error(
        "others than the broker's user may write to {}, so that anybody could put a socket of their own in the place of \
         the broker's; to take that away: chmod go-w '{}'",
        .0.display(), .0.display()
    )]
    Writable(PathBuf),
    #[error(
        "{} belongs to user {owner}, who could put a socket of their own in the place of the broker's; it has to belong \
         to root or to the broker's user",
        .directory.display()
    )]
    Foreign { directory: PathBuf, owner: u32 },
    #[error("{} is there and is no socket; remove it", .0.display())]
    InTheWay(PathBuf),
    #[error("{what}: {source}")]
    Failed { what: &'static str, source: io::Error },
}

fn failed<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> ControlError {
    move |source| ControlError::Failed { what, source: source.into() }
}

/// The socket. It is removed when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    directory: File,
    /// Device and inode of the socket.
    identity: (u64, u64),
    access: Access,
}

/// Who may come in.
#[derive(Clone, Copy, Debug)]
struct Access {
    owner: u32,
    group: Option<u32>,
}

/// Somebody who has connected.
#[derive(Debug)]
pub struct ControlClient {
    pub stream: UnixStream,
    /// As which user of this machine.
    pub uid: u32,
    /// Whether that is somebody who may administer the broker.
    pub is_admitted: bool,
}

impl ControlSocket {
    /// Listens on the socket in a data directory that is locked: one that is there was left behind by a broker that has ended, and
    /// is replaced. To be called within tokio's runtime.
    pub(super) fn bind(data_dir: &Path, group: Option<&str>) -> Result<ControlSocket, ControlError> {
        let group = group.map(known_group).transpose()?;
        let data_dir = fs::canonicalize(data_dir).map_err(failed("the data directory cannot be found"))?;
        let access = Access { owner: geteuid().as_raw(), group };
        check_directories(&data_dir, access.owner)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&data_dir, flags, Mode::empty());
        let directory = File::from(directory.map_err(failed("the data directory cannot be opened"))?);
        remove_stale(&directory, &data_dir)?;
        let path = data_dir.join(CONTROL_SOCKET);
        let listener =
            StdListener::bind(address(&directory, &path)).map_err(failed("it cannot be listened on"))?;
        let identity = identity(&directory).map_err(failed("it was removed at once"))?;
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| UnixListener::from_std(listener))
            .map_err(failed("it cannot be listened on"))?;
        let socket = ControlSocket { listener, path, directory, identity, access };
        // Until then whoever connects is judged by who they are, as always.
        socket.give_to_group()?;
        Ok(socket)
    }

    fn give_to_group(&self) -> Result<(), ControlError> {
        let Some(group) = self.access.group else {
            let own = Permissions::from_mode(0o600);
            return fs::set_permissions(&self.path, own).map_err(failed("its mode cannot be set"));
        };
        let given = || {
            chown(&self.path, None, Some(group))?;
            fs::set_permissions(&self.path, Permissions::from_mode(0o660))?;
            // Who may not pass through the directory does not reach the socket.
            let found = self.directory.metadata()?;
            let rights_of_another = if found.gid() == group { 0 } else { 0o070 };
            fchown(&self.directory, None, Some(group))?;
            let mode = found.mode() & 0o7777 & !rights_of_another | PASS;
            self.directory.set_permissions(Permissions::from_mode(mode))
        };
        given().map_err(failed("it cannot be given to the group of --control-group"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ready once somebody has connected.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<ControlClient>> {
        self.listener.poll_accept(context).map(|accepted| {
            let (stream, _) = accepted?;
            let peer = stream.peer_cred()?;
            let (uid, is_admitted) = (peer.uid(), self.access.admits(peer.uid(), peer.gid()));
            Ok(ControlClient { stream, uid, is_admitted })
        })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Not that of a broker that has the data directory by now.
        if identity(&self.directory).is_ok_and(|found| found == self.identity) {
            let _ = rustix::fs::unlinkat(&self.directory, CONTROL_SOCKET, AtFlags::empty());
        }
    }
}

impl Access {
    /// The broker's user, root, and who is in the group: by the group that the process runs as, or by the files of users and groups.
    fn admits(self, uid: u32, gid: u32) -> bool {
        let is_in = |group| gid == group || accounts::is_member(uid, group).unwrap_or(false);
        uid == 0 || uid == self.owner || self.group.is_some_and(is_in)
    }
}

fn known_group(named: &str) -> Result<u32, ControlError> {
    let found = accounts::group(named).map_err(failed("/etc/group cannot be read"))?;
    found.ok_or_else(|| ControlError::NoGroup(named.to_owned()))
}

/// Nobody but root and `owner` can put anything in the place of the socket: the data directory and those above it are theirs, and
/// others may write to none of them, nor a group that has others in it; above the data directory they may where the sticky bit keeps what
/// is there for its owners.
fn check_directories(data_dir: &Path, owner: u32) -> Result<(), ControlError> {
    for directory in data_dir.ancestors() {
        let found = fs::metadata(directory).map_err(failed("a directory above it cannot be looked at"))?;
        if found.uid() != 0 && found.uid() != owner {
            return Err(ControlError::Foreign { directory: directory.to_owned(), owner: found.uid() });
        }
        let has = |right| found.mode() & right != 0;
        let is_open = has(OTHERS_WRITE) || (has(GROUP_WRITES) && accounts::has_others(found.gid(), owner));
        let is_kept = directory != data_dir && has(STICKY);
        if is_open && !is_kept {
            return Err(ControlError::Writable(directory.to_owned()));
        }
    }
    Ok(())
}

fn remove_stale(directory: &File, path: &Path) -> Result<(), ControlError> {
    let cannot = "the one that was left behind cannot be removed";
    match rustix::fs::statat(directory, CONTROL_SOCKET, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(failed(cannot)(error)),
        Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::Socket => {
            Err(ControlError::InTheWay(path.join(CONTROL_SOCKET)))
        }
        Ok(_) => rustix::fs::unlinkat(directory, CONTROL_SOCKET, AtFlags::empty()).map_err(failed(cannot)),
    }
}

/// Where the socket is bound: by its path, or through the open directory where the path is longer than an address may be.
fn address(directory: &File, path: &Path) -> PathBuf {
    if path.as_os_str().len() <= MOST_PATH {
        return path.to_owned();
    }
    PathBuf::from(format!("/proc/self/fd/{}/{CONTROL_SOCKET}", directory.as_raw_fd()))
}

fn identity(directory: &File) -> io::Result<(u64, u64)> {
    let found = rustix::fs::statat(directory, CONTROL_SOCKET, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((found.st_dev, found.st_ino))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as StdStream;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A data directory below another one, both of their owner alone.
    fn nested() -> (tempfile::TempDir, PathBuf) {
        let above = tempfile::tempdir().unwrap();
        let data = above.path().join("data");
        fs::create_dir(&data).unwrap();
        set_mode(&data, 0o700);
        (above, data)
    }

    #[tokio::test]
    async fn what_was_left_behind_is_replaced_and_nothing_is_left_at_the_end() {
        let (_above, data) = nested();
        let path = data.join(CONTROL_SOCKET);
        drop(StdListener::bind(&path).unwrap());
        let socket = ControlSocket::bind(&data, None).unwrap();
        assert_eq!((socket.path(), mode(&path)), (&*fs::canonicalize(&path).unwrap(), 0o600));
        StdStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_socket_of_another_broker_is_left_alone_and_so_is_what_is_no_socket() {
        let (_above, data) = nested();
        let path = data.join(CONTROL_SOCKET);
        let one = ControlSocket::bind(&data, None).unwrap();
        let other = ControlSocket::bind(&data, None).unwrap();
        drop(one);
        assert!(path.exists());
        drop(other);
        fs::write(&path, "kept").unwrap();
        let refused = ControlSocket::bind(&data, None).unwrap_err();
        assert!(matches!(&refused, ControlError::InTheWay(found) if *found == path), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"kept");
    }

    #[tokio::test]
    async fn there_is_none_where_others_could_put_one_of_their_own() {
        let (above, data) = nested();
        for (of_above, of_data, is_refused) in [
            (0o700, 0o700, false),
            (0o755, 0o755, false),
            (0o1777, 0o700, false),
            (0o777, 0o700, true),
            (0o702, 0o700, true),
            (0o700, 0o1777, true),
            (0o700, 0o702, true),
        ] {
            set_mode(above.path(), of_above);
            set_mode(&data, of_data);
            let bound = ControlSocket::bind(&data, None);
            let why = bound.as_ref().err().map(ToString::to_string).unwrap_or_default();
            assert_eq!(why.contains("chmod go-w"), is_refused, "{of_above:o} {of_data:o}: {why}");
        }
        set_mode(above.path(), 0o700);
        set_mode(&data, 0o700);
    }

    #[test]
    fn a_group_that_may_have_others_in_it_may_not_write_either() {
        let (above, data) = nested();
        let own = geteuid().as_raw();
        for (directory, mode) in [(above.path(), 0o720), (&*data, 0o770)] {
            set_mode(directory, mode);
            let group = directory.metadata().unwrap().gid();
            assert_eq!(check_directories(&data, own).is_err(), accounts::has_others(group, own), "{mode:o}");
            if own == 0 {
                // Only root can give it to a group that nobody knows.
                chown(directory, None, Some(54_321)).unwrap();
                set_mode(directory, mode);
                let refused = check_directories(&data, own);
                assert!(matches!(refused, Err(ControlError::Writable(_))), "{refused:?}");
            }
            set_mode(directory, 0o700);
        }
    }

    #[test]
    fn there_is_none_in_a_directory_of_somebody_else() {
        let (above, data) = nested();
        let own = geteuid().as_raw();
        assert!(check_directories(&data, own).is_ok());
        // Root may give a directory away; what is root's is nobody else's.
        let (somebody, owner) = if own == 0 { (12_345, 0) } else { (own, own + 1) };
        chown(above.path(), Some(somebody), None).unwrap();
        let foreign = check_directories(&data, owner);
        assert!(
            matches!(&foreign, Err(ControlError::Foreign { owner, .. }) if *owner == somebody),
            "{foreign:?}"
        );
    }

    #[tokio::test]
    async fn a_path_longer_than_an_address_is_reached_through_the_directory() {
        let (_above, data) = nested();
        let long = data.join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&long).unwrap();
        let path = long.join(CONTROL_SOCKET);
        let socket = ControlSocket::bind(&long, None).unwrap();
        assert!(path.exists() && path.as_os_str().len() > 200);
        assert_eq!(mode(&path), 0o600);
        StdStream::connect(address(&socket.directory, &path)).unwrap();
    }

    #[test]
    fn the_owner_root_and_the_group_are_admitted() {
        let access = Access { owner: 1_000_000, group: Some(2_000_000) };
        assert!(access.admits(0, 7) && access.admits(1_000_000, 7) && access.admits(1_000_001, 2_000_000));
        assert!(!access.admits(1_000_001, 7));
        assert!(!Access { group: None, ..access }.admits(1_000_001, 2_000_000));
    }

    #[tokio::test]
    async fn a_group_that_is_not_there_is_named() {
        let (_above, data) = nested();
        let refused = ControlSocket::bind(&data, Some("no-such-group")).unwrap_err().to_string();
        assert!(refused.contains("'no-such-group'") && refused.contains("--control-group"), "{refused}");
    }

    #[tokio::test]
    async fn the_group_can_reach_it_and_list_nothing() {
        let (_above, data) = nested();
        let group = data.metadata().unwrap().gid();
        let socket = ControlSocket::bind(&data, Some(&group.to_string())).unwrap();
        assert_eq!((mode(&data), mode(socket.path())), (0o710, 0o660));
    }
}
