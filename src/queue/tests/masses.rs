//! What there may be very many of: what one of them costs must not depend on how many there are, and what happens to all
//! of them at once must come in pieces.

use super::desk::{Desk, key};
use crate::model::settings::QueueSettings;

/// With a cost that grows with the number of those who remain, this takes half an hour.
#[test]
fn a_hundred_thousand_consumers_of_a_queue_come_and_go() {
    const CONSUMERS: u32 = 100_000;
    let mut desk = Desk::new(QueueSettings::default());
    for number in 0..CONSUMERS {
        let priority = i32::try_from(number % 50_000).unwrap();
        desk.consume(number, 1, priority);
    }
    desk.pump();
    assert_eq!(desk.queue.counts().consumers, CONSUMERS);
    for number in 0..CONSUMERS {
        desk.queue.detach(desk.now, key(number), &mut desk.fx);
    }
    desk.pump();
    assert_eq!(desk.queue.counts().consumers, 0);
}
