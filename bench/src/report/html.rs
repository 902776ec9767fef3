//! The page: the terminal's table with drawings, in one file that needs nothing else.

use std::fmt::Write;

use super::plot::{bars, curves, escape, ratios};
use super::text::spread;
use super::{Line, Report, WorkloadReport};
use crate::format;
use crate::stats::{Better, Metric, Unit};

/// The figures that are drawn, not only written.
const DRAWN: [Metric; 11] = [
    Metric::Rate,
    Metric::PerCpu,
    Metric::FillRate,
    Metric::Anonymous,
    Metric::PerConnection,
    Metric::FirstDelivery,
    Metric::ConnectionRate,
    Metric::ChannelRate,
    Metric::QueueRate,
    Metric::WrittenPerByte,
    Metric::LatencyP99,
];

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let names: Vec<_> = report.brokers.iter().map(|broker| broker.name.as_str()).collect();
    let mut body = heading(report);
    for other in 1..names.len() {
        body.push_str(&overview(report, &names, other));
    }
    for workload in &report.workloads {
        body.push_str(&section(workload, &names));
    }
    format!(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>\
         <meta name='viewport' content='width=device-width'>\
         <title>Brokers compared</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
}

fn heading(report: &Report) -> String {
    let machine = &report.machine;
    let mut html = format!(
        "<h1>Brokers compared</h1><p>{}, {} cores, {} of memory, Linux {}. {} rounds of {} s each, brokers in turn; \
         figures are medians (least to most).</p><pre>{}</pre><ul class='legend'>",
        escape(&machine.processor),
        machine.cores,
        format::value(Unit::Bytes, machine.memory as f64),
        escape(&machine.kernel),
        report.rounds,
        report.seconds,
        escape(&report.command),
    );
    if let Some(caution) = report.caution() {
        let _ = write!(html, "<li class='trouble'>{}</li>", escape(&caution));
    }
    for (n, broker) in report.brokers.iter().enumerate() {
        let _ = write!(
            html,
            "<li><i class='l{n}'></i>{} <small>{}</small></li>",
            escape(&broker.name),
            escape(&broker.server)
        );
    }
    html.push_str("</ul>");
    html
}

/// Messages per CPU second of the first broker against one other, over all workloads; rates where CPU is unknown.
fn overview(report: &Report, names: &[&str], other: usize) -> String {
    let ratio = |workload: &WorkloadReport, wanted: Metric| {
        let line = workload.lines.iter().find(|line| line.metric == wanted)?;
        line.advantage.get(other).copied().flatten()
    };
    let mut html = String::new();
    for metric in [Metric::PerCpu, Metric::Rate, Metric::LatencyP99] {
        let rows: Vec<_> = report
            .workloads
            .iter()
            .filter_map(|workload| Some((workload.name, ratio(workload, metric)?)))
            .collect();
        if let (false, [first, ..], Some(against)) = (rows.is_empty(), names, names.get(other)) {
            let _ = write!(
                html,
                "<section><h2>{}: {} against {}</h2><p>How many times better, on a logarithmic scale.</p>{}</section>",
                metric.describe().0,
                escape(first),
                escape(against),
                ratios(&rows)
            );
        }
    }
    html
}

fn section(workload: &WorkloadReport, names: &[&str]) -> String {
    let mut html = format!("<section><h2 id='{0}'>{0}</h2><p>{1}</p>", workload.name, escape(workload.about));
    for line in workload.lines.iter().filter(|line| DRAWN.contains(&line.metric)) {
        let _ = write!(html, "<h3>{}</h3>{}", line.label, bars(line, names));
    }
    if workload.curves.iter().any(|curve| !curve.is_empty()) {
        let _ = write!(html, "<h3>latency over the share of messages</h3>{}", curves(&workload.curves));
    }
    html.push_str(&table(workload, names));
    for trouble in &workload.troubles {
        let _ = write!(html, "<p class='trouble'>{}: {}</p>", escape(&trouble.broker), escape(&trouble.what));
    }
    html.push_str("</section>");
    html
}

fn table(workload: &WorkloadReport, names: &[&str]) -> String {
    if workload.lines.is_empty() {
        return String::new();
    }
    let mut html = "<table><tr><th></th>".to_owned();
    for name in names {
        let _ = write!(html, "<th>{}</th>", escape(name));
    }
    html.push_str("</tr>");
    for line in &workload.lines {
        let _ = write!(html, "<tr><td>{}</td>", line.label);
        (0..names.len()).for_each(|n| html.push_str(&cell(line, n)));
        html.push_str("</tr>");
    }
    html.push_str("</table>");
    html
}

fn cell(line: &Line, broker: usize) -> String {
    let Some(Some(summary)) = line.brokers.get(broker) else { return "<td>-</td>".to_owned() };
    let ratio = match line.advantage.get(broker) {
        Some(Some(ratio)) if broker > 0 && line.better != Better::Neither => {
            format!(" <b>{}</b>", format::times(*ratio))
        }
        _ => String::new(),
    };
    format!("<td>{}{ratio}</td>", spread(line.unit, summary))
}

const STYLE: &str = "\
:root{color-scheme:light dark;--b0:#2563a8;--b1:#d9822b;--b2:#4d9a57;--b3:#8c5aa8}\
body{font:15px/1.5 system-ui,sans-serif;max-width:760px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem}h2{font-size:1.15rem;margin:2.5rem 0 0}h3{font-size:.9rem;font-weight:600;margin:1rem 0 .2rem}\
p{margin:.2rem 0 .6rem}pre{white-space:pre-wrap;font-size:.8rem;opacity:.8}\
svg{width:100%;height:auto;display:block}svg text{font:12px system-ui,sans-serif;fill:currentColor}\
.b0{fill:var(--b0)}.b1{fill:var(--b1)}.b2{fill:var(--b2)}.b3{fill:var(--b3)}\
polyline{fill:none;stroke-width:2}.c0{stroke:var(--b0)}.c1{stroke:var(--b1)}.c2{stroke:var(--b2)}.c3{stroke:var(--b3)}\
.spread{stroke:currentColor;stroke-width:1.5}.grid{stroke:currentColor;opacity:.15}\
.legend{list-style:none;padding:0;display:flex;gap:1.5rem}.legend i{display:inline-block;width:.8em;height:.8em;\
margin-right:.4em;border-radius:2px}.l0{background:var(--b0)}.l1{background:var(--b1)}.l2{background:var(--b2)}\
.l3{background:var(--b3)}\
table{border-collapse:collapse;margin:1rem 0;font-size:.85rem}td,th{text-align:left;padding:.2rem .9rem .2rem 0;\
border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent)}\
.trouble{color:#c0392b}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{BrokerReport, Machine};

    #[test]
    fn a_page_holds_every_figure_and_escapes_what_brokers_say() {
        let broker = |name: &str| BrokerReport { name: name.to_owned(), server: "<script>".to_owned() };
        let report = Report {
            command: "leveret-bench compare".to_owned(),
            time: 0,
            machine: Machine::this_one(),
            brokers: vec![broker("a"), broker("b"), broker("c")],
            rounds: 3,
            seconds: 1.0,
            shrink: 1000,
            workloads: vec![super::super::tests::report()],
        };
        let html = page(&report);
        assert!(html.contains("200 (100 to 300)") && html.contains("<b>2.00x</b>"));
        assert!(html.contains("<polyline") && html.contains("no &lt;answer&gt;"));
        assert!(html.contains("divided by 1000"));
        assert!(!html.contains("<script>") && !html.contains("http"));
    }
}
