//! One connection to the management API, over a unix socket or TCP, that carries one request at a time.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::process::geteuid;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::place::{SOCKET, Stranger, Target};

pub(super) type RequestBody = Full<Bytes>;

/// Bytes of a path that a socket's address has room for, one less than `sun_path`, which ends with a zero.
const ADDRESS_ROOM: usize = 107;

/// The user id of the system's administrator.
const ROOT: u32 = 0;

pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    /// Reads and writes while somebody waits for an answer.
    driver: JoinHandle<()>,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> io::Result<Connection> {
        match target {
            Target::Socket { directory, is_guessed } => {
                let stream = connect_to_socket(directory).await?;
                let uid = stream.peer_cred()?.uid();
                if *is_guessed && ![ROOT, geteuid().as_raw()].contains(&uid) {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, Stranger { uid }));
                }
                Connection::over(stream).await
            }
            Target::Tcp(uri) => {
                let stream = TcpStream::connect((uri.host(), uri.port())).await?;
                // Requests are written whole.
                stream.set_nodelay(true)?;
                Connection::over(stream).await
            }
        }
    }

    async fn over<S>(stream: S) -> io::Result<Connection>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // What becomes of the connection is seen by whoever waits for an answer.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { sender, driver })
    }

    pub(super) async fn ask(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A path that is longer than an address has room for leads through the descriptor of its directory.
async fn connect_to_socket(directory: &Path) -> io::Result<UnixStream> {
    let socket = directory.join(SOCKET);
    if socket.as_os_str().as_bytes().len() <= ADDRESS_ROOM {
        return UnixStream::connect(socket).await;
    }
    let opened = std::fs::File::open(directory)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd())).await
}
