//! What the Rust clients' checks have in common: how one is run and reported, and what makes its names its own. The
//! checks, and what a library needs for them, are each client's.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

const CHECK_TIME: Duration = Duration::from_secs(20);

/// Runs one check, cleans up after it, and prints its line.
pub async fn report(
    name: &str,
    check: impl Future<Output = Result<()>>,
    clean_up: impl Future<Output = Result<()>>,
) {
    let checked = tokio::time::timeout(CHECK_TIME, check).await;
    let cleaned = tokio::time::timeout(CHECK_TIME, clean_up).await;
    let outcome = match (checked, cleaned) {
        (Ok(Err(error)), _) | (Ok(Ok(())), Ok(Err(error))) => Err(format!("{error:#}")),
        (Err(_), _) => Err(format!("not done within {CHECK_TIME:?}")),
        (_, Err(_)) => Err(format!("not cleaned up within {CHECK_TIME:?}")),
        (Ok(Ok(())), Ok(Ok(()))) => Ok(()),
    };
    match outcome {
        Ok(()) => println!("ok {name}"),
        Err(reason) => println!("FAIL {name}: {}", reason.split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}

/// A word that no other run has, for names.
pub fn run_word() -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{:x}-{:x}", std::process::id(), nanos & 0xffff_ffff)
}
