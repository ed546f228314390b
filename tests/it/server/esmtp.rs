//! What `esmtp` offers to EHLO, and what follows from it.

use std::time::Duration;

use smtpmock::smtp::auth::Credential;
use smtpmock::smtp::rules::{Extension, Offer, Trusted};
use smtpmock::smtp::{AddressRules, Policy, ReplyKind, Stage};
use smtpmock::{Config, Server, Settings};

use crate::support::client::{Client, End};
use crate::support::server::{ruled, start};

const DEFAULT: [&str; 8] = [
    "PIPELINING",
    "SIZE 10485760",
    "8BITMIME",
    "SMTPUTF8",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "CHUNKING",
    "BINARYMIME",
];

/// What the lines of the reply to EHLO have behind their code, in a session of its own.
fn ehlo(server: &Server) -> Vec<String> {
    reply_to(&mut Client::greeted(server.local_addr()), "EHLO client.example")
}

fn reply_to(client: &mut Client, line: &str) -> Vec<String> {
    client.send(format!("{line}\r\n"));
    let mut lines = Vec::new();
    loop {
        let line = client.reply();
        let (code, text) = line.split_at(4);
        lines.push(text.to_owned());
        if code == "250 " {
            return lines;
        }
        assert_eq!(code, "250-", "{lines:?}");
    }
}

fn offered(config: Config) -> Vec<String> {
    ehlo(&start(config)).split_off(1)
}

#[test]
fn ehlo_is_offered_what_a_current_server_has_and_helo_nothing() {
    let server = start(Config::default().esmtp());
    let lines = ehlo(&server);
    assert_eq!(lines[0], "smtpmock greets you");
    assert_eq!(lines[1..], DEFAULT);
    let mut client = Client::greeted(server.local_addr());
    client.expect("HELO client.example", "250 Received");
    client.expect("NOOP", "250 Ok");
    assert!(server.stats().pipelining.offered);
    assert!(!start(Config::default().without_esmtp()).stats().pipelining.offered);
    assert_eq!(ehlo(&start(Config::default().esmtp().without_esmtp())), ["Received"]);
}

#[test]
fn what_is_offered_follows_the_limits() {
    let config = Config::default().esmtp().message_size_limit(1000);
    assert_eq!(offered(config.clone())[1], "SIZE 1000");
    let limits = |config: Config| offered(config).split_off(DEFAULT.len());
    assert_eq!(limits(config.clone()), [""; 0]);
    assert_eq!(limits(config.clone().max_rcpts(100)), ["LIMITS RCPTMAX=100"]);
    assert_eq!(
        limits(config.clone().max_rcpts(7).max_messages_per_session(3)),
        ["LIMITS MAILMAX=3 RCPTMAX=7"]
    );
    let only = Config::default().extensions(Offer::only([Extension::Limits]));
    assert_eq!(offered(only.clone()), ["LIMITS RCPTMAX=10000"]);
    let without = Config::default().extensions(Offer::without([Extension::Limits])).max_rcpts(9);
    assert_eq!(offered(without), DEFAULT);
}

#[test]
fn lists_and_lines_change_what_is_offered() {
    let only = Offer::only([Extension::Dsn, Extension::Pipelining]);
    assert_eq!(offered(Config::default().extensions(only)), ["PIPELINING", "DSN"]);
    let without = Offer::without([Extension::Dsn, Extension::Pipelining]);
    assert_eq!(offered(Config::default().extensions(without)), [&DEFAULT[1..4], &DEFAULT[5..]].concat());
    assert_eq!(offered(Config::default().extensions(Offer::only([]))), [""; 0]);
    let lines =
        Config::default().extensions(Offer::only([])).ehlo_line("XCLIENT NAME").ehlo_line("DELIVERBY 240");
    assert_eq!(offered(lines.clone()), ["XCLIENT NAME", "DELIVERBY 240"]);
    // Whether it is true or not.
    let server = start(lines);
    let mut client = Client::greeted(server.local_addr());
    assert_eq!(reply_to(&mut client, "EHLO client.example").len(), 3);
    client.expect("MAIL FROM:<ann@example.com> BY=120;R", "250 Received");
}

/// Every extension taken away alone, and left alone.
#[test]
fn each_extension_is_offered_or_not_by_itself() {
    let has = |config: &Config, keyword: &str| {
        offered(config.clone()).iter().any(|line| line.split(' ').next() == Some(keyword))
    };
    // STARTTLS needs TLS, and is with its tests.
    let all = || Extension::ALL.iter().copied().filter(|one| *one != Extension::Starttls);
    for one in all() {
        let config = |has_auth: bool| match has_auth {
            true => Config::default().auth(Credential::any()).max_rcpts(5),
            false => Config::default().max_rcpts(5),
        };
        // AUTH is offered where somebody can authenticate, and must be then.
        let without = config(one != Extension::Auth).extensions(Offer::without([one]));
        let only = config(one == Extension::Auth).extensions(Offer::only([one]));
        for other in all() {
            // Binary messages come in chunks alone.
            let is_taken_along = (one, other) == (Extension::Chunking, Extension::BinaryMime);
            assert_eq!(has(&without, other.keyword()), one != other && !is_taken_along, "{one:?}: {other:?}");
            assert_eq!(has(&only, other.keyword()), one == other, "{one:?}: {other:?}");
        }
    }
}

#[test]
fn parameters_of_what_is_offered_are_accepted_and_no_others() {
    let server = start(Config::default().extensions(Offer::without([Extension::Dsn])));
    let mut client = Client::greeted(server.local_addr());
    reply_to(&mut client, "EHLO client.example");
    client.expect("MAIL FROM:<jürgen@example.com> SIZE=10 BODY=8BITMIME SMTPUTF8", "250 2.1.0 Received");
    let refusal = client.command("RCPT TO:<bob@example.com> NOTIFY=NEVER");
    assert!(refusal.starts_with('5'), "{refusal}");
    client.expect("RCPT TO:<bob@example.com>", "250 2.1.5 Received");
}

/// A text that is configured is sent unchanged; that of HELO, if it is one line, names the server to EHLO too.
#[test]
fn configured_texts_of_helo_and_ehlo_stay_what_they_are() {
    let config = Config::default().esmtp();
    let (helo, ehlo_kind) = (ReplyKind::HeloReceived, ReplyKind::EhloReceived);
    let lines = ehlo(&start(config.clone().reply(helo, "250 mx.example at your service")));
    assert_eq!(lines[0], "mx.example at your service");
    assert_eq!(lines[1..], DEFAULT);
    assert_eq!(ehlo(&start(config.clone().reply(helo, "250-mx.example\n250 SIZE"))), ["mx.example", "SIZE"]);
    assert_eq!(ehlo(&start(config.clone().reply(ehlo_kind, "250 mx.example"))), ["mx.example"]);
    for (config, is_valid) in [
        (config.clone().reply(ehlo_kind, "250 mx.example"), true),
        (config.clone().reply(ehlo_kind, "250 mx.example").ehlo_line("X"), false),
        (config.clone().reply(ehlo_kind, "250 mx.example").extensions(Offer::only([])), false),
        (config.clone().ehlo_line(" "), false),
        (config.clone().ehlo_line("X\r\n250 Y"), false),
        (config.clone().ehlo_line("250-X"), false),
        (config.clone().ehlo_line("250X"), true),
        (ruled(Config::default(), &["helo ehlo=SIZE"]), false),
        (ruled(config.clone(), &["helo ehlo=SIZE"]), true),
    ] {
        assert_eq!(config.validate().is_ok(), is_valid, "{:?}", config.validate());
    }
    for line in ["x\r\ny", "250-X"] {
        let error = config.clone().ehlo_line(line).validate().expect_err("no line");
        assert_eq!((error.setting, error.value.as_str()), ("ehlo_line", line));
        assert!(error.expected.starts_with("one line of text, without code"), "{error}");
    }
    let server = start(config.reply(helo, "550 no"));
    let mut client = Client::greeted(server.local_addr());
    client.expect("EHLO client.example", "550 no");
}

#[test]
fn a_rule_offers_something_else_to_some_sessions() {
    let rules = [
        "helo session=2 ehlo=none",
        "helo session=3 ehlo=-SIZE,-DSN delay=1ms",
        "helo session=4 ehlo=LIMITS",
    ];
    let server = start(ruled(Config::default().esmtp().blacklisted_helo_domains(["bad.example"]), &rules));
    assert_eq!(ehlo(&server)[1..], DEFAULT);
    let mut second = Client::greeted(server.local_addr());
    second.expect("HELO bad.example", "421 Service not available");
    second.expect("HELO client.example", "250 Received");
    second.expect("EHLO -", ReplyKind::InvalidHeloArgument.default_text());
    assert_eq!(reply_to(&mut second, "EHLO client.example"), ["smtpmock greets you"]);
    let refusal = second.command("MAIL FROM:<ann@example.com> SIZE=1");
    assert!(refusal.starts_with('5'), "{refusal}");
    let others = ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME"];
    assert_eq!(ehlo(&server)[1..], others);
    assert_eq!(ehlo(&server)[1..], ["LIMITS RCPTMAX=10000"]);
    server.reconfigure(|settings| settings.max_rcpts(8)).unwrap();
    assert_eq!(ehlo(&server)[1..], [DEFAULT.as_slice(), &["LIMITS RCPTMAX=8"]].concat());
}

#[test]
fn what_is_offered_can_change_while_sessions_run() {
    let server = start(Config::default());
    let mut client = Client::greeted(server.local_addr());
    assert_eq!(reply_to(&mut client, "EHLO client.example"), ["Received"]);
    let change = |change: fn(Settings) -> Settings| server.reconfigure(change).unwrap();
    change(Settings::esmtp);
    assert_eq!(reply_to(&mut client, "EHLO client.example")[1..], DEFAULT);
    change(|settings| settings.extensions(Offer::only([Extension::Size])).message_size_limit(5));
    client.expect("MAIL FROM:<ann@example.com> BODY=8BITMIME", "250 2.1.0 Received");
    assert_eq!(reply_to(&mut client, "EHLO client.example")[1..], ["SIZE 5"]);
    assert!(server.reconfigure(|settings| settings.ehlo_line("")).is_err());
    change(Settings::reset);
    assert_eq!(reply_to(&mut client, "EHLO client.example"), ["Received"]);
    assert_eq!(Policy::default().esmtp(), None);
}

/// RFC 2034 section 4: in the sessions that were offered them, and not in greetings and replies to HELO and EHLO.
#[test]
fn default_texts_have_enhanced_status_codes_where_they_were_offered() {
    let config =
        Config::default().esmtp().message_size_limit(10).max_rcpts(3).addresses(AddressRules::Rfc5321);
    let config = config.not_registered_emails(["gone@example.com"]);
    let config = config.reply(ReplyKind::NoopReceived, "250 Fine");
    let server = start(ruled(config, &["rset nth=2 reply=\"250 reset\"", "noop nth=2 close"]));
    let dialogue = [
        ("EHLO -", "501 HELO requires domain address or valid address literal"),
        (
            "RCPT TO:<bob@example.com>",
            "503 5.5.1 Bad sequence of commands. RCPT TO should be used after MAIL FROM",
        ),
        ("MAIL FROM:<ann@", "501 5.1.7 MAIL FROM requires valid email address"),
        ("MAIL FROM:<ann@example.com> SIZE=11", "552 5.3.4 Message exceeded max size of 10 bytes"),
        ("MAIL FROM:<ann@example.com> FOO", "555 5.5.4 Parameter not recognized or not offered"),
        ("MAIL FROM:<ann@example.com> SIZE=x", "501 5.5.4 Syntax error in parameters"),
        ("MAIL FROM:<jürgen@example.com>", "553 5.6.7 Address in UTF-8 requires SMTPUTF8"),
        ("MAIL FROM:<ann@example.com>", "250 2.1.0 Received"),
        ("DATA", "503 5.5.1 Bad sequence of commands. DATA should be used after RCPT TO"),
        ("RCPT TO:<bob@", "501 5.1.3 RCPT TO requires valid email address"),
        ("RCPT TO:<gone@example.com>", "550 5.1.1 User not found"),
        ("RCPT TO:<bob@example.com>", "250 2.1.5 Received"),
        ("RCPT TO:<carol@example.com>", "452 4.5.3 Too many recipients"),
        ("DATA", "354 Ready for receive message. End data with <CR><LF>.<CR><LF>"),
        ("x\r\n.", "250 2.0.0 Received"),
        (
            "RSET x",
            "502 5.5.4 Command unrecognized. Available commands: HELO, EHLO, MAIL FROM:, RCPT TO:, DATA, BDAT, RSET, NOOP, QUIT, VRFY, EXPN, HELP",
        ),
        ("RSET", "250 reset"),
        ("RSET", "250 2.0.0 Ok"),
        ("NOOP", "250 Fine"),
        ("QUIT", "221 2.0.0 Closing connection"),
    ];
    let without_codes = |reply: &str| {
        let mut words: Vec<&str> = reply.split(' ').collect();
        let is_code = |word: &str| word.len() == 5 && word[1..2] == *"." && word[3..4] == *".";
        words.retain(|word| !is_code(word) || reply.contains("Too many"));
        words.join(" ")
    };
    let mut client = Client::greeted(server.local_addr());
    reply_to(&mut client, "EHLO client.example");
    // A refused EHLO leaves no extension, until the next one.
    client.expect(dialogue[0].0, dialogue[0].1);
    client.expect("FOO", &format!("{}, VRFY, EXPN, HELP", ReplyKind::InvalidCommand.default_text()));
    reply_to(&mut client, "EHLO client.example");
    for (line, reply) in &dialogue[1..] {
        let answer = client.command(line);
        let id = answer.strip_prefix("250 2.0.0 Ok: queued as ").filter(|_| line.ends_with('.'));
        // The text of the acceptance is a test of its own.
        assert!(answer == *reply || id.is_some(), "{line}: {answer}");
    }
    let mut plain = Client::greeted(server.local_addr());
    plain.expect("HELO client.example", "250 Received");
    let is_of_helo = |(line, _): &&(&str, &str)| !line.contains(" SIZE=") && !line.starts_with("RSET");
    let rest = dialogue[1..].iter().filter(is_of_helo).filter(|(line, _)| *line != "NOOP");
    rest.for_each(|(line, reply)| plain.expect(line, &without_codes(reply)));
}

#[test]
fn enhanced_status_codes_are_of_the_class_of_their_reply() {
    for &kind in ReplyKind::ALL {
        let text = kind.default_text();
        let Some(code) = kind.enhanced_code() else { continue };
        assert_eq!(code[..2], format!("{}.", &text[..1]), "{text}");
        assert!(!text[4..].starts_with(|c: char| c.is_ascii_digit()), "{text}");
    }
}

/// What ends a session that waits too long is its own reply too.
#[test]
fn a_session_that_times_out_is_sent_the_code_it_was_offered() {
    let server = start(Config::default().esmtp().session_timeout(Duration::from_millis(50)));
    let (mut extended, mut plain) =
        (Client::greeted(server.local_addr()), Client::greeted(server.local_addr()));
    reply_to(&mut extended, "EHLO client.example");
    assert_eq!(extended.reply(), "421 4.3.2 Service closing transmission channel");
    assert_eq!(plain.reply(), ReplyKind::ServiceClosing.default_text());
}

/// A client that was not offered an extension is not pointed to its command.
#[test]
fn help_and_the_reply_to_an_unknown_command_list_what_the_session_can_use() {
    let own = "HELO, EHLO, MAIL FROM:, RCPT TO:, DATA, RSET, NOOP, QUIT";
    let with_bdat = own.replace("DATA, ", "DATA, BDAT, ");
    let esmtp = || Config::default().esmtp();
    let text = "502 x {{commands}}";
    for (config, expected) in [
        (Config::default(), own.to_owned()),
        (esmtp(), format!("{with_bdat}, VRFY, EXPN, HELP")),
        (esmtp().extensions("-CHUNKING".parse().unwrap()), format!("{own}, VRFY, EXPN, HELP")),
        (esmtp().auth(("ann", "secret")), format!("{with_bdat}, VRFY, EXPN, HELP, AUTH")),
        (
            esmtp().trust("127.0.0.1".parse::<Trusted>().unwrap()),
            format!("{with_bdat}, VRFY, EXPN, HELP, XCLIENT"),
        ),
        (Config::default().reply(ReplyKind::InvalidCommand, text), own.to_owned()),
    ] {
        let is_extended = expected != own;
        let server = start(config);
        let mut client = Client::extended(server.local_addr());
        let unknown = client.command("FOO");
        assert!(unknown.starts_with("502 ") && unknown.ends_with(&expected), "{unknown}");
        if is_extended {
            client.expect("HELP", &format!("214 2.0.0 Commands: {expected}"));
            let refused = client.command("RSET x");
            assert!(refused.ends_with(&format!("Available commands: {expected}")), "{refused}");
        }
    }
}

/// RFC 5321 sections 4.1.1.6 to 4.1.1.8; they need no EHLO, and touch no transaction.
#[test]
fn vrfy_expn_and_help_are_commands_under_extended_smtp() {
    let rules = ["vrfy nth=3 reply=\"250 <bob@example.com>\"", "help nth=3 delay=1ms close"];
    let server =
        start(ruled(Config::default().esmtp().reply(ReplyKind::ExpnReceived, "550 no lists"), &rules));
    let help = "214 Commands: HELO, EHLO, MAIL FROM:, RCPT TO:, DATA, RSET, NOOP, QUIT, VRFY, EXPN, HELP";
    let mut client = Client::greeted(server.local_addr());
    client.expect("VRFY bob", ReplyKind::VrfyReceived.default_text());
    client.expect("help", help);
    reply_to(&mut client, "EHLO client.example");
    client.expect("MAIL FROM:<ann@example.com>", "250 2.1.0 Received");
    client.expect("vrfy", "501 5.5.4 Syntax error: an argument is missing");
    client.expect("VRFY <bob@example.com>", "250 <bob@example.com>");
    client.expect("EXPN list", "550 no lists");
    client.expect("VRFY bob", &ReplyKind::VrfyReceived.default_text().replace("252", "252 2.5.0"));
    let extended = help.replace("214", "214 2.0.0").replace("DATA, ", "DATA, BDAT, ");
    client.expect("HELP MAIL", &extended);
    client.expect("RCPT TO:<bob@example.com>", "250 2.1.5 Received");
    assert!(client.command("HELPER").starts_with("502 5.5.1 Command unrecognized. "));
    client.expect("HELP", &extended);
    assert_eq!(client.end().1, End::Fin);
    let stats = server.stats();
    let (vrfy, help) = (&stats.stages[Stage::Vrfy], &stats.stages[Stage::Help]);
    assert_eq!((vrfy.count, help.count, stats.stages[Stage::Unknown].count), (5, 3, 1));
    assert_eq!(vrfy.refused.values().sum::<u64>(), 2);
    let server = start(Config::default());
    let mut client = Client::greeted(server.local_addr());
    for line in ["VRFY bob", "EXPN list", "HELP"] {
        client.expect(line, ReplyKind::InvalidCommand.default_text());
    }
    let server = start(Config::default().esmtp());
    let mut client = Client::greeted(server.local_addr());
    client.expect("EXPN list", ReplyKind::ExpnReceived.default_text());
}
