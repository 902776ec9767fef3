//! What a method is called on the wire: the numbers of its class and of itself, which every method frame starts with.

/// Class and method number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodId {
    pub class: u16,
    pub method: u16,
}

impl MethodId {
    /// 0/0: no method is at fault (semantics 0.2).
    pub const NONE: MethodId = MethodId { class: 0, method: 0 };
}

/// The id of the method in this payload, where there are bytes enough for one.
#[must_use]
pub fn method_id(payload: &[u8]) -> Option<MethodId> {
    let ([c1, c2, m1, m2], _) = payload.split_first_chunk::<4>()?;
    Some(MethodId { class: u16::from_be_bytes([*c1, *c2]), method: u16::from_be_bytes([*m1, *m2]) })
}
