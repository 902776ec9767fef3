//! The headers exchange: the arguments of a binding are compared with the headers of the message (semantics 5.22,
//! 5.23). Bindings are filed under a header they need, so that a message looks only at those that one of its
//! own headers speaks for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::fast::RandomState;
use leveret_codec::properties::Properties;
use leveret_codec::table::{AMQPValue, FieldTable};

use crate::model::argument::type_name;
use crate::model::fault::Fault;

use super::destinations::Destinations;
use super::print::term;
use super::value::Value;
use super::{Binding, Effort, End, Keys, Matcher, Reads};
use crate::model::ids::Destination;

const X_MATCH: &str = "x-match";

/// `x-match`: how many of the arguments must match, and whether the ones named `x-...` count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MatchMode {
    all: bool,
    with_x: bool,
}

impl MatchMode {
    fn of(arguments: &FieldTable) -> Result<MatchMode, Fault> {
        let Some(value) = arguments.inner().get(X_MATCH) else {
            return Ok(MatchMode { all: true, with_x: false });
        };
        let AMQPValue::LongString(text) = value else {
            return Err(Fault::precondition(format!(
                "Invalid x-match field type {} (value {}); expected longstr",
                type_name(value),
                term(value)
            )));
        };
        match text.as_bytes() {
            b"all" => Ok(MatchMode { all: true, with_x: false }),
            b"any" => Ok(MatchMode { all: false, with_x: false }),
            b"all-with-x" => Ok(MatchMode { all: true, with_x: true }),
            b"any-with-x" => Ok(MatchMode { all: false, with_x: true }),
            _ => Err(Fault::precondition(format!(
                "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
                term(value)
            ))),
        }
    }
}

/// A header that a binding asks for; without a value, any will do.
#[derive(Clone, Debug)]
struct Wanted {
    name: Box<str>,
    value: Option<Value>,
}

/// Bindings with the same arguments.
#[derive(Clone, Debug)]
struct Pattern {
    all: bool,
    wanted: Vec<Wanted>,
    /// Which of `wanted` it is filed under where all must match. Where one is enough, it is filed under each.
    filed_under: usize,
    destinations: Destinations,
}

type PatternId = u64;

/// The patterns that ask for one header.
#[derive(Clone, Debug, Default)]
struct Drawer {
    any_value: BTreeSet<PatternId>,
    by_value: HashMap<Value, BTreeSet<PatternId>, RandomState>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Headers {
    patterns: BTreeMap<PatternId, Pattern>,
    next: PatternId,
    /// By encoded arguments.
    known: BTreeMap<Box<[u8]>, PatternId>,
    /// By the name of the header.
    drawers: HashMap<Box<str>, Drawer, RandomState>,
    /// `all` of nothing: these match every message.
    always: BTreeSet<PatternId>,
}

impl Pattern {
    fn new(arguments: &FieldTable) -> Pattern {
        // A binding that was let in has a sound x-match.
        let mode = MatchMode::of(arguments).unwrap_or(MatchMode { all: true, with_x: false });
        let wanted = arguments
            .into_iter()
            .filter(|(name, _)| name.as_str() != X_MATCH && (mode.with_x || !name.as_str().starts_with("x-")))
            .map(|(name, value)| Wanted {
                name: name.as_str().into(),
                value: (*value != AMQPValue::Void).then(|| Value::of(value)),
            })
            .collect();
        Pattern { all: mode.all, wanted, filed_under: 0, destinations: Destinations::None }
    }

    /// What it is filed under.
    fn files(&self) -> &[Wanted] {
        if self.all {
            self.wanted.get(self.filed_under..=self.filed_under).unwrap_or_default()
        } else {
            &self.wanted
        }
    }

    /// Whether it matches, given that a header it is filed under does.
    fn accepts(&self, headers: &[(&str, Value)]) -> bool {
        !self.all || self.wanted.iter().all(|wanted| wanted.is_met(headers))
    }
}

impl Wanted {
    fn is_met(&self, headers: &[(&str, Value)]) -> bool {
        match headers.binary_search_by(|(name, _)| (*name).cmp(&self.name)) {
            Ok(at) => self.value.as_ref().is_none_or(|value| *value == headers[at].1),
            Err(_) => false,
        }
    }
}

impl Drawer {
    fn file(&mut self, value: Option<&Value>) -> &mut BTreeSet<PatternId> {
        match value {
            None => &mut self.any_value,
            Some(value) => self.by_value.entry(value.clone()).or_default(),
        }
    }

    fn len_of(&self, value: Option<&Value>) -> usize {
        match value {
            None => self.any_value.len(),
            Some(value) => self.by_value.get(value).map_or(0, BTreeSet::len),
        }
    }

    fn remove(&mut self, value: Option<&Value>, id: PatternId) {
        let file = self.file(value);
        file.remove(&id);
        if let (true, Some(value)) = (file.is_empty(), value) {
            self.by_value.remove(value);
        }
    }

    fn is_empty(&self) -> bool {
        self.any_value.is_empty() && self.by_value.is_empty()
    }

    fn matching(&self, value: &Value) -> impl Iterator<Item = &PatternId> {
        self.any_value.iter().chain(self.by_value.get(value).into_iter().flatten())
    }
}

impl Headers {
    /// The header of a pattern that the fewest others are filed under.
    fn rarest(&self, pattern: &Pattern) -> usize {
        let crowd = |wanted: &Wanted| {
            self.drawers.get(&wanted.name).map_or(0, |drawer| drawer.len_of(wanted.value.as_ref()))
        };
        (0..pattern.wanted.len()).min_by_key(|&at| crowd(&pattern.wanted[at])).unwrap_or(0)
    }

    fn add_pattern(&mut self, arguments: &FieldTable) -> PatternId {
        let id = self.next;
        self.next += 1;
        let mut pattern = Pattern::new(arguments);
        pattern.filed_under = self.rarest(&pattern);
        for wanted in pattern.files() {
            let drawer = self.drawers.entry(wanted.name.clone()).or_default();
            drawer.file(wanted.value.as_ref()).insert(id);
        }
        if pattern.all && pattern.wanted.is_empty() {
            self.always.insert(id);
        }
        self.patterns.insert(id, pattern);
        id
    }

    fn remove_pattern(&mut self, id: PatternId) {
        let Some(pattern) = self.patterns.remove(&id) else { return };
        for wanted in pattern.files() {
            if let Some(drawer) = self.drawers.get_mut(&wanted.name) {
                drawer.remove(wanted.value.as_ref(), id);
                if drawer.is_empty() {
                    self.drawers.remove(&wanted.name);
                }
            }
        }
        self.always.remove(&id);
    }

    fn report(&self, id: PatternId, headers: &[(&str, Value)], found: &mut dyn FnMut(Destination)) {
        if let Some(pattern) = self.patterns.get(&id).filter(|pattern| pattern.accepts(headers)) {
            pattern.destinations.report(found);
        }
    }
}

impl Matcher for Headers {
    fn check(&self, _: &End<'_>, _routing_key: &str, arguments: &FieldTable) -> Result<(), Fault> {
        MatchMode::of(arguments).map(|_| ())
    }

    fn insert(&mut self, binding: &Binding<'_>) {
        let id = match self.known.get(binding.encoded_arguments) {
            Some(&id) => id,
            None => {
                let id = self.add_pattern(binding.arguments);
                self.known.insert(binding.encoded_arguments.into(), id);
                id
            }
        };
        if let Some(pattern) = self.patterns.get_mut(&id) {
            pattern.destinations.add(binding.destination);
        }
    }

    fn remove(&mut self, binding: &Binding<'_>) {
        let Some(&id) = self.known.get(binding.encoded_arguments) else { return };
        let Some(pattern) = self.patterns.get_mut(&id) else { return };
        pattern.destinations.remove(binding.destination);
        if pattern.destinations.is_empty() {
            self.known.remove(binding.encoded_arguments);
            self.remove_pattern(id);
        }
    }

    fn matches(
        &self,
        _: &[u8],
        properties: Properties<'_>,
        _: u64,
        _: &mut Effort,
        found: &mut dyn FnMut(Destination),
    ) {
        for &id in &self.always {
            self.report(id, &[], found);
        }
        if self.drawers.is_empty() {
            return;
        }
        let table = properties.headers().unwrap_or_default();
        let headers: Vec<(&str, Value)> =
            table.into_iter().map(|(name, value)| (name.as_str(), Value::of(value))).collect();
        for (name, value) in &headers {
            let Some(drawer) = self.drawers.get(*name) else { continue };
            for &id in drawer.matching(value) {
                self.report(id, &headers, found);
            }
        }
    }

    fn reads(&self) -> Reads {
        Reads { keys: Keys::None, nothing_else: false }
    }

    fn boxed_clone(&self) -> Box<dyn Matcher> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use leveret_codec::table::encode;

    use crate::model::ids::ExchangeId;

    use super::*;

    #[test]
    fn removed_bindings_leave_nothing_filed() {
        let mode = |mode: &str| AMQPValue::LongString(mode.into());
        let tables = [
            vec![],
            vec![("a", AMQPValue::LongInt(1)), ("b", AMQPValue::Void)],
            vec![("b", AMQPValue::Void)],
            vec![("x-match", mode("any")), ("a", AMQPValue::LongInt(1)), ("b", AMQPValue::Void)],
            vec![("x-match", mode("any"))],
        ]
        .map(|fields| {
            let mut table = FieldTable::default();
            for (name, value) in fields {
                table.insert(name.into(), value);
            }
            table
        });
        let mut headers = Headers::default();
        let change = |headers: &mut Headers, change: fn(&mut Headers, &Binding<'_>)| {
            for table in &tables {
                change(
                    headers,
                    &Binding {
                        name: "",
                        destination: Destination::Exchange(ExchangeId(1)),
                        routing_key: &Arc::from(""),
                        arguments: table,
                        encoded_arguments: &encode(table),
                    },
                );
            }
        };
        change(&mut headers, Headers::insert);
        assert_eq!((headers.patterns.len(), headers.drawers.len(), headers.always.len()), (5, 2, 1));
        change(&mut headers, Headers::remove);
        assert!(headers.patterns.is_empty() && headers.known.is_empty());
        assert!(headers.drawers.is_empty() && headers.always.is_empty());
    }
}
