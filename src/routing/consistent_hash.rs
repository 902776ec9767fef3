//! The consistent hash exchange: a hash of the routing key, a header or a property decides between destinations, each
//! with the weight that its binding key says (semantics 5.25).
//!
//! Every destination draws a number from the hash and its own name, stretched by its weight, and the lowest wins
//! (weighted rendezvous hashing). So a destination that comes takes its share and one that goes leaves its share to
//! the others, and no other key moves; RabbitMQ numbers its destinations, where one that goes renumbers the later
//! ones.

use std::collections::BTreeMap;

use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{AMQPValue, FieldTable, encode};

use super::hash::{hash, mix};
use super::print::term;
use super::{Binding, Effort, End, Keys, Matcher, Reads};
use crate::model::argument::integer;
use crate::model::fault::Fault;
use crate::model::ids::{Destination, Name};

const HEADER: &str = "hash-header";
const PROPERTY: &str = "hash-property";
const MOST_WEIGHT: u32 = 10_000;

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    RoutingKey,
    Header(Box<str>),
    Property(Field),
}

impl Subject {
    /// 406 where the arguments of the exchange make no sense.
    fn of(arguments: &FieldTable) -> Result<Subject, Fault> {
        let (header, property) = (text(arguments, HEADER)?, text(arguments, PROPERTY)?);
        match (header, property) {
            (Some(_), Some(_)) => {
                Err(Fault::precondition("hash-header and hash-property are mutually exclusive"))
            }
            (Some(header), None) => Ok(Subject::Header(header.into())),
            (None, Some(property)) => match property.as_str() {
                "correlation_id" => Ok(Subject::Property(Field::CorrelationId)),
                "message_id" => Ok(Subject::Property(Field::MessageId)),
                "timestamp" => Ok(Subject::Property(Field::Timestamp)),
                _ => Err(Fault::precondition(format!("Unsupported property: {property}"))),
            },
            (None, None) => Ok(Subject::RoutingKey),
        }
    }

    /// A message without the header or the property hashes as nothing.
    fn hash(&self, routing_key: &[u8], properties: Properties<'_>) -> u64 {
        match self {
            Subject::RoutingKey => hash(routing_key),
            Subject::Property(field) => hash(properties.field(*field).unwrap_or_default()),
            Subject::Header(name) => match properties.header(name) {
                None => hash(&[]),
                Some(AMQPValue::LongString(text)) => hash(text.as_bytes()),
                Some(value) => match integer(&value) {
                    Some(number) => hash(number.to_string().as_bytes()),
                    None => {
                        let mut alone = FieldTable::default();
                        alone.insert("".into(), value);
                        hash(&encode(&alone))
                    }
                },
            },
        }
    }
}

/// 406 where the arguments of the exchange make no sense.
pub(super) fn check(arguments: &FieldTable) -> Result<(), Fault> {
    Subject::of(arguments).map(drop)
}

fn text(arguments: &FieldTable, name: &str) -> Result<Option<String>, Fault> {
    match arguments.inner().get(name) {
        None => Ok(None),
        Some(AMQPValue::LongString(text)) => Ok(Some(String::from_utf8_lossy(text.as_bytes()).into_owned())),
        Some(other) => Err(Fault::precondition(format!("{name} must be a string, not {}", term(other)))),
    }
}

/// The weight a binding key says; 406 where it says none.
fn weight(key: &str) -> Result<u32, Fault> {
    let digits = key.strip_prefix(['+', '-']).unwrap_or(key);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        let key = term(&AMQPValue::LongString(key.into()));
        return Err(Fault::precondition(format!("The binding key must be an integer: {key}")));
    }
    let significant = digits.trim_start_matches('0');
    if key.starts_with('-') || significant.is_empty() {
        return Err(Fault::precondition("The binding key must be greater than 0"));
    }
    significant
        .parse()
        .ok()
        .filter(|&weight| weight <= MOST_WEIGHT)
        .ok_or_else(|| Fault::precondition(format!("The binding key must not exceed {MOST_WEIGHT}")))
}

#[derive(Clone, Debug)]
struct Share {
    /// The hash of its name: ids of exchanges are given anew at every start, and a queue that is deleted and declared
    /// again gets its keys back.
    name: u64,
    /// What each binding weighs, in the order in which they were made. The first counts.
    weights: BTreeMap<u64, u32>,
    /// Which of them a binding is, by its key and arguments.
    numbers: BTreeMap<(Name, Box<[u8]>), u64>,
}

impl Share {
    /// What the destination draws for a hash; the lowest wins.
    fn draw(&self, hash: u64) -> f64 {
        let weight = self.weights.values().next().copied().unwrap_or(1);
        // Over the open interval from 0 to 1, in steps of 2^-53.
        #[allow(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
        let uniform = ((mix(hash ^ self.name) >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0;
        -uniform.ln() / f64::from(weight)
    }
}

#[derive(Clone, Debug)]
pub(super) struct ConsistentHash {
    subject: Subject,
    shares: BTreeMap<Destination, Share>,
    /// How many bindings have been made so far.
    made: u64,
}

impl ConsistentHash {
    /// Of arguments that were checked.
    pub(super) fn new(arguments: &FieldTable) -> ConsistentHash {
        let subject = Subject::of(arguments).unwrap_or(Subject::RoutingKey);
        ConsistentHash { subject, shares: BTreeMap::new(), made: 0 }
    }
}

fn identity(binding: &Binding<'_>) -> (Name, Box<[u8]>) {
    (binding.routing_key.clone(), binding.encoded_arguments.into())
}

impl Matcher for ConsistentHash {
    fn check(&self, _: &End<'_>, routing_key: &str, _: &FieldTable) -> Result<(), Fault> {
        weight(routing_key).map(drop)
    }

    fn insert(&mut self, binding: &Binding<'_>) {
        // A binding that was let in has a weight.
        let weight = weight(binding.routing_key).unwrap_or(1);
        let name = hash(binding.name.as_bytes());
        let unbound = || Share { name, weights: BTreeMap::new(), numbers: BTreeMap::new() };
        let share = self.shares.entry(binding.destination).or_insert_with(unbound);
        self.made += 1;
        share.weights.insert(self.made, weight);
        share.numbers.insert(identity(binding), self.made);
    }

    fn remove(&mut self, binding: &Binding<'_>) {
        let Some(share) = self.shares.get_mut(&binding.destination) else { return };
        if let Some(number) = share.numbers.remove(&identity(binding)) {
            share.weights.remove(&number);
        }
        if share.weights.is_empty() {
            self.shares.remove(&binding.destination);
        }
    }

    fn matches(
        &self,
        routing_key: &[u8],
        properties: Properties<'_>,
        _: u64,
        _: &mut Effort,
        found: &mut dyn FnMut(Destination),
    ) {
        let hash = self.subject.hash(routing_key, properties);
        let drawn = self.shares.iter().map(|(destination, share)| (share.draw(hash), *destination));
        let lowest = drawn.min_by(|(one, _), (other, _)| one.total_cmp(other));
        lowest.into_iter().for_each(|(_, destination)| found(destination));
    }

    fn reads(&self) -> Reads {
        match self.subject {
            Subject::RoutingKey => Reads { keys: Keys::First, nothing_else: true },
            Subject::Header(_) | Subject::Property(_) => Reads { keys: Keys::None, nothing_else: false },
        }
    }

    fn boxed_clone(&self) -> Box<dyn Matcher> {
        Box::new(self.clone())
    }
}
