//! What a server measures of its clients. Times are bounded by the client's own: from below by what it surely
//! took, from above by a span that surely contains what was measured.

use std::time::Duration;

use smtpmock::Config;
use smtpmock::smtp::{DelayPoint, ReplyKind, Stage};

use crate::support::client::Client;
use crate::support::figures::{after_sessions, once};
use crate::support::server::start;
use crate::support::waiting::{PATIENCE, now};

/// How long a client waits that is to be measured.
const PAUSE: Duration = Duration::from_millis(60);

#[test]
fn think_time_is_from_a_reply_to_the_next_command() {
    let server = start(Config::default());
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    let before_reply = now();
    client.expect("NOOP", "250 Ok");
    once(&server, |stats| stats.stages[Stage::Noop].service.count() == 1);
    std::thread::sleep(PAUSE);
    client.mail("ann@example.com");
    let most = before_reply.elapsed();
    let think = &server.stats().stages[Stage::Mail].think;
    assert_eq!(think.count(), 1);
    assert!(think.min() >= PAUSE, "{think:?}");
    assert!(think.min() <= most, "{think:?} in {most:?}");
    for stage in [Stage::Helo, Stage::Noop] {
        assert_eq!(server.stats().stages[stage].think.count(), 1, "{stage:?}");
    }
}

#[test]
fn service_time_leaves_out_the_delay_and_lateness_tells_it() {
    let delay = Duration::from_millis(300);
    let server = start(Config::default().delay(DelayPoint::Noop, delay));
    let mut client = Client::greeted(server.local_addr());
    let sent = now();
    client.expect("NOOP", "250 Ok");
    let most = sent.elapsed() - delay;
    let stats = server.stats();
    let service = &stats.stages[Stage::Noop].service;
    assert_eq!((service.count(), stats.delays.lateness.count(), stats.delays.early), (1, 1, 0));
    // Rounded to three digits.
    assert!(service.max() <= most + most / 500, "{service:?} of {most:?}");
    assert!(stats.delays.achieved.min() >= delay);
    assert_eq!(stats.stages[Stage::Greeting].service.count(), 1);
}

#[test]
fn a_reply_in_place_of_one_that_was_held_back_has_the_service_time_of_its_own() {
    let held = Duration::from_secs(1);
    let server = start(Config::default().delay(DelayPoint::Noop, Duration::from_secs(60)));
    let mut client = Client::greeted(server.local_addr());
    client.send(b"NOOP\r\n");
    once(&server, |stats| stats.stages[Stage::Noop].think.count() == 1);
    server.stop_within(held);
    assert_eq!(client.reply(), "421 Service closing transmission channel");
    let service = &server.stats().stages[Stage::Noop].service;
    assert_eq!(service.count(), 1);
    assert!(service.max() < held, "the time for which the other reply was held back: {service:?}");
}

#[test]
fn data_are_timed_from_the_354_to_the_final_dot() {
    let server = start(Config::default());
    let mut client = Client::with_envelope(server.local_addr());
    let start = now();
    client.data();
    once(&server, |stats| stats.stages[Stage::Data].service.count() == 1);
    client.send(b"Subject: slow\r\n");
    once(&server, |stats| stats.stages[Stage::Message].think.count() == 1);
    std::thread::sleep(PAUSE);
    client.send(b"\r\n12345\r\n");
    client.expect(".", "250 Received");
    let most = start.elapsed();
    let messages = server.stats().messages;
    assert_eq!((messages.accepted, messages.bytes, messages.aborted), (1, 24, 0));
    assert!(messages.data_time.min() >= PAUSE && messages.data_time.max() <= most + most / 500);
    assert!(messages.longest_gap.min() >= PAUSE && messages.longest_gap.max() <= most + most / 500);
    assert_eq!(messages.data_rate.count(), 1);
    let rate = Duration::from_secs_f64(24.0 / messages.data_rate.min() as f64);
    assert!(rate >= PAUSE, "24 octets in {rate:?}");
    assert_eq!((messages.recipients.count(), messages.recipients.max()), (1, 1));
    assert_eq!(server.stats().stages[Stage::Message].think.count(), 1, "354 to the first octets");
}

#[test]
fn data_that_do_not_wait_for_the_354_were_timed_from_it() {
    for delay in [Duration::ZERO, PAUSE] {
        let server = start(Config::default().delay(DelayPoint::Data, delay));
        let mut client = Client::with_envelope(server.local_addr());
        client.send(b"DATA\r\nSubject: early\r\n");
        assert!(client.reply().starts_with("354 "));
        client.expect("\r\nHello\r\n.", "250 Received");
        client.quit();
        let stats = after_sessions(&server, 1);
        let message = &stats.stages[Stage::Message];
        assert_eq!((message.count, message.think.count()), (1, 0), "{delay:?}");
        assert_eq!((stats.messages.data_time.count(), stats.messages.data_rate.count()), (0, 0), "{delay:?}");
        assert_eq!((stats.pipelining.groups.count(), stats.pipelining.groups.max()), (1, 2), "{delay:?}");
    }
}

#[test]
fn a_client_that_gives_up_tells_its_own_timeout() {
    let server = start(Config::default().delay(DelayPoint::Message, PATIENCE));
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    let sent = now();
    client.send(b"Subject: x\r\n.\r\n");
    once(&server, |stats| stats.stages[Stage::Message].count == 1);
    assert_eq!(client.silence(PAUSE), Ok(()));
    client.leave();
    // A reply that is held back is not given up before its time: who closed one half may still read. A stop
    // that does not wait ends it.
    let mut second = Client::greeted(server.local_addr());
    second.expect("NOOP", "250 Ok");
    second.quit();
    server.stop_within(Duration::ZERO);
    let stats = server.stats();
    let gave_up = &stats.stages[Stage::Message].gave_up;
    assert_eq!((stats.sessions.gave_up, gave_up.count(), stats.sessions.stopped), (1, 1, 0));
    let most = sent.elapsed();
    assert!(gave_up.min() >= PAUSE && gave_up.max() <= most + most / 500, "{gave_up:?} in {most:?}");
    assert_eq!((stats.sessions.quit, stats.sessions.left), (1, 0));
}

#[test]
fn a_client_that_resets_frees_its_session_at_once_however_long_the_delay() {
    let server = start(Config::default().delay(DelayPoint::Noop, PATIENCE));
    let mut resetting = Client::connect(server.local_addr());
    resetting.send("NOOP\r\n");
    let mut client = Client::greeted(server.local_addr());
    once(&server, |stats| stats.stages[Stage::Noop].count == 1);
    resetting.reset();
    let stats = after_sessions(&server, 1);
    assert_eq!((stats.sessions.gave_up, stats.sessions.resets), (1, 1));
    assert_eq!(stats.stages[Stage::Noop].gave_up.count(), 1);
    client.expect("RSET", "503 Bad sequence of commands. HELO should be the first");
}

#[test]
fn a_client_that_leaves_before_a_reply_is_sent_whole_gave_up() {
    for is_reset in [false, true] {
        let server = start(Config::default());
        let mut client = Client::with_envelope(server.local_addr());
        client.data();
        server.reconfigure(|settings| settings.drip("4B/s".parse().expect("a rate"))).expect("valid");
        client.send(b"Subject: x\r\n.\r\n");
        once(&server, |stats| stats.stages[Stage::Message].count == 1);
        match is_reset {
            true => client.reset(),
            false => client.leave(),
        }
        let stats = after_sessions(&server, 1);
        let sessions = &stats.sessions;
        assert_eq!((sessions.gave_up, sessions.left, sessions.stopped), (1, 0, 0), "{sessions:?}");
        assert_eq!((stats.messages.accepted, stats.messages.aborted), (0, 1));
        assert_eq!(stats.stages[Stage::Message].gave_up.count(), 1);
    }
}

#[test]
fn each_ending_is_counted_once_as_what_it_was() {
    let server = start(
        Config::default()
            .session_timeout(Duration::from_secs(1))
            .rule("mail from=*@bad.example reply=\"554 5.7.1 No\" close".parse().expect("a rule")),
    );
    Client::greeted(server.local_addr()).quit();
    Client::with_envelope(server.local_addr()).leave();
    let mut in_data = Client::with_envelope(server.local_addr());
    in_data.data();
    in_data.send(b"half a mess");
    in_data.leave();
    Client::greeted(server.local_addr()).leave();
    let mut bad = Client::greeted(server.local_addr());
    bad.ehlo();
    bad.expect("MAIL FROM:<x@bad.example>", "554 5.7.1 No");
    assert_eq!(bad.rest(), "");
    let mut silent = Client::greeted(server.local_addr());
    assert!(silent.reply().starts_with("421 "));
    assert_eq!(silent.rest(), "");
    drop(silent);
    let stats = after_sessions(&server, 6);
    let sessions = &stats.sessions;
    assert_eq!((sessions.opened, sessions.quit, sessions.left, sessions.gave_up), (6, 1, 2, 0));
    assert_eq!((sessions.timed_out, sessions.dismissed, sessions.stopped), (0, 1, 0));
    assert_eq!((sessions.silent, stats.messages.aborted, stats.messages.broken_off), (2, 2, 1));
    for stage in [Stage::Rcpt, Stage::Message, Stage::Greeting] {
        assert_eq!(stats.stages[stage].left.count(), 1, "{stage:?}");
    }
    assert_eq!(stats.stages[Stage::Mail].refused.get(&554), Some(&1));
    assert_eq!((sessions.duration.count(), sessions.commands.max()), (6, 4));
    assert_eq!(sessions.inter_arrival.count(), 5);
    assert!(sessions.peak.get() >= 1);
}

#[test]
fn commands_that_do_not_wait_are_groups() {
    let server = start(Config::default());
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.send(b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n");
    for code in ["250", "250", "354"] {
        assert!(client.reply().starts_with(code));
    }
    client.send(b"x\r\n.\r\nRSET\r\n");
    assert_eq!((client.reply(), client.reply()), ("250 Received".into(), "250 Ok".into()));
    client.expect("NOOP", "250 Ok");
    client.quit();
    let groups = after_sessions(&server, 1).pipelining.groups;
    assert_eq!((groups.count(), groups.min(), groups.max()), (2, 2, 3));
    assert!(!server.stats().pipelining.offered);
    let offering =
        start(Config::default().reply(ReplyKind::HeloReceived, "250-mx.example\r\n250 PIPELINING"));
    assert!(offering.stats().pipelining.offered);
}

#[test]
fn who_talks_too_early_or_too_long_is_seen() {
    let server = start(
        Config::default()
            .delay(DelayPoint::Greeting, Duration::from_millis(500))
            .rule("mail reply=\"421 4.3.2 Come back later\"".parse().expect("a rule")),
    );
    let mut client = Client::connect(server.local_addr());
    client.send(b"EHLO client.example\r\n");
    assert_eq!((client.reply(), client.reply()), ("220 Welcome".into(), "250 Received".into()));
    client.expect("MAIL FROM:<a@a.example>", "421 4.3.2 Come back later");
    assert_eq!(server.stats().sessions.went_on_after_421, 0);
    client.expect("NOOP", "250 Ok");
    client.expect("NOOP", "250 Ok");
    let sessions = server.stats().sessions;
    assert_eq!((sessions.early_talkers, sessions.went_on_after_421), (1, 1));
}

#[test]
fn a_phase_can_be_measured_alone() {
    let server = start(Config::default().shards(2));
    let mut client = Client::with_envelope(server.local_addr());
    client.message("one\r\n");
    let before = server.stats();
    client.envelope("ann@example.com", "bob@example.com");
    client.message("two\r\n");
    client.quit();
    let phase = after_sessions(&server, 1).since(&before);
    assert_eq!((phase.messages.accepted, phase.sessions.opened, phase.sessions.quit), (1, 0, 1));
    assert_eq!((phase.stages[Stage::Helo].count, phase.stages[Stage::Mail].think.count()), (0, 1));
    assert_eq!(phase.sessions_by_shard, [0, 0]);
    assert_eq!(phase.begins, before.ends);
    assert!(phase.length() > Duration::ZERO);
}

#[test]
fn sessions_that_go_on_are_open_in_a_phase() {
    let server = start(Config::default());
    let mut first = Client::greeted(server.local_addr());
    let _second = Client::greeted(server.local_addr());
    let before = server.stats();
    first.expect("QUIT", "221 Closing connection");
    let phase = after_sessions(&server, 1).since(&before);
    assert_eq!((phase.open_before, phase.sessions.opened, phase.sessions_open()), (2, 0, 1));
}

#[test]
fn figures_stay_when_the_server_is_stopped() {
    let server = start(Config::default().shards(2));
    for _ in 0..10 {
        let mut client = Client::with_envelope(server.local_addr());
        client.message("x\r\n");
        client.quit();
    }
    server.stop();
    let stats = server.stats();
    assert_eq!((stats.sessions.closed, stats.sessions.quit, stats.messages.accepted), (10, 10, 10));
    let timeline = stats.timeline.intervals();
    let (opened, messages) = timeline.fold((0, 0), |(opened, messages), (_, interval)| {
        (opened + interval.opened, messages + interval.messages)
    });
    assert_eq!((opened, messages), (10, 10));
    assert!(stats.started_at.is_some());
    assert_eq!(server.stats().stages, stats.stages, "reading takes nothing away");
}
