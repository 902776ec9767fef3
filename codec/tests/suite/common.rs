//! What both parts make up: texts, values, tables, methods and properties, as amq-protocol has them.

use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, channel, connection, exchange, queue};
use amq_protocol::types::{AMQPValue, DecimalValue, FieldTable, ShortString};
use proptest::prelude::*;

pub(crate) fn text() -> impl Strategy<Value = ShortString> {
    "[a-z.#ü日]{0,20}".prop_map(ShortString::from)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

fn value() -> impl Strategy<Value = AMQPValue> {
    let plain = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i8>().prop_map(AMQPValue::ShortShortInt),
        any::<u8>().prop_map(AMQPValue::ShortShortUInt),
        any::<i16>().prop_map(AMQPValue::ShortInt),
        any::<u16>().prop_map(AMQPValue::ShortUInt),
        any::<i32>().prop_map(AMQPValue::LongInt),
        any::<u32>().prop_map(AMQPValue::LongUInt),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        any::<f32>().prop_map(AMQPValue::Float),
        any::<f64>().prop_map(AMQPValue::Double),
        (any::<u8>(), any::<u32>())
            .prop_map(|(scale, value)| AMQPValue::DecimalValue(DecimalValue { scale, value })),
        bytes().prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        bytes().prop_map(|bytes| AMQPValue::ByteArray(bytes.into())),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        Just(AMQPValue::Void),
    ];
    plain.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| AMQPValue::FieldArray(items.into())),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|fields| AMQPValue::FieldTable(fields.into())),
        ]
    })
}

pub(crate) fn table() -> impl Strategy<Value = FieldTable> {
    prop::collection::btree_map(text(), value(), 0..5).prop_map(FieldTable::from)
}

/// Methods with tables, strings and bits in every order in which they occur.
pub(crate) fn method() -> impl Strategy<Value = AMQPClass> {
    prop_oneof![
        connection_method().prop_map(AMQPClass::Connection),
        exchange_method().prop_map(AMQPClass::Exchange),
        queue_method().prop_map(AMQPClass::Queue),
        basic_method().prop_map(AMQPClass::Basic),
        (any::<u16>(), text()).prop_map(|(reply_code, reply_text)| {
            AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close {
                reply_code,
                reply_text,
                class_id: 60,
                method_id: 40,
            }))
        }),
    ]
}

fn connection_method() -> impl Strategy<Value = connection::AMQPMethod> {
    use connection::{AMQPMethod, Start, StartOk, TuneOk, UpdateSecret};
    prop_oneof![
        (table(), bytes(), bytes()).prop_map(|(server_properties, mechanisms, locales)| {
            AMQPMethod::Start(Start {
                version_major: 0,
                version_minor: 9,
                server_properties,
                mechanisms: mechanisms.into(),
                locales: locales.into(),
            })
        }),
        (table(), text(), bytes(), text()).prop_map(|(client_properties, mechanism, response, locale)| {
            AMQPMethod::StartOk(StartOk { client_properties, mechanism, response: response.into(), locale })
        }),
        (any::<u16>(), any::<u32>(), any::<u16>()).prop_map(|(channel_max, frame_max, heartbeat)| {
            AMQPMethod::TuneOk(TuneOk { channel_max, frame_max, heartbeat })
        }),
        (bytes(), text()).prop_map(|(secret, reason)| {
            AMQPMethod::UpdateSecret(UpdateSecret { new_secret: secret.into(), reason })
        }),
    ]
}

fn exchange_method() -> impl Strategy<Value = exchange::AMQPMethod> {
    use exchange::{AMQPMethod, Bind, Declare, Unbind};
    prop_oneof![
        (text(), text(), any::<[bool; 5]>(), table()).prop_map(|(exchange, kind, bits, arguments)| {
            let [passive, durable, auto_delete, internal, nowait] = bits;
            AMQPMethod::Declare(Declare {
                exchange,
                kind,
                passive,
                durable,
                auto_delete,
                internal,
                nowait,
                arguments,
            })
        }),
        (text(), text(), text(), any::<bool>(), table()).prop_map(
            |(destination, source, routing_key, nowait, arguments)| {
                AMQPMethod::Bind(Bind { destination, source, routing_key, nowait, arguments })
            }
        ),
        (text(), text(), text(), any::<bool>(), table()).prop_map(
            |(destination, source, routing_key, nowait, arguments)| {
                AMQPMethod::Unbind(Unbind { destination, source, routing_key, nowait, arguments })
            }
        ),
    ]
}

fn queue_method() -> impl Strategy<Value = queue::AMQPMethod> {
    use queue::{AMQPMethod, Bind, Declare, DeclareOk, Delete, Unbind};
    prop_oneof![
        (text(), any::<[bool; 5]>(), table()).prop_map(|(queue, bits, arguments)| {
            let [passive, durable, exclusive, auto_delete, nowait] = bits;
            AMQPMethod::Declare(Declare {
                queue,
                passive,
                durable,
                exclusive,
                auto_delete,
                nowait,
                arguments,
            })
        }),
        (text(), any::<u32>(), any::<u32>()).prop_map(|(queue, message_count, consumer_count)| {
            AMQPMethod::DeclareOk(DeclareOk { queue, message_count, consumer_count })
        }),
        (text(), text(), text(), any::<bool>(), table()).prop_map(
            |(queue, exchange, routing_key, nowait, arguments)| {
                AMQPMethod::Bind(Bind { queue, exchange, routing_key, nowait, arguments })
            }
        ),
        (text(), text(), text(), table()).prop_map(|(queue, exchange, routing_key, arguments)| {
            AMQPMethod::Unbind(Unbind { queue, exchange, routing_key, arguments })
        }),
        (text(), any::<[bool; 3]>()).prop_map(|(queue, [if_unused, if_empty, nowait])| {
            AMQPMethod::Delete(Delete { queue, if_unused, if_empty, nowait })
        }),
    ]
}

fn basic_method() -> impl Strategy<Value = basic::AMQPMethod> {
    use basic::{AMQPMethod, Ack, Consume, Get, Nack, Publish, Qos, Reject};
    prop_oneof![
        (text(), text(), any::<[bool; 4]>(), table()).prop_map(|(queue, consumer_tag, bits, arguments)| {
            let [no_local, no_ack, exclusive, nowait] = bits;
            AMQPMethod::Consume(Consume {
                queue,
                consumer_tag,
                no_local,
                no_ack,
                exclusive,
                nowait,
                arguments,
            })
        }),
        (text(), text(), any::<[bool; 2]>()).prop_map(|(exchange, routing_key, [mandatory, immediate])| {
            AMQPMethod::Publish(Publish { exchange, routing_key, mandatory, immediate })
        }),
        (any::<u64>(), any::<bool>())
            .prop_map(|(delivery_tag, multiple)| AMQPMethod::Ack(Ack { delivery_tag, multiple })),
        (any::<u64>(), any::<bool>())
            .prop_map(|(delivery_tag, requeue)| AMQPMethod::Reject(Reject { delivery_tag, requeue })),
        (any::<u64>(), any::<[bool; 2]>()).prop_map(|(delivery_tag, [multiple, requeue])| {
            AMQPMethod::Nack(Nack { delivery_tag, multiple, requeue })
        }),
        (text(), any::<bool>()).prop_map(|(queue, no_ack)| AMQPMethod::Get(Get { queue, no_ack })),
        (any::<u16>(), any::<bool>())
            .prop_map(|(prefetch_count, global)| AMQPMethod::Qos(Qos { prefetch_count, global })),
    ]
}

pub(crate) fn properties() -> impl Strategy<Value = BasicProperties> {
    let texts = prop::collection::vec(prop::option::of(text()), 10);
    let small = (prop::option::of(any::<u8>()), prop::option::of(any::<u8>()));
    let texts_and_small = (texts, prop::option::of(table()), small, prop::option::of(any::<u64>()));
    texts_and_small.prop_map(|(texts, headers, (delivery_mode, priority), timestamp)| {
        let setters: [fn(BasicProperties, ShortString) -> BasicProperties; 10] = [
            BasicProperties::with_content_type,
            BasicProperties::with_content_encoding,
            BasicProperties::with_correlation_id,
            BasicProperties::with_reply_to,
            BasicProperties::with_expiration,
            BasicProperties::with_message_id,
            BasicProperties::with_type,
            BasicProperties::with_user_id,
            BasicProperties::with_app_id,
            BasicProperties::with_cluster_id,
        ];
        let mut properties = BasicProperties::default();
        for (set, text) in setters.into_iter().zip(texts) {
            properties = text.into_iter().fold(properties, set);
        }
        properties = headers.into_iter().fold(properties, BasicProperties::with_headers);
        properties = delivery_mode.into_iter().fold(properties, BasicProperties::with_delivery_mode);
        properties = priority.into_iter().fold(properties, BasicProperties::with_priority);
        timestamp.into_iter().fold(properties, BasicProperties::with_timestamp)
    })
}
