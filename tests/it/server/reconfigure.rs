//! Settings that change while sessions run: each session uses the new ones from its next line on, and loses nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use smtpmock::smtp::rules::{ByteRate, Rule};
use smtpmock::smtp::{DelayPoint, RecordMode, ReplyKind, Stage};
use smtpmock::{Config, Milestone, OverLimit, ReconfigureError, Server, Settings};

use crate::support::client::Client;
use crate::support::figures::once;
use crate::support::server::{start, with_rules};
use crate::support::waiting::PATIENCE;

/// Changes a running server, which must accept the change.
fn reconfigure(server: &Server, change: impl FnOnce(Settings) -> Settings) {
    server.reconfigure(change).expect("settings that a server takes");
}

fn rule(text: &str) -> Rule {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Rules in the form of reports, with how often each was reached and fired.
fn counts(server: &Server) -> Vec<(String, u64, u64)> {
    let stats = server.stats();
    stats.rules.iter().map(|rule| (rule.rule.clone(), rule.reached, rule.fired)).collect()
}

#[test]
fn every_session_of_every_shard_uses_the_new_settings_from_its_next_line_on() {
    let server = start(Config::default().shards(3));
    let mut clients: Vec<_> = (0..24).map(|_| Client::with_envelope(server.local_addr())).collect();
    assert!(
        server.stats().sessions_by_shard.iter().filter(|count| **count > 0).count() > 1,
        "several shards"
    );
    for (round, text) in ["250 one", "451 two", "250 three"].into_iter().enumerate() {
        reconfigure(&server, |settings| settings.reply(ReplyKind::NoopReceived, text));
        clients.iter_mut().for_each(|client| client.expect("NOOP", text));
        assert_eq!(server.stats().stages[Stage::Noop].count, 24 * (round as u64 + 1));
    }
    // Lists, limits of size and rules apply to mails that have begun already.
    reconfigure(&server, |settings| {
        let settings = settings.blacklisted_rcptto_emails(["full@example.com"]).message_size_limit(10);
        settings.reply(ReplyKind::RcptBlacklisted, "452 full")
    });
    for client in &mut clients {
        client.expect("RCPT TO:<full@example.com>", "452 full");
        client.data();
    }
    reconfigure(&server, |settings| settings.rule(rule("message to=bob@* size>=10 reply=\"452 later\"")));
    clients.iter_mut().for_each(|client| client.expect("more than ten octets\r\n.", "452 later"));
    reconfigure(&server, Settings::reset);
    for client in clients {
        let mut client = client;
        client.envelope("ann@example.com", "full@example.com");
        client.message("more than ten octets\r\n");
        client.quit();
    }
    assert_eq!(server.messages().iter().filter(|message| message.msg()).count(), 24);
}

#[test]
fn remaining_rules_continue_their_counts_and_those_of_others_are_dropped() {
    let server = with_rules(&[
        "noop nth=3 reply=\"250 third\"",
        "rset id=reset times=2 per=session reply=\"250 once or twice\"",
        "helo delay=0s",
    ]);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.expect("NOOP", "250 Ok");
    client.expect("NOOP", "250 Ok");
    client.expect("RSET", "250 once or twice");
    let before = server.stats();
    reconfigure(&server, |settings| {
        let settings = settings.without_rules().rule(rule("quit close"));
        let settings = settings.rule(rule("rset id=reset times=2 per=session reply=\"250 the last time\""));
        settings.rule(rule("noop nth=3 reply=\"250 third\""))
    });
    client.expect("NOOP", "250 third");
    client.expect("RSET", "250 the last time");
    client.expect("RSET", "250 Ok");
    let named = "rset id=reset times=2 per=session reply=\"250 the last time\"".to_owned();
    let noop = "noop nth=3 reply=\"250 third\"".to_owned();
    assert_eq!(counts(&server), [("quit close".to_owned(), 0, 0), (named, 3, 2), (noop, 3, 1)]);
    let since = server.stats().since(&before);
    let since: Vec<_> =
        since.rules.iter().map(|rule| (rule.id.as_deref(), rule.reached, rule.fired)).collect();
    assert_eq!(since, [(None, 0, 0), (Some("reset"), 2, 1), (None, 1, 1)]);
    // A rule that is added again counts from zero.
    reconfigure(&server, Settings::without_rules);
    reconfigure(&server, |settings| settings.rule(rule("noop nth=3 reply=\"250 third\"")));
    client.expect("NOOP", "250 Ok");
    assert_eq!(counts(&server), [("noop nth=3 reply=\"250 third\"".to_owned(), 1, 0)]);
}

#[test]
fn a_new_rate_limit_begins_with_a_full_bucket() {
    let server = start(Config::default().rate_limit("1/h".parse().expect("a limit")));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("ann@example.com");
    assert!(client.command("MAIL FROM:<ann@example.com>").starts_with("451 "), "one an hour");
    reconfigure(&server, |settings| settings.reply(ReplyKind::NoopReceived, "250 new"));
    assert!(
        client.command("MAIL FROM:<ann@example.com>").starts_with("451 "),
        "the same limit, and the same bucket"
    );
    reconfigure(&server, |settings| settings.rate_limit("1000/h".parse().expect("a limit")));
    client.mail("ann@example.com");
    assert_eq!(counts(&server), [("rateLimit".to_owned(), 4, 2)]);
    reconfigure(&server, |settings| settings.rate_limit("1/h".parse().expect("a limit")));
    client.mail("ann@example.com");
    assert!(client.command("MAIL FROM:<ann@example.com>").starts_with("451 "), "it came back full");
}

#[test]
fn a_delayed_reply_is_sent_as_it_was_decided() {
    // Longer than a busy machine needs to replace the settings.
    const DELAY: Duration = Duration::from_secs(2);
    let config = Config::default().delay(DelayPoint::Noop, DELAY).reply(ReplyKind::NoopReceived, "250 old");
    let server = start(config);
    let mut client = Client::greeted(server.local_addr());
    client.send("NOOP\r\nNOOP\r\n");
    once(&server, |stats| stats.stages[Stage::Noop].count == 1);
    reconfigure(&server, |settings| settings.reset().reply(ReplyKind::NoopReceived, "451 new"));
    assert_eq!([client.reply(), client.reply()], ["250 old", "451 new"]);
    let delays = server.stats().delays;
    assert_eq!((delays.told.count(), delays.early), (1, 0));
    assert!(delays.achieved.min() >= DELAY, "{:?}", delays.achieved.min());
    // A message whose accepting reply is delayed is accepted, although the next one is refused.
    reconfigure(&server, |settings| settings.delay(DelayPoint::Message, DELAY));
    client.ehlo();
    client.envelope("ann@example.com", "bob@example.com");
    client.data();
    client.send(".\r\n");
    once(&server, |stats| stats.stages[Stage::Message].count == 1);
    reconfigure(&server, |settings| settings.reset().reply(ReplyKind::MessageReceived, "452 full"));
    assert_eq!(client.reply(), "250 Received");
    assert_eq!(client.transaction("ann@example.com", "bob@example.com", "x\r\n"), "452 full");
    assert_eq!(server.stats().messages.accepted, 1);
}

#[test]
fn a_dripping_reply_is_sent_whole_and_throttled_input_is_still_read() {
    let rate = |text: &str| text.parse::<ByteRate>().expect("a rate");
    let old = format!("250 {}", "old".repeat(40));
    let config = Config::default().reply(ReplyKind::NoopReceived, &old).drip(rate("300B/s"));
    let server = start(config);
    let mut client = Client::greeted(server.local_addr());
    client.send("NOOP\r\nNOOP\r\n");
    assert_eq!(client.exactly(1).as_deref(), Ok(&b"2"[..]), "it drips");
    // Input after a line of 500 octets waits for minutes.
    let slow =
        |settings: Settings| settings.reply(ReplyKind::NoopReceived, "250 new").read_rate(rate("1B/s"));
    reconfigure(&server, slow);
    assert_eq!([client.reply(), client.reply()], [&old[1..], &old]);
    client.send(format!("NOOP {}\r\n", "x".repeat(500)));
    assert_eq!(client.silence(Duration::from_millis(100)), Ok(()), "it is read by the octet");
    reconfigure(&server, Settings::reset);
    assert_eq!(client.reply(), "250 Ok");
    client.quit();
}

#[test]
fn a_shortened_timeout_applies_from_the_next_wait_on() {
    let server = start(Config::default().session_timeout(PATIENCE * 100));
    let mut client = Client::greeted(server.local_addr());
    reconfigure(&server, |settings| settings.session_timeout(Duration::from_millis(50)));
    client.expect("NOOP", "250 Ok");
    assert!(client.reply().starts_with("421 "));
    assert_eq!(client.rest(), "");
}

#[test]
fn sessions_accepted_before_there_was_a_limit_count() {
    let server = start(Config::default().shards(2));
    let mut clients: Vec<_> = (0..6).map(|_| Client::greeted(server.local_addr())).collect();
    reconfigure(&server, |settings| settings.max_sessions(6));
    let mut one_more = Client::connect(server.local_addr());
    assert!(one_more.reply().starts_with("421 "));
    clients.pop().expect("a client").quit();
    clients.push(Client::greeted(server.local_addr()));
    // Connections in the backlog are accepted when the limit is raised.
    reconfigure(&server, |settings| settings.over_limit(OverLimit::Backlog));
    let mut waiting = Client::connect(server.local_addr());
    assert_eq!(waiting.silence(Duration::from_millis(120)), Ok(()));
    reconfigure(&server, |settings| settings.max_sessions(7));
    assert_eq!(waiting.reply(), "220 Welcome");
    reconfigure(&server, Settings::reset);
    clients.push(Client::greeted(server.local_addr()));
    reconfigure(&server, |settings| settings.max_sessions_per_ip(8));
    let mut one_more = Client::connect(server.local_addr());
    assert!(one_more.reply().starts_with("421 "), "eight are there");
}

#[test]
fn earlier_deferrals_are_tracked_although_nothing_is_deferred_any_more() {
    let server = with_rules(&["rcpt reply=\"451 4.7.1 Greylisted\""]);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("ann@example.com");
    client.expect("RCPT TO:<bob@example.com>", "451 4.7.1 Greylisted");
    reconfigure(&server, |settings| {
        settings.reset().reply(ReplyKind::EhloReceived, "250-a\r\n250 PIPELINING")
    });
    client.expect("RSET", "250 Ok");
    client.envelope("ann@example.com", "bob@example.com");
    client.message("Subject: again\r\n");
    reconfigure(&server, Settings::reset);
    client.quit();
    let stats = once(&server, |stats| stats.sessions.closed == 1);
    assert_eq!((stats.retries.deferred, stats.retries.retried), (1, 1));
    assert!(stats.pipelining.offered, "for a while it was");
}

#[test]
fn invalid_settings_change_nothing() {
    let server = start(Config::default().reply(ReplyKind::NoopReceived, "250 old"));
    let refused = server.reconfigure(|settings| {
        let settings = settings.reply(ReplyKind::NoopReceived, "250 new");
        settings.rule(rule("rcpt id=a silent")).rule(rule("data id=a silent"))
    });
    let twice = Config::default().rule(rule("rcpt id=a silent")).rule(rule("data id=a silent"));
    let expected = twice.validate().expect_err("two of one name");
    assert_eq!(refused, Err(ReconfigureError::Config(expected)));
    let refused = server.reconfigure(|settings| settings.session_timeout(Duration::MAX));
    assert!(refused.expect_err("too long").to_string().starts_with("invalid value"));
    Client::greeted(server.local_addr()).expect("NOOP", "250 old");
}

#[test]
fn fixed_settings_are_unchanged_whatever_the_change_returns() {
    let server = start(Config::default().seed(7).records(RecordMode::Session));
    let other = start(Config::default().seed(8).reply(ReplyKind::NoopReceived, "250 other"));
    let mut settings = None;
    reconfigure(&other, |own| {
        settings = Some(own.clone());
        own
    });
    let mut client = Client::greeted(server.local_addr());
    reconfigure(&server, |_| settings.take().expect("those of the other server"));
    client.expect("NOOP", "250 other");
    reconfigure(&server, Settings::reset);
    client.deliver("one\r\n");
    assert!(!server.messages()[0].quit_sent(), "the session's record is there before it ends");
    client.quit();
    once(&server, |stats| stats.sessions.closed == 1);
    assert!(server.messages()[0].quit_sent());
    assert_eq!((server.seed(), server.stats().seed), (7, 7));
}

#[test]
fn a_shard_cannot_wait_for_itself_and_a_stopped_server_cannot_be_changed() {
    let server = Arc::<OnceLock<Server>>::default();
    let (sender, heard) = mpsc::channel();
    let hooked = Arc::clone(&server);
    let config = Config::default().on_reaching(Milestone::Messages(1), move || {
        let server = hooked.get().expect("a client found it");
        sender.send(server.reconfigure(Settings::reset)).expect("a listener");
    });
    let server = server.get_or_init(|| start(config));
    Client::greeted(server.local_addr()).deliver("hi\r\n");
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(Err(ReconfigureError::WouldDeadlock)));
    let mut within = Vec::new();
    reconfigure(server, |settings| {
        // The first refusal does not end the reconfiguration that the second would wait for.
        within.extend((0..2).map(|_| server.reconfigure(Settings::reset)));
        settings.reply(ReplyKind::NoopReceived, "250 new")
    });
    assert_eq!(within, [Err(ReconfigureError::WouldDeadlock), Err(ReconfigureError::WouldDeadlock)]);
    Client::greeted(server.local_addr()).expect("NOOP", "250 new");
    server.stop();
    assert_eq!(server.reconfigure(Settings::reset), Err(ReconfigureError::Stopped));
}

#[test]
fn a_server_that_has_failed_is_not_reconfigured() {
    let server = Arc::<OnceLock<Server>>::default();
    let config =
        Config::default().shards(2).on_reaching(Milestone::Sessions(1), || panic!("a hook that panics"));
    let running = server.get_or_init(|| start(config));
    let (sender, heard) = mpsc::channel();
    let hooked = Arc::clone(&server);
    running.on_failure(move |_| {
        let result = hooked.get().expect("it has started").reconfigure(Settings::reset);
        sender.send(result).expect("a listener");
    });
    Client::greeted(running.local_addr()).leave();
    let within = heard.recv_timeout(PATIENCE).expect("a failure");
    assert_eq!(within, Err(ReconfigureError::WouldDeadlock), "on the thread that failed");
    let failure = running.failure().expect("a failure");
    assert_eq!(running.reconfigure(Settings::reset), Err(ReconfigureError::Failed(failure)));
}

#[test]
fn a_panic_in_a_change_leaves_a_server_that_can_be_changed() {
    let server = start(Config::default());
    let result =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.reconfigure(|_| panic!("no"))));
    assert!(result.is_err());
    reconfigure(&server, |settings| settings.reply(ReplyKind::NoopReceived, "250 new"));
    Client::greeted(server.local_addr()).expect("NOOP", "250 new");
}

/// The replies to one mail under each of two configurations.
const MAIL: [(&str, [&str; 2]); 5] = [
    ("MAIL FROM:<ann@example.com>", ["250 one", "250 two"]),
    ("RCPT TO:<bob@example.com>", ["250 one", "250 two"]),
    ("DATA", ["354 one", "354 two"]),
    ("Subject: x\r\n.", ["250 one", "250 two"]),
    ("NOOP", ["250 one", "250 two"]),
];

fn one_or_two(settings: Settings, choice: usize) -> Settings {
    use ReplyKind::{DataReceived, MailReceived, MessageReceived, NoopReceived, RcptReceived};
    let kinds = [MailReceived, RcptReceived, DataReceived, MessageReceived, NoopReceived];
    let replies = kinds.into_iter().zip(MAIL);
    let settings = settings.without_rules().rule(rule("noop id=counted times=1000000 delay=1ms"));
    replies.fold(settings, |settings, (kind, (_, texts))| settings.reply(kind, texts[choice]))
}

#[test]
fn no_reply_is_lost_while_settings_change_continuously() {
    const CLIENTS: usize = 50;
    const MAILS: usize = 8;
    let server = start(Config::default().shards(2));
    reconfigure(&server, |settings| one_or_two(settings, 0));
    let is_over = AtomicBool::new(false);
    let address = server.local_addr();
    let talk = || {
        let mut client = Client::greeted(address);
        client.ehlo();
        for mail in 0..MAILS {
            if mail % 2 == 0 {
                let lines: Vec<_> = MAIL.iter().map(|(line, _)| format!("{line}\r\n")).collect();
                client.send(lines.concat());
            }
            for (line, replies) in MAIL {
                let reply = if mail % 2 == 0 { client.reply() } else { client.command(line) };
                assert!(replies.contains(&&*reply), "{line}: {reply}");
            }
        }
        client.quit();
    };
    let changes = thread::scope(|scope| {
        let change = || {
            (0..)
                .take_while(|count| {
                    reconfigure(&server, |settings| one_or_two(settings, count % 2));
                    !is_over.load(Ordering::Relaxed)
                })
                .count()
        };
        let changing = [scope.spawn(change), scope.spawn(change)];
        let talking: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(talk)).collect();
        let heard: Vec<_> = talking.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        let changes = changing.map(|changing| changing.join().expect("changes"));
        assert!(heard.iter().all(Result::is_ok), "a client lost a reply");
        changes.iter().sum::<usize>()
    });
    assert!(changes > 2, "{changes} changes");
    let mails = (CLIENTS * MAILS) as u64;
    let stats = once(&server, |stats| stats.sessions.closed == CLIENTS as u64);
    assert_eq!((stats.messages.accepted, stats.delays.told.count(), stats.delays.early), (mails, mails, 0));
    assert_eq!((stats.rules[0].id.as_deref(), stats.rules[0].fired), (Some("counted"), mails));
}

#[test]
fn a_change_can_look_at_the_settings_and_unset_each() {
    let rate = |text: &str| text.parse::<ByteRate>().expect("a rate");
    let config = Config::default()
        .session_timeout(Duration::from_secs(40))
        .data_timeout(Duration::from_secs(50))
        .reply(ReplyKind::NoopReceived, "250 set")
        .delay(DelayPoint::Noop, Duration::from_millis(1))
        .rule(rule("noop reply=\"250 by rule\""))
        .blacklisted_helo_domains(["a.example"])
        .message_size_limit(10)
        .max_rcpts(3)
        .drip(rate("1MiB/s"))
        .read_rate(rate("2MiB/s"))
        .over_limit(OverLimit::Backlog)
        .max_sessions(2)
        .max_sessions_per_ip(1)
        .max_messages_per_session(1)
        .rate_limit("1/h".parse().expect("a limit"));
    let server = start(config);
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.expect(".", "250 Received");
    client.expect("MAIL FROM:<ann@example.com>", "421 4.7.0 Too many messages in this session");
    reconfigure(&server, |settings| {
        assert_eq!(settings.get_session_timeout(), Duration::from_secs(40));
        assert_eq!(settings.get_data_timeout(), Duration::from_secs(50));
        assert_eq!(settings.get_drip(), Some(rate("1MiB/s")));
        assert_eq!(settings.get_read_rate(), Some(rate("2MiB/s")));
        assert_eq!(settings.get_over_limit(), OverLimit::Backlog);
        let policy = settings.policy();
        assert_eq!(policy.reply(ReplyKind::NoopReceived).text(), b"250 set");
        assert_eq!(policy.delay(DelayPoint::Noop), &Duration::from_millis(1).into());
        assert_eq!(policy.rules().count(), 1);
        assert_eq!(policy.lists().blacklisted_helo_domains.len(), 1);
        assert_eq!((policy.message_size_limit(), policy.max_recipients()), (10, 3));
        let limits = policy.limits();
        assert_eq!((limits.max_sessions, limits.max_sessions_per_ip), (Some(2), Some(1)));
        assert_eq!(limits.max_messages_per_session, Some(1));
        assert!(limits.rate.is_some());
        settings
            .without_drip()
            .without_read_rate()
            .without_max_sessions()
            .without_max_sessions_per_ip()
            .without_max_messages_per_session()
            .without_rate_limit()
    });
    reconfigure(&server, |settings| {
        assert_eq!((settings.get_drip(), settings.get_read_rate()), (None, None));
        assert_eq!(settings.policy().limits(), Config::default().policy().limits());
        settings
    });
    // More sessions, messages and transactions than before, at a time.
    let clients: Vec<_> = (0..3).map(|_| Client::with_envelope(server.local_addr())).collect();
    for mut client in clients {
        for _ in 0..2 {
            client.data();
            client.expect(".", "250 Received");
            client.expect("MAIL FROM:<ann@example.com>", "250 Received");
            client.expect("RCPT TO:<bob@example.com>", "250 Received");
        }
    }
}
