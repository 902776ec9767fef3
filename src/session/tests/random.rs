//! Whatever arrives, a session answers and does not fall over: random bytes, sound frames in any order, events at any
//! time.

use proptest::prelude::*;

use super::peer::{Peer, delivery, frame_bytes, header_frame, publish_frames, publish_method, raw_method};
use crate::model::event::{ConfirmToken, SessionEvent};
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::ConsumerNumber;
use crate::model::request::Reply;
use crate::session::SessionLimits;

use super::port::QUEUE;

#[derive(Clone, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Deliver(u32, u64),
    Confirm(u64, bool),
    Reply(u8),
    Cancelled(u32),
    NextIsPending,
    Batch,
    Pass(u64),
}

/// Methods with arguments of the right shape, by numbers.
const METHODS: [(u16, u16, &[u8]); 30] = [
    (20, 10, &[0]),
    (20, 20, &[1]),
    (20, 40, &[0, 200, 0, 0, 0, 0, 0]),
    (20, 41, &[]),
    (30, 10, &[0, 0]),
    (40, 10, b"\0\0\x01x\x05topic\0\0\0\0\0"),
    (40, 20, b"\0\0\x01x\0"),
    (40, 30, b"\0\0\x01d\x01s\0\0\0\0\0\0"),
    (40, 40, b"\0\0\x01d\x01s\0\x01\0\0\0\0"),
    (50, 10, b"\0\0\x01q\0\0\0\0\0"),
    (50, 10, b"\0\0\0\x10\0\0\0\0"),
    (50, 20, b"\0\0\0\x01x\0\0\0\0\0\0"),
    (50, 30, b"\0\0\x01q\0"),
    (50, 40, b"\0\0\0\0"),
    (50, 50, b"\0\0\x01q\x01x\0\0\0\0\0"),
    (60, 10, &[0, 0, 0, 0, 0, 2, 1]),
    (60, 10, &[0, 0, 0, 0, 0, 3, 0]),
    (60, 20, b"\0\0\x01q\0\0\0\0\0\0"),
    (60, 20, b"\0\0\x01q\x01t\x02\0\0\0\0"),
    (60, 20, b"\0\0\x15amq.rabbitmq.reply-to\x01r\x02\0\0\0\0"),
    (60, 30, b"\x01t\0"),
    (60, 70, b"\0\0\x01q\0"),
    (60, 80, &[0, 0, 0, 0, 0, 0, 0, 0, 1]),
    (60, 80, &[0, 0, 0, 0, 0, 0, 0, 1, 0]),
    (60, 120, &[0, 0, 0, 0, 0, 0, 0, 2, 2]),
    (60, 110, &[1]),
    (85, 10, &[0]),
    (90, 10, &[]),
    (90, 20, &[]),
    (90, 30, &[]),
];

fn sound_frames() -> impl Strategy<Value = Vec<u8>> {
    let channel = 1..4_u16;
    prop_oneof![
        12 => (channel.clone(), 0..METHODS.len()).prop_map(|(channel, index)| {
            let (class, method, arguments) = METHODS[index];
            raw_method(channel, class, method, arguments)
        }),
        4 => (channel.clone(), 0..3_usize, any::<bool>()).prop_map(|(channel, key, mandatory)| {
            publish_frames(channel, "x", ["k", "nowhere", ""][key], &[0, 0], b"body", mandatory)
        }),
        1 => channel.clone().prop_map(|channel| publish_method(channel, "missing", "k", 0)),
        1 => (channel.clone(), 0..9_u64).prop_map(|(channel, size)| header_frame(channel, 60, 0, size, &[0, 0])),
        1 => (channel, proptest::collection::vec(any::<u8>(), 0..9))
            .prop_map(|(channel, body)| frame_bytes(3, channel, &body)),
        1 => Just(frame_bytes(8, 0, b"")),
    ]
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let ids = prop_oneof![Just(10), Just(20), Just(30), Just(40), Just(50), Just(60), Just(85), Just(90)];
    let method = (0..3_u16, ids, 0..13_u16, proptest::collection::vec(any::<u8>(), 0..40));
    prop_oneof![
        method.prop_map(|(channel, class, method, arguments)| raw_method(
            channel,
            class,
            method * 10,
            &arguments
        )),
        (any::<u8>(), 0..3_u16, proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(kind, channel, payload)| frame_bytes(kind, channel, &payload)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => sound_frames().prop_map(Step::Bytes),
        3 => (1..8_u32, 0..9_u64).prop_map(|(consumer, position)| Step::Deliver(consumer, position)),
        2 => (0..4_u64, any::<bool>()).prop_map(|(sequence, accepted)| Step::Confirm(sequence, accepted)),
        3 => (0..6_u8).prop_map(Step::Reply),
        1 => (1..8_u32).prop_map(Step::Cancelled),
        1 => Just(Step::NextIsPending),
        1 => Just(Step::Batch),
        1 => (0..70_000_u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..120)
}

fn reply(kind: u8) -> Reply {
    match kind {
        0 => Reply::Done,
        1 => Reply::QueueDeclared { name: "q".into(), messages: 1, consumers: 1 },
        2 => Reply::Count { messages: 1 },
        3 => Reply::Consuming { queue: QUEUE },
        4 => Reply::Got { delivery: Box::new(delivery(1, 1)), remaining: 1 },
        _ => Reply::Refused(Fault::new(ReplyCode::NotFound, "no")),
    }
}

/// Does a step; what comes out must be sound frames, or [`Peer::said`] fails.
fn act(peer: &mut Peer, step: Step) {
    match step {
        Step::Bytes(bytes) if peer.session.wants_input() => peer.send_bytes(&bytes),
        Step::Bytes(_) => {}
        Step::Deliver(consumer, position) => peer.deliver(consumer, position),
        Step::Confirm(sequence, accepted) => {
            let token = ConfirmToken { channel: 1, epoch: 1, sequence };
            peer.event(SessionEvent::Confirm { token, accepted });
        }
        Step::Reply(kind) => peer.reply(reply(kind)),
        Step::Cancelled(number) => peer.event(SessionEvent::ConsumerCancelled(ConsumerNumber(number))),
        Step::NextIsPending => peer.session.port().script.push_back(None),
        Step::Batch => peer.session.end_of_batch(),
        Step::Pass(millis) => peer.pass(millis),
    }
    peer.said();
}

fn ends_once(peer: &mut Peer) {
    peer.session.lost(peer.now);
    let closed = peer.calls().iter().filter(|call| *call == "CloseConnection").count();
    assert!(closed <= 1);
    assert!(peer.session.is_over());
}

proptest! {
    #[test]
    fn random_bytes_never_panic(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8)) {
        let mut peer = Peer::connected(SessionLimits::default());
        for chunk in &chunks {
            peer.send_bytes(chunk);
            peer.said();
        }
        let mut peer = Peer::running();
        for chunk in &chunks {
            peer.send_bytes(chunk);
            peer.said();
        }
        ends_once(&mut peer);
    }

    #[test]
    fn random_frames_never_panic(frames in proptest::collection::vec(any_frame(), 1..6), open in any::<bool>()) {
        let mut peer = if open { Peer::running() } else { Peer::started() };
        for frame in frames {
            peer.send_bytes(&frame);
            peer.said();
        }
        ends_once(&mut peer);
    }

    #[test]
    fn sound_frames_and_events_in_any_order_never_panic(steps in steps()) {
        let mut peer = Peer::running();
        for step in steps {
            act(&mut peer, step);
        }
        ends_once(&mut peer);
    }

    /// However the bytes are cut, the same is said and done.
    #[test]
    fn the_cut_of_the_input_does_not_matter(
        frames in proptest::collection::vec(sound_frames(), 1..20),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = frames.concat();
        let (mut whole, mut cut) = (Peer::running(), Peer::running());
        whole.send_bytes(&bytes);
        let mut places: Vec<usize> = cuts.iter().map(|index| index.index(bytes.len())).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        for pair in places.windows(2) {
            cut.send_bytes(&bytes[pair[0]..pair[1]]);
        }
        prop_assert_eq!(whole.batch(), cut.batch());
    }
}
