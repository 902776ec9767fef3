//! Which word was meant: the one that is most like what was typed, by Jaro's distance, as RabbitMQ's tools look for it.

/// How alike two words have to be, of 1 for the same.
const ENOUGH: f64 = 0.77;

/// The word that is most like this one; None where none is like it.
pub(super) fn to<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = words.map(|word| (likeness(typed, word), word));
    let (score, word) = scored.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (score > ENOUGH).then_some(word)
}

/// From 0 for nothing in common to 1 for the same.
fn likeness(one: &str, other: &str) -> f64 {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.is_empty() || other.is_empty() {
        return 0.0;
    }
    let reach = (one.len().max(other.len()) / 2).saturating_sub(1);
    let mut is_taken = vec![false; other.len()];
    let mut matched = Vec::new();
    for (place, character) in one.iter().enumerate() {
        let near = place.saturating_sub(reach)..(place + reach + 1).min(other.len());
        if let Some(found) = near.into_iter().find(|&near| !is_taken[near] && other[near] == *character) {
            is_taken[found] = true;
            matched.push(*character);
        }
    }
    if matched.is_empty() {
        return 0.0;
    }
    let theirs =
        other.iter().zip(&is_taken).filter(|(_, is_taken)| **is_taken).map(|(character, _)| character);
    let out_of_order = matched.iter().zip(theirs).filter(|(one, other)| one != other).count();
    let as_fraction = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    let common = as_fraction(matched.len());
    let in_order = common - as_fraction(out_of_order) / 2.0;
    (common / as_fraction(one.len()) + common / as_fraction(other.len()) + in_order / common) / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_alike_as_jaro_has_it() {
        for (one, other, expected) in [
            ("MARTHA", "MARHTA", 0.944),
            ("DIXON", "DICKSONX", 0.767),
            ("a", "a", 1.0),
            ("a", "b", 0.0),
            ("", "a", 0.0),
        ] {
            assert!(
                (likeness(one, other) - expected).abs() < 0.001,
                "{one} {other}: {}",
                likeness(one, other)
            );
        }
    }

    #[test]
    fn the_most_alike_is_meant_if_it_is_alike_enough() {
        let words = ["list_queues", "list_users", "ping", "add_user"];
        assert_eq!(to("list_queue", words.into_iter()), Some("list_queues"));
        assert_eq!(to("pong", words.into_iter()), Some("ping"));
        assert_eq!(to("nosuch", words.into_iter()), None);
        assert_eq!(to("", words.into_iter()), None);
    }
}
