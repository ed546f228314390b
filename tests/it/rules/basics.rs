//! Each condition and each action over real sockets.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use smtpmock::Config;
use smtpmock::smtp::rules::Rule;
use smtpmock::smtp::{DelayPoint, Stage};

use crate::support::client::{Client, End};
use crate::support::figures::after_sessions;
use crate::support::sasl;
use crate::support::server::{ruled, start, with_rules};

#[test]
fn a_reply_is_sent_only_for_the_recipients_of_its_rule() {
    let server = with_rules(&[r#"rcpt to=*@busy.example reply="451 4.7.1 try later""#]);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("a@example.com");
    assert_eq!(client.command("RCPT TO:<b@Busy.Example>"), "451 4.7.1 try later");
    client.rcpt("b@idle.example");
    let stats = server.stats();
    assert_eq!((stats.rules[0].reached, stats.rules[0].fired), (1, 1), "{stats:?}");
}

#[test]
fn a_connection_is_reset_in_place_of_a_reply() {
    let server = with_rules(&["data drop=rst"]);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("a@example.com");
    client.rcpt("b@example.com");
    client.send("DATA\r\n");
    assert_eq!(client.end(), (String::new(), End::Reset));
}

#[test]
fn a_reply_is_delayed_as_long_as_configured() {
    let server = with_rules(&["noop delay=150ms"]);
    let mut client = Client::greeted(server.local_addr());
    let (reply, took) = client.timed("NOOP");
    assert_eq!(reply, "250 Ok");
    assert!(took >= Duration::from_millis(150), "{took:?}");
    assert_eq!(server.stats().delays.early, 0);
    assert_eq!(server.stats().delays.told.count(), 1);
}

#[test]
fn a_server_does_not_start_with_a_contradictory_rule() {
    let contradictory = [
        (Rule::at(Stage::Helo).to("x@example.com").silent(), "no recipient"),
        (Rule::at(Stage::Rcpt).times(3), "something to do"),
        (Rule::at(Stage::Rcpt).reply("250 ok").silent(), "either a reply, or none"),
        (Rule::anywhere().nth(0).close(), "ordinals from 1"),
    ];
    for (rule, hint) in contradictory {
        let error = Config::default().rule(rule).validate().expect_err("a contradiction");
        assert_eq!(error.setting, "rule");
        assert!(error.to_string().contains(hint), "{error}");
    }
    assert!(Config::default().max_sessions(0).validate().is_err());
    assert!(Config::default().max_rcpts(10_001).validate().is_err());
}

#[test]
fn no_two_rules_may_have_the_same_name() {
    let named = |id: &str| Rule::at(Stage::Rcpt).id(id).silent();
    assert!(
        Config::default()
            .rule(named("a"))
            .rule(named("b"))
            .rule(Rule::at(Stage::Rcpt).silent())
            .validate()
            .is_ok()
    );
    let twice = Config::default().rule(named("a")).rule("data id=a close".parse().expect("a rule"));
    let error = twice.validate().expect_err("two rules with the same name");
    assert_eq!((error.setting, &*error.value), ("rule", "data id=a close"));
    assert!(error.expected.contains("a unique id: the rule `rcpt id=a silent` has id=a too"), "{error}");
    let error = Config::default().rule(named("no name")).validate().expect_err("a space");
    assert!(error.to_string().contains("at most 64 letters"), "{error}");
}

#[test]
fn a_rule_can_be_built_or_parsed() {
    let built = Rule::at(Stage::Rcpt).to("*@slow.example").times(3).delay(Duration::from_secs(2));
    assert_eq!("rcpt to=*@slow.example times=3 delay=2".parse(), Ok(built));
    assert_eq!("rcpt id=a.b-1 close".parse(), Ok(Rule::at(Stage::Rcpt).id("a.b-1").close()));
}

#[test]
fn the_error_of_a_delay_that_is_too_long_names_its_point() {
    for &point in DelayPoint::ALL {
        let error = Config::default().delay(point, Duration::MAX).validate().expect_err("too long");
        assert_eq!(error.setting, format!("delay(DelayPoint::{point:?})"));
        assert!(error.to_string().ends_with("365 days"), "{error}");
    }
}

/// A rule at `any` is asked at each stage that has a reply, once for each reply.
#[test]
fn any_is_every_stage_that_has_a_reply() {
    let config = Config::default().auth(("ann", "secret")).trust(IpAddr::from(Ipv4Addr::LOCALHOST));
    let server = start(ruled(config, &["any delay=1us"]));
    let mut client = Client::extended(server.local_addr());
    let mut replies = 2;
    for line in [
        "XCLIENT NAME=mx.example",
        "EHLO client.example",
        &sasl::plain("ann", "secret"),
        "NOOP",
        "VRFY bob",
        "HELP",
        "what",
        "MAIL FROM:<a@b.example>",
        "RCPT TO:<b@b.example>",
        "DATA",
        "hi\r\n.",
    ] {
        client.last_line(line);
        replies += 1;
    }
    for line in ["MAIL FROM:<a@b.example>", "RCPT TO:<b@b.example>"] {
        client.last_line(line);
        replies += 1;
    }
    client.bdat("one", "");
    client.bdat("two", " LAST");
    client.command("RSET");
    client.quit_extended();
    replies += 4;
    let stats = after_sessions(&server, 1);
    assert_eq!(stats.rules[0].fired, replies);
    let counted: u64 = stats.stages.iter().map(|(_, stage)| stage.count).sum();
    assert_eq!(counted, replies, "each reply belongs to one stage");
    let missing = stats.stages.iter().filter(|(_, stage)| stage.count == 0).map(|(stage, _)| stage);
    assert_eq!(missing.collect::<Vec<_>>(), [Stage::Starttls, Stage::Tls], "all but those that need TLS");
}
