//! What the machine does without any broker: a bare append and sync, a database that commits blobs, and a plain copy
//! through two sockets.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use redb::{Database, TableDefinition};

use crate::stats::median;

const COPY_BYTES: usize = 256 * 1024;

/// Median time of a 4 KB append and fdatasync in this folder, in microseconds.
pub(crate) fn sync_p50(folder: &Path, seconds: f64) -> Result<f64> {
    let path = folder.join(format!("leveret-bench-{}.tmp", std::process::id()));
    let times = time_syncs(&path, Duration::from_secs_f64(seconds));
    // Left over only where it could not be made either.
    let _ = fs::remove_file(&path);
    let mut times = times.with_context(|| format!("syncing {}", path.display()))?;
    times.sort_by(f64::total_cmp);
    median(&times).context("no sync was finished")
}

fn time_syncs(path: &Path, length: Duration) -> std::io::Result<Vec<f64>> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    let started = Instant::now();
    let mut times = Vec::new();
    while times.len() < 20 || started.elapsed() < length {
        let before = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(before.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

/// Messages per second that redb stores in this folder, where each durable transaction holds one blob of so many. Blobs
/// are removed a hundred transactions later.
pub(crate) fn redb_rate(folder: &Path, messages: usize, body: usize, seconds: f64) -> Result<f64> {
    const KEPT: u64 = 100;
    const BLOBS: TableDefinition<u64, &[u8]> = TableDefinition::new("blobs");
    let path = folder.join(format!("leveret-bench-{}.redb", std::process::id()));
    let store = || -> Result<f64, redb::Error> {
        let database = Database::create(&path)?;
        let blob = vec![7; messages * body];
        let started = Instant::now();
        let mut commits = 0u64;
        while commits < 20 || started.elapsed().as_secs_f64() < seconds {
            let transaction = database.begin_write()?;
            {
                let mut blobs = transaction.open_table(BLOBS)?;
                if let Some(old) = commits.checked_sub(KEPT) {
                    blobs.remove(old)?;
                }
                blobs.insert(commits, &blob[..])?;
            }
            transaction.commit()?;
            commits += 1;
        }
        Ok((commits * messages as u64) as f64 / started.elapsed().as_secs_f64())
    };
    let rate = store();
    // Left over only where it could not be made either.
    let _ = fs::remove_file(&path);
    rate.with_context(|| format!("redb in {}", path.display()))
}

/// Bytes per second that go from one socket through a plain copy to another, written `chunk` bytes at a time.
pub(crate) fn plain_copy(chunk: usize, seconds: f64) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("loopback")?;
    let pair = || -> std::io::Result<(TcpStream, TcpStream)> {
        let near = TcpStream::connect(listener.local_addr()?)?;
        Ok((near, listener.accept()?.0))
    };
    let (mut source, relay_in) = pair()?;
    let (relay_out, sink) = pair()?;
    std::thread::scope(|scope| {
        scope.spawn(|| pump(relay_in, Some(relay_out)));
        let received = scope.spawn(|| pump(sink, None));
        let started = Instant::now();
        let bytes = vec![7; chunk];
        while started.elapsed().as_secs_f64() < seconds {
            source.write_all(&bytes).context("loopback")?;
        }
        drop(source);
        let received = received.join().unwrap_or(0);
        Ok(received as f64 / started.elapsed().as_secs_f64())
    })
}

/// Reads until the other side closes; how many bytes.
fn pump(mut from: TcpStream, mut to: Option<TcpStream>) -> u64 {
    let mut buffer = vec![0; COPY_BYTES];
    let mut total = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        total += count as u64;
        if let Some(to) = &mut to
            && to.write_all(&buffer[..count]).is_err()
        {
            break;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_takes_time_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(sync_p50(folder.path(), 0.01).unwrap() > 0.0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn redb_stores_blobs_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(redb_rate(folder.path(), 100, 100, 0.01).unwrap() > 1.0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_copy_moves_bytes() {
        assert!(plain_copy(1000, 0.05).unwrap() > 1000.0);
    }
}
