//! What a configured reply to EHLO offers is taken at MAIL and RCPT, in the sessions that got it and in no other.

use smtpmock::smtp::{AddressRules, ReplyKind};
use smtpmock::{Config, Server};

use crate::support::client::Client;
use crate::support::server::{start, with_rules};
use crate::support::waiting::PATIENCE;

const OFFER: &str =
    "250-mx.example greets\n250-SIZE 1000\n250-8BITMIME\n250-SMTPUTF8\n250-DSN\n250 AUTH PLAIN";
const ALL_RULES: [AddressRules; 4] =
    [AddressRules::Lenient, AddressRules::Compat, AddressRules::Rfc5321, AddressRules::Any];
const BAD_SENDER: &str = ReplyKind::InvalidMailArgument.default_text();
const BAD_RECIPIENT: &str = ReplyKind::InvalidRcptArgument.default_text();

/// A client that was offered what is configured.
fn offered(server: &Server) -> Client {
    let mut client = Client::greeted(server.local_addr());
    client.send("EHLO client.example\r\n");
    for line in OFFER.lines() {
        assert_eq!(client.reply(), line);
    }
    client
}

#[test]
fn parameters_that_were_offered_are_taken_under_all_rules_for_addresses() {
    for rules in ALL_RULES {
        let server = start(Config::default().addresses(rules).reply(ReplyKind::HeloReceived, OFFER));
        let mut client = offered(&server);
        client.expect(
            "MAIL FROM:<ann@example.com> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=1 AUTH=<>",
            "250 Received",
        );
        client.expect(
            "RCPT TO:<bob@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob@example.com",
            "250 Received",
        );
        client.expect("RCPT TO:<\"a b\"@example.com> NOTIFY=NEVER", "250 Received");
        client.message("x\r\n");
        client.expect("MAIL FROM:<> SIZE=10", "250 Received");
        client.expect("RCPT TO:<postmaster> NOTIFY=NEVER", "250 Received");
        client.message("x\r\n");
        let messages = server.wait_for_messages(2, PATIENCE).unwrap();
        assert_eq!(messages[0].reverse_path().unwrap(), "ann@example.com", "{rules:?}");
        assert_eq!(messages[0].forward_paths(), ["bob@example.com", "\"a b\"@example.com"], "{rules:?}");
        assert_eq!(messages[1].reverse_path().unwrap(), "", "{rules:?}");
        assert_eq!(messages[1].forward_paths(), ["postmaster"], "{rules:?}");
    }
}

#[test]
fn addresses_in_utf_8_are_taken_where_smtputf8_was_offered() {
    for rules in ALL_RULES {
        let server = start(Config::default().addresses(rules).reply(ReplyKind::HeloReceived, OFFER));
        let mut client = offered(&server);
        client.expect("MAIL FROM:<jürgen@bücher.example> SMTPUTF8 BODY=8BITMIME", "250 Received");
        client.expect("RCPT TO:<用户@例子.example>", "250 Received");
        client.message("x\r\n");
        let message = &server.messages()[0];
        assert_eq!(message.reverse_path().unwrap(), "jürgen@bücher.example");
        assert_eq!(message.forward_paths(), ["用户@例子.example"]);
        if rules != AddressRules::Any {
            client.expect("MAIL FROM:<jürgen@-bücher.example> SMTPUTF8", BAD_SENDER);
            client.expect("MAIL FROM:<@example.com> SMTPUTF8", BAD_SENDER);
            let server = start(Config::default().addresses(rules));
            let mut client = Client::greeted(server.local_addr());
            client.ehlo();
            client.expect("MAIL FROM:<ann@example.com> SMTPUTF8", BAD_SENDER);
        }
    }
}

#[test]
fn parameters_that_were_not_offered_are_refused() {
    let offering = |offer: &str| start(Config::default().reply(ReplyKind::HeloReceived, offer));
    let server = offering("250-mx.example\n250-8BITMIME\n250 PIPELINING");
    let mut client = Client::greeted(server.local_addr());
    client.send("EHLO client.example\r\n");
    (0..3).for_each(|_| drop(client.reply()));
    client.expect("MAIL FROM:<ann@example.com> SIZE=10", BAD_SENDER);
    client.expect("MAIL FROM:<ann@example.com> BODY=8BITMIME SIZE=10", BAD_SENDER);
    client.expect("MAIL FROM:<ann@example.com> BODY=9BIT", BAD_SENDER);
    client.expect("MAIL FROM:<ann@example.com> PIPELINING", BAD_SENDER);
    client.expect("MAIL FROM:<ann@example.com> BODY=8BITMIME", "250 Received");
    client.expect("RCPT TO:<bob@example.com> BODY=8BITMIME", BAD_RECIPIENT);
    client.expect("RCPT TO:<bob@example.com> NOTIFY=NEVER", BAD_RECIPIENT);
    // The first line is the greeting, whatever it is.
    let server = offering("250 SIZE 1000");
    let mut client = Client::greeted(server.local_addr());
    client.expect("EHLO client.example", "250 SIZE 1000");
    client.expect("MAIL FROM:<ann@example.com> SIZE=10", BAD_SENDER);
}

#[test]
fn an_offer_holds_for_the_session_that_got_it_until_it_greets_again() {
    let server = with_rules(&["helo nth=1 reply=\"250-mx.example\\n250 SIZE 1000\""]);
    let mut first = Client::greeted(server.local_addr());
    let mut second = Client::greeted(server.local_addr());
    first.expect("EHLO client.example", "250-mx.example");
    assert_eq!(first.reply(), "250 SIZE 1000");
    second.ehlo();
    first.expect("MAIL FROM:<ann@example.com> SIZE=10", "250 Received");
    second.expect("MAIL FROM:<ann@example.com> SIZE=10", BAD_SENDER);
    first.expect("RSET", "250 Ok");
    first.expect("MAIL FROM:<ann@example.com> SIZE=10", "250 Received");
    first.ehlo();
    first.expect("MAIL FROM:<ann@example.com> SIZE=10", BAD_SENDER);
    assert!(!server.stats().pipelining.offered);
    let offering = with_rules(&["any reply=\"250-mx.example\\n250 PIPELINING\""]);
    assert!(offering.stats().pipelining.offered, "by a rule");
}

/// RFC 5321 section 3.2.
#[test]
fn helo_gets_the_first_line_of_a_positive_reply_and_is_offered_nothing() {
    let config = Config::default().reply(ReplyKind::HeloReceived, OFFER);
    let config = config.reply(ReplyKind::HeloBlacklisted, "550-5.7.1 You\n550 5.7.1 again");
    let server = start(config.blacklisted_helo_domains(["bad.example"]));
    let mut client = Client::greeted(server.local_addr());
    client.expect("HELO bad.example", "550-5.7.1 You");
    assert_eq!(client.reply(), "550 5.7.1 again");
    client.expect("HELO client.example", "250 mx.example greets");
    client.expect("MAIL FROM:<ann@example.com> SIZE=10", BAD_SENDER);
    client.envelope("ann@example.com", "bob@example.com");
    client.message("x\r\n");
    let messages = server.messages();
    assert_eq!(messages.last().unwrap().helo_response(), "250 mx.example greets");
    let ruled = with_rules(&["helo reply=\"250-mx.example\\n250 SIZE\""]);
    let mut client = Client::greeted(ruled.local_addr());
    client.expect("helo client.example", "250 mx.example");
    client.expect("NOOP", "250 Ok");
}

#[test]
fn helo_and_ehlo_have_a_reply_each_and_the_same_until_one_of_ehlo_is_set() {
    let first_replies = |config: Config| {
        let server = start(config);
        ["HELO client.example", "EHLO client.example"].map(|line| {
            let mut client = Client::greeted(server.local_addr());
            client.command(line)
        })
    };
    let (helo, ehlo) = (ReplyKind::HeloReceived, ReplyKind::EhloReceived);
    let config = Config::default;
    assert_eq!(first_replies(config()), ["250 Received", "250 Received"]);
    assert_eq!(first_replies(config().reply(helo, "250 both")), ["250 both", "250 both"]);
    let both = ["250 one", "250 other"];
    assert_eq!(first_replies(config().reply(helo, "250 one").reply(ehlo, "250 other")), both);
    assert_eq!(first_replies(config().reply(ehlo, "250 other").reply(helo, "250 one")), both, "in any order");
    assert_eq!(first_replies(config().reply(ehlo, "250 other")), ["250 Received", "250 other"]);
}
