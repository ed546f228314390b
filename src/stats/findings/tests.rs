//! Properties of findings from any figures; the clients that cause them are in `tests/it/findings`.

use std::time::Duration;

use proptest::prelude::*;

use crate::smtp::Stage;
use crate::stats::{Durations, Numbers, Stats};

fn seconds(seconds: &[f64]) -> Durations {
    let mut durations = Durations::default();
    seconds.iter().for_each(|seconds| durations.add(Duration::from_secs_f64(*seconds)));
    durations
}

fn numbers(values: &[u64]) -> Numbers {
    let mut numbers = Numbers::default();
    values.iter().for_each(|value| numbers.add(*value));
    numbers
}

fn texts(stats: &Stats) -> Vec<String> {
    stats.findings().into_iter().map(|finding| finding.text).collect()
}

fn names(stats: &Stats) -> Vec<&'static str> {
    stats.findings().iter().map(|finding| finding.name).collect()
}

/// Counts near the thresholds, and far beyond.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..120_u64, 1 => any::<u64>()]
}

fn counts<const N: usize>() -> impl Strategy<Value = [u64; N]> {
    prop::collection::vec(count(), N).prop_map(|counts| counts.try_into().expect("as many as asked for"))
}

fn some_seconds() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![0.0..0.1, 0.0..2.0, 0.0..1000.0, 0.0..1e6], 0..40)
}

prop_compose! {
    fn sessions_and_messages()(
        [quit, left, timed_out] in counts(),
        [reused, not_reused, went_on, early, broken_off] in counts(),
        [inspected, bare, long, in_chunks, bare_in_chunks, mixed] in counts(),
        per_session in prop::collection::vec(0..4_u64, 0..120),
        recipients in prop::collection::vec(0..300_u64, 0..20),
    ) -> Stats {
        let mut stats = Stats::default();
        let sessions = &mut stats.sessions;
        (sessions.quit, sessions.left, sessions.timed_out) = (quit, left, timed_out);
        (sessions.reused, sessions.not_reused) = (reused / 8, not_reused);
        (sessions.went_on_after_421, sessions.early_talkers) = (went_on, early);
        sessions.messages = numbers(&per_session);
        let messages = &mut stats.messages;
        (messages.broken_off, messages.inspected) = (broken_off, inspected);
        (messages.with_bare_lf, messages.with_long_lines) = (bare, long);
        (messages.inspected_in_chunks, messages.in_chunks_with_bare_cr_or_lf) = (in_chunks, bare_in_chunks);
        messages.with_data_and_bdat = mixed;
        messages.recipients = numbers(&recipients);
        stats
    }
}

prop_compose! {
    fn any_stats()(
        mut stats in sessions_and_messages(),
        stages in prop::collection::vec((count(), some_seconds()), Stage::ALL.len()),
        (gaps, after, identified) in (some_seconds(), some_seconds(), some_seconds()),
        groups in prop::collection::vec(2..9_u64, 0..3),
        offered in any::<bool>(),
    ) -> Stats {
        for (stage, (count, gave_up)) in Stage::ALL.iter().zip(stages) {
            let own = &mut stats.stages[*stage];
            own.count = count;
            own.gave_up = seconds(&gave_up);
        }
        stats.messages.longest_gap = seconds(&gaps);
        stats.retries.after = seconds(&after);
        stats.retries.identified = seconds(&identified);
        stats.pipelining.offered = offered;
        stats.pipelining.groups = numbers(&groups);
        stats
    }
}

/// All numbers in a text.
fn figures(text: &str) -> Vec<f64> {
    let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.')).map(|word| word.trim_matches('.'));
    words.filter_map(|word| word.parse().ok()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// None panics, each has a reference, and only the name for giving up occurs more than once.
    #[test]
    fn any_figures_give_findings_that_are_whole(stats in any_stats()) {
        let findings = stats.findings();
        for finding in &findings {
            prop_assert!(finding.reference.starts_with("RFC "), "{finding:?}");
            prop_assert!(!finding.text.contains("NaN") && !finding.text.contains("inf"), "{finding:?}");
            let of_its_name = findings.iter().filter(|other| other.name == finding.name).count();
            prop_assert!(of_its_name == 1 || finding.name == "gave-up-early", "{finding:?}");
        }
    }

    /// The counts in a text are those of the figures.
    #[test]
    fn texts_name_the_figures(stats in any_stats()) {
        for finding in stats.findings() {
            let (sessions, messages) = (&stats.sessions, &stats.messages);
            let expected = match finding.name {
                "went-on-after-421" => sessions.went_on_after_421,
                "talked-before-greeting" => sessions.early_talkers,
                "bare-lf" => messages.with_bare_lf,
                "bare-cr-or-lf-in-chunks" => messages.in_chunks_with_bare_cr_or_lf,
                "data-and-bdat" => messages.with_data_and_bdat,
                "long-lines" => messages.with_long_lines,
                "many-recipients" => messages.recipients.max(),
                "unknown-commands" => stats.stages[Stage::Unknown].count,
                "needless-noop" => stats.stages[Stage::Noop].count,
                "needless-rset" => stats.stages[Stage::Rset].count,
                "never-pipelined" => stats.stages[Stage::Message].count,
                "nagle-delay" => messages.longest_gap.count(),
                "retried-at-once" if finding.text.contains("the same message") => stats.retries.identified.count(),
                "retried-at-once" => stats.retries.after.count(),
                "left-without-quit" => sessions.left,
                "left-to-time-out" => sessions.timed_out,
                "connections-not-reused" => sessions.not_reused,
                "data-broken-off" => messages.broken_off,
                _ => continue,
            };
            prop_assert!(figures(&finding.text).contains(&(expected as f64)), "{expected}: {}", finding.text);
        }
    }

    /// A stage has its finding exactly if a client gave up too early, and it counts those clients.
    #[test]
    fn giving_up_is_found_where_it_was_early(waits in prop::collection::vec(1.0..2000.0, 0..50)) {
        for (stage, asked) in [(Stage::Data, 120.0), (Stage::Mail, 300.0), (Stage::Message, 600.0)] {
            // Values close to the limit may fall on either side: the histogram has three digits.
            let waits: Vec<f64> = waits.iter().copied().filter(|wait: &f64| (wait / asked - 0.99).abs() > 0.002).collect();
            let mut stats = Stats::default();
            stats.stages[stage].gave_up = seconds(&waits);
            let early = waits.iter().filter(|wait| **wait < asked * 0.99).count();
            let found = texts(&stats);
            prop_assert_eq!(found.len(), usize::from(early > 0));
            let counted = format!(" in {early} session");
            prop_assert!(found.iter().all(|text| text.contains(&counted)), "{found:?}: {early}");
        }
    }
}

#[test]
fn nothing_was_seen_and_nothing_is_found() {
    assert_eq!(Stats::default().findings(), []);
}

#[test]
fn a_steady_timeout_is_shown_as_one_and_others_as_a_range() {
    let mut stats = Stats::default();
    stats.stages[Stage::Message].gave_up = seconds(&[30.0; 12]);
    let text = "gave up on the reply to the message after 30 s in 12 sessions; RFC 5321 section 4.5.3.2.6 asks \
                for 10 minutes: a message that was accepted meanwhile is sent twice (RFC 1047)";
    assert_eq!(texts(&stats), [text]);
    stats.stages[Stage::Message].gave_up = seconds(&[0.0502, 400.0]);
    assert!(texts(&stats)[0].contains(" after 50.2 ms to 400 s in 2 sessions;"), "{stats:?}");
}

#[test]
fn those_who_wait_as_long_as_asked_are_left_out() {
    let mut stats = Stats::default();
    stats.stages[Stage::Rcpt].gave_up = seconds(&[299.9, 300.0, 500.0]);
    assert_eq!(stats.findings(), []);
    stats.stages[Stage::Rcpt].gave_up = seconds(&[20.0, 299.9, 500.0]);
    assert!(
        texts(&stats)[0]
            .contains(" after 20.0 s in 1 session; RFC 5321 section 4.5.3.2.3 asks for 5 minutes")
    );
}

#[test]
fn probes_that_leave_before_the_greeting_have_not_given_up() {
    let mut stats = Stats::default();
    stats.stages[Stage::Greeting].gave_up = seconds(&[0.001; 1000]);
    assert_eq!(stats.findings(), []);
    stats.stages[Stage::Greeting].gave_up.add(Duration::from_secs(10));
    assert!(texts(&stats)[0].starts_with("gave up on the greeting after 10 s in 1 session;"));
}

#[test]
fn leaving_is_found_by_its_share_among_sessions_that_the_client_ended() {
    let mut stats = Stats::default();
    // Other endings may occur in any number.
    let sessions = &mut stats.sessions;
    (sessions.refused, sessions.silent, sessions.gave_up) = (1000, 1000, 1000);
    (sessions.dismissed, sessions.stopped, sessions.left) = (1000, 1000, 4);
    assert_eq!(names(&stats), [""; 0], "too few to tell");
    stats.sessions.left = 62;
    stats.sessions.quit = 24;
    assert_eq!(texts(&stats), ["sent QUIT in 28 % of sessions: 62 of 86 were closed without it"]);
    stats.sessions.quit = 62 * 9;
    assert_eq!(names(&stats), [""; 0], "one in ten is the exception");
}

#[test]
fn sessions_left_to_the_timeout_are_found_when_they_are_the_rule() {
    let mut stats = Stats::default();
    let sessions = &mut stats.sessions;
    (sessions.refused, sessions.silent, sessions.gave_up) = (1000, 1000, 1000);
    (sessions.dismissed, sessions.stopped) = (1000, 1000);
    (sessions.quit, sessions.left, sessions.timed_out) = (8, 3, 10);
    assert_eq!(names(&stats), [""; 0]);
    stats.sessions.quit = 7;
    assert_eq!(texts(&stats), ["left 10 of 20 sessions to the server's timeout, without QUIT"]);
}

#[test]
fn the_schema_of_reports_lists_all_findings_as_the_type_does() {
    let rows = |text: &'static str, prefix: &'static str| {
        text.lines().filter_map(move |line| line.strip_prefix(prefix)).filter(|row| row.starts_with("| `"))
    };
    let (_, schema) = include_str!("../../report/SCHEMA.md").split_once("\n## Findings\n").expect("the list");
    let documented: Vec<_> = rows(include_str!("../findings.rs"), "/// ").collect();
    assert!(documented.len() > 30, "{documented:?}");
    assert_eq!(rows(schema, "").collect::<Vec<_>>(), documented);
}
