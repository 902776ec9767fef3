//! The parts of a session that are worth a look of their own: unacked tags, and confirms, against simple models.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;

use leveret_codec::frame::decode;
use leveret_codec::write::Output;
use proptest::prelude::*;

use crate::model::ids::{ConsumerNumber, Position};
use crate::session::confirms::Confirms;
use crate::session::unacked::{Unacked, UnackedTags, runs};

use super::port::QUEUE;

fn entry(tag: u64) -> Unacked {
    let consumer = ConsumerNumber(u32::try_from(tag % 3).expect("small"));
    Unacked { tag, queue: QUEUE, consumer, position: Position(tag * 2 / 3), counted: true }
}

proptest! {
    #[test]
    fn unacked_tags_are_an_ordered_map(steps in proptest::collection::vec((0..5_u8, 0..400_u64), 0..600)) {
        let (mut tags, mut model, mut last) = (UnackedTags::default(), BTreeMap::new(), 0);
        for (step, number) in steps {
            match step {
                0..=2 => {
                    last += 1 + number % 2;
                    tags.push(entry(last));
                    model.insert(last, entry(last));
                }
                3 => prop_assert_eq!(tags.take(number).ok(), model.remove(&number)),
                _ if number == 0 || model.contains_key(&number) => {
                    let through = if number == 0 { u64::MAX } else { number };
                    let kept = model.split_off(&through.saturating_add(1));
                    let taken: Vec<Unacked> = std::mem::replace(&mut model, kept).into_values().collect();
                    prop_assert_eq!(tags.take_through(number).ok(), Some(taken.clone()));
                    if number % 2 == 1 {
                        model.extend(taken.iter().map(|entry| (entry.tag, *entry)));
                        tags.restore(taken);
                    }
                }
                _ => prop_assert!(tags.take_through(number).is_err()),
            }
            prop_assert!(tags.iter().eq(model.values()));
        }
    }

    #[test]
    fn runs_hold_every_position_once(tags in proptest::collection::btree_set(0..500_u64, 0..200)) {
        let entries: Vec<Unacked> = tags.into_iter().map(entry).collect();
        let mut settled = Vec::new();
        runs(&entries, |run| {
            for position in run.range.first.0..=run.range.last.0 {
                settled.push((run.consumer, position));
            }
        });
        let mut wanted: Vec<_> = entries.iter().map(|entry| (entry.consumer, entry.position.0)).collect();
        settled.sort_unstable();
        wanted.sort_unstable();
        prop_assert_eq!(settled, wanted);
    }

    /// Read as a client reads them: a multiple ack is for all that is still open up to its tag.
    #[test]
    fn every_publish_is_confirmed_once_and_rightly(
        publishes in proptest::collection::vec((0..3_usize, any::<bool>()), 1..60),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 1..200),
    ) {
        let (mut confirms, mut output) = (Confirms::default(), Output::default());
        let (mut open, mut coming) = (BTreeSet::new(), Vec::new());
        for (index, &(waiting, _)) in publishes.iter().enumerate() {
            confirms.published(waiting);
            open.insert(index as u64 + 1);
            coming.extend(std::iter::repeat_n(index as u64 + 1, waiting));
        }
        for index in order {
            if !coming.is_empty() {
                let sequence = coming.swap_remove(index.index(coming.len()));
                confirms.confirm(sequence, publishes[usize::try_from(sequence - 1).expect("small")].1);
            }
            if index.index(3) == 0 {
                confirms.flush(1, &mut output);
            }
        }
        for sequence in coming {
            confirms.confirm(sequence, publishes[usize::try_from(sequence - 1).expect("small")].1);
        }
        confirms.flush(1, &mut output);
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = output.chunks(&mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
        let mut rest = &bytes[..];
        while let Ok(Some(frame)) = decode(rest, 0) {
            rest = &rest[frame.wire_len()..];
            let payload = frame.payload;
            let (ack, multiple) = (payload[3] == 80, payload[12] == 1);
            let tag = u64::from_be_bytes(payload[4..12].try_into().expect("eight"));
            let told: Vec<u64> =
                if multiple { open.range(..=tag).copied().collect() } else { vec![tag] };
            for sequence in told {
                let (waiting, accepted) = publishes[usize::try_from(sequence - 1).expect("small")];
                prop_assert!(open.remove(&sequence), "{} was told before", sequence);
                prop_assert_eq!(ack, accepted || waiting == 0);
            }
        }
        prop_assert!(open.is_empty(), "never told: {:?}", open);
    }
}

#[test]
fn a_message_that_stays_does_not_keep_the_memory_of_those_after_it() {
    let mut tags = UnackedTags::default();
    tags.push(entry(1));
    for tag in 2..100_000 {
        tags.push(entry(tag));
        assert_eq!(tags.take(tag).map(|entry| entry.tag), Ok(tag));
        assert!(tags.slots() < 200);
    }
    assert!(tags.take(1).is_ok());
    assert_eq!(tags.slots(), 0);
}
