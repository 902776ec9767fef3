//! A client of the control socket, who may be another user of the machine than the one who runs the test.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::{Gid, Uid};
use serde_json::Value;

pub(crate) const SOCKET: &str = "control.sock";

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// Asks a broker by the socket in its data directory.
pub(crate) fn ask(data: &Path, method: &str, path: &str, body: &Value) -> Answered {
    try_to_ask(data, method, path, body).unwrap()
}

/// What there is.
pub(crate) fn found(data: &Path, path: &str) -> Value {
    let answered = ask(data, "GET", path, &Value::Null);
    assert_eq!(answered.status, 200, "GET {path}: {answered:?}");
    answered.body
}

/// The status of a change.
pub(crate) fn change(data: &Path, method: &str, path: &str, body: &Value) -> u16 {
    ask(data, method, path, body).status
}

/// Asks as another user of the machine, in no other groups. Only root can.
pub(crate) fn ask_as(uid: u32, gid: u32, data: &Path, path: &str) -> io::Result<Answered> {
    let (data, path) = (data.to_owned(), path.to_owned());
    // Who a thread is ends with it.
    let asking = thread::spawn(move || {
        rustix::thread::set_thread_groups(&[])?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        try_to_ask(&data, "GET", &path, &Value::Null)
    });
    asking.join().unwrap()
}

fn try_to_ask(data: &Path, method: &str, path: &str, body: &Value) -> io::Result<Answered> {
    let mut stream = connect(data)?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    // No browser's page may rebind this name; here it does not matter.
    let head = format!(
        "{method} /api/{path} HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body)? };
    Ok(Answered { status, head: head.to_owned(), body })
}

/// By the directory where the path is too long for an address.
pub(crate) fn connect(data: &Path) -> io::Result<UnixStream> {
    let path = data.join(SOCKET);
    if path.as_os_str().len() < 100 {
        return UnixStream::connect(path);
    }
    let directory = File::open(data)?;
    UnixStream::connect(PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd())))
}
