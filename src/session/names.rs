//! Names a session makes up: consumer tags. They grow from the seed the server gave, so this room needs no
//! randomness of its own.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A seeded row of names (the splitmix64 generator).
#[derive(Debug)]
pub(super) struct NameSource(u64);

impl NameSource {
    pub(super) fn new(seed: u64) -> NameSource {
        NameSource(seed)
    }

    /// `amq.ctag-` and 22 URL-safe characters (semantics.md 10.1).
    pub(super) fn consumer_tag(&mut self) -> String {
        let bytes = (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes();
        format!("amq.ctag-{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_rabbitmqs_shape_and_differ() {
        let mut names = NameSource::new(7);
        let (one, two) = (names.consumer_tag(), names.consumer_tag());
        assert_ne!(one, two);
        assert!(one.starts_with("amq.ctag-"));
        assert_eq!(one.len(), "amq.ctag-".len() + 22);
    }
}
