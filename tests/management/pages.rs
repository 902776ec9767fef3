//! Listings in pages. What is expected was seen of RabbitMQ 4.3.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::api::{Api, Managed};
use crate::support::lapin_client::{self, publish};

fn names(listed: &Value) -> Vec<&str> {
    listed.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

/// What stands around the items of a page: all, those wanted, those on the page; the page's number, size and how many there are.
fn around(page: &Value) -> [i64; 6] {
    ["total_count", "filtered_count", "item_count", "page", "page_size", "page_count"]
        .map(|field| page[field].as_i64().unwrap_or_else(|| panic!("{field} of {page}")))
}

fn refused(api: &Api, path: &str) -> (String, String) {
    let (status, said) = api.get(path);
    assert_eq!(status, 400, "{path}: {said}");
    (said["error"].as_str().unwrap().to_owned(), said["reason"].as_str().unwrap().to_owned())
}

#[test]
fn queues_come_in_pages_with_what_is_in_them() {
    let (managed, runtime) = (Managed::start(), Runtime::new().unwrap());
    let api = &managed.api;
    let name = |number: usize| format!("q{number:04}");
    let _connection = runtime.block_on(async {
        let connection = lapin_client::connect(&managed.broker).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        for number in 0..1100 {
            channel.queue_declare(name(number).into(), own, FieldTable::default()).await.unwrap();
        }
        publish(&channel, "", &name(1095), "abc").await.unwrap();
        // The answer comes after the publish.
        channel.queue_declare(name(1095).into(), own, FieldTable::default()).await.unwrap();
        connection
    });
    let first = api.found("queues?page=1");
    assert_eq!(around(&first), [1100, 1100, 100, 1, 100, 11]);
    assert_eq!((names(&first["items"])[0], names(&first["items"])[99]), ("q0000", "q0099"));
    let last = api.found("queues/%2F?page=4&page_size=300&pagination=false&sort=nothing");
    assert_eq!(around(&last), [1100, 1100, 200, 4, 300, 4]);
    assert_eq!((names(&last["items"])[0], &last["items"][195]["messages"]), ("q0900", &json!(1)));
    let found = api.found("queues?page=2&page_size=5&name=Q109");
    assert_eq!(around(&found), [1100, 10, 5, 2, 5, 2]);
    let busy = &found["items"][0];
    assert_eq!(
        (&busy["name"], &busy["messages"], &busy["messages_ready"]),
        (&json!("q1095"), &json!(1), &json!(1))
    );
    let matching = api.found("queues?page=1&name=%5EQ10%5B01%5D9%24&use_regex=true");
    assert_eq!(names(&matching["items"]), ["q1009", "q1019"]);
    assert_eq!(around(&matching)[0], 1100);
    let nothing = api.found("queues?page=1&name=(&use_regex=true");
    assert_eq!((around(&nothing), &nothing["items"]), ([1100, 0, 0, 1, 100, 0], &json!([])));
    assert_eq!(
        api.found("queues?page_size=5&name=q1").as_array().unwrap().len(),
        1100,
        "no page is asked for"
    );
}

#[test]
fn other_listings_come_in_pages_where_rabbitmq_has_them() {
    let managed = Managed::start();
    let api = &managed.api;
    for path in ["users?page=1", "vhosts?page=1", "connections?page=1", "connections/username/guest?page=1"] {
        let page = api.found(path);
        let some = i64::from(!path.starts_with("connections"));
        assert_eq!(around(&page), [some, some, some, 1, 100, some], "{path}");
    }
    let exchanges = api.found("exchanges?page=1&page_size=2&name=AMQ.F");
    assert_eq!(names(&exchanges["items"]), ["amq.fanout"]);
    for path in ["permissions?page=1", "policies?page=1", "topic-permissions?page=1"] {
        assert!(api.found(path).is_array(), "{path}");
    }
}

#[test]
fn pages_that_are_not_there_are_refused() {
    let managed = Managed::start();
    let api = &managed.api;
    let refused = |path: &str| refused(api, path);
    let is = |error: &str, reason: &str| (error.to_owned(), reason.to_owned());
    let out = "page_out_of_range";
    assert_eq!(
        refused("queues?page=9&page_size=10"),
        is(out, "Page out of range, page: 9 page size: 10, len: 0")
    );
    assert_eq!(
        refused("exchanges?page=2&name=fan"),
        is(out, "Page out of range, page: 2 page size: 100, len: 1")
    );
    assert_eq!(refused("users?page=2"), is(out, "Page out of range, page: 2 page size: 100, len: 1"));
    for path in ["queues", "exchanges/%2F", "users", "vhosts", "connections"] {
        let wrong = "Invalid pagination parameters: page number 1, page size 501";
        let invalid = is("invalid_pagination_parameters", wrong);
        assert_eq!(refused(&format!("{path}?page=1&page_size=501")), invalid, "{path}");
        let invalid = is("bad_request", "Pagination parameters are invalid");
        assert_eq!(refused(&format!("{path}?page=a")), invalid, "{path}");
    }
}
