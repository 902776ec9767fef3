//! A broker process of its own for a test: the real binary, a fresh data directory, a free port on loopback. It is
//! killed when the test is done with it.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub(crate) mod frames;
pub(crate) mod lapin_client;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a broker may take to be ready, on the slowest day of the slowest machine.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end, or to log something.
const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Broker {
    process: Child,
    port: u16,
    data: PathBuf,
    arguments: Vec<String>,
    /// The lines that it has logged since it was started last.
    log: Arc<Mutex<Vec<String>>>,
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
        Broker::spawned(leveret(), data, port, arguments)
    }

    fn spawned(command: Command, data: &Path, port: u16, arguments: Vec<String>) -> Broker {
        let (process, log) = spawn(command, data, port, &arguments);
        Broker { process, port, data: data.to_owned(), arguments, log, _directory: None }
    }

    /// A broker on a fresh data directory that may have so many files open, and cannot raise that.
    pub(crate) fn start_with_files(files: u32) -> Broker {
        let mut command = Command::new("sh");
        let limited = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_leveret")]);
        Broker::start_by(command, &[])
    }

    /// A broker on a fresh data directory, run by a command that becomes it: the broker's arguments are its last ones.
    pub(crate) fn start_by(command: Command, arguments: &[&str]) -> Broker {
        let directory = TempDir::new().expect("a temporary directory");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut broker = Broker::spawned(command, &directory.path().join("data"), free_port(), arguments);
        broker._directory = Some(directory);
        broker
    }

    /// A broker on this data directory, which stays, run as another user. Only root can.
    pub(crate) fn start_as(uid: u32, data: &Path) -> Broker {
        let mut command = leveret();
        command.uid(uid).gid(uid);
        Broker::spawned(command, data, free_port(), Vec::new())
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

    /// The lines it has logged since its last start.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().expect("nobody panics while logging").clone()
    }

    pub(crate) fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// SIGKILL, and the same directory and port again.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.restart();
    }

    /// SIGKILL, and nothing else.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("the broker can be killed");
        self.process.wait().expect("the broker can be waited for");
    }

    /// Sends a signal, by its name or number.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
        assert!(sent.expect("kill(1) is there").success(), "{signal}");
    }

    /// How it ended, if it did so soon.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let since = Instant::now();
        while since.elapsed() < SOON {
            if let Some(status) = self.process.try_wait().expect("the broker can be waited for") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// SIGTERM; returns whether it ended with success in time.
    pub(crate) fn terminate(&mut self) -> bool {
        self.signal("TERM");
        self.ended().is_some_and(|status| status.success())
    }

    /// The first line logged since the last start that holds this text; waits for it.
    pub(crate) fn logged(&self, text: &str) -> String {
        let since = Instant::now();
        while since.elapsed() < SOON {
            let log = self.log.lock().expect("no panic");
            if let Some(line) = log.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            drop(log);
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("nothing was logged with {text:?} in it: {:#?}", self.log.lock().expect("no panic"));
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).expect("it runs");
        let pages = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages.expect("a number of pages") * 4096
    }

    /// Starts again after [`Broker::terminate`] or [`Broker::kill`].
    pub(crate) fn restart(&mut self) {
        (self.process, self.log) = spawn(leveret(), &self.data, self.port, &self.arguments);
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
fn spawn(
    mut command: Command,
    data: &Path,
    port: u16,
    arguments: &[String],
) -> (Child, Arc<Mutex<Vec<String>>>) {
    let since = Instant::now();
    if !arguments.iter().any(|argument| argument == "--management-listen") {
        command.env("LEVERET_NO_MANAGEMENT", "true");
    }
    let mut process = command
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(data)
        .args(arguments)
        // Their usual port is for one broker of the machine; who wants metrics says where.
        .env("LEVERET_METRICS_LISTEN", "off")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the broker can be started");
    let lines = BufReader::new(process.stderr.take().expect("its log is piped")).lines();
    let log = Arc::new(Mutex::new(Vec::new()));
    let (ready, is_ready) = std::sync::mpsc::channel();
    let written = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let is_start = line.contains("Server startup complete");
            if line.contains("ERROR") || line.contains("panicked") || line.starts_with("leveret:") {
                eprintln!("broker: {line}");
            }
            written.lock().expect("no panic").push(line);
            if is_start {
                let _ = ready.send(());
            }
        }
    });
    is_ready
        .recv_timeout(START)
        .unwrap_or_else(|_| panic!("the broker was not ready within {:?}", since.elapsed()));
    (process, log)
}
