//! What dead letters say of their deaths: x-death, x-first-death-*, x-last-death-* (semantics 12.4, 12.5), and which
//! of them go in a circle (semantics 12.6).

use super::{Death, Dying, deaths, header};
use crate::channel::{Channel, Delivery};
use crate::entity::{Exchange, Message, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::scene::each_type;
use crate::test::Test;
use crate::wire::{Properties, Table};

cases! {
    s12_04_rejected: "x-death of a rejected message";
    s12_04_expired: "x-death of a message that expired by its queue's TTL";
    s12_04_expired_by_expiration: "x-death of a message that expired by its expiration tells it as original-expiration";
    s12_04_expiration_not_cause: "original-expiration is told whatever the reason";
    s12_04_maxlen: "x-death of a message that a full queue dropped";
    s12_04_delivery_limit: "x-death of a message beyond its delivery limit";
    s12_04_exchange_and_keys: "x-death tells exchange and keys as published, with CC and without BCC";
    s12_04_count: "a second death in the same queue for the same reason is counted";
    s12_04_newest_first: "entries of x-death are newest first, and one that is counted moves to the front";
    s12_04_other_reason: "a death in the same queue for another reason is an entry of its own";
    s12_04_second_exchange: "an entry of a dead letter that dies again tells the dead-letter exchange";
    s12_04_first_death: "x-first-death-* stay as they were set";
    s12_04_last_death: "x-last-death-* are those of the newest death";
    s12_04_other_headers: "other headers stay";
    s12_05_republished: "a client that republishes a dead letter does not continue its count";
    s12_06_cycle: "a dead letter that expired all the way round is dropped";
    s12_06_cycle_of_one: "a message that expires into its own queue is dropped";
    s12_06_cycle_maxlen: "a message that a full queue drops into itself is gone";
    s12_06_cycle_with_reject: "a dead letter that was rejected on its way round enters its queue again";
    s12_06_cycle_of_one_rejected: "a message rejected into its own queue enters it again";
    s12_06_cycle_before_reject: "a rejection before the circle began does not save a dead letter";
}

/// The only entry of x-death, which must be this one.
fn died_once(delivery: &Delivery, expected: &Death) -> Step {
    equal("x-death", deaths(delivery)?, vec![expected.clone()])?;
    for when in ["first", "last"] {
        let header = |what: &str| header(delivery, &format!("x-{when}-death-{what}"));
        equal("queue", header("queue")?, expected.queue.clone())?;
        equal("reason", header("reason")?, expected.reason.clone())?;
        equal("exchange", header("exchange")?, expected.exchange.clone())?;
    }
    Ok(())
}

fn once(queue: &str, reason: &str) -> Death {
    Death {
        queue: queue.to_owned(),
        reason: reason.to_owned(),
        count: 1,
        exchange: String::new(),
        keys: vec![queue.to_owned()],
        original_expiration: None,
    }
}

fn s12_04_rejected(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        dying.channel.put(&dying.source, "a");
        let dead = dying.reject()?;
        equal(
            "exchange and key",
            (dead.exchange.as_str(), dead.key.as_str()),
            (dying.exchange.as_str(), dying.source.as_str()),
        )?;
        died_once(&dead, &once(&dying.source, "rejected"))
    })
}

fn s12_04_expired(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-message-ttl", 20))?;
        dying.channel.put(&dying.source, "a");
        died_once(&dying.channel.take_soon(&dying.target)?, &once(&dying.source, "expired"))
    })
}

fn put_expiring(channel: &Channel, queue: &str, expiration: &str) {
    channel.publish(&Message::new("", queue, "a").with(Properties::new().expiration(expiration)));
}

fn s12_04_expired_by_expiration(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        put_expiring(&dying.channel, &dying.source, "20");
        let dead = dying.channel.take_soon(&dying.target)?;
        equal("expiration", dead.properties()?.expiration(), None)?;
        died_once(&dead, &Death { original_expiration: Some("20".into()), ..once(&dying.source, "expired") })
    })
}

fn s12_04_expiration_not_cause(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        put_expiring(&dying.channel, &dying.source, "600000");
        let dead = dying.reject()?;
        equal("expiration", dead.properties()?.expiration(), None)?;
        died_once(
            &dead,
            &Death { original_expiration: Some("600000".into()), ..once(&dying.source, "rejected") },
        )
    })
}

fn s12_04_maxlen(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-max-length", 0))?;
        dying.channel.put(&dying.source, "a");
        died_once(&dying.channel.take_soon(&dying.target)?, &once(&dying.source, "maxlen"))
    })
}

fn s12_04_delivery_limit(test: &Test) -> Step {
    let dying = Dying::new(test, "quorum", |queue| queue.with("x-delivery-limit", 0))?;
    dying.channel.put(&dying.source, "a");
    dying.channel.becomes(&dying.source, 1)?;
    dying.channel.get(&dying.source, false)?;
    dying.channel.reject(1, true);
    died_once(&dying.channel.take_soon(&dying.target)?, &once(&dying.source, "delivery_limit"))
}

fn s12_04_exchange_and_keys(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        let from = test.exchange(&format!("{kind}.from"));
        dying.channel.declare_exchange(&Exchange::new(&from, "fanout"))?;
        dying.channel.bind(&dying.source, &from, "")?;
        let headers = Table::new().set("CC", &["cc1", "cc2"][..]).set("BCC", &["bcc"][..]);
        dying.channel.publish(&Message::new(&from, "key", "a").with(Properties::new().headers(&headers)));
        let dead = dying.reject()?;
        ensure(dead.header("BCC")?.is_none(), "BCC is told")?;
        ensure(dead.header("CC")?.is_some(), "CC is not told")?;
        let keys = ["key", "cc1", "cc2"].map(String::from).to_vec();
        died_once(&dead, &Death { exchange: from, keys, ..once(&dying.source, "rejected") })
    })
}

/// Messages rejected in `work` go to `retry`, and come back when they have expired there.
struct Retrying {
    channel: Channel,
    work: String,
    retry: String,
}

impl Retrying {
    fn new(test: &Test, kind: &str) -> Step<Retrying> {
        let channel = test.channel()?;
        let (work, retry) = (test.queue(&format!("{kind}.work")), test.queue(&format!("{kind}.retry")));
        for (from, to) in [(&work, &retry), (&retry, &work)] {
            let queue = Queue::of(kind, from).with("x-dead-letter-exchange", "");
            let queue = queue.with("x-dead-letter-routing-key", to);
            channel.declare(&if from == &retry { queue.with("x-message-ttl", 50) } else { queue })?;
        }
        Ok(Retrying { channel, work, retry })
    }

    /// A delivery of the message to `work` that is not acked yet.
    fn arrived(&self) -> Step<Delivery> {
        for _ in 0..500 {
            if let Some(delivery) = self.channel.get(&self.work, false)? {
                return Ok(delivery);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        fail("the message does not come back")
    }

    /// Sends the message through `retry`; what then comes back.
    fn round(&self) -> Step<Delivery> {
        self.channel.reject(self.arrived()?.tag, false);
        let back = self.arrived()?;
        self.channel.nack(back.tag, false, true);
        Ok(back)
    }
}

/// Queue, reason and count of each entry of x-death.
fn summary(delivery: &Delivery) -> Step<Vec<(String, String, i64)>> {
    Ok(deaths(delivery)?.into_iter().map(|death| (death.queue, death.reason, death.count)).collect())
}

fn s12_04_count(test: &Test) -> Step {
    each_type(|kind| {
        let retrying = Retrying::new(test, kind)?;
        retrying.channel.put(&retrying.work, "a");
        for count in 1..4 {
            let rejected = (retrying.work.clone(), "rejected".into(), count);
            let expired = (retrying.retry.clone(), "expired".into(), count);
            equal("x-death", summary(&retrying.round()?)?, vec![expired, rejected])?;
        }
        Ok(())
    })
}

fn s12_04_newest_first(test: &Test) -> Step {
    each_type(|kind| {
        let retrying = Retrying::new(test, kind)?;
        // In front of it all, a death in a queue it never comes back to.
        let first = test.queue(&format!("{kind}.first"));
        let queue = Queue::of(kind, &first).with("x-message-ttl", 20).with("x-dead-letter-exchange", "");
        retrying.channel.declare(&queue.with("x-dead-letter-routing-key", &retrying.work))?;
        retrying.channel.put(&first, "a");
        let one = retrying.round()?;
        let names = |deaths: Vec<(String, String, i64)>| -> Vec<(String, i64)> {
            deaths.into_iter().map(|(queue, _, count)| (queue, count)).collect()
        };
        let (work, retry) = (retrying.work.clone(), retrying.retry.clone());
        equal(
            "x-death",
            names(summary(&one)?),
            vec![(retry.clone(), 1), (work.clone(), 1), (first.clone(), 1)],
        )?;
        let two = retrying.round()?;
        equal("x-death", names(summary(&two)?), vec![(retry, 2), (work, 2), (first, 1)])
    })
}

fn s12_04_other_reason(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = test.queue(kind);
        let queue = Queue::of(kind, &name).with("x-dead-letter-exchange", "").with("x-message-ttl", 300);
        channel.declare(&queue)?;
        let target = test.queue(&format!("{kind}.target"));
        channel.declare(&Queue::new(&target))?;
        // Rejected, it comes back; then it expires, and both queues would get it.
        let headers = Table::new().set("CC", &[target.as_str()][..]);
        channel.publish(&Message::new("", &name, "a").with(Properties::new().headers(&headers)));
        channel.take_soon(&target)?;
        channel.becomes(&name, 1)?;
        channel.get(&name, false)?;
        channel.reject(2, false);
        channel.take_soon(&target)?;
        let dead = channel.take_soon(&target)?;
        equal(
            "x-death",
            summary(&dead)?,
            vec![(name.clone(), "expired".into(), 1), (name, "rejected".into(), 1)],
        )
    })
}

fn s12_04_second_exchange(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-dead-letter-routing-key", "dead"))?;
        let second = test.queue(&format!("{kind}.second"));
        let queue = Queue::of(kind, &second).with("x-dead-letter-exchange", "");
        let end = test.queue(&format!("{kind}.end"));
        dying.channel.declare(&queue.with("x-dead-letter-routing-key", &end))?;
        dying.channel.declare(&Queue::new(&end))?;
        dying.channel.bind(&second, &dying.exchange, "")?;
        dying.channel.put(&dying.source, "a");
        dying.reject_from(&dying.source)?;
        dying.reject_from(&second)?;
        let dead = dying.channel.take_soon(&end)?;
        let newest = Death {
            exchange: dying.exchange.clone(),
            keys: vec!["dead".to_owned()],
            ..once(&second, "rejected")
        };
        equal("x-death", deaths(&dead)?, vec![newest, once(&dying.source, "rejected")])
    })
}

fn first_and_last(delivery: &Delivery, when: &str) -> Step<[String; 3]> {
    let header = |what: &str| header(delivery, &format!("x-{when}-death-{what}"));
    Ok([header("queue")?, header("reason")?, header("exchange")?])
}

fn s12_04_first_death(test: &Test) -> Step {
    each_type(|kind| {
        let retrying = Retrying::new(test, kind)?;
        retrying.channel.bind(&retrying.work, "amq.direct", &retrying.work)?;
        retrying.channel.publish(&Message::new("amq.direct", &retrying.work, "a"));
        for _ in 0..2 {
            let first = first_and_last(&retrying.round()?, "first")?;
            equal("first death", first, [retrying.work.clone(), "rejected".into(), "amq.direct".into()])?;
        }
        Ok(())
    })
}

fn s12_04_last_death(test: &Test) -> Step {
    each_type(|kind| {
        let retrying = Retrying::new(test, kind)?;
        retrying.channel.bind(&retrying.work, "amq.direct", &retrying.work)?;
        retrying.channel.publish(&Message::new("amq.direct", &retrying.work, "a"));
        for _ in 0..2 {
            let last = first_and_last(&retrying.round()?, "last")?;
            equal("last death", last, [retrying.retry.clone(), "expired".into(), String::new()])?;
        }
        Ok(())
    })
}

fn s12_04_other_headers(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        let headers = Table::new().set("mine", "kept").set("number", 5_i64);
        dying
            .channel
            .publish(&Message::new("", &dying.source, "a").with(Properties::new().headers(&headers)));
        let dead = dying.reject()?;
        equal("header", header(&dead, "mine")?.as_str(), "kept")?;
        ensure(dead.header("number")?.is_some(), "a header is gone")
    })
}

fn s12_05_republished(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        dying.channel.put(&dying.source, "a");
        for _ in 0..2 {
            let dead = dying.reject()?;
            equal("x-death", summary(&dead)?, vec![(dying.source.clone(), "rejected".into(), 1)])?;
            let Some(headers) = dead.properties()?.raw_headers() else { return fail("no headers") };
            let properties = Properties::new().field(13, headers);
            dying.channel.publish(&Message::new("", &dying.source, "a").with(properties));
        }
        Ok(())
    })
}

fn s12_06_cycle(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let names = ["one", "two"].map(|name| test.queue(&format!("{kind}.{name}")));
        for (at, name) in names.iter().enumerate() {
            let queue = Queue::of(kind, name).with("x-message-ttl", 100).with("x-dead-letter-exchange", "");
            channel.declare(&queue.with("x-dead-letter-routing-key", &names[1 - at]))?;
        }
        channel.put(&names[0], "a");
        channel.becomes(&names[1], 1)?;
        channel.becomes(&names[1], 0)?;
        std::thread::sleep(std::time::Duration::from_millis(300));
        channel.empty(&names[0])?;
        channel.empty(&names[1])
    })
}

/// A queue whose dead letters come back to it.
fn own(test: &Test, kind: &str, queue: impl FnOnce(Queue) -> Queue) -> Step<(Channel, String)> {
    let channel = test.channel()?;
    let name = test.queue(kind);
    channel.declare(&queue(Queue::of(kind, &name).with("x-dead-letter-exchange", "")))?;
    Ok((channel, name))
}

fn s12_06_cycle_of_one(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, name) = own(test, kind, |queue| queue.with("x-message-ttl", 100))?;
        channel.put(&name, "a");
        channel.becomes(&name, 1)?;
        channel.becomes(&name, 0)?;
        channel.silent()?;
        channel.empty(&name)
    })
}

fn s12_06_cycle_maxlen(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, name) = own(test, kind, |queue| queue.with("x-max-length", 1))?;
        channel.put(&name, "a");
        channel.put(&name, "b");
        channel.silent()?;
        equal("left", channel.take(&name)?.body(), "b")?;
        channel.silent()?;
        channel.empty(&name)
    })
}

fn s12_06_cycle_with_reject(test: &Test) -> Step {
    each_type(|kind| {
        let retrying = Retrying::new(test, kind)?;
        retrying.channel.put(&retrying.work, "a");
        for _ in 0..3 {
            equal("body", retrying.round()?.body(), "a")?;
        }
        Ok(())
    })
}

fn s12_06_cycle_of_one_rejected(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, name) = own(test, kind, |queue| queue)?;
        channel.consume(&name, "t")?;
        channel.put(&name, "a");
        for count in 0..3 {
            let delivery = channel.delivery()?;
            if count > 0 {
                equal("x-death", summary(&delivery)?, vec![(name.clone(), "rejected".into(), count)])?;
            }
            channel.reject(delivery.tag, false);
        }
        Ok(())
    })
}

fn s12_06_cycle_before_reject(test: &Test) -> Step {
    let dying = Dying::new(test, "classic", |queue| queue)?;
    let channel = &dying.channel;
    let names = ["one", "two"].map(|name| test.queue(name));
    for (at, name) in names.iter().enumerate() {
        let queue = Queue::new(name).with("x-message-ttl", 100).with("x-dead-letter-exchange", "");
        channel.declare(&queue.with("x-dead-letter-routing-key", &names[1 - at]))?;
    }
    channel.bind(&names[0], &dying.exchange, "")?;
    channel.put(&dying.source, "a");
    dying.reject_from(&dying.source)?;
    channel.becomes(&names[0], 1)?;
    channel.becomes(&names[1], 1)?;
    std::thread::sleep(std::time::Duration::from_millis(400));
    channel.empty(&names[0])?;
    channel.empty(&names[1])
}
