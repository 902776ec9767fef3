//! Listings in the order that a query asks for, by itself and in pages, and the columns of single things.

use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::api::{Api, Managed};
use crate::support::lapin_client::{self, publish};

fn names(listed: &Value) -> Vec<&str> {
    listed.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

fn items(api: &Api, path: &str) -> Vec<String> {
    let page = api.found(path);
    names(&page["items"]).into_iter().map(str::to_owned).collect()
}

#[test]
fn queues_are_sorted_by_what_is_in_them() {
    let (managed, runtime) = (Managed::start(), Runtime::new().unwrap());
    let api = &managed.api;
    api.change("vhosts/other", &json!({}));
    api.change("queues/other/z", &json!({"durable": true}));
    let _connection = runtime.block_on(async {
        let connection = lapin_client::connect(&managed.broker).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        for (name, messages) in [("a", 1), ("b", 3), ("c", 0), ("d", 3), ("e", 2)] {
            channel.queue_declare(name.into(), own, FieldTable::default()).await.unwrap();
            for _ in 0..messages {
                publish(&channel, "", name, "abc").await.unwrap();
            }
            channel.queue_declare(name.into(), own, FieldTable::default()).await.unwrap();
        }
        connection
    });
    let sorted = |query: &str| {
        let listed = api.found(&format!("queues?{query}"));
        names(&listed).concat()
    };
    // A length, a counter, a size, what is nested and has to be described, what is declared, and nothing at all.
    assert_eq!(sorted("sort=messages"), "czaebd");
    assert_eq!(sorted("sort=messages&sort_reverse=true"), "dbeazc");
    assert_eq!(sorted("sort=message_stats.publish"), "czaebd");
    assert_eq!(sorted("sort=message_bytes&sort_reverse=true"), "dbeazc");
    assert_eq!(sorted("sort=messages_ready_details.rate"), "abcdez");
    assert_eq!(sorted("sort=exclusive"), "zabcde");
    assert_eq!(sorted("sort=no.such.thing"), "abcdez");
    assert_eq!(sorted("sort_reverse=true"), "zedcba");
    assert_eq!(sorted("sort=vhost&sort_reverse=true&columns=name"), "zedcba");
    let page = api.found("queues?page=2&page_size=2&sort=messages&sort_reverse=true");
    assert_eq!(
        (names(&page["items"]).concat(), &page["filtered_count"], &page["page_count"]),
        ("ea".to_owned(), &json!(6), &json!(3))
    );
    assert_eq!(page["items"][0]["messages"], 2);
    assert_eq!(
        items(api, "queues/%2F?page=1&page_size=2&sort=messages&name=%5Eb%7Ce%24&use_regex=true"),
        ["e", "b"]
    );
    assert_eq!(api.get("queues?page=4&page_size=2&sort=messages").0, 400);
}

#[test]
fn other_listings_are_sorted_too() {
    let managed = Managed::start();
    let api = &managed.api;
    assert_eq!(
        items(
            api,
            "exchanges?page=1&page_size=2&sort=type&sort_reverse=true&use_regex=true&name=%5Eamq.%5Ba-m%5D"
        ),
        ["amq.match", "amq.headers"]
    );
    assert_eq!(
        items(
            api,
            "exchanges?page=2&page_size=2&sort=type&sort_reverse=true&use_regex=true&name=%5Eamq.%5Ba-m%5D"
        ),
        ["amq.fanout", "amq.direct"]
    );
    api.change("vhosts/v", &json!({"description": "b"}));
    api.change("vhosts/w", &json!({"description": "a"}));
    // The first vhost is described in capital letters, which come first.
    assert_eq!(names(&api.found("vhosts?sort=description&columns=name")), ["/", "w", "v"]);
    assert_eq!(names(&api.found("vhosts?sort_reverse=true&columns=name")), ["w", "v", "/"]);
    // A list that is known as a whole.
    let features = api.found("feature-flags?sort=name&sort_reverse=true&columns=name");
    assert!(names(&features).is_sorted_by(|one, next| one >= next));
    assert_eq!(features[0].as_object().unwrap().len(), 1);
}

#[test]
fn channels_are_sorted_and_come_in_pages() {
    let (managed, runtime) = (Managed::start(), Runtime::new().unwrap());
    let api = &managed.api;
    let kept = runtime.block_on(async {
        let connection = lapin_client::connect(&managed.broker).await.unwrap();
        let (mut channels, mut consumers) = (Vec::new(), Vec::new());
        for number in 0..5 {
            let channel = connection.create_channel().await.unwrap();
            for tag in 0..(number * 2) % 5 {
                let (tag, options) = (tag.to_string(), BasicConsumeOptions::default());
                channel
                    .queue_declare("q".into(), QueueDeclareOptions::default(), FieldTable::default())
                    .await
                    .unwrap();
                let none = FieldTable::default();
                // Dropped, it would cancel itself.
                consumers.push(channel.basic_consume("q".into(), tag.into(), options, none).await.unwrap());
            }
            channels.push(channel);
        }
        (connection, channels, consumers)
    });
    let numbers = |listed: &Value| -> Vec<u64> {
        listed.as_array().unwrap().iter().map(|channel| channel["number"].as_u64().unwrap()).collect()
    };
    let by_consumers = api.found("channels?sort=consumer_count&columns=number,consumer_count");
    assert_eq!(numbers(&by_consumers), [1, 4, 2, 5, 3]);
    let page = api.found("channels?page=2&page_size=2&sort=consumer_count&sort_reverse=true");
    assert_eq!(
        (numbers(&page["items"]), &page["total_count"], &page["page_count"]),
        (vec![2, 4], &json!(5), &json!(3))
    );
    let page = api.found("channels?page=1&page_size=3");
    assert_eq!((numbers(&page["items"]), &page["item_count"]), (vec![1, 2, 3], &json!(3)));
    let named = api.found("vhosts/%2F/channels?page=1&name=(4)");
    assert_eq!(
        (numbers(&named["items"]), &named["filtered_count"], &named["total_count"]),
        (vec![4], &json!(1), &json!(5))
    );
    assert_eq!(api.get("channels?page=2").0, 400);
    // As in RabbitMQ, consumers have no pages.
    assert_eq!(api.found("consumers?page=1&page_size=1").as_array().unwrap().len(), 10);
    assert_eq!(api.found("consumers?sort=consumer_tag&sort_reverse=true")[0]["consumer_tag"], "3");
    drop(kept);
}

#[test]
fn columns_are_of_single_things_too() {
    let managed = Managed::start();
    let api = &managed.api;
    api.change("queues/%2F/q", &json!({"durable": true}));
    assert_eq!(
        api.found("queues/%2F/q?columns=name,message_stats.publish,nothing"),
        json!({"name": "q", "message_stats": {"publish": 0}})
    );
    assert_eq!(api.found("overview?columns=object_totals.queues"), json!({"object_totals": {"queues": 1}}));
}

#[test]
fn whoever_asks_for_samples_gets_one_at_once() {
    let managed = Managed::start();
    let api = &managed.api;
    api.change("queues/%2F/q", &json!({"durable": true}));
    let listed = api.found("queues?lengths_age=60&lengths_incr=5");
    let details = &listed[0]["messages_details"];
    assert_eq!((details["rate"].as_f64(), details["samples"].as_array().map(Vec::len)), (Some(0.0), Some(1)));
    assert_eq!(
        api.found("queues/%2F/q")["messages_details"],
        Value::Null,
        "without one a rate is told from two on"
    );
}

#[test]
fn logins_are_counted_by_protocol() {
    let (managed, runtime) = (Managed::start(), Runtime::new().unwrap());
    let api = &managed.api;
    let node = api.found("nodes")[0]["name"].as_str().unwrap().replace('@', "%40");
    let path = format!("auth/attempts/{node}");
    assert_eq!(api.delete(&path), 204);
    runtime.block_on(async { lapin_client::connect(&managed.broker).await.unwrap() });
    let attempts = api.found(&path);
    let counts = |at: usize| {
        (attempts[at]["protocol"].as_str().unwrap(), attempts[at]["auth_attempts_succeeded"].as_u64())
    };
    assert_eq!(counts(0), ("amqp091", Some(1)));
    // The one that asks.
    assert_eq!(counts(1), ("http", Some(1)));
}
