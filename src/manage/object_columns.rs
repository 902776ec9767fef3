//! Metrics of single objects on their way from owners to whoever reads them. The format wants all samples of a family in a row, so
//! every object is asked once, some at a time, and what is wanted of it is kept in columns, a byte or two for most values; the
//! text is made a piece at a time, when the one before it has been taken.

use std::collections::HashSet;

use super::metric_text::{Text, of_millis};
use super::metrics::DETAILED;
use super::object_metrics::{self, Group, Metric, NOTHING, OfConnection, Unit};
use super::page;
use super::totals::Sum;
use crate::model::administration::AdministrationError;
use crate::model::ids::{ConnectionId, Name, QueueRef, Timestamp};
use crate::model::question::{ChannelCounts, ConnectionAnswer, ConnectionQuestion, MOST_ASKED, QueueCounts};
use crate::server::Administrator;

/// Connections that are asked together.
const TOGETHER: usize = 64;

/// Families and vhosts that a query asks for; no vhosts: all.
#[derive(Debug)]
pub(super) struct Wanted {
    families: Option<HashSet<String>>,
    vhosts: Option<HashSet<String>>,
}

impl Wanted {
    pub(super) fn all() -> Wanted {
        Wanted { families: None, vhosts: None }
    }

    /// Both may be given several times.
    pub(super) fn read(query: Option<&str>) -> Wanted {
        let query = query.unwrap_or_default();
        let vhosts: HashSet<String> = page::values(query, "vhost").collect();
        Wanted {
            families: Some(page::values(query, "family").collect()),
            vhosts: Some(vhosts).filter(|vhosts| !vhosts.is_empty()),
        }
    }

    pub(super) fn wants(&self, families: &[&str]) -> bool {
        let is_wanted = |wanted: &HashSet<String>| families.iter().any(|family| wanted.contains(*family));
        self.families.as_ref().is_none_or(is_wanted)
    }

    fn wants_vhost(&self, vhost: &str) -> bool {
        self.vhosts.as_ref().is_none_or(|vhosts| vhosts.contains(vhost))
    }

    /// What is wanted of objects of a kind.
    fn metrics<T>(&self, groups: &[Group<T>]) -> Vec<&'static Metric<T>> {
        let groups = groups.iter().filter(|group| self.wants(group.detailed));
        groups.flat_map(|group| group.metrics).collect()
    }
}

/// What one kind of objects says.
struct Column<T: 'static> {
    metric: &'static Metric<T>,
    /// One value after the other, each plus one (so that [`NOTHING`] is short), as numbers of seven bits to a byte.
    values: Vec<u8>,
}

/// Objects of a kind, with what is wanted of each.
struct Columns<T: 'static> {
    labels: &'static [&'static str],
    /// As many of each as there are labels.
    objects: Vec<[Name; 2]>,
    columns: Vec<Column<T>>,
    /// Which column is being written, whose value comes next, and where it stands.
    column: usize,
    object: usize,
    at: usize,
}

impl<T> Columns<T> {
    fn new(labels: &'static [&'static str], metrics: Vec<&'static Metric<T>>) -> Columns<T> {
        let columns = metrics.into_iter().map(|metric| Column { metric, values: Vec::new() });
        Columns { labels, objects: Vec::new(), columns: columns.collect(), column: 0, object: 0, at: 0 }
    }

    fn is_wanted(&self) -> bool {
        !self.columns.is_empty()
    }

    fn add(&mut self, names: [Name; 2], object: &T) {
        self.objects.push(names);
        for Column { metric, values } in &mut self.columns {
            push(values, (metric.value)(object).wrapping_add(1));
        }
    }
}

fn push(values: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        values.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    values.push(number.to_le_bytes()[0]);
}

/// The number at this place, and the place behind it.
fn pull(values: &[u8], mut at: usize) -> (u64, usize) {
    let (mut number, mut shift) = (0, 0);
    while let Some(byte) = values.get(at) {
        number |= u64::from(byte & 0x7f) << shift;
        (at, shift) = (at + 1, shift + 7);
        if byte & 0x80 == 0 {
            break;
        }
    }
    (number, at)
}

/// What is still to be written of objects of a kind.
trait Written: Send {
    /// Writes on until the text is this long. Returns whether that was all.
    fn write(&mut self, text: &mut Text, len: usize, prefix: &str, now: Timestamp) -> bool;
}

impl<T> Written for Columns<T> {
    fn write(&mut self, text: &mut Text, len: usize, prefix: &str, now: Timestamp) -> bool {
        while let Some(Column { metric, values }) = self.columns.get_mut(self.column) {
            let own = metric.name.starts_with("leveret_");
            let name = if own { metric.name.to_owned() } else { format!("{prefix}{}", metric.name) };
            if self.object == 0 {
                if text.0.len() >= len {
                    return false;
                }
                text.family(&name, metric.kind, metric.help);
            }
            for names in &self.objects[self.object..] {
                // The head is not left alone.
                if self.object > 0 && text.0.len() >= len {
                    return false;
                }
                let (value, behind) = pull(values, self.at);
                (self.object, self.at) = (self.object + 1, behind);
                let value = value.wrapping_sub(1);
                let mut labels = [("", ""); 2];
                for (label, (key, name)) in labels.iter_mut().zip(self.labels.iter().zip(names)) {
                    *label = (key, name);
                }
                let labels = &labels[..self.labels.len()];
                match metric.unit {
                    Unit::Number => text.sample(&name, labels, value),
                    Unit::NumberOrNaN if value == NOTHING => text.sample(&name, labels, f64::NAN),
                    Unit::NumberOrNaN => text.sample(&name, labels, value),
                    Unit::Age if value == NOTHING => text.sample(&name, labels, 0),
                    Unit::Age => text.sample(&name, labels, of_millis(now.0.saturating_sub(value))),
                }
            }
            *values = Vec::new();
            (self.column, self.object, self.at) = (self.column + 1, 0, 0);
        }
        true
    }
}

/// What is known of every object that is wanted.
pub(super) struct Objects {
    prefix: &'static str,
    now: Timestamp,
    /// What is to be written next is last.
    left: Vec<Box<dyn Written>>,
}

impl Objects {
    /// Asks about every object that is wanted, some at a time.
    pub(super) async fn ask(
        administrator: &Administrator,
        sum: &Sum,
        wanted: &Wanted,
        endpoint: &str,
    ) -> Result<Objects, AdministrationError> {
        let now = administrator.facts().now();
        let queues = ask_queues(administrator, wanted).await?;
        let mut exchanges = Columns::new(&["vhost", "exchange"], wanted.metrics(object_metrics::EXCHANGES));
        for ((vhost, exchange), count) in &sum.exchanges {
            if wanted.wants_vhost(vhost) && exchanges.is_wanted() {
                exchanges.add([vhost.clone(), exchange.clone()], count);
            }
        }
        let (connections, channels) = ask_connections(administrator, wanted).await?;
        Ok(Objects {
            prefix: if endpoint == "detailed" { DETAILED } else { "rabbitmq_" },
            now,
            left: vec![Box::new(channels), Box::new(connections), Box::new(exchanges), Box::new(queues)],
        })
    }

    /// Writes on until the text is this long. Returns whether that was all.
    pub(super) fn write(&mut self, text: &mut Text, len: usize) -> bool {
        while let Some(objects) = self.left.last_mut() {
            if !objects.write(text, len, self.prefix, self.now) {
                return false;
            }
            self.left.pop();
        }
        true
    }
}

async fn ask_queues(
    administrator: &Administrator,
    wanted: &Wanted,
) -> Result<Columns<QueueCounts>, AdministrationError> {
    let mut columns = Columns::new(&["vhost", "queue"], wanted.metrics(object_metrics::QUEUES));
    if !columns.is_wanted() {
        return Ok(columns);
    }
    let mut vhosts: Vec<Name> = {
        let state = administrator.view().read();
        let vhosts = state.vhosts().filter(|vhost| wanted.wants_vhost(&vhost.name));
        vhosts.map(|vhost| vhost.name.clone()).collect()
    };
    vhosts.sort_unstable();
    for vhost in vhosts {
        let mut last: Option<Name> = None;
        loop {
            let (names, asked): (Vec<Name>, Vec<QueueRef>) = {
                let state = administrator.view().read();
                let Some(found) = state.vhost(&vhost) else { break };
                let names = found.queues_after(last.as_ref()).take(MOST_ASKED);
                names.filter_map(|name| Some((name.clone(), state.queue(&vhost, name)?.at))).unzip()
            };
            if names.is_empty() {
                break;
            }
            last = names.last().cloned();
            for (name, counts) in names.into_iter().zip(administrator.counts(&asked).await?) {
                if let Some(counts) = counts {
                    columns.add([vhost.clone(), name], &counts);
                }
            }
        }
    }
    Ok(columns)
}

async fn ask_connections(
    administrator: &Administrator,
    wanted: &Wanted,
) -> Result<(Columns<OfConnection>, Columns<ChannelCounts>), AdministrationError> {
    let mut connections = Columns::new(&["connection"], wanted.metrics(object_metrics::CONNECTIONS));
    let mut channels = Columns::new(&["channel"], wanted.metrics(object_metrics::CHANNELS));
    if !connections.is_wanted() && !channels.is_wanted() {
        return Ok((connections, channels));
    }
    let clients = administrator.clients();
    let mut left: Vec<ConnectionId> = clients.those(|client| wanted.wants_vhost(&client.vhost));
    left.reverse();
    while !left.is_empty() {
        let some: Vec<_> = left.split_off(left.len().saturating_sub(TOGETHER));
        let known = some.into_iter().rev().filter_map(|id| Some((id, clients.get(id)?)));
        let some: Vec<_> = known.map(|(id, client)| (id, client.name, client.channels)).collect();
        let asked = some.iter().map(|(id, ..)| (*id, ConnectionQuestion::Totals)).collect();
        let mut more = Vec::new();
        for ((id, name, open), answer) in some.into_iter().zip(administrator.ask_connections(asked).await?) {
            let Some(ConnectionAnswer::Totals(counts)) = answer else { continue };
            connections.add([name.clone(), Name::default()], &(open, counts));
            more.push((id, name, ConnectionQuestion::Channels { after: None }));
        }
        while channels.is_wanted() && !more.is_empty() {
            let asked = more.iter().map(|(id, _, question)| (*id, question.clone())).collect();
            let answers = administrator.ask_connections(asked).await?;
            let mut behind = Vec::new();
            for ((id, name, _), answer) in more.into_iter().zip(answers) {
                let Some(ConnectionAnswer::Channels { channels: counted, is_all }) = answer else { continue };
                if let Some(last) = counted.last().filter(|_| !is_all) {
                    behind.push((
                        id,
                        name.clone(),
                        ConnectionQuestion::Channels { after: Some(last.number) },
                    ));
                }
                for counts in counted {
                    channels.add([format!("{name} ({})", counts.number).into(), Name::default()], &counts);
                }
            }
            more = behind;
        }
    }
    Ok((connections, channels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_families_and_vhosts_each_as_often_as_it_likes() {
        let wanted = Wanted::read(Some("family=queue_coarse_metrics&vhost=%2F&vhost=a&family=x"));
        assert!(
            wanted.wants(&["x"]) && wanted.wants(&["queue_coarse_metrics", "y"]) && !wanted.wants(&["y"])
        );
        assert!(wanted.wants_vhost("/") && wanted.wants_vhost("a") && !wanted.wants_vhost("b"));
        assert!(!Wanted::read(None).wants(&["x"]) && Wanted::read(None).wants_vhost("b"));
    }

    #[test]
    fn a_text_is_the_same_however_long_its_pieces_are() {
        let columns = || {
            let metrics = Wanted::all().metrics(object_metrics::QUEUES);
            let mut columns = Columns::new(&["vhost", "queue"], metrics);
            for number in 0..300_u64 {
                let oldest_since = (number > 0).then_some(Timestamp(number * 1000));
                let head_timestamp = (number % 2 == 1).then_some(number << 40);
                let counts = QueueCounts {
                    ready: number * number * number,
                    oldest_since,
                    head_timestamp,
                    ..QueueCounts::default()
                };
                columns.add(["/".into(), format!("q{number}").into()], &counts);
            }
            Objects { prefix: "rabbitmq_", now: Timestamp(300_000), left: vec![Box::new(columns)] }
        };
        let mut whole = Text::default();
        assert!(columns().write(&mut whole, usize::MAX));
        let (mut objects, mut pieces) = (columns(), Vec::new());
        loop {
            let mut piece = Text::default();
            let is_all = objects.write(&mut piece, 1000);
            assert!(piece.0.len() < 1300);
            pieces.push(piece.0);
            if is_all {
                break;
            }
        }
        assert!(pieces.concat() == whole.0);
        for line in [
            "rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"q299\"} 26730899",
            "rabbitmq_queue_head_message_timestamp{vhost=\"/\",queue=\"q2\"} NaN",
            "rabbitmq_queue_head_message_timestamp{vhost=\"/\",queue=\"q1\"} 1099511627776",
            "leveret_queue_oldest_message_age_seconds{vhost=\"/\",queue=\"q0\"} 0",
            "leveret_queue_oldest_message_age_seconds{vhost=\"/\",queue=\"q1\"} 299",
        ] {
            assert!(whole.0.lines().any(|found| found == line), "{line}");
        }
        let heads = whole.0.lines().filter(|line| line.starts_with("# TYPE"));
        assert_eq!(heads.count(), Wanted::all().metrics(object_metrics::QUEUES).len());
    }
}
