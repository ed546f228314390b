//! Each condition over real sockets.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use smtpmock::Config;
use smtpmock::smtp::auth::Credential;

use crate::support::client::Client;
use crate::support::server::{has_ipv6, ruled, start, with_rules};
use crate::support::waiting::{PATIENCE, now};

/// The replies to these lines, in a session after HELO and MAIL.
fn replies(rules: &[&str], lines: &[&str]) -> Vec<String> {
    let server = with_rules(rules);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("ann@example.com");
    lines.iter().map(|line| client.command(line)[..3].to_owned()).collect()
}

#[test]
fn names_are_globs_in_either_case() {
    let to = ["RCPT TO:<x@A.example>", "RCPT TO:<x@b.example>"];
    assert_eq!(replies(&[r#"rcpt to=*@a.example reply="451 x""#], &to), ["451", "250"]);
    assert_eq!(replies(&[r#"rcpt to=?@?.example reply="451 x""#], &to), ["451", "451"]);
    assert_eq!(replies(&[r#"rcpt from=ANN@* reply="451 x""#], &to), ["451", "451"]);
    assert_eq!(replies(&[r#"rcpt from=<> reply="451 x""#], &to), ["250", "250"]);
    assert_eq!(replies(&[r#"rcpt helo=client.* reply="451 x""#], &to), ["451", "451"]);
    assert_eq!(replies(&[r#"rcpt helo=other.* reply="451 x""#], &to), ["250", "250"]);
}

#[test]
fn two_brackets_match_the_null_reverse_path() {
    let server = with_rules(&[r#"mail from=<> reply="550 no bounces""#]);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    assert_eq!(client.command("MAIL FROM:<>"), "550 no bounces");
    client.mail("a@example.com");
}

#[test]
fn conditions_at_data_and_message_concern_the_accepted_recipients() {
    let server =
        with_rules(&[r#"rcpt to=no@* reply="550 no""#, r#"message to=*@b.example reply="451 later""#]);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    assert_eq!(client.transaction("a@example.com", "x@a.example", "hi\r\n"), "250 Received");
    assert_eq!(client.transaction("a@example.com", "x@b.example", "hi\r\n"), "451 later");
    client.command("MAIL FROM:<a@example.com>");
    client.rcpt("x@a.example");
    assert_eq!(client.command("RCPT TO:<no@b.example>"), "550 no");
    let messages = server.messages();
    assert!(messages.iter().all(|message| message.body() != b"later"), "{messages:?}");
}

#[test]
fn rules_select_clients_by_network() {
    let lines = ["NOOP"];
    assert_eq!(replies(&[r#"noop ip=127.0.0.0/8 reply="451 x""#], &lines), ["451"]);
    assert_eq!(replies(&[r#"noop ip=10.0.0.0/8 reply="451 x""#], &lines), ["250"]);
    // The same network as IPv6 addresses.
    assert_eq!(replies(&[r#"noop ip=::ffff:127.0.0.1 reply="451 x""#], &lines), ["451"]);
    assert_eq!(replies(&[r#"noop ip=::ffff:127.0.0.0/104 reply="451 x""#], &lines), ["451"]);
    assert_eq!(replies(&[r#"noop ip=::ffff:127.0.0.2 reply="451 x""#], &lines), ["250"]);
}

#[test]
fn a_client_over_ipv4_has_its_ipv4_address_whatever_it_connected_to() {
    if !has_ipv6() {
        return;
    }
    let config = Config::default().hosts(["[::]"]).multiple_message_receiving(true);
    let rules = [r#"noop ip=127.0.0.1 reply="451 v4""#, r#"noop ip=::1 reply="451 v6""#];
    let server = start(ruled(config, &rules));
    for (client, reply) in [(IpAddr::from([127, 0, 0, 1]), "451 v4"), (Ipv6Addr::LOCALHOST.into(), "451 v6")]
    {
        let mut session = Client::greeted(SocketAddr::new(client, server.port()));
        session.ehlo();
        assert_eq!(session.command("NOOP"), reply);
        session.transaction("a@example.com", "b@example.com", "hi\r\n");
        let message = server.wait_for_messages_and_purge(1, PATIENCE).expect("a message").remove(0);
        assert_eq!(message.peer_addr().ip(), Some(client));
    }
}

#[test]
fn counts_choose_times() {
    let lines = ["NOOP"; 6];
    assert_eq!(replies(&[r#"noop nth=2 reply="451 x""#], &lines), ["250", "451", "250", "250", "250", "250"]);
    assert_eq!(
        replies(&[r#"noop nth=5.. reply="451 x""#], &lines),
        ["250", "250", "250", "250", "451", "451"]
    );
    assert_eq!(
        replies(&[r#"noop every=3 reply="451 x""#], &lines),
        ["250", "250", "451", "250", "250", "451"]
    );
    assert_eq!(
        replies(&[r#"noop times=2 reply="451 x""#], &lines),
        ["451", "451", "250", "250", "250", "250"]
    );
    assert_eq!(
        replies(&[r#"noop times=1 reply="451 x""#, r#"noop times=1 reply="452 y""#], &lines[..3]),
        ["451", "452", "250"],
        "a rule that does not fire lets the next try"
    );
}

#[test]
fn sessions_have_ordinals() {
    let server = with_rules(&[r#"connect session=2..3 reply="421 not you" close"#]);
    let greetings: Vec<_> = (0..4).map(|_| Client::connect(server.local_addr()).reply()).collect();
    assert_eq!(greetings, ["220 Welcome", "421 not you", "421 not you", "220 Welcome"]);
}

#[test]
fn counts_are_separate_for_each_key() {
    let rule = |key: &str| format!(r#"rcpt times=1 per={key} reply="451 x""#);
    let ask = |server: &smtpmock::Server, from: &str, to: &[&str]| {
        let mut client = Client::greeted(server.local_addr());
        client.ehlo();
        client.mail(from);
        let ask = |to: &&str| client.command(&format!("RCPT TO:<{to}>"))[..3].to_owned();
        to.iter().map(ask).collect::<Vec<_>>()
    };
    let by_session = with_rules(&[&rule("session")]);
    assert_eq!(ask(&by_session, "a@example.com", &["x@a.example", "y@a.example"]), ["451", "250"]);
    assert_eq!(ask(&by_session, "a@example.com", &["x@a.example", "y@a.example"]), ["451", "250"]);
    let by_recipient = with_rules(&[&rule("recipient")]);
    assert_eq!(ask(&by_recipient, "a@example.com", &["x@a.example", "y@a.example"]), ["451", "451"]);
    assert_eq!(ask(&by_recipient, "b@example.com", &["X@a.example", "z@a.example"]), ["250", "451"]);
    let by_sender = with_rules(&[&rule("sender")]);
    assert_eq!(ask(&by_sender, "a@example.com", &["x@a.example", "y@a.example"]), ["451", "250"]);
    assert_eq!(ask(&by_sender, "b@example.com", &["x@a.example"]), ["451"]);
    let by_ip = with_rules(&[&rule("ip")]);
    assert_eq!(ask(&by_ip, "a@example.com", &["x@a.example", "y@a.example"]), ["451", "250"]);
    assert_eq!(ask(&by_ip, "b@example.com", &["z@a.example"]), ["250"]);
}

#[test]
fn odds_are_about_kept() {
    let server = start(ruled(Config::default().seed(3), &[r#"noop odds=25% reply="451 x""#]));
    let mut client = Client::greeted(server.local_addr());
    client.send("NOOP\r\n".repeat(1000));
    let fired = (0..1000).filter(|_| client.reply() == "451 x").count();
    // Five standard deviations.
    assert!((182..=318).contains(&fired), "{fired}");
    let stats = server.stats();
    assert_eq!((stats.rules[0].reached, stats.rules[0].fired), (1000, fired as u64));
}

#[test]
fn a_window_opens_and_closes() {
    let server = with_rules(&[r#"connect until=600ms reply="421 not yet" close"#]);
    let start = now();
    let mut refused = 0;
    while Client::connect(server.local_addr()).reply() == "421 not yet" {
        refused += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(refused > 0, "no client was refused");
    assert!(start.elapsed() > Duration::from_millis(300), "the window closed after {:?}", start.elapsed());
    assert_eq!(Client::connect(server.local_addr()).reply(), "220 Welcome");
}

#[test]
fn sizes_are_compared_at_the_end_of_the_message() {
    let server = with_rules(&[r#"message size>=1KiB reply="552 5.3.4 too big""#]);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    assert_eq!(client.transaction("a@example.com", "b@example.com", "small\r\n"), "250 Received");
    assert_eq!(
        client.transaction("a@example.com", "b@example.com", &("x".repeat(1024) + "\r\n")),
        "552 5.3.4 too big"
    );
    assert_eq!(server.stats().messages.accepted, 1);
    assert_eq!(server.stats().messages.refused, 1);
}

#[test]
fn an_inbox_is_known_by_the_listener_the_user_and_the_recipients() {
    let config =
        Config::default().esmtp().auth(Credential::any()).port(0).listen("smtp://127.0.0.1?inbox=listener");
    let rules = [
        "connect inbox=listener reply=\"220 hello\"",
        "mail inbox=listener reply=\"451 listener\"",
        "mail inbox=ann reply=\"451 user\"",
        "rcpt inbox=test-* reply=\"451 tag\"",
        "data inbox=domain.example reply=\"451 domain\"",
        "noop inbox=domain.example reply=\"451 no\"",
        "message inbox=last from=ann@* reply=\"451 one of them\"",
    ];
    let server = start(ruled(config, &rules));
    let mut client = Client::connect(server.local_addrs()[1]);
    assert_eq!(client.reply(), "220 hello");
    client.last_line("EHLO client.example");
    assert_eq!(client.command("MAIL FROM:<ann@example.com>"), "451 listener");
    let mut client = Client::extended(server.local_addr());
    client.command("MAIL FROM:<ann@example.com>");
    assert_eq!(client.command("RCPT TO:<bob+Test-1@example.com>"), "451 tag");
    client.command("RCPT TO:<bob@domain.example>");
    client.command("RCPT TO:<bob@example.com>");
    assert_eq!(client.command("DATA"), "451 domain");
    // It is known, but the command is about no recipient.
    assert_eq!(&client.command("NOOP")[..3], "250");
    for (to, code) in [("bob@example.com", "250"), ("bob+last@example.com", "451")] {
        client.command("RSET");
        client.command("MAIL FROM:<ann@example.com>");
        client.command(&format!("RCPT TO:<{to}>"));
        client.command("RCPT TO:<carol@example.com>");
        client.command("DATA");
        assert_eq!(&client.command(".")[..3], code, "{to}");
    }
    // AUTH PLAIN of ann with the password x.
    assert_eq!(&client.command("AUTH PLAIN AGFubgB4")[..3], "235");
    assert_eq!(client.command("MAIL FROM:<ann@example.com>"), "451 user");
}

/// In LMTP each recipient has its own reply.
#[test]
fn an_inbox_of_lmtp_is_that_of_the_recipient_that_is_answered() {
    let config = Config::default().listen("lmtp://127.0.0.1");
    let server = start(ruled(config, &["message inbox=test-1 reply=\"452 4.2.2 full\""]));
    let mut client = Client::greeted(server.local_addr());
    client.last_line("LHLO a.example");
    client.command("MAIL FROM:<ann@example.com>");
    for to in ["bob@example.com", "bob+test-1@example.com", "carol@example.com"] {
        client.command(&format!("RCPT TO:<{to}>"));
    }
    client.command("DATA");
    client.send(".\r\n");
    let codes: Vec<_> = (0..3).map(|_| client.reply()[..3].to_owned()).collect();
    assert_eq!(codes, ["250", "452", "250"]);
}
