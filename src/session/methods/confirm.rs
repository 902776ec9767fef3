//! Class confirm (semantics 9.20).

use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::method::amqp::confirm::{AMQPMethod, SelectOk};

use crate::model::fault::Fault;
use crate::model::port::BrokerPort;
use crate::session::channel::ChannelMode;
use crate::session::channel_context::ChannelContext;
use crate::session::confirms::Confirms;
use crate::session::failure::unimplemented;

impl<P: BrokerPort> ChannelContext<'_, P> {
    pub(in crate::session) fn confirm_method(&mut self, method: &AMQPMethod) -> Result<(), Fault> {
        let AMQPMethod::Select(select) = method else { return Err(unimplemented()) };
        match self.channel.mode {
            ChannelMode::Plain => self.channel.mode = ChannelMode::Confirm(Confirms::default()),
            ChannelMode::Confirm(_) => {}
            ChannelMode::Transaction(_) => {
                return Err(Fault::precondition("cannot switch from tx to confirm mode"));
            }
        }
        if !select.nowait {
            self.say(&AMQPClass::Confirm(AMQPMethod::SelectOk(SelectOk {})));
        }
        Ok(())
    }

    /// One confirm of a publish of this channel came, or of its commit.
    pub(in crate::session) fn confirmed(&mut self, sequence: u64, accepted: bool) -> Result<(), Fault> {
        match &mut self.channel.mode {
            ChannelMode::Confirm(confirms) => {
                confirms.confirm(sequence, accepted);
                if confirms.is_dirty() {
                    self.shared.note_dirty(self.number);
                }
                Ok(())
            }
            ChannelMode::Transaction(_) => self.commit_confirmed(accepted),
            ChannelMode::Plain => Ok(()),
        }
    }
}
