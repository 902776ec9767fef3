//! Finding the one byte that is wrong. What knows its checksum of 128 bits can be tried with every byte changed: no other
//! content fits but the one that was written. Bounded; what has more than one byte wrong stays as it is.

/// Bytes that may be checked for all bits together, and for all values of all bytes (a second, about).
const FOR_BITS: usize = 512 << 20;
const FOR_BYTES: usize = 4 << 30;

/// Corrects the only wrong byte among the first `most` of `bytes`, if there is only one. Returns its place; None, and nothing
/// changed, where no single one makes it fit, or trying all would take too long.
pub(super) fn repair(bytes: &mut [u8], most: usize, fits: impl Fn(&[u8]) -> bool) -> Option<usize> {
    let most = most.min(bytes.len());
    let each = most.saturating_mul(bytes.len());
    let bits: [u8; 8] = std::array::from_fn(|bit| 1 << bit);
    if each.saturating_mul(bits.len()) <= FOR_BITS
        && let Some(at) = search(bytes, most, &bits.into_iter(), &fits)
    {
        return Some(at);
    }
    if each.saturating_mul(usize::from(u8::MAX)) > FOR_BYTES {
        return None;
    }
    search(bytes, most, &(1..=u8::MAX).filter(|change| !change.is_power_of_two()), &fits)
}

fn search(
    bytes: &mut [u8],
    most: usize,
    changes: &(impl Iterator<Item = u8> + Clone),
    fits: impl Fn(&[u8]) -> bool,
) -> Option<usize> {
    for at in 0..most {
        let was = bytes[at];
        for change in changes.clone() {
            bytes[at] = was ^ change;
            if fits(bytes) {
                return Some(at);
            }
        }
        bytes[at] = was;
    }
    None
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    #[test]
    fn one_wrong_byte_is_found_and_two_are_left() {
        let sound: Vec<u8> = (0..1000u32).map(|at| (at * 7 % 251) as u8).collect();
        let expected = xxh3_128(&sound);
        let fits = |bytes: &[u8]| xxh3_128(bytes) == expected;
        for (at, change) in [(0, 1), (999, 0x80), (500, 0xff)] {
            let mut damaged = sound.clone();
            damaged[at] ^= change;
            assert_eq!(repair(&mut damaged, 1000, fits), Some(at));
            assert_eq!(damaged, sound);
        }
        let mut damaged = sound.clone();
        damaged[3] ^= 1;
        damaged[4] ^= 1;
        let before = damaged.clone();
        assert_eq!(repair(&mut damaged, 1000, fits), None);
        assert_eq!(damaged, before);
    }
}
