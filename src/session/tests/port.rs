//! A scripted broker: answers at once with what is usual, or as told; remembers every call as a line of text.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::model::consuming::{Delivery, NewConsumer, Settlement};
use crate::model::event::ConfirmToken;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::{
    ChannelNumber, ConsumerNumber, Name, Position, PositionRange, QueueId, QueueRef, ShardIndex, Timestamp,
};
use crate::model::message::Message;
use crate::model::peer::Introduction;
use crate::model::port::{BrokerPort, LoginRefused, Progress, RoutedPublish};
use crate::model::question::ConnectionTotals;
use crate::model::request::{Reply, Request};
use crate::model::resource::Resource;

pub(super) const QUEUE: QueueRef = QueueRef { queue: QueueId(7), shard: ShardIndex::alone(0) };

#[derive(Debug)]
pub(super) struct FakePort {
    pub calls: Vec<String>,
    /// What was counted, once the connection is closed.
    pub totals: ConnectionTotals,
    pub messages: Vec<Arc<Message>>,
    /// What the next requests are answered; None: later. When it is empty, with what is usual.
    pub script: VecDeque<Option<Reply>>,
    /// How many confirms each publish and barrier will get.
    pub confirms: usize,
    pub login: Result<(), LoginRefused>,
    /// Whether a channel may be opened, and how many are.
    pub channel: Result<(), Fault>,
    pub channels: usize,
    /// What went out to the client.
    pub delivered: Vec<Position>,
    /// What was said of its consumers.
    pub consumers: Vec<String>,
    pub most_consumers: Option<u64>,
    /// How the client introduced itself.
    pub client: Introduction,
    /// What each publish becomes by going to several queues, and what all have become.
    pub fan_out: usize,
    pub fanned_out: usize,
    /// Steps that searching the queues of each publish takes, and all together.
    pub search: usize,
    pub searched: usize,
    user: Name,
}

impl Default for FakePort {
    fn default() -> FakePort {
        FakePort {
            calls: Vec::new(),
            messages: Vec::new(),
            script: VecDeque::new(),
            confirms: 1,
            login: Ok(()),
            channel: Ok(()),
            channels: 0,
            delivered: Vec::new(),
            consumers: Vec::new(),
            most_consumers: None,
            client: Introduction::default(),
            fan_out: 0,
            fanned_out: 0,
            search: 0,
            searched: 0,
            user: Name::from(""),
            totals: ConnectionTotals::default(),
        }
    }
}

impl FakePort {
    fn usual(request: &Request) -> Reply {
        match request {
            Request::DeclareQueue(declare) => {
                let name =
                    if declare.name.is_empty() { Name::from("amq.gen-1") } else { declare.name.clone() };
                Reply::QueueDeclared { name, messages: 3, consumers: 1 }
            }
            Request::DeleteQueue { .. } | Request::PurgeQueue { .. } => Reply::Count { messages: 5 },
            Request::Consume { .. } => Reply::Consuming { queue: QUEUE },
            Request::Get { .. } => Reply::GotEmpty,
            _ => Reply::Done,
        }
    }
}

impl BrokerPort for FakePort {
    fn mechanisms(&self) -> &'static str {
        "PLAIN AMQPLAIN"
    }

    fn authenticate(
        &mut self,
        _: Timestamp,
        mechanism: &str,
        response: &[u8],
        loopback: bool,
    ) -> Result<(), LoginRefused> {
        let response = String::from_utf8_lossy(response).replace('\0', "|");
        self.calls.push(format!("login {mechanism} {response} {loopback}"));
        self.login.clone()?;
        self.user = "guest".into();
        Ok(())
    }

    fn open_vhost(&mut self, _: Timestamp, vhost: &str, client: Introduction) -> Result<(), Fault> {
        self.client = client;
        self.calls.push(format!("open {vhost}"));
        if vhost == "/" {
            Ok(())
        } else {
            Err(Fault::new(ReplyCode::NotAllowed, format!("vhost {vhost} not found")))
        }
    }

    fn open_channel(&mut self, _: Timestamp, _: ChannelNumber) -> Result<(), Fault> {
        self.channel.clone()?;
        self.channels += 1;
        Ok(())
    }

    fn close_channel(&mut self, _: Timestamp, channel: ChannelNumber, consumers: usize) {
        self.consumers.push(format!("{channel}: closed with {consumers}"));
        self.channels -= 1;
    }

    fn most_consumers(&self) -> Option<u64> {
        self.most_consumers
    }

    fn consumer_began(&mut self, _: Timestamp, channel: ChannelNumber, consumer: &NewConsumer) {
        self.consumers.push(format!("{channel}: {} of {} begins", consumer.tag, consumer.queue));
    }

    fn consumer_ended(&mut self, _: Timestamp, channel: ChannelNumber, tag: &Name, queue: &Name) {
        self.consumers.push(format!("{channel}: {tag} of {queue} ends"));
    }

    fn counted(&mut self, totals: ConnectionTotals) {
        self.totals = totals;
    }

    fn user(&self) -> &Name {
        &self.user
    }

    /// `missing` is no exchange, `down` fails, a key `nowhere` reaches nobody.
    fn route(
        &mut self,
        _: Timestamp,
        _: ChannelNumber,
        message: Arc<Message>,
    ) -> Result<RoutedPublish, Fault> {
        let queues: SmallVec<[QueueRef; 2]> = match (message.exchange(), message.routing_key()) {
            (b"missing", _) => return Err(Fault::not_found(Resource::exchange("missing", "/"))),
            (b"down", _) => return Err(Fault::new(ReplyCode::InternalError, "down")),
            (_, b"nowhere") => smallvec![],
            _ => smallvec![QUEUE],
        };
        self.searched += self.search;
        self.messages.push(message.clone());
        Ok(RoutedPublish { message, queues, direct_replies: smallvec![] })
    }

    fn delivered(&mut self, _: ChannelNumber, delivery: &Delivery) {
        self.delivered.push(delivery.position);
    }

    fn fanned_out(&self) -> usize {
        self.fanned_out
    }

    fn searched(&self) -> usize {
        self.searched
    }

    fn submit(&mut self, publish: RoutedPublish, confirm: Option<ConfirmToken>) -> usize {
        let key = String::from_utf8_lossy(publish.message.routing_key()).into_owned();
        let token = confirm.map_or(String::new(), |token| format!(" #{}", token.sequence));
        self.calls.push(format!("submit {key}{token}"));
        self.fanned_out += self.fan_out;
        if confirm.is_some() { self.confirms } else { 0 }
    }

    fn request(&mut self, _: Timestamp, request: Request) -> Progress {
        self.calls.push(format!("{request:?}"));
        match self.script.pop_front() {
            Some(Some(reply)) => Progress::Done(reply),
            Some(None) => Progress::Pending,
            None => Progress::Done(FakePort::usual(&request)),
        }
    }

    fn settle(
        &mut self,
        queue: QueueRef,
        consumer: ConsumerNumber,
        range: PositionRange,
        settlement: Settlement,
    ) {
        let (first, last) = (range.first, range.last);
        self.calls.push(format!("settle q{} c{consumer} {first}-{last} {settlement:?}", queue.queue));
    }

    fn detach(&mut self, queue: QueueRef, consumer: ConsumerNumber) {
        self.calls.push(format!("detach q{} c{consumer}", queue.queue));
    }

    fn set_paused(&mut self, queue: QueueRef, consumer: ConsumerNumber, paused: bool) {
        self.calls.push(format!("pause q{} c{consumer} {paused}", queue.queue));
    }

    fn barrier(&mut self, token: ConfirmToken) -> usize {
        self.calls.push(format!("barrier #{}", token.sequence));
        self.confirms
    }

    fn open_direct_reply(&mut self, consumer: ConsumerNumber) -> Name {
        self.calls.push(format!("open reply c{consumer}"));
        Name::from("amq.rabbitmq.reply-to.opaque")
    }

    fn close_direct_reply(&mut self, consumer: ConsumerNumber) {
        self.calls.push(format!("close reply c{consumer}"));
    }

    fn update_secret(&mut self, consumers: &[(QueueRef, ConsumerNumber)]) {
        let consumers: String = consumers.iter().map(|(_, number)| format!(" c{number}")).collect();
        self.calls.push(format!("secret{consumers}"));
    }
}
