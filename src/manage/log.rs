//! The log of the process: its last lines, those that come, and what is logged at all. A few may follow it at a time; whoever reads too
//! slowly is told how many lines were left out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::guests::Guest;
use super::listing_body::{Listing, PIECE, Pieces, Writing};
use super::page;
use crate::server::{Administrator, ProcessLog, SomeLines};

/// Lines where nobody says how many.
const LINES: u64 = 50;
/// How many may follow it at a time. Who comes then takes the place of the one who follows for the longest time: one that has gone is
/// noticed only when there is something to tell it.
const MOST_FOLLOWERS: usize = 8;
/// For how long there may be nothing to tell.
const QUIET: Duration = Duration::from_hours(24);

/// Those who follow the log.
#[derive(Default)]
pub(super) struct Followers(Mutex<VecDeque<CancellationToken>>);

impl Followers {
    /// Another one: until the token is cancelled, or the guard dropped.
    fn admit(&self) -> (CancellationToken, DropGuard) {
        let mut present = self.0.lock();
        present.retain(|follower| !follower.is_cancelled());
        if present.len() >= MOST_FOLLOWERS
            && let Some(longest) = present.pop_front()
        {
            longest.cancel();
        }
        let follower = CancellationToken::new();
        present.push_back(follower.clone());
        (follower.clone(), follower.drop_guard())
    }
}

/// Writes what is logged from a line on.
struct Follower {
    administrator: Administrator,
    guest: Arc<Guest>,
    /// The number of the line that comes next.
    next: u64,
    /// The head of the answer has gone out, with the lines that were there.
    began: bool,
    place: (CancellationToken, DropGuard),
}

impl Pieces for Follower {
    fn write_piece(mut self: Box<Self>) -> Writing {
        Box::pin(async move {
            let administrator = self.administrator.clone();
            let Some(log) = administrator.log() else { return Ok((Bytes::new(), None)) };
            let mut goes_on = true;
            if self.began {
                self.guest.wait_for(QUIET);
                tokio::select! {
                    () = log.recent().reach(self.next) => {}
                    () = administrator.stopping() => goes_on = false,
                    () = self.place.0.cancelled() => goes_on = false,
                }
            }
            self.began = true;
            let SomeLines { mut text, missed, next } = log.recent().from(self.next, PIECE);
            if missed > 0 {
                text.insert_str(
                    0,
                    &format!("... {missed} lines were left out, for they were not taken in time ...\n"),
                );
            }
            self.next = next;
            let rest = goes_on.then_some(self as Box<dyn Pieces>);
            Ok((text.into(), rest))
        })
    }
}

pub(super) async fn read(call: &Call<'_>) -> Outcome {
    let recent = log(call)?.recent();
    let asked = |name| page::value(call.query.unwrap_or_default(), name).flatten();
    let lines = match asked("lines") {
        None => LINES,
        Some(count) => {
            count.parse().map_err(|_| Refusal::bad(format!("lines is {count:?}, not a number of lines")))?
        }
    };
    let next = recent.last(lines);
    if asked("follow").is_none_or(|follow| follow != "true") {
        return Ok(Answer::Plain(recent.from(next, usize::MAX).text));
    }
    let administrator = call.context.administrator.clone();
    let (guest, place) = (Arc::clone(call.guest), call.context.followers.admit());
    let follower = Follower { administrator, guest: Arc::clone(&guest), next, began: false, place };
    Ok(Answer::Followed(Listing::of(guest, Box::new(follower)).await?))
}

pub(super) async fn filter(call: &Call<'_>) -> Outcome {
    Ok(Answer::Found(json!({"filter": log(call)?.filter()})))
}

pub(super) async fn put_filter(call: &mut Call<'_>) -> Outcome {
    let filter = call.fields().await?.name("filter")?;
    let set = log(call)?.set_filter(&filter);
    set.map_err(|why| Refusal::bad(format!("{filter:?} is not a level or filter: {why}")))?;
    Ok(Answer::Done)
}

fn log<'a>(call: &'a Call<'_>) -> Result<&'a ProcessLog, Refusal> {
    let log = call.context.administrator.log();
    log.ok_or_else(|| Refusal::Missing("the log is that of the program which the broker is a part of".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_follows_for_the_longest_time_makes_room() {
        let followers = Followers::default();
        let mut present: Vec<_> = (0..MOST_FOLLOWERS).map(|_| followers.admit()).collect();
        present.remove(3);
        let another = followers.admit();
        assert!(present.iter().all(|(follower, _)| !follower.is_cancelled()), "one had gone");
        let last = followers.admit();
        let gone: Vec<bool> = present.iter().map(|(follower, _)| follower.is_cancelled()).collect();
        assert!(gone[0] && gone[1..].iter().all(|gone| !gone), "{gone:?}");
        assert!(!another.0.is_cancelled() && !last.0.is_cancelled());
        assert_eq!(followers.0.lock().len(), MOST_FOLLOWERS);
    }
}
