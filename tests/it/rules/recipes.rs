//! The recipes of `RULES.md`, unchanged or, where one takes long, with shorter times.

use std::time::Duration;

use smtpmock::smtp::rules::Rule;
use smtpmock::{Config, Server};

use crate::support::client::{Client, End};
use crate::support::server::{ruled, start, with_rules};
use crate::support::waiting::now;

const DOCUMENT: &str = include_str!("../../../src/smtp/rules/RULES.md");

/// The rule of a recipe.
fn recipe(what: &str) -> String {
    let line = DOCUMENT.lines().find(|line| line.starts_with(&format!("| {what}")));
    let line = line.unwrap_or_else(|| panic!("no recipe {what:?}"));
    line.rsplit('`').nth(1).expect("a rule").to_owned()
}

fn rcpt(server: &Server, sender: &str, recipient: &str) -> String {
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail(sender);
    client.command(&format!("RCPT TO:<{recipient}>"))
}

#[test]
fn every_recipe_is_a_rule() {
    let recipes = DOCUMENT.split("## Recipes").nth(1).expect("recipes");
    let rules: Vec<_> = recipes.lines().filter_map(|line| line.rsplit('`').nth(1)).collect();
    assert!(rules.len() >= 11, "{rules:?}");
    for rule in rules {
        rule.parse::<Rule>().unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn greylisting() {
    let server = with_rules(&[&recipe("Greylisting")]);
    for (sender, recipient, code) in [
        ("a@example.com", "x@example.com", "451"),
        ("a@example.com", "y@example.com", "451"),
        ("b@example.com", "x@example.com", "451"),
        ("a@example.com", "x@example.com", "250"),
        ("A@example.com", "Y@example.com", "250"),
        ("b@example.com", "x@example.com", "250"),
    ] {
        assert_eq!(rcpt(&server, sender, recipient)[..3], *code, "{sender} {recipient}");
    }
}

#[test]
fn refusals_that_name_the_address_the_client_and_the_record() {
    let rules =
        ["Every mailbox of a domain full", "Greylisting as one", "A refused message that"].map(recipe);
    let certain = rules[2].replace("odds=1%", "odds=100%");
    let server = with_rules(&[&rules[0], &rules[1], &certain]);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("ann@example.com");
    client.expect("RCPT TO:<bob@full.example>", "452 4.2.2 <bob@full.example>: mailbox full");
    let text = "450 4.2.0 <bob@provider.example>: Recipient address rejected: Greylisted, see \
                http://provider.example/127.0.0.1";
    client.expect("RCPT TO:<bob@provider.example>", text);
    client.rcpt("bob@provider.example");
    client.data();
    let refusal = client.command("x\r\n.");
    let id = server.messages()[0].id();
    assert_eq!(refusal, format!("554 5.7.1 Rejected as spam, reference {id}"));
}

#[test]
fn a_hard_bouncing_domain_and_a_full_mailbox() {
    let server = with_rules(&[&recipe("A domain that bounces hard"), &recipe("A full mailbox")]);
    assert_eq!(rcpt(&server, "a@example.com", "anybody@gone.example"), "550 5.1.1 No such user");
    assert_eq!(rcpt(&server, "a@example.com", "full@example.com"), "452 4.2.2 Mailbox full");
    assert_eq!(rcpt(&server, "a@example.com", "empty@example.com"), "250 Received");
}

#[test]
fn a_flapping_server() {
    // More than ten times as fast.
    let rule = recipe("A flapping server").replace("10s", "400ms").replace("15s", "600ms");
    let server = with_rules(&[&rule]);
    let start = now();
    let mut changes = Vec::new();
    while start.elapsed() < Duration::from_secs(3) {
        let (heard, _) = {
            let mut client = Client::connect(server.local_addr());
            // A client may notice a reset while it sends.
            let _ = client.try_send("QUIT\r\n");
            client.end()
        };
        let is_up = heard.starts_with("220");
        if changes.last() != Some(&is_up) {
            changes.push(is_up);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(changes[0], "the server is up at first");
    assert!(changes.len() >= 4, "it changed {} times in five periods", changes.len() - 1);
}

#[test]
fn a_tarpit() {
    let server = with_rules(&[&recipe("A tarpit").replace("5s", "100ms")]);
    let start = now();
    let mut client = Client::greeted(server.local_addr());
    client.send("HELO client.example\r\nRUBBISH\r\nMAIL FROM:<a@example.com>\r\nQUIT\r\n");
    let (heard, end) = client.end();
    assert_eq!((heard.lines().count(), end), (4, End::Fin), "{heard}");
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
}

#[test]
fn resets_of_some_connections() {
    let server = start(ruled(Config::default().seed(1), &[&recipe("5 % of connections reset")]));
    let is_reset = |_: &i32| {
        let mut client = Client::connect(server.local_addr());
        // A client may notice a reset while it sends.
        let _ = client.try_send("QUIT\r\n");
        client.end().1 == End::Reset
    };
    let resets = (0..1000).filter(is_reset).count();
    // Five standard deviations.
    assert!((15..=85).contains(&resets), "{resets}");
    assert_eq!(server.stats().rules[0].fired, resets as u64);
}

#[test]
fn an_overloaded_server() {
    // Ten times as fast.
    let rule = recipe("An overloaded server").replace("200ms", "20ms").replace("2s", "200ms");
    let server = start(ruled(Config::default().seed(5), &[&rule]));
    let clients: Vec<_> = (0..40).map(|_| Client::connect(server.local_addr())).collect();
    for mut client in clients {
        client.send("NOOP\r\n".repeat(4));
        (0..5).for_each(|_| drop(client.reply()));
    }
    let delays = server.stats().delays;
    assert_eq!((delays.told.count(), delays.early), (200, 0));
    let median = delays.told.quantile(0.5);
    assert!((Duration::from_millis(14)..Duration::from_millis(28)).contains(&median), "{median:?}");
    assert!(delays.achieved.quantile(0.5) >= median);
}

#[test]
fn the_third_attempt_and_the_tenth_message() {
    let tenth = recipe("The tenth message").replace("nth=10", "nth=3");
    let server = with_rules(&[&recipe("A recipient that works at the third"), &tenth]);
    let attempts: Vec<_> =
        (0..3).map(|_| rcpt(&server, "a@example.com", "bob@example.com")[..3].to_owned()).collect();
    assert_eq!(attempts, ["451", "451", "250"]);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    let replies: Vec<_> =
        (0..3).map(|_| client.transaction("a@example.com", "b@example.com", "hi\r\n")).collect();
    assert_eq!(replies, ["250 Received", "250 Received", "421 4.7.0 Enough"]);
    assert_eq!(client.end().1, End::Fin);
}
