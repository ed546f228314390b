//! Reports of a server that has received mail.

use std::time::Duration;

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::Value;
use smtpmock::report::encoding::decode;
use smtpmock::report::hlog::IntervalLog;
use smtpmock::report::{Report, merge, progress};
use smtpmock::{Config, Server, Stats};

use crate::support::browser;
use crate::support::client::{Client, MESSAGE};
use crate::support::figures::{after_sessions, once};
use crate::support::server::{ruled, start};

/// Rules whose text would break a page that does not escape it.
const RULES: [&str; 2] = ["rcpt to=gone@* reply=\"550 <b>Gone</b> & lost\"", "rcpt to=slow@* delay=3s"];

fn server() -> Server {
    start(ruled(Config::default(), &RULES))
}

/// Sends this many messages over one session; the first has a recipient that is refused.
fn send(server: &Server, messages: usize) {
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    for number in 0..messages {
        client.envelope("ann@example.com", "bob@example.com");
        if number == 0 {
            client.expect("RCPT TO:<gone@example.com>", "550 <b>Gone</b> & lost");
        }
        client.message(MESSAGE);
    }
    client.quit();
}

/// A server with everything that a report shows: messages, refusals, and a client that gives up.
fn busy() -> (Server, Stats) {
    let server = server();
    send(&server, 5);
    let mut client = Client::with_envelope(server.local_addr());
    client.send(b"RCPT TO:<slow@example.com>\r\n");
    once(&server, |stats| stats.rules[1].fired > 0);
    client.leave();
    let stats = after_sessions(&server, 2);
    (server, stats)
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON")
}

#[test]
fn the_text_shows_what_was_sent_and_no_empty_row() {
    let (_server, stats) = busy();
    let text = Report::new(&stats).settings([("port".to_owned(), "2525".to_owned())]).text();
    let row = |name: &str| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.map(|line| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>())
    };
    assert!(text.contains("\n5 messages accepted ("), "{text}");
    for (name, first) in [
        ("sessions", "2"),
        ("sessions.gave_up", "1"),
        ("mail", "6"),
        ("think.mail", "6"),
        ("gave_up.rcpt", "1"),
        ("message.recipients", "5"),
        ("port", "2525"),
    ] {
        assert_eq!(row(name).unwrap_or_else(|| panic!("{name} in {text}"))[0], first, "{name} in {text}");
    }
    assert_eq!(row("rcpt").expect("a stage")[1..], ["1", "550", "x1"], "{text}");
    assert!(text.contains(RULES[0]) && text.contains(&format!("seed {}", stats.seed)), "{text}");
    for name in
        ["think.noop", "gave_up.data", "sessions.timed_out", "retries.after", "delay.early", "log.dropped"]
    {
        assert_eq!(row(name), None, "{name} in {text}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn an_unused_server_has_a_report_too() {
    let server = start(Config::default());
    let stats = server.stats();
    let report = Report::new(&stats);
    assert!(report.text().contains("0 messages accepted"), "{}", report.text());
    assert!(!report.text().contains("think"), "{}", report.text());
    assert_eq!(value(&report.json())["metrics"]["think.mail"]["histogram"], Value::Null);
    assert!(report.html().contains("What the clients did"));
}

#[test]
fn the_json_shows_what_was_sent_and_when() {
    let (_server, stats) = busy();
    let json = value(&Report::new(&stats).settings([("port".to_owned(), "2525".to_owned())]).json());
    assert_eq!((json["schema"].as_u64(), json["program"].as_str()), (Some(2), Some("smtpmock")));
    assert_eq!(
        (json["metrics"]["messages"].as_u64(), json["refused"]["rcpt"]["550"].as_u64()),
        (Some(5), Some(1))
    );
    let run = &json["runs"][0];
    assert_eq!((run["seed"].as_u64(), run["settings"]["port"].as_str()), (Some(stats.seed), Some("2525")));
    let at = |name: &str| run[name].as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    assert!(
        at("started_at").is_some() && at("started_at") == at("begins_at") && at("begins_at") < at("ends_at")
    );
    let think = &json["metrics"]["think.mail"];
    let histogram = decode(think["histogram"].as_str().expect("a text")).expect("a histogram");
    assert_eq!(Some(histogram.len()), think["count"].as_u64());
    // The histogram has three digits; the maximum is exact.
    let largest = think["max"].as_u64().expect("a duration");
    assert_eq!(Some(histogram.value_at_quantile(0.99).min(largest)), think["p99"].as_u64());
    assert_eq!(
        (json["rules"][0]["rule"].as_str(), json["rules"][0]["fired"].as_u64()),
        (Some(RULES[0]), Some(1))
    );
    let messages = json["timeline"]["intervals"].as_array().expect("a list").iter();
    assert_eq!(messages.map(|interval| interval["messages"].as_u64().expect("a count")).sum::<u64>(), 5);
}

#[test]
fn reports_of_two_servers_add_up_and_the_same_one_twice_does_not() {
    let servers = [server(), server()];
    for (server, messages) in servers.iter().zip([2, 3]) {
        send(server, messages);
    }
    let texts = servers.each_ref().map(|server| Report::new(&server.stats()).json());
    let sum = Report::read(&merge(&texts.each_ref().map(String::as_str)).expect("a sum")).expect("a report");
    assert_eq!((sum.stats().messages.accepted, sum.stats().sessions.opened), (5, 2));
    assert_eq!(sum.stats().rules[0].fired, 2);
    assert!(sum.text().contains("5 messages accepted"), "{}", sum.text());
    let error = merge(&[&texts[0], &texts[1], &texts[0]]).expect_err("twice the same").to_string();
    assert!(error.starts_with("report 3: runs: ") && error.contains("give each run once"), "{error}");
}

/// What clients did with extensions is in the text, and adds up.
#[test]
fn the_use_of_extensions_is_reported_and_adds_up() {
    let reports = [2, 3].map(|messages| {
        let server = start(Config::default().esmtp());
        let mut client = Client::extended(server.local_addr());
        for _ in 0..messages {
            client
                .send("MAIL FROM:<ann@example.com> SIZE=2 SMTPUTF8\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n");
            (0..3).for_each(|_| drop(client.reply()));
            assert!(client.command("hi\r\n.").starts_with("250 "));
        }
        client.quit_extended();
        let stats = after_sessions(&server, 1);
        let text = Report::new(&stats).text();
        let mean = (2 + 4 * messages) as f64 / (2 + 2 * messages) as f64;
        let line = format!("1 of them pipelined, {mean:.2} commands for each round trip in all");
        assert!(Report::new(&stats).html().contains(&line), "{line}");
        assert!(text.contains(&line), "{line}\n{text}");
        assert!(text.contains("larger-than-declared, RFC 1870 section 6.3"), "{text}");
        Report::new(&stats).json()
    });
    let sum =
        Report::read(&merge(&reports.each_ref().map(String::as_str)).expect("a sum")).expect("a report");
    let stats = sum.stats();
    assert_eq!((stats.extensions.pipelining, stats.extensions.smtputf8), (2, 2));
    assert_eq!((stats.pipelining.commands, stats.pipelining.round_trips), (2 * 2 + 4 * 5, 2 * 2 + 2 * 5));
    let messages = &stats.messages;
    assert_eq!(
        (messages.declared, messages.larger_than_declared, messages.declared_difference.max()),
        (5, 5, 2)
    );
    assert!(sum.html().contains("extensions.smtputf8") && sum.json().contains("extensions.smtputf8"));
}

#[test]
fn two_parts_of_a_run_add_up_to_the_whole() {
    let server = server();
    send(&server, 2);
    let first = server.stats();
    send(&server, 3);
    let whole = server.stats();
    let parts = [&first, &whole.since(&first)].map(|stats| Report::new(stats).json());
    let sum = Report::read(&merge(&parts.each_ref().map(String::as_str)).expect("a sum")).expect("a report");
    // They are not equal as JSON: the extremes of a part have only three digits.
    let sum = sum.stats();
    assert_eq!((&sum.stages, &sum.sessions), (&whole.stages, &whole.sessions));
    assert_eq!((&sum.messages, &sum.delays), (&whole.messages, &whole.delays));
    assert_eq!((&sum.pipelining, &sum.retries), (&whole.pipelining, &whole.retries));
    assert_eq!((&sum.extensions, &sum.auth), (&whole.extensions, &whole.auth));
    assert_eq!((&sum.health, &sum.timeline), (&whole.health, &whole.timeline));
    assert_eq!((sum.begins, sum.ends), (whole.begins, whole.ends));
}

#[test]
fn the_interval_log_can_be_parsed_and_its_sum_is_the_total() {
    let server = server();
    let mut before = server.stats();
    let mut bytes = Vec::new();
    let mut log =
        IntervalLog::new(&mut bytes, before.started_at.expect("a server that runs")).expect("a Vec");
    for messages in [3, 0, 4] {
        if messages > 0 {
            send(&server, messages);
        }
        let stats = server.stats();
        log.write(&stats.since(&before)).expect("a Vec");
        before = stats;
    }
    let mut samples = Vec::new();
    let mut last = Duration::ZERO;
    for entry in IntervalLogIterator::new(&bytes) {
        let LogEntry::Interval(interval) = entry.expect("a line of the log") else { continue };
        assert!(interval.start_timestamp() >= last, "the intervals follow each other");
        last = interval.start_timestamp();
        if interval.tag().expect("a tag").as_str() == "think.mail" {
            samples.push(decode(interval.encoded_histogram()).expect("a histogram").len());
        }
    }
    assert_eq!(samples, [3, 4]);
    let head = String::from_utf8_lossy(&bytes);
    assert_eq!(head.matches("#[StartTime: ").count(), 1, "{head}");
}

/// Mails that are refused at RCPT, and one that is aborted within the data.
#[test]
fn every_report_shows_the_outcome_of_each_mail() {
    let server = start(ruled(Config::default(), &[r#"rcpt to=later@* reply="451 4.2.1 Later""#]));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    for _ in 0..3 {
        client.mail("ann@example.com");
        client.expect("RCPT TO:<later@example.com>", "451 4.2.1 Later");
    }
    client.envelope("ann@example.com", "bob@example.com");
    client.expect("RCPT TO:<later@example.com>", "451 4.2.1 Later");
    client.message(MESSAGE);
    client.mail("ann@example.com");
    let stats = server.stats();
    assert_eq!((stats.transactions(), stats.transactions_open()), (5, 1));
    client.rcpt("bob@example.com");
    client.data();
    client.leave();
    let stats = after_sessions(&server, 1);
    let text = Report::new(&stats).text();
    assert!(text.contains("\n1 messages accepted ("), "{text}");
    assert!(text.contains("), 3 refused, 1 aborted\nrefused: 3 at rcpt with 451\n"), "{text}");
    let json = value(&Report::new(&stats).json());
    let figures = [
        "transactions",
        "messages",
        "messages.refused",
        "messages.refused.rcpt",
        "messages.aborted",
        "transactions.open",
    ];
    assert_eq!(figures.map(|name| json["metrics"][name].as_u64().expect(name)), [5, 1, 3, 3, 1, 0]);
    assert_eq!(json["messages_refused"], serde_json::json!({"rcpt": {"451": 3}}));
    assert_eq!(json["refused"]["rcpt"]["451"], 4, "replies");
    let line = progress(&stats, &stats);
    assert!(line.contains(" 1 messages  3 refused  1 aborted  0 open "), "{line}");
    let page = Report::new(&stats).html();
    for tile in ["<b>3</b><span>refused</span>", "<b>1</b><span>aborted</span>"] {
        assert!(page.contains(tile), "{tile} in {page}");
    }
}

#[test]
fn progress_is_one_line_of_the_last_interval_and_the_total() {
    let server = server();
    send(&server, 2);
    let before = server.stats();
    send(&server, 1);
    let stats = server.stats();
    let line = progress(&stats.since(&before), &stats);
    assert!(!line.contains('\n') && line.chars().count() <= 120, "{line}");
    for part in [" 3 messages", " 0 open", " 0 refused", " 0 aborted", "think p50 ", "service p99 "] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let idle = progress(&stats.since(&stats), &stats);
    assert!(idle.contains("think p50 - p99 -"), "{idle}");
}

#[test]
fn the_page_fetches_nothing_and_shows_texts_unchanged() {
    let (_server, stats) = busy();
    let report =
        Report::new(&stats).settings([("banner".to_owned(), "<script>alert(1)</script>".to_owned())]);
    let page = report.html();
    assert!(page.starts_with("<!doctype html>"));
    for forbidden in ["http:", "https:", "src=", "@import", "url(", "<script", "<b>Gone", "NaN"] {
        assert!(!page.contains(forbidden), "the page has {forbidden}");
    }
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;")
            && page.contains("&lt;b&gt;Gone&lt;/b&gt; &amp; lost")
    );
    // Think time, giving up, service time; messages and sessions over time.
    assert_eq!((page.matches("<figure>").count(), page.matches("role=\"img\"").count()), (5, 5), "{page}");
}

#[test]
fn the_page_can_be_read_in_a_browser_on_any_screen() {
    let Some(name) = browser::installed() else {
        eprintln!("SKIPPED: no browser is installed to look at the page with (chromium)");
        return;
    };
    let (_server, stats) = busy();
    let page = Report::new(&stats).html();
    for (width, is_dark) in [(1200, false), (600, true), (500, false)] {
        let seen = browser::look(name, &page, width, is_dark);
        assert_eq!(seen.problems, [""; 0], "{width} pixels wide");
        assert_eq!(seen.is_dark, is_dark);
        let (lines, rows) = (page.matches("<polyline").count(), page.matches("<tr><td").count());
        assert_eq!((seen.lines, seen.rows), (lines, rows), "the browser reads it as it was written");
    }
}
