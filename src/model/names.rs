//! Names and addresses that nobody can guess, and nobody can derive from others: what a broker makes up for clients, and
//! what some of these may know only from whom it concerns. The chance in them comes from outside, as a seed; what they
//! are called is their users'.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The version of RabbitMQ whose protocol and API are meant, for whoever decides by it what it may use.
pub const VERSION_OF_RABBITMQ: &str = "4.3.0";

/// What the broker calls itself where RabbitMQ prints the name of a node or a cluster.
pub const NODE: &str = "leveret@localhost";

/// 256 secret bits of chance, for one row of names. Printed without them.
#[derive(Clone, Copy)]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// A row of names. Who knows any of them knows nothing of the others, nor of the seed: they come from a generator that is
/// made for secrets.
pub struct NameSource(StdRng);

impl fmt::Debug for NameSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameSource")
    }
}

impl NameSource {
    #[must_use]
    pub fn new(seed: Seed) -> NameSource {
        NameSource(StdRng::from_seed(seed.0))
    }

    /// `prefix` and 22 characters of URL-safe base64, which are 128 bits of chance.
    pub fn name<N: From<String>>(&mut self, prefix: &str) -> N {
        let mut chance = [0; 16];
        self.0.fill_bytes(&mut chance);
        let mut name = String::with_capacity(prefix.len() + 22);
        name.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(chance, &mut name);
        name.into()
    }

    /// A number for choices that anybody may see.
    pub fn draw(&mut self) -> u64 {
        self.0.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_have_rabbitmqs_shape_and_differ() {
        let mut rows = [1, 2].map(|seed| NameSource::new(Seed([seed; 32])));
        let names: BTreeSet<String> =
            rows.iter_mut().flat_map(|row| [row.name("amq.ctag-"), row.name("amq.ctag-")]).collect();
        assert_eq!(names.len(), 4);
        assert!(
            names.iter().all(|name| name.starts_with("amq.ctag-") && name.len() == "amq.ctag-".len() + 22)
        );
    }

    #[test]
    fn the_same_seed_makes_the_same_names() {
        let name = || NameSource::new(Seed([7; 32])).name::<String>("");
        assert_eq!(name(), name());
    }

    /// The state of splitmix64 after it gave this number.
    fn inverted(given: u64) -> u64 {
        let unshift = |value: u64, by: u32| (0..64 / by).fold(value, |found, _| value ^ (found >> by));
        let inverse = |odd: u64| {
            (0..6).fold(odd, |found, _| found.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(found))))
        };
        let mut state = unshift(given, 31);
        state = unshift(state.wrapping_mul(inverse(0x94d0_49bb_1331_11eb)), 27);
        unshift(state.wrapping_mul(inverse(0xbf58_476d_1ce4_e5b9)), 30)
    }

    fn next_after(state: u64) -> u64 {
        let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[test]
    fn half_a_name_does_not_tell_the_other_half() {
        assert_eq!(next_after(inverted(next_after(5))), next_after(5u64.wrapping_add(0x9e37_79b9_7f4a_7c15)));
        let name: String = NameSource::new(Seed([3; 32])).name("");
        let bytes = URL_SAFE_NO_PAD.decode(name).unwrap();
        let half = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_ne!(next_after(inverted(half(0))), half(8));
    }
}
