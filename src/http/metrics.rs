//! The figures of a server as families of Prometheus. Labels have few values, none of which is a client's choice.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use crate::http::exposition::Exposition;
use crate::process::own_status;
use crate::smtp::rules::Tally;
use crate::stats::Stats;

/// All families. `records` is the number of records retained, `rules` are the counts of rules since the start by id.
pub(super) fn exposition(stats: &Stats, records: usize, rules: &BTreeMap<String, Tally>) -> String {
    let mut text = Exposition::default();
    process(stats, &mut text);
    sessions(stats, &mut text);
    messages(stats, records, &mut text);
    stages(stats, &mut text);
    encryption(stats, &mut text);
    authentication(stats, &mut text);
    health(stats, &mut text);
    let mut reached =
        text.counter("smtpmock_rule_reached_total", "Times that the conditions of a rule were true.");
    reached.samples("rule", rules.iter().map(|(id, counts)| (id.as_str(), counts.reached)));
    let mut fired = text.counter("smtpmock_rule_fired_total", "Times that a rule fired.");
    fired.samples("rule", rules.iter().map(|(id, counts)| (id.as_str(), counts.fired)));
    text.into_text()
}

fn process(stats: &Stats, text: &mut Exposition) {
    text.gauge("smtpmock_build_info", "The version of smtpmock.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let start = stats.started_at.and_then(|start| start.duration_since(UNIX_EPOCH).ok());
    text.gauge("smtpmock_start_time_seconds", "Start of the server since the Unix epoch.")
        .sample(&[], start.unwrap_or_default().as_secs_f64());
    if let Some(octets) = resident_memory() {
        text.gauge("smtpmock_resident_memory_bytes", "Memory of the process that is resident.")
            .sample(&[], octets);
    }
}

/// Octets of the process's memory that are resident, where the system reports it.
fn resident_memory() -> Option<u64> {
    let kibibytes: u64 = own_status("VmRSS")?.strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn sessions(stats: &Stats, text: &mut Exposition) {
    let sessions = &stats.sessions;
    text.counter("smtpmock_sessions_opened_total", "Connections accepted.").sample(&[], sessions.opened);
    let mut closed = text.counter("smtpmock_sessions_closed_total", "Sessions that have ended, by how.");
    let endings = [
        ("left_before_greeting", sessions.left_before_greeting),
        ("refused", sessions.refused),
        ("silent", sessions.silent),
        ("quit", sessions.quit),
        ("left", sessions.left),
        ("gave_up", sessions.gave_up),
        ("timed_out", sessions.timed_out),
        ("dismissed", sessions.dismissed),
        ("stopped", sessions.stopped),
    ];
    closed.samples("ending", endings);
    text.gauge("smtpmock_sessions_open", "Open sessions.").sample(&[], stats.sessions_open());
    text.gauge("smtpmock_sessions_peak", "Most concurrent sessions, without refused ones.")
        .sample(&[], sessions.peak.get());
    text.histogram("smtpmock_session_duration_seconds", "From accept to close.")
        .distribution(&[], &sessions.duration);
    text.histogram("smtpmock_session_first_mail_seconds", "From accept to the first MAIL.")
        .distribution(&[], &sessions.first_mail);
}

fn messages(stats: &Stats, records: usize, text: &mut Exposition) {
    let messages = &stats.messages;
    let mut ended = text.counter("smtpmock_messages_total", "Mail transactions that have ended, by how.");
    let outcomes =
        [("accepted", messages.accepted), ("refused", messages.refused), ("aborted", messages.aborted)];
    ended.samples("outcome", outcomes);
    text.counter("smtpmock_message_bytes_total", "Octets of accepted messages.").sample(&[], messages.bytes);
    text.gauge("smtpmock_transactions_open", "Open mail transactions.")
        .sample(&[], stats.transactions_open());
    text.histogram(
        "smtpmock_message_data_seconds",
        "From the 354 or the first chunk to the end of a message.",
    )
    .distribution(&[], &messages.data_time);
    text.gauge("smtpmock_records", "Records of mails that are retained.").sample(&[], records);
    text.counter("smtpmock_records_evicted_total", "Records evicted at a limit.")
        .sample(&[], stats.health.records_evicted);
    text.counter("smtpmock_recipients_deferred_total", "Recipients deferred with a 4yz reply.")
        .sample(&[], stats.retries.deferred);
}

fn stages(stats: &Stats, text: &mut Exposition) {
    let mut commands = text.counter("smtpmock_commands_total", "Commands, greetings and messages, by stage.");
    commands.samples("stage", stats.stages.iter().map(|(stage, own)| (stage.name(), own.count)));
    let mut refusals =
        text.counter("smtpmock_refusals_total", "Those answered with 4yz or 5yz, by stage and first digit.");
    for (stage, own) in stats.stages.iter() {
        for (class, codes) in [("4yz", 400..500), ("5yz", 500..600)] {
            let count = own.refused.range(codes).fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
            refusals.sample(&[("stage", stage.name()), ("class", class)], count);
        }
    }
    let mut think =
        text.histogram("smtpmock_think_seconds", "From our previous reply to a command, by stage.");
    for (stage, own) in stats.stages.iter() {
        think.distribution(&[("stage", stage.name())], &own.think);
    }
    let mut service =
        text.histogram("smtpmock_service_seconds", "From a command to our reply without delays, by stage.");
    for (stage, own) in stats.stages.iter() {
        service.distribution(&[("stage", stage.name())], &own.service);
    }
    text.histogram("smtpmock_delay_lateness_seconds", "Actual minus requested delay of replies.")
        .distribution(&[], &stats.delays.lateness);
}

fn encryption(stats: &Stats, text: &mut Exposition) {
    let tls = &stats.tls;
    let mut done =
        text.counter("smtpmock_tls_handshakes_total", "Handshakes of TLS that were done, by version.");
    done.sample(&[("version", "1.2")], tls.v1_2).sample(&[("version", "1.3")], tls.v1_3);
    text.counter("smtpmock_tls_resumed_total", "Those of them that resumed a session.")
        .sample(&[], tls.resumed);
    let mut failed = text.counter("smtpmock_tls_failures_total", "Handshakes of TLS that failed, by reason.");
    let reasons = [
        ("refused", tls.refused),
        ("malformed", tls.malformed),
        ("incompatible", tls.incompatible),
        ("no_client_certificate", tls.no_client_certificate),
        ("bad_client_certificate", tls.bad_client_certificate),
        ("broken_off", tls.broken_off),
        ("timed_out", tls.timed_out),
        ("failed", tls.failed),
        ("own_failures", tls.own_failures),
        ("by_rule", tls.by_rule),
    ];
    failed.samples("reason", reasons);
    text.histogram("smtpmock_tls_handshake_seconds", "From the client's hello to the end of a handshake.")
        .distribution(&[], &tls.duration);
}

fn authentication(stats: &Stats, text: &mut Exposition) {
    let auth = &stats.auth;
    let mut exchanges = text.counter("smtpmock_auth_exchanges_total", "Exchanges of AUTH, by result.");
    let results = [("succeeded", auth.succeeded), ("failed", auth.failed), ("cancelled", auth.cancelled)];
    exchanges.samples("result", results);
}

fn health(stats: &Stats, text: &mut Exposition) {
    let health = &stats.health;
    text.histogram("smtpmock_loop_turn_seconds", "Turns of the event loops.")
        .distribution(&[], &health.turns);
    if let Some(overflows) = health.accept_queue_overflows {
        let help = "Connections that the system dropped because an accept queue was full.";
        text.counter("smtpmock_accept_queue_overflows_total", help).sample(&[], overflows);
    }
    text.counter("smtpmock_accept_rests_total", "Pauses of accepting for lack of descriptors.")
        .sample(&[], health.accept_rests);
    text.counter("smtpmock_log_entries_dropped_total", "Log entries dropped.")
        .sample(&[], health.log_entries_dropped);
    text.gauge("smtpmock_findings", "Findings about the clients so far.").sample(&[], stats.findings().len());
    text.gauge("smtpmock_degraded", "Reasons why the measurements are degraded.")
        .sample(&[], stats.degraded().len());
}
