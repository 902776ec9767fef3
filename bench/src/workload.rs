//! The workloads, as data: one table, from which everything else takes what to do. Runs nothing.

use anyhow::{Result, ensure};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// A name for several rows together; often that of the row itself.
    pub(crate) group: &'static str,
    /// One line for people.
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Publishers and consumers at the same time, measured over a window.
    Flow(Flow),
    /// A queue is filled first, then emptied.
    Backlog(Backlog),
    /// So many connections with a channel each, doing nothing.
    Idle { connections: u64 },
    /// So many persistent messages, SIGKILL, and the time to the first delivery.
    Restart { messages: u64 },
    /// Connections, channels and queues opened and closed.
    Churn { clients: usize },
    /// So many clients that come back at once, each with so many queues and bindings that are there.
    Reconnect { clients: usize, queues: usize },
    /// So many clients that make and drop exclusive queues while messages flow.
    Rpc { clients: usize, flow: Flow },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) publishers: usize,
    /// Connections with consumers; the queues are dealt out among them.
    pub(crate) consumers: usize,
    /// Bytes of a body.
    pub(crate) body: usize,
    pub(crate) persistent: bool,
    pub(crate) topology: Topology,
    /// At most so many messages unconfirmed per publisher; None: no confirms.
    pub(crate) unconfirmed: Option<usize>,
    pub(crate) acks: Acks,
    /// Messages per second over all publishers; None: as fast as they go.
    pub(crate) pace: Option<u32>,
    /// What else is measured on the same machine, to compare with.
    pub(crate) beside: Beside,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Backlog {
    pub(crate) messages: u64,
    pub(crate) body: usize,
    pub(crate) persistent: bool,
    pub(crate) unconfirmed: Option<usize>,
    pub(crate) acks: Acks,
}

/// Exchanges, queues and bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// So many queues, published to in turn through the default exchange.
    Queues(usize),
    /// A fanout exchange with so many queues.
    Fanout(usize),
    /// A topic exchange with so many bindings `a.<n>.*.x` of one queue, published to in turn with `a.<n>.k.x`.
    Topic(usize),
    /// A headers exchange with so many bindings of one queue, each for another value of a header.
    Headers(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    Automatic,
    /// `multiple`, after every so many messages; 1: each message by itself.
    Every {
        messages: u16,
        prefetch: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// 4 KB appended to a file and synced.
    Disk,
    /// Blobs of as many messages as may be unconfirmed, in redb by itself.
    Redb,
    /// The same bytes through two loopback sockets and a plain copy.
    Loopback,
}

impl Topology {
    /// Deliveries for one message published.
    pub(crate) fn copies(self) -> u64 {
        match self {
            Topology::Fanout(queues) => queues as u64,
            _ => 1,
        }
    }

    /// Bindings to be declared that are worth timing.
    pub(crate) fn bindings(self) -> usize {
        match self {
            Topology::Topic(bindings) | Topology::Headers(bindings) => bindings,
            Topology::Queues(_) | Topology::Fanout(_) => 0,
        }
    }

    pub(crate) fn queues(self) -> usize {
        match self {
            Topology::Queues(queues) | Topology::Fanout(queues) => queues,
            Topology::Topic(_) | Topology::Headers(_) => 1,
        }
    }
}

impl Workload {
    /// Whether one round is enough: these take minutes and measure no short window.
    pub(crate) fn is_long(&self) -> bool {
        match self.kind {
            Kind::Backlog(backlog) => backlog.persistent,
            Kind::Idle { .. } | Kind::Restart { .. } => true,
            Kind::Flow(_) | Kind::Churn { .. } | Kind::Reconnect { .. } | Kind::Rpc { .. } => false,
        }
    }

    /// The same with every count of stored messages, connections and bindings divided by `divisor`, but for a rest.
    pub(crate) fn shrunk(mut self, divisor: u32) -> Workload {
        let divisor = divisor.max(1);
        let shrink = |count: u64, least: u64| (count / u64::from(divisor)).max(least.min(count));
        let shrink_few = |count: usize, least: usize| {
            (count / usize::try_from(divisor).unwrap_or(usize::MAX)).max(least.min(count))
        };
        match &mut self.kind {
            Kind::Backlog(backlog) => backlog.messages = shrink(backlog.messages, 1000),
            Kind::Idle { connections } => *connections = shrink(*connections, 10),
            Kind::Restart { messages } => *messages = shrink(*messages, 1000),
            Kind::Flow(flow) | Kind::Rpc { flow, .. } => match &mut flow.topology {
                Topology::Topic(bindings) | Topology::Headers(bindings) => {
                    *bindings = shrink_few(*bindings, 10);
                }
                Topology::Queues(queues) => *queues = shrink_few(*queues, 64),
                Topology::Fanout(_) => {}
            },
            Kind::Reconnect { clients, .. } => *clients = shrink_few(*clients, 4),
            Kind::Churn { .. } => {}
        }
        self
    }
}

/// The rows these words mean, in the order of the table; `all` and no word mean every row.
pub(crate) fn select(words: &[String]) -> Result<Vec<Workload>> {
    for word in words {
        let known = |row: &Workload| row.name == word || row.group == word;
        ensure!(
            word == "all" || WORKLOADS.iter().any(known),
            "no workload is called {word:?}; there are: {}",
            WORKLOADS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
        );
    }
    let all = words.is_empty() || words.iter().any(|word| word == "all");
    let meant = |row: &&Workload| all || words.iter().any(|word| row.name == word || row.group == word);
    Ok(WORKLOADS.iter().filter(meant).copied().collect())
}

const EACH: Acks = Acks::Every { messages: 1, prefetch: 100 };
const HUNDREDS: Acks = Acks::Every { messages: 100, prefetch: 1000 };

/// The plainest flow; rows say only what they change.
const T16: Flow = Flow {
    publishers: 1,
    consumers: 1,
    body: 16,
    persistent: false,
    topology: Topology::Queues(1),
    unconfirmed: None,
    acks: Acks::Automatic,
    pace: None,
    beside: Beside::Nothing,
};

const TOPIC10K: Flow = Flow { topology: Topology::Topic(10_000), ..T16 };

const P1K: Flow = Flow { body: 1024, persistent: true, acks: HUNDREDS, ..T16 };

const fn row(name: &'static str, group: &'static str, kind: Kind, about: &'static str) -> Workload {
    Workload { name, group, about, kind }
}

const fn flow(name: &'static str, flow: Flow, about: &'static str) -> Workload {
    row(name, name, Kind::Flow(flow), about)
}

/// Every workload there is. `restart` comes last: it takes the broker down.
#[rustfmt::skip]
pub(crate) const WORKLOADS: &[Workload] = &[
    flow("t16", T16, "1 publisher, 1 consumer, automatic acks, 16 B"),
    flow("t1k", Flow { body: 1024, ..T16 }, "1 publisher, 1 consumer, automatic acks, 1 KB"),
    flow("pub16", Flow { consumers: 0, ..T16 }, "1 publisher, nobody consumes, 16 B"),
    row("con16", "con16", Kind::Backlog(Backlog { messages: 2_000_000, body: 16, persistent: false, unconfirmed: None, acks: Acks::Automatic }),
        "a queue with 2 million messages of 16 B is drained, automatic acks"),
    flow("ack16", Flow { acks: HUNDREDS, ..T16 }, "16 B, prefetch 1000, ack multiple after every 100"),
    flow("ack1", Flow { acks: EACH, ..T16 }, "16 B, prefetch 100, every message acked by itself"),
    flow("p1k-c1", Flow { unconfirmed: Some(1), beside: Beside::Disk, ..P1K }, "1 KB persistent, 1 unconfirmed, consumer acks every 100"),
    flow("p1k-c100", Flow { unconfirmed: Some(100), ..P1K }, "1 KB persistent, 100 unconfirmed, consumer acks every 100"),
    flow("p1k-c1000", Flow { unconfirmed: Some(1000), beside: Beside::Redb, ..P1K }, "1 KB persistent, 1000 unconfirmed, consumer acks every 100"),
    flow("p16-c1000", Flow { unconfirmed: Some(1000), body: 16, ..P1K }, "16 B persistent, 1000 unconfirmed, consumer acks every 100"),
    flow("x4y4", Flow { publishers: 4, consumers: 4, acks: HUNDREDS, ..T16 }, "4 publishers, 4 consumers, one queue, 16 B, acks every 100"),
    flow("fan10", Flow { consumers: 10, topology: Topology::Fanout(10), ..T16 }, "fanout to 10 queues with a consumer each, 16 B; deliveries are counted"),
    row("q1000", "q1000", Kind::Flow(Flow { consumers: 4, topology: Topology::Queues(1000), pace: Some(10_000), ..T16 }),
        "1000 queues, 10 messages/s each, 16 B: latency"),
    row("q64", "q1000", Kind::Flow(Flow { publishers: 4, consumers: 4, topology: Topology::Queues(64), ..T16 }),
        "64 queues flat out, 4 publishers, 4 consumers, 16 B"),
    row("topic10k", "topic10k", Kind::Flow(TOPIC10K), "topic exchange with 10,000 bindings, each key in turn, 16 B"),
    row("topic10", "topic10k", Kind::Flow(Flow { topology: Topology::Topic(10), ..T16 }), "the same with 10 bindings"),
    flow("headers1k", Flow { topology: Topology::Headers(1000), ..T16 }, "headers exchange with 1000 bindings, each header in turn, 16 B"),
    flow("64k", Flow { body: 64 * 1024, beside: Beside::Loopback, ..T16 }, "64 KB bodies"),
    flow("1m", Flow { body: 1024 * 1024, beside: Beside::Loopback, ..T16 }, "1 MB bodies"),
    row("rate10k", "rate", Kind::Flow(Flow { body: 100, pace: Some(10_000), ..T16 }), "10,000 messages/s of 100 B: latency from publisher to consumer"),
    row("rate100k", "rate", Kind::Flow(Flow { body: 100, pace: Some(100_000), ..T16 }), "100,000 messages/s of 100 B: latency from publisher to consumer"),
    row("churn", "churn", Kind::Churn { clients: 4 }, "connections, channels and queues opened and closed by 4 clients"),
    row("reconnect", "churn", Kind::Reconnect { clients: 200, queues: 50 }, "200 clients come back at once, each declares 50 queues and bindings that are there"),
    row("rpc", "churn", Kind::Rpc { clients: 100, flow: TOPIC10K }, "topic10k while 100 clients make and drop an exclusive queue 10 times a second each"),
    row("idle", "idle", Kind::Idle { connections: 10_000 }, "10,000 idle connections with a channel each"),
    row("backlog", "backlog", Kind::Backlog(Backlog { messages: 10_000_000, body: 100, persistent: true, unconfirmed: Some(10_000), acks: HUNDREDS }),
        "10 million persistent messages of 100 B are stored, then drained with acks"),
    row("restart1m", "restart", Kind::Restart { messages: 1_000_000 }, "SIGKILL with 1 million messages stored: time to the first delivery"),
    row("restart10m", "restart", Kind::Restart { messages: 10_000_000 }, "SIGKILL with 10 million messages stored: time to the first delivery"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn names(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        select(&words).unwrap().iter().map(|row| row.name).collect()
    }

    #[test]
    fn names_are_unique_and_groups_gather_rows() {
        assert_eq!(WORKLOADS.iter().map(|row| row.name).collect::<HashSet<_>>().len(), WORKLOADS.len());
        assert_eq!(names(&["rate", "t16"]), ["t16", "rate10k", "rate100k"]);
        assert_eq!(names(&["rate10k"]), ["rate10k"]);
        assert_eq!(names(&[]).len(), WORKLOADS.len());
        assert_eq!(names(&["all"]).len(), WORKLOADS.len());
    }

    #[test]
    fn an_unknown_word_is_an_error_that_lists_the_known_ones() {
        let error = select(&["t17".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("t17") && error.contains("p1k-c100"), "{error}");
    }

    #[test]
    fn every_body_has_room_for_a_time_stamp() {
        for row in WORKLOADS {
            if let Kind::Flow(Flow { body, .. }) | Kind::Backlog(Backlog { body, .. }) = row.kind {
                assert!(body >= 8, "{}", row.name);
            }
        }
    }

    #[test]
    fn counts_shrink_but_never_to_nothing() {
        let [backlog] = select(&["backlog".to_owned()]).unwrap()[..] else { panic!() };
        let messages = |divisor| match backlog.shrunk(divisor).kind {
            Kind::Backlog(small) => small.messages,
            _ => 0,
        };
        assert_eq!([1, 100, u32::MAX].map(messages), [10_000_000, 100_000, 1000]);
        let [t16] = select(&["t16".to_owned()]).unwrap()[..] else { panic!() };
        let Kind::Flow(flow) = t16.shrunk(1000).kind else { panic!() };
        assert_eq!(flow.topology, Topology::Queues(1));
    }
}
