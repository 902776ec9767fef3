//! Limits of the whole node that are no default (semantics 5.14, 7.17, 10.5). Needs an operator who sets them.

use crate::entity::{Consume, Exchange, Queue};
use crate::operator::{Limit, Operator};
use crate::outcome::Step;
use crate::runner::cases;
use crate::test::Test;
use crate::wire::id;

cases! {
    s5_14_exchanges: "one exchange more than the node may have is 406, and one that exists is not", alone();
    s7_17_queues: "one queue more than the node may have is 406, and one that exists is not", alone();
    s10_05_consumers: "one consumer more than a channel may have is 530; other channels may have theirs", alone();
}

fn s5_14_exchanges(test: &Test) -> Step {
    let mut operator = Operator::new(test)?;
    let channel = test.channel()?;
    let (known, more) = (test.exchange("known"), test.exchange("more"));
    channel.declare_exchange(&Exchange::new(&known, "fanout"))?;
    operator.limit(Limit::Exchanges, 1)?;
    channel.declare_exchange(&Exchange::new(&known, "fanout"))?;
    channel.send(Exchange::new(&more, "fanout").payload());
    let text = format!(
        "PRECONDITION_FAILED - cannot declare exchange '{more}' in vhost '{}': exchange limit of 1 is reached",
        test.target.vhost
    );
    channel.closes(406, id(40, 10), &text)
}

fn s7_17_queues(test: &Test) -> Step {
    let mut operator = Operator::new(test)?;
    let channel = test.channel()?;
    let (known, more) = (test.queue("known"), test.queue("more"));
    channel.declare(&Queue::new(&known))?;
    operator.limit(Limit::Queues, 1)?;
    channel.declare(&Queue::new(&known))?;
    channel.send(Queue::new(&more).payload());
    let text =
        format!("PRECONDITION_FAILED - cannot declare queue '{more}': queue limit in cluster (1) is reached");
    channel.closes(406, id(50, 10), &text)
}

fn s10_05_consumers(test: &Test) -> Step {
    let mut operator = Operator::new(test)?;
    operator.limit(Limit::Consumers, 2)?;
    let connection = test.connect()?;
    let (first, second) = (connection.channel()?, connection.channel()?);
    let name = test.queue("q");
    first.declare(&Queue::new(&name))?;
    for channel in [&first, &second] {
        channel.consume(&name, "one")?;
        channel.consume(&name, "two")?;
    }
    first.cancel("one")?;
    first.consume(&name, "three")?;
    first.send(Consume::new(&name, "four").payload());
    connection.closes(530, id(60, 20), "NOT_ALLOWED - reached maximum (2) of consumers per channel")
}
