//! SIGKILL with messages stored, and the time from the start of the restart command to the first delivery.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use leveret_codec::frame::FrameKind;
use leveret_codec::method::{MethodId, method_id};
use rustix::process::{Pid, Signal, kill_process};

use super::backlog::fill;
use crate::flow::{Declared, message_count, prefetch, subscribe};
use crate::job::{Job, Ran};
use crate::outcome::Outcome;
use crate::stats::Metric;
use crate::target::Uri;
use crate::wire::{Connection, Inbox};
use crate::workload::{Acks, Backlog, Topology};

/// A broker that is not back after this time is given up.
const PATIENCE: Duration = Duration::from_secs(900);
const RETRY: Duration = Duration::from_millis(2);
const DELIVER: MethodId = MethodId { class: 60, method: 60 };

pub(crate) fn run(messages: u64, job: &Job<'_>) -> Result<Ran> {
    let (Some(pid), Some(command)) = (job.pid, job.restart_command) else {
        return Ok(Ran::Skipped("needs @PID and --restart-command"));
    };
    let backlog =
        Backlog { messages, body: 100, persistent: true, unconfirmed: Some(10_000), acks: Acks::Automatic };
    let mut control = Connection::open(job.uri)?;
    let declared = Declared::declare(&mut control, Topology::Queues(1))?;
    fill(&backlog, job, &declared)?;
    control.close()?;

    job.tell("killing");
    kill(pid)?;
    job.tell("starting again");
    let started = Instant::now();
    let mut restart = Restart::start(command)?;
    let consumer = first_delivery(job.uri, declared.first_queue(), &mut restart)?;
    let seconds = started.elapsed().as_secs_f64();
    consumer.close()?;

    let new_pid = restart.finish()?;
    let mut control = Connection::open(job.uri)?;
    let ready = message_count(&mut control, declared.first_queue())?;
    declared.delete(&mut control)?;
    control.close()?;
    // The one that was delivered may be on its way back into the queue.
    ensure!(ready + 1 >= messages, "{messages} messages were confirmed, and {ready} are left");
    let mut outcome = Outcome { new_pid: Some(new_pid), ..Outcome::default() };
    outcome.put(Metric::FirstDelivery, seconds);
    Ok(Ran::Done(outcome))
}

/// SIGKILL, and waits until the process is gone.
fn kill(pid: u32) -> Result<()> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no such process id")?;
    kill_process(process, Signal::KILL).with_context(|| format!("killing {pid}"))?;
    let killed = Instant::now();
    while is_running(pid) {
        ensure!(killed.elapsed() < Duration::from_secs(60), "process {pid} does not end");
        std::thread::sleep(RETRY);
    }
    Ok(())
}

/// A process that ended but was not waited for by its parent (Z) runs no more, once its last thread has gone: until
/// then its sockets are open.
fn is_running(pid: u32) -> bool {
    let folder = Path::new("/proc").join(pid.to_string());
    let Ok(stat) = fs::read_to_string(folder.join("stat")) else { return false };
    let ended = stat.rsplit_once(')').is_some_and(|(_, after)| after.starts_with(" Z"));
    let threads = fs::read_dir(folder.join("task")).map_or(0, Iterator::count);
    !ended || threads > 1
}

/// The command that starts the broker again, while it runs.
struct Restart {
    command: Child,
    /// Its output. A pipe would be held open by the broker it starts.
    output: File,
}

impl Restart {
    fn start(command: &str) -> Result<Restart> {
        let path = std::env::temp_dir().join(format!("leveret-bench-{}.restart", std::process::id()));
        let output = File::options().read(true).write(true).create_new(true).open(&path)?;
        fs::remove_file(&path)?;
        let command = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .spawn()
            .context("running the restart command")?;
        Ok(Restart { command, output })
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.command.try_wait()?.is_some())
    }

    /// Waits for the command to end and reads the process id it printed last.
    fn finish(&mut self) -> Result<u32> {
        let status = self.command.wait()?;
        ensure!(status.success(), "the restart command ended with {status}");
        let mut text = String::new();
        self.output.rewind()?;
        self.output.read_to_string(&mut text)?;
        let last = text.lines().last().unwrap_or_default().trim();
        last.parse().with_context(|| format!("the restart command's last line is no process id: {last:?}"))
    }
}

/// Tries to connect and consume until a message comes.
fn first_delivery(uri: &Uri, queue: &str, restart: &mut Restart) -> Result<Connection> {
    let started = Instant::now();
    loop {
        let error = match try_delivery(uri, queue) {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        if restart.has_ended()? {
            restart.finish()?;
        }
        ensure!(started.elapsed() < PATIENCE, "the broker did not come back: {error:#}");
        std::thread::sleep(RETRY);
    }
}

fn try_delivery(uri: &Uri, queue: &str) -> Result<Connection> {
    let mut connection = Connection::open_with(uri, Inbox::default())?;
    prefetch(&mut connection, 1)?;
    subscribe(&mut connection, queue, false);
    connection.flush()?;
    while connection.read()? {
        while let Some(frame) = connection.inbox.next()? {
            match (frame.kind, method_id(frame.payload)) {
                (FrameKind::Method, Some(DELIVER)) => return Ok(connection),
                (FrameKind::Method, Some(other)) => bail!("method {other:?} instead of a delivery"),
                _ => {}
            }
        }
    }
    bail!("no delivery came")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_the_restart_command_is_the_process_id() {
        let finish = |command| Restart::start(command).unwrap().finish();
        assert_eq!(finish("echo starting; echo ' 4711 '").unwrap(), 4711);
        assert!(finish("echo 4711; exit 3").unwrap_err().to_string().contains('3'));
        assert!(finish("echo done").is_err());
    }

    #[test]
    fn a_killed_process_is_seen_to_end_although_nobody_waited_for_it() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(is_running(child.id()));
        kill(child.id()).unwrap();
        assert!(!is_running(child.id()));
        child.wait().unwrap();
    }
}
