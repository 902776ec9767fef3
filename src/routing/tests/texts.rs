//! Values in reply texts, as RabbitMQ 4.3 printed them when it was asked.

use leveret_codec::table::{AMQPValue, DecimalValue, FieldArray};

use super::*;
use crate::model::argument::type_name;
use crate::routing::print::term;

#[test]
fn values_are_printed_as_rabbitmq_prints_them() {
    let bytes = |bytes: &[u8]| AMQPValue::LongString(bytes.into());
    for (value, kind, printed) in [
        (AMQPValue::Double(1.0), "double", "1.0"),
        (AMQPValue::Double(123_456.789), "double", "123456.789"),
        (AMQPValue::Float(0.1), "float", "0.10000000149011612"),
        (AMQPValue::DecimalValue(DecimalValue { scale: 1, value: 15 }), "decimal", "{1,15}"),
        (AMQPValue::LongLongInt(-3), "long", "-3"),
        (AMQPValue::ShortShortInt(5), "byte", "5"),
        (AMQPValue::ShortShortUInt(5), "unsignedbyte", "5"),
        (AMQPValue::ShortInt(5), "short", "5"),
        (AMQPValue::ShortUInt(5), "unsignedshort", "5"),
        (AMQPValue::LongInt(5), "signedint", "5"),
        (AMQPValue::LongUInt(5), "unsignedint", "5"),
        (AMQPValue::Timestamp(5), "timestamp", "5"),
        (AMQPValue::Boolean(true), "bool", "true"),
        (AMQPValue::Void, "void", "undefined"),
        (AMQPValue::ByteArray(vec![0, 1].into()), "binary", "<<0,1>>"),
        (AMQPValue::FieldArray(FieldArray::default()), "array", "[]"),
        (
            AMQPValue::FieldArray(vec![AMQPValue::FieldArray(vec![AMQPValue::LongInt(1)].into())].into()),
            "array",
            "[{array,[{signedint,1}]}]",
        ),
        (AMQPValue::FieldTable(fields([("a", AMQPValue::LongInt(1))])), "table", "[{<<\"a\">>,signedint,1}]"),
        (text("ü"), "longstr", "<<\"ü\"/utf8>>"),
        (text("日本"), "longstr", "<<\"日本\"/utf8>>"),
        (bytes(b"\xff\xfe"), "longstr", "<<\"ÿþ\">>"),
        (bytes(b"\0a"), "longstr", "<<0,97>>"),
        (bytes(b"a\x7fb"), "longstr", "<<97,127,98>>"),
        (bytes(b"\x1b"), "longstr", "<<\"\\e\">>"),
        (bytes(b"a\"b\\c\n\t"), "longstr", "<<\"a\\\"b\\\\c\\n\\t\">>"),
    ] {
        assert_eq!((type_name(&value), term(&value).as_str()), (kind, printed));
    }
}
