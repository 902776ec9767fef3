//! The page that lists all routes, made of the tables.

use std::fmt::Write;

use super::table::routes;
use super::{Segment, TABLES};
use crate::manage::answer::{Answer, Outcome};

routes! {
    ["index.html"], "This page.": GET Nothing |_call| page();
    [""], "Leads to this page.": GET Nothing |_call| moved();
}

/// What is not part of the API, but asked for by people and tools beside it.
pub(super) fn outside(path: &str) -> Option<Outcome> {
    Some(match path {
        "/" | "/api" => Ok(Answer::Moved("/api/index.html")),
        "/cli" | "/cli/" => Ok(Answer::Moved("/cli/index.html")),
        "/cli/index.html" => Ok(Answer::Page(TOOLS.to_owned())),
        _ => return None,
    })
}

/// Where to get the tools. The broker serves none: what it served would have to be kept as new as they are.
const TOOLS: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tools</title></head><body>\n\
<h1>Tools</h1>\n<p>The HTTP API of this broker is that of RabbitMQ, so its command line tools work: \
<a href=\"https://github.com/rabbitmq/rabbitmqadmin-ng/releases\">rabbitmqadmin</a> (version 2), and the older one in Python that \
comes with <a href=\"https://github.com/rabbitmq/rabbitmq-server/tree/v4.0.x/deps/rabbitmq_management/bin\">RabbitMQ up to 4.0</a>. \
Give them this address.</p>\n<p><a href=\"/api/index.html\">What the API has</a></p></body></html>\n";

async fn moved() -> Outcome {
    Ok(Answer::Moved("/api/index.html"))
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Leveret HTTP API</title>\
<style>body{font-family:sans-serif;margin:2em}td,th{text-align:left;vertical-align:top;padding:.2em .8em}\
tr:nth-child(even){background:#f4f4f4}</style></head><body>\n<h1>Leveret HTTP API</h1>\n\
<p>The paths, the JSON and the rights are those of RabbitMQ's management plugin. Names in a path are percent-encoded: the \
vhost <code>/</code> is <code>%2F</code>.</p>\n<table>\n<tr><th>Path</th><th>Methods, and who may use them</th><th>What it is</th></tr>\n";

async fn page() -> Outcome {
    let mut page = HEAD.to_owned();
    for route in TABLES.iter().copied().flatten() {
        page.push_str("<tr><td><code>/api");
        for segment in route.path {
            // Writing to a string does not fail.
            let _ = match segment {
                Segment::Fixed(text) => write!(page, "/{text}"),
                Segment::Name(name) => write!(page, "/<i>{name}</i>"),
            };
        }
        page.push_str("</code></td><td>");
        for endpoint in route.endpoints {
            let _ = write!(page, "{}: {}<br>", endpoint.method, endpoint.right.who());
        }
        let _ = writeln!(page, "</td><td>{}</td></tr>", route.about.replace('"', "&quot;"));
    }
    page.push_str("</table></body></html>\n");
    Ok(Answer::Page(page))
}
