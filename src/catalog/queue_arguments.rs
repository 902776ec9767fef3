//! The arguments of `queue.declare`: which there are, what they may be, and the settings they make (semantics
//! 7.13 to 7.15). How a queue obeys its settings is the queue's.

use leveret_codec::table::{AMQPValue, FieldTable};

use crate::model::argument::{integer, type_name};
use crate::model::fault::Fault;
use crate::model::ids::Name;
use crate::model::request::DeclareQueue;
use crate::model::resource::Resource;
use crate::model::retry::MOST_JITTER;
use crate::model::settings::{
    DeadLetterTarget, Overflow, QUORUM_CONSUMER_TIMEOUT, QUORUM_DELIVERY_LIMIT, QUORUM_MAX_PRIORITY,
    QueueSettings, QueueType,
};

use super::arguments::string;
use super::retries;

/// Ten years, the longest time a client may ask for, in milliseconds.
pub(crate) const LONGEST_TIME: i64 = 315_360_000_000;

/// What an argument's value must be.
#[derive(Clone, Copy)]
enum Check {
    /// Milliseconds, from `least` to ten years.
    Time {
        least: i64,
    },
    /// Not negative.
    Size,
    /// Greater than zero.
    Count,
    /// 0 to 255.
    Priority,
    /// 2, the one version there is.
    Version,
    Boolean,
    /// A list of delays, or what stands for one.
    Delays,
    /// Percent of jitter.
    Jitter,
    /// A text; its type has a text of its own.
    ExchangeName,
    RoutingKey,
    /// A text of these; else the word.
    OneOf(&'static [&'static str], &'static str),
    /// Nothing is checked.
    Any,
}

/// Which queues take an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Both,
    Classic,
    Quorum,
    /// Streams alone, which there are none of.
    Neither,
}

struct Argument {
    name: &'static str,
    takes: Takes,
    check: Check,
}

const fn argument(name: &'static str, takes: Takes, check: Check) -> Argument {
    Argument { name, takes, check }
}

/// All arguments with a meaning. Others are kept and passed over. Unlike in RabbitMQ, classic queues have delivery
/// limits, dead-letter strategies, consumer timeouts and delayed retries, too.
const ARGUMENTS: &[Argument] = &[
    argument("x-expires", Takes::Both, Check::Time { least: 1 }),
    argument("x-message-ttl", Takes::Both, Check::Time { least: 0 }),
    argument("x-dead-letter-exchange", Takes::Both, Check::ExchangeName),
    argument("x-dead-letter-routing-key", Takes::Both, Check::RoutingKey),
    argument(
        "x-dead-letter-strategy",
        Takes::Both,
        Check::OneOf(&["at-most-once", "at-least-once"], "invalid_dlx_strategy"),
    ),
    argument("x-max-length", Takes::Both, Check::Size),
    argument("x-max-length-bytes", Takes::Both, Check::Size),
    argument("x-max-priority", Takes::Classic, Check::Priority),
    argument(
        "x-overflow",
        Takes::Both,
        Check::OneOf(&["drop-head", "reject-publish", "reject-publish-dlx"], "invalid_overflow"),
    ),
    argument("x-single-active-consumer", Takes::Both, Check::Boolean),
    argument("x-delivery-limit", Takes::Both, Check::Any),
    argument("x-queue-mode", Takes::Classic, Check::Any),
    argument("x-queue-version", Takes::Classic, Check::Version),
    argument("x-queue-master-locator", Takes::Classic, Check::Any),
    argument(
        "x-queue-leader-locator",
        Takes::Both,
        Check::OneOf(
            &["client-local", "balanced", "random", "least-leaders", "min-masters"],
            "invalid_queue_locator_arg",
        ),
    ),
    argument("x-quorum-initial-group-size", Takes::Quorum, Check::Count),
    argument("x-max-in-memory-length", Takes::Quorum, Check::Size),
    argument("x-max-in-memory-bytes", Takes::Quorum, Check::Size),
    argument("x-consumer-timeout", Takes::Both, Check::Size),
    argument("x-consumer-disconnected-timeout", Takes::Quorum, Check::Size),
    argument("x-delayed-retry-type", Takes::Both, Check::Any),
    argument("x-delayed-retry-min", Takes::Both, Check::Any),
    argument("x-delayed-retry-max", Takes::Both, Check::Any),
    argument("x-retry-delays", Takes::Both, Check::Delays),
    argument("x-retry-jitter", Takes::Both, Check::Jitter),
    argument("x-retry-rejected", Takes::Both, Check::Boolean),
    argument("x-scheduled-delivery", Takes::Both, Check::Boolean),
    argument("x-max-age", Takes::Neither, Check::Any),
    argument("x-stream-max-segment-size-bytes", Takes::Neither, Check::Any),
    argument("x-stream-filter-size-bytes", Takes::Neither, Check::Any),
    argument("x-initial-cluster-size", Takes::Neither, Check::Any),
];

impl Argument {
    fn fits(&self, queue_type: QueueType) -> bool {
        match self.takes {
            Takes::Both => true,
            Takes::Classic => queue_type == QueueType::Classic,
            Takes::Quorum => queue_type == QueueType::Quorum,
            Takes::Neither => false,
        }
    }
}

/// The names of the arguments that a redeclare compares (semantics 7.4), but for the type.
pub(crate) fn compared(queue_type: QueueType) -> impl Iterator<Item = &'static str> {
    ARGUMENTS.iter().filter(move |argument| argument.fits(queue_type)).map(|argument| argument.name)
}

/// Whether the value of an argument is an integer, as far as it has a meaning.
pub(crate) fn is_number(name: &str) -> bool {
    let counts = |check| {
        matches!(
            check,
            Check::Time { .. }
                | Check::Size
                | Check::Count
                | Check::Priority
                | Check::Version
                | Check::Jitter
        )
    };
    // These are not checked where they are not understood.
    ["x-delivery-limit", "x-delayed-retry-min", "x-delayed-retry-max"].contains(&name)
        || ARGUMENTS.iter().any(|argument| argument.name == name && counts(argument.check))
}

/// The queue type that the arguments ask for. 406 where there is no such type, 540 for a stream.
pub(crate) fn queue_type(arguments: &FieldTable, queue: Resource<'_>) -> Result<QueueType, Fault> {
    let Some(value) = arguments.inner().get("x-queue-type") else { return Ok(QueueType::Classic) };
    match string(value).as_deref() {
        // An empty one is the default, as none is.
        Some("classic" | "") => Ok(QueueType::Classic),
        Some("quorum") => Ok(QueueType::Quorum),
        Some("stream") => {
            Err(Fault::not_implemented(format!("cannot declare {queue}: streams are not supported")))
        }
        Some(unknown) => {
            Err(invalid("x-queue-type", queue, format!("\"unsupported queue type '{unknown}'\"")))
        }
        None => Err(invalid("x-queue-type", queue, unacceptable_type(value))),
    }
}

/// Checks a declare of a new queue and makes its settings. `server_named`: the broker made the name.
pub(crate) fn settings(
    declare: &DeclareQueue,
    queue: Resource<'_>,
    server_named: bool,
) -> Result<QueueSettings, Fault> {
    let queue_type = queue_type(&declare.arguments, queue)?;
    check_arguments(&declare.arguments, queue, queue_type)?;
    if queue_type == QueueType::Quorum {
        check_quorum(declare, queue, server_named)?;
    }
    let arguments = Values(&declare.arguments);
    let mut settings = QueueSettings {
        queue_type,
        durable: declare.durable,
        auto_delete: declare.auto_delete,
        message_ttl: arguments.number("x-message-ttl"),
        expires: arguments.number("x-expires"),
        max_length: arguments.number("x-max-length"),
        max_length_bytes: arguments.number("x-max-length-bytes"),
        overflow: arguments.overflow(queue_type),
        dead_letter: arguments.dead_letter(),
        max_priority: match queue_type {
            QueueType::Classic => arguments.number("x-max-priority").and_then(|max| u8::try_from(max).ok()),
            QueueType::Quorum => Some(QUORUM_MAX_PRIORITY),
        },
        single_active_consumer: arguments.is_true("x-single-active-consumer"),
        delivery_limit: arguments.delivery_limit(queue_type),
        ..QueueSettings::default()
    };
    complete(&mut settings, &declare.arguments);
    Ok(settings)
}

/// Adds to settings what is not recorded with them but said by the arguments, which were checked.
pub(crate) fn complete(settings: &mut QueueSettings, arguments: &FieldTable) {
    let arguments = Values(arguments);
    let default = (settings.queue_type == QueueType::Quorum).then_some(QUORUM_CONSUMER_TIMEOUT);
    settings.consumer_timeout = arguments.number("x-consumer-timeout").or(default);
    settings.set_dead_letter_strategy(arguments.text("x-dead-letter-strategy").as_deref());
    settings.scheduled = arguments.is_true("x-scheduled-delivery");
    if let Some((retry, count)) = retries::retries(arguments.0, &FieldTable::default()) {
        settings.retry = Some(retry);
        // A list is for as many returns as it has delays, where nothing else is said.
        if count.is_some() && !arguments.0.inner().contains_key("x-delivery-limit") {
            settings.delivery_limit = count;
        }
    }
}

/// 406: an argument that only queues of another type take, of the queue or of a consumer.
pub(crate) fn of_other_type(argument: &str, queue: Resource<'_>, queue_type: QueueType) -> Fault {
    let of_type = match queue_type {
        QueueType::Classic => "rabbit_classic_queue",
        QueueType::Quorum => "rabbit_quorum_queue",
    };
    Fault::precondition(format!("invalid arg '{argument}' for {queue} of queue type {of_type}"))
}

fn check_arguments(arguments: &FieldTable, queue: Resource<'_>, queue_type: QueueType) -> Result<(), Fault> {
    for argument in ARGUMENTS {
        let Some(value) = arguments.inner().get(argument.name) else { continue };
        if !argument.fits(queue_type) {
            return Err(of_other_type(argument.name, queue, queue_type));
        }
        if let Check::ExchangeName = argument.check
            && string(value).is_none()
        {
            return Err(invalid_type(argument.name, value, queue));
        }
        check_value(argument.check, value).map_err(|reason| invalid(argument.name, queue, reason))?;
    }
    let has = |name: &str| arguments.inner().contains_key(name);
    if has("x-dead-letter-routing-key") && !has("x-dead-letter-exchange") {
        return Err(invalid("x-dead-letter-routing-key", queue, "routing_key_but_no_dlx_defined"));
    }
    Ok(())
}

/// What a quorum queue cannot be (semantics 7.15); the order is RabbitMQ's.
fn check_quorum(declare: &DeclareQueue, queue: Resource<'_>, server_named: bool) -> Result<(), Fault> {
    if server_named {
        return Err(Fault::precondition("Cannot declare a server-named queue for type rabbit_quorum_queue"));
    }
    let wrong = [
        (declare.auto_delete, "auto-delete"),
        (declare.exclusive, "exclusive-owner"),
        (!declare.durable, "non-durable"),
    ];
    match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
        Some((_, property)) => Err(Fault::precondition(format!("invalid property '{property}' for {queue}"))),
        None => Ok(()),
    }
}

/// What is wrong with a value, in RabbitMQ's words.
fn check_value(check: Check, value: &AMQPValue) -> Result<(), String> {
    let number = || integer(value).ok_or_else(|| format!("\"expected integer, got {}\"", type_name(value)));
    match check {
        Check::Any => Ok(()),
        Check::Time { least } => at_least(least, number()?).and_then(at_most_ten_years),
        Check::Size => at_least(0, number()?).map(|_| ()),
        Check::Count => at_least(1, number()?).map(|_| ()),
        Check::Priority => match at_least(0, number()?)? {
            0..=255 => Ok(()),
            more => Err(format!("{{max_value_exceeded,{more}}}")),
        },
        Check::Version => match number()? {
            2 => Ok(()),
            other => Err(format!("\"unsupported queue version '{other}'\"")),
        },
        Check::Delays => match string(value) {
            Some(text) if retries::is_delays(&text) => Ok(()),
            _ => Err(format!("\"{}\"", retries::EXPECTED_DELAYS)),
        },
        Check::Jitter if (0..=i64::from(MOST_JITTER)).contains(&number()?) => Ok(()),
        Check::Jitter => Err(format!("\"expected percent, 0 to {MOST_JITTER}\"")),
        Check::Boolean if matches!(value, AMQPValue::Boolean(_)) => Ok(()),
        Check::ExchangeName | Check::RoutingKey if string(value).is_some() => Ok(()),
        Check::OneOf(words, reason) => match string(value) {
            Some(word) if words.contains(&word.as_str()) => Ok(()),
            Some(_) => Err(reason.to_owned()),
            None => Err(unacceptable_type(value)),
        },
        Check::Boolean | Check::ExchangeName | Check::RoutingKey => Err(unacceptable_type(value)),
    }
}

fn at_least(least: i64, number: i64) -> Result<i64, String> {
    match number {
        number if number >= least => Ok(number),
        0 => Err("{value_zero,0}".to_owned()),
        negative => Err(format!("{{value_negative,{negative}}}")),
    }
}

fn at_most_ten_years(time: i64) -> Result<(), String> {
    if time > LONGEST_TIME { Err(format!("{{value_too_large,{time}}}")) } else { Ok(()) }
}

fn unacceptable_type(value: &AMQPValue) -> String {
    format!("{{unacceptable_type,{}}}", type_name(value))
}

fn invalid(name: &str, queue: Resource<'_>, reason: impl std::fmt::Display) -> Fault {
    Fault::precondition(format!("invalid arg '{name}' for {queue}: {reason}"))
}

/// 406: an argument that names an exchange is no text (semantics 5.7, 7.13).
pub(crate) fn invalid_type(name: &str, value: &AMQPValue, resource: Resource<'_>) -> Fault {
    Fault::precondition(format!("invalid type '{}' for arg '{name}' in {resource}", type_name(value)))
}

/// Arguments that were checked.
struct Values<'a>(&'a FieldTable);

impl Values<'_> {
    fn number(&self, name: &str) -> Option<u64> {
        self.0.inner().get(name).and_then(integer).and_then(|number| u64::try_from(number).ok())
    }

    fn text(&self, name: &str) -> Option<Name> {
        self.0.inner().get(name).and_then(string).map(Name::from)
    }

    fn is_true(&self, name: &str) -> bool {
        matches!(self.0.inner().get(name), Some(AMQPValue::Boolean(true)))
    }

    /// Quorum queues take `reject-publish-dlx` for `drop-head`, as in RabbitMQ (semantics 12.3).
    fn overflow(&self, queue_type: QueueType) -> Overflow {
        self.text("x-overflow").and_then(|word| Overflow::parse(&word, queue_type)).unwrap_or_default()
    }

    fn dead_letter(&self) -> Option<DeadLetterTarget> {
        let exchange = self.text("x-dead-letter-exchange")?;
        Some(DeadLetterTarget { exchange, routing_key: self.text("x-dead-letter-routing-key") })
    }

    /// A negative limit is none; what is no number is passed over.
    fn delivery_limit(&self, queue_type: QueueType) -> Option<u32> {
        match self.0.inner().get("x-delivery-limit").and_then(integer) {
            Some(limit) => u64::try_from(limit).ok().map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            None => (queue_type == QueueType::Quorum).then_some(QUORUM_DELIVERY_LIMIT),
        }
    }
}
