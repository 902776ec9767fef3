//! A broker process of its own for a test: the real binary, a fresh data directory, a free port on loopback. It is
//! killed when the test is done with it.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub(crate) mod lapin_client;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a broker may take to be ready, on the slowest day of the slowest machine.
const START: Duration = Duration::from_secs(60);

pub(crate) struct Broker {
    process: Child,
    port: u16,
    data: PathBuf,
    arguments: Vec<String>,
    /// Removed with the broker that made it.
    _directory: Option<TempDir>,
}

impl Broker {
    /// A broker on a fresh data directory.
    pub(crate) fn start() -> Broker {
        Broker::start_with(&[])
    }

    /// A broker on a fresh data directory, with more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Broker {
        let directory = TempDir::new().expect("a temporary directory");
        let data = directory.path().join("data");
        let port = free_port();
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut broker = Broker::run(&data, port, arguments);
        broker._directory = Some(directory);
        broker
    }

    /// A broker on this data directory, which stays.
    pub(crate) fn start_on(data: &Path) -> Broker {
        Broker::run(data, free_port(), Vec::new())
    }

    fn run(data: &Path, port: u16, arguments: Vec<String>) -> Broker {
        let process = spawn(data, port, &arguments);
        Broker { process, port, data: data.to_owned(), arguments, _directory: None }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// SIGKILL, and the same directory and port again.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.process = spawn(&self.data, self.port, &self.arguments);
    }

    /// SIGKILL, and nothing else.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("the broker can be killed");
        self.process.wait().expect("the broker can be waited for");
    }

    /// SIGTERM; returns whether it ended with success in time.
    pub(crate) fn terminate(&mut self) -> bool {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill(1) is there");
        assert!(sent.success());
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.process.try_wait().expect("the broker can be waited for") {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Starts again after [`Broker::terminate`] or [`Broker::kill`].
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.data, self.port, &self.arguments);
    }

    /// The same with other arguments.
    pub(crate) fn restart_with(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self.restart();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command for the binary under test.
pub(crate) fn leveret() -> Command {
    Command::new(env!("CARGO_BIN_EXE_leveret"))
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// Starts the binary and waits for the line that says clients can connect.
fn spawn(data: &Path, port: u16, arguments: &[String]) -> Child {
    let since = Instant::now();
    let mut process = leveret()
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(data)
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the broker can be started");
    let log = process.stderr.take().expect("its log is piped");
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if line.contains("Server startup complete") {
                let _ = ready.send(());
            } else if line.contains("ERROR") || line.contains("panicked") || line.starts_with("leveret:") {
                eprintln!("broker: {line}");
            }
        }
    });
    is_ready
        .recv_timeout(START)
        .unwrap_or_else(|_| panic!("the broker was not ready within {:?}", since.elapsed()));
    process
}
