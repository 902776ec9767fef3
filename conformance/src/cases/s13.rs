//! Section 13: alarms. Needs commands that make the broker low on memory or disk for a moment, which stops everybody
//! who publishes there.

use std::process::Command;
use std::time::Duration;

use crate::entity::Queue;
use crate::outcome::{Step, Stop, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::id;

cases! {
    s13_02_publishers_are_blocked: "during an alarm a publish blocks its connection, which is told once, and waits",
        differs("acks wait", "acks go on", "a blocked connection is read on: what it acknowledges makes room");
}

/// An alarm, until it is dropped.
struct Alarm<'a>(&'a str);

impl Alarm<'_> {
    fn raise<'a>(test: &Test<'a>) -> Step<Alarm<'a>> {
        let Some((on, off)) = &test.target.alarm else {
            return Err(Stop::Skip("needs commands for an alarm: --alarm-on, --alarm-off".into()));
        };
        run(on)?;
        // The broker looks now and then.
        std::thread::sleep(Duration::from_millis(1500));
        Ok(Alarm(off))
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        let _ = run(self.0);
    }
}

fn run(command: &str) -> Step {
    match Command::new("sh").arg("-c").arg(command).output() {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => fail(format!("{command}: {}", String::from_utf8_lossy(&ended.stderr))),
        Err(error) => fail(format!("{command}: {error}")),
    }
}

fn s13_02_publishers_are_blocked(test: &Test) -> Step {
    let (consuming, connection) = (test.channel()?, test.connect()?);
    let (publishing, acking) = (connection.channel()?, connection.channel()?);
    let name = test.queue("q");
    consuming.declare(&Queue::new(&name))?;
    publishing.confirm_select()?;
    publishing.put(&name, "before");
    publishing.confirmed(1, 1)?;
    let before = acking.take_soon(&name)?;
    let held = acking.get(&name, false)?;
    equal("nothing more", held.is_none(), true)?;
    publishing.put(&name, "held");
    publishing.confirmed(2, 2)?;
    let Some(held) = acking.get(&name, false)? else { return fail("nothing to hold") };
    equal("body", before.body(), "before")?;
    let alarm = Alarm::raise(test)?;
    consuming.sync()?;
    publishing.put(&name, "first");
    connection.expect(id(10, 60))?;
    publishing.put(&name, "second");
    publishing.silent()?;
    consuming.empty(&name)?;
    acking.reject(held.tag, true);
    std::thread::sleep(Duration::from_millis(300));
    test.answered(match consuming.get(&name, true)? {
        Some(_) => "acks go on",
        None => "acks wait",
    });
    drop(alarm);
    connection.expect(id(10, 61))?;
    publishing.confirmed(3, 4)
}
