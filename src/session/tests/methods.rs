//! What becomes of each method's fields, and nowait as far as it is the session's (semantics section 5 to 8).

use super::peer::{Peer, raw_method};
use crate::model::request::Reply;

/// The request that a method on channel 1 becomes, and the answer.
fn asked(class: u16, method: u16, arguments: &[u8]) -> (Vec<String>, Vec<String>) {
    let mut peer = Peer::running();
    peer.raw_method(class, method, arguments);
    (peer.calls(), peer.said())
}

fn with_table(arguments: &[u8]) -> Vec<u8> {
    let mut bytes = arguments.to_vec();
    bytes.extend([0, 0, 0, 0]);
    bytes
}

#[test]
fn exchange_methods_become_requests() {
    let (calls, said) = asked(40, 10, &with_table(b"\0\0\x01x\x05topic\x0a"));
    assert_eq!(said, ["1 40.11"]);
    let wanted = "DeclareExchange(DeclareExchange { name: \"x\", kind: \"topic\", passive: false, durable: true, \
                  auto_delete: false, internal: true, arguments: FieldTable({}) })";
    assert_eq!(calls, [wanted]);
    let (calls, _) = asked(40, 10, &with_table(b"\0\0\x01x\x00\x05"));
    assert!(calls[0].contains("passive: true, durable: false, auto_delete: true, internal: false"));
    assert_eq!(
        asked(40, 20, b"\0\0\x01x\x01"),
        (vec!["DeleteExchange { name: \"x\", if_unused: true }".to_owned()], vec!["1 40.21".to_owned()])
    );
    for (method, answer, name) in [(30, "1 40.31", "BindExchange"), (40, "1 40.51", "UnbindExchange")] {
        let (calls, said) = asked(40, method, &with_table(b"\0\0\x03dst\x03src\x01k\0"));
        assert_eq!(said, [answer]);
        let binding = "Binding { source: \"src\", destination: \"dst\", routing_key: \"k\", arguments: \
                       FieldTable({}) }";
        assert_eq!(calls, [format!("{name}({binding})")]);
    }
}

#[test]
fn queue_methods_become_requests() {
    let (calls, said) = asked(50, 10, &with_table(b"\0\0\x01q\x0a"));
    assert_eq!(said, ["1 declare-ok q 3 1"]);
    let wanted = "DeclareQueue(DeclareQueue { name: \"q\", passive: false, durable: true, exclusive: false, \
                  auto_delete: true, arguments: FieldTable({}) })";
    assert_eq!(calls, [wanted]);
    let (calls, _) = asked(50, 10, &with_table(b"\0\0\x01q\x05"));
    assert!(calls[0].contains("passive: true, durable: false, exclusive: true, auto_delete: false"));
    let binding =
        "Binding { source: \"x\", destination: \"q\", routing_key: \"k\", arguments: FieldTable({}) }";
    let (calls, said) = asked(50, 20, &with_table(b"\0\0\x01q\x01x\x01k\0"));
    assert_eq!((calls, said), (vec![format!("BindQueue({binding})")], vec!["1 50.21".to_owned()]));
    let (calls, said) = asked(50, 50, &with_table(b"\0\0\x01q\x01x\x01k"));
    assert_eq!((calls, said), (vec![format!("UnbindQueue({binding})")], vec!["1 50.51".to_owned()]));
    let (calls, said) = asked(50, 30, b"\0\0\x01q\0");
    assert_eq!((calls, said), (vec!["PurgeQueue { name: \"q\" }".to_owned()], vec!["1 50.31".to_owned()]));
    let (calls, said) = asked(50, 40, b"\0\0\x01q\x02");
    let wanted = "DeleteQueue { name: \"q\", if_unused: false, if_empty: true }";
    assert_eq!((calls, said), (vec![wanted.to_owned()], vec!["1 50.41".to_owned()]));
}

#[test]
fn counts_are_passed_on() {
    for method in [30, 40] {
        let mut peer = Peer::running();
        peer.session.port().script.push_back(Some(Reply::Count { messages: 0x0102_0304 }));
        peer.raw_method(50, method, b"\0\0\x01q\0");
        assert_eq!(peer.output()[11..15], [1, 2, 3, 4]);
    }
}

#[test]
fn nowait_is_not_answered() {
    let cases: [(u16, u16, Vec<u8>); 8] = [
        (40, 10, with_table(b"\0\0\x01x\x00\x10")),
        (40, 20, b"\0\0\x01x\x02".to_vec()),
        (40, 30, with_table(b"\0\0\x01d\x01s\0\x01")),
        (40, 40, with_table(b"\0\0\x01d\x01s\0\x01")),
        (50, 10, with_table(b"\0\0\x01q\x10")),
        (50, 20, with_table(b"\0\0\x01q\x01x\0\x01")),
        (50, 30, b"\0\0\x01q\x01".to_vec()),
        (50, 40, b"\0\0\x01q\x04".to_vec()),
    ];
    for (class, method, arguments) in cases {
        let (calls, said) = asked(class, method, &arguments);
        assert_eq!((calls.len(), said.len()), (1, 0), "{class}.{method}");
    }
}

#[test]
fn an_empty_queue_name_is_the_one_declared_last() {
    let mut peer = Peer::running();
    peer.raw_method(50, 10, &with_table(b"\0\0\0\0"));
    peer.calls();
    peer.raw_method(50, 30, b"\0\0\0\0");
    assert_eq!(peer.calls(), ["PurgeQueue { name: \"amq.gen-1\" }"]);
    // Queue and routing key empty: both are its name; only then.
    for (method, end) in [(20, &b"\0"[..]), (50, b"")] {
        for (key, wanted) in [(&b"\0"[..], "amq.gen-1"), (b"\x01k", "k")] {
            let arguments = with_table(&[b"\0\0\0\x01x", key, end].concat());
            peer.raw_method(50, method, &arguments);
            let call = peer.calls().remove(0);
            assert!(call.contains("destination: \"amq.gen-1\""), "{call}");
            assert!(call.contains(&format!("routing_key: \"{wanted}\"")), "{call}");
        }
    }
    peer.raw_method(50, 20, &with_table(b"\0\0\x01q\x01x\0\0"));
    assert!(peer.calls()[0].contains("routing_key: \"\""));
    // A later declare counts, passive and nowait ones too; an empty name in it asks for a new queue.
    peer.raw_method(50, 10, &with_table(b"\0\0\x02q2\x11"));
    peer.calls();
    peer.raw_method(60, 20, &with_table(b"\0\0\0\x01t\0"));
    assert!(peer.calls()[0].starts_with("Consume { queue: \"q2\""));
    peer.raw_method(50, 10, &with_table(b"\0\0\0\0"));
    assert!(peer.calls()[0].contains("name: \"\""));
}

#[test]
fn no_queue_declared_before_is_404() {
    let cases: [(u16, u16, Vec<u8>); 6] = [
        (50, 20, with_table(b"\0\0\0\x01x\0\0")),
        (50, 30, b"\0\0\0\0".to_vec()),
        (50, 40, b"\0\0\0\0".to_vec()),
        (50, 50, with_table(b"\0\0\0\x01x\0")),
        (60, 20, with_table(b"\0\0\0\x01t\0")),
        (60, 70, b"\0\0\0\0".to_vec()),
    ];
    for (class, method, arguments) in cases {
        let (calls, said) = asked(class, method, &arguments);
        let text = "NOT_FOUND - no previously declared queue";
        assert_eq!(said, [format!("1 close 404 {class}.{method} {text}")]);
        assert!(calls.is_empty());
    }
}

#[test]
fn last_declared_is_per_channel() {
    let mut peer = Peer::running();
    peer.open_channel(2);
    peer.raw_method(50, 10, &with_table(b"\0\0\x01q\0"));
    peer.said();
    peer.send_bytes(&raw_method(2, 50, 30, b"\0\0\0\0"));
    assert_eq!(peer.said(), ["2 close 404 50.30 NOT_FOUND - no previously declared queue"]);
}
