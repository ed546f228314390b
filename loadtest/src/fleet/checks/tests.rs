//! What is refused, and that nothing that passes ends the run of the others.

#![cfg(test)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::report_of;
use super::super::simulation::{DAWN, Load, plan};
use super::*;
use crate::fleet::agent::{Agent, Todo};
use crate::fleet::coordinator::{Coordinator, Settings};
use crate::fleet::protocol::Cause;
use crate::report::text;
use crate::run::digest::digest;

/// Two agents whose run has gone on for so many seconds.
struct Two {
    coordinator: Coordinator,
    agents: Vec<Agent>,
    start: Duration,
    now: Duration,
}

impl Two {
    fn after(seconds: u64) -> Two {
        let settings = Settings {
            agents: 2,
            patience: Duration::from_secs(60),
            stops_on_loss: false,
            flags: Vec::new(),
            run: 7,
            digest: digest(&plan(0, 2)),
            warmup: Duration::ZERO,
        };
        let mut coordinator = Coordinator::new(settings, DAWN);
        let agent = |nonce| Agent::new(format!("m{nonce}"), nonce, Duration::from_secs(60), DAWN);
        let mut agents = vec![agent(1), agent(2)];
        let (mut now, mut running) = (DAWN, 0);
        while running < 2 {
            now += Duration::from_millis(1);
            for agent in &mut agents {
                match agent.next(now) {
                    Todo::Register(hello) => {
                        agent.welcomed(coordinator.register(now, &hello).unwrap(), now);
                    }
                    Todo::Update(update) => {
                        let answer = coordinator.update(now, agent.id().unwrap(), *update);
                        agent.answered(answer.unwrap(), now, now);
                    }
                    Todo::Arm(_) => assert!(agent.armed(Ok(digest(&plan(0, 2))), now)),
                    Todo::Run(_) => running += 1,
                    Todo::Wait(_) => {}
                    Todo::End(outcome) => panic!("{outcome:?}"),
                }
            }
        }
        let start = coordinator.start().unwrap();
        let now = start + Duration::from_secs(seconds);
        for agent in &mut agents {
            let mut load = Load::new(&agent.order().unwrap().clone(), start, start);
            for second in 1..=seconds {
                let complete = load.advance(start + Duration::from_secs(second), second == seconds);
                complete.iter().for_each(|second| agent.second(second));
            }
            agent.ended(Ok(load.report(true)), now);
        }
        Two { coordinator, agents, start, now }
    }

    /// The last update of the first agent.
    fn last(&mut self) -> Update {
        let Todo::Update(update) = self.agents[0].next(self.now) else { panic!("no update") };
        *update
    }

    fn send(&mut self, update: Update) -> Result<(), String> {
        let id = self.agents[0].id().unwrap().to_owned();
        let answer = self.coordinator.update(self.now, &id, update);
        answer.map(drop).map_err(|refusal| {
            assert_eq!(refusal.cause, Cause::Request);
            refusal.hint
        })
    }
}

/// The update as JSON with another value at a path, like `/seconds/0/started`.
fn with(update: &Update, path: &str, value: Value) -> Update {
    let mut json = serde_json::to_value(update).unwrap();
    *json.pointer_mut(path).unwrap_or_else(|| panic!("no {path}")) = value;
    serde_json::from_value(json).unwrap()
}

#[test]
fn an_update_that_cannot_be_true_is_refused_with_the_reason_and_changes_nothing() {
    let mut two = Two::after(18);
    let update = two.last();
    let more = |path: &str| {
        let json = serde_json::to_value(&update).unwrap();
        json!(json.pointer(path).and_then(Value::as_u64).unwrap() + 1)
    };
    let century = 101 * 366 * 24 * 3600 * 1_000_000_000_i64;
    let first = update.seconds[0].clone();
    let many: Vec<Second> = (0..61).map(|index| Second { index, ..first.clone() }).collect();
    let many = json!(many);
    let empty = json!(Accounting::default());
    for (path, value, expected) in [
        ("/clock/offset_ns", json!(i64::MIN), "the clock: an offset is at most 100 years"),
        ("/clock/offset_ns", json!(century), "the clock"),
        ("/clock/uncertainty_ns", json!(u64::MAX), "the clock"),
        ("/clock/exchanges", json!(u64::MAX), "the clock"),
        ("/seconds", many, "61 seconds in one update; at most 60"),
        ("/seconds/0/index", json!(1), "second 1 follows second 1"),
        ("/seconds/1/index", json!(u64::MAX), "second 18446744073709551615 follows second 0"),
        ("/seconds/0/length_ns", json!(1_000_000_001), "second 0: it is longer than a second"),
        ("/seconds/2/started", json!(u64::MAX), "second 2: started: 18446744073709551615, where its"),
        ("/seconds/0/accepted", more("/seconds/0/accepted"), "second 0: accepted:"),
        ("/seconds/0/errors", json!(1), "second 0: it has more messages in flight, or errors"),
        ("/seconds/0/in_flight", json!(1_u64 << 53), "second 0: it has more messages in flight, or errors"),
        ("/seconds/0/latency", json!(""), "second 0: latency, samples: 0, where its accounts have"),
        ("/seconds/0/latency", json!("AAAA"), "second 0: the histogram is not in HdrHistogram's V2 form"),
        ("/seconds/1/measured", empty, "second 1: measured has counted less than before"),
        ("/seconds/1/warmup/unsent", json!((1_u64 << 53) + 1), "second 1: warmup.unsent is larger than"),
        ("/state", json!({"ended": null}), "the run has ended without the report of its part"),
        ("/state", json!({"failed": "a\u{1b}[2J"}), "a reason has at most 1024 octets, without control"),
        ("/stopped", json!({"by": "signal", "signal": "a\nb"}), "a reason has at most 1024 octets"),
        ("/stopped", json!({"by": "signal", "signal": "S".repeat(1025)}), "a reason has at most 1024 octets"),
        ("/state/ended/parts/0/index", json!(1), "the report is not that of part 0/2 of run 00000007"),
        ("/state/ended/settings/runs", json!(["00000008"]), "the report is not that of part 0/2"),
        ("/state/ended/sessions/dialed", json!(u64::MAX), "the report: sessions.dialed is larger than"),
        ("/state/ended/schema", json!("smtpload-report/9"), "the report: its schema is smtpload-report/9"),
    ] {
        let before = format!("{:?}", two.coordinator);
        let refused = two.send(with(&update, path, value)).expect_err(path);
        assert!(refused.starts_with(expected), "{path}: {refused}");
        assert_eq!(format!("{:?}", two.coordinator), before, "{path}");
    }
    // A gap, and a second that is not over: the limit is that of a suspended coordinator.
    let later = Update { seconds: vec![Second { index: 1, ..first.clone() }], ..update.clone() };
    assert_eq!(two.send(later), Err("second 1 comes before second 0".to_owned()));
    two.now = two.start;
    assert_eq!(two.send(update.clone()), Err("second 15: it is not over yet".to_owned()));
    two.now = two.start + Duration::from_secs(3);
    assert_eq!(two.send(update.clone()), Ok(()));
    let known = format!("{:?}", two.coordinator.members());
    assert_eq!(two.send(update), Ok(()), "the reply was lost");
    assert_eq!(format!("{:?}", two.coordinator.members()), known);
}

#[test]
fn seconds_before_the_start_are_refused() {
    let update = Two::after(1).last();
    let order = Order { flags: Vec::new(), part: 0, parts: 2, run: 7 };
    let none = Accounting::default();
    let known =
        Known { order: &order, elapsed: None, seconds: 0, counted: [&none, &none], has_report: false };
    let refused = check(&mut update.clone(), &known).expect_err("not started");
    assert_eq!(refused.to_string(), "seconds of a run that has not started");
}

#[test]
fn the_report_of_a_whole_run_and_one_with_pieces_are_not_that_of_a_part() {
    let update = Two::after(1).last();
    let known_by = |parts: u64, update: &Update| {
        let order = Order { flags: Vec::new(), part: 0, parts, run: 7 };
        let none = Accounting::default();
        // It has all seconds.
        let known = Known {
            order: &order,
            elapsed: None,
            seconds: u64::MAX,
            counted: [&none, &none],
            has_report: false,
        };
        check(&mut update.clone(), &known).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(known_by(2, &update), Ok(()));
    let whole = with(&update, "/state/ended/parts", json!([]));
    let refused = |parts: u64| Err(format!("the report is not that of part 0/{parts} of run 00000007"));
    assert_eq!((known_by(1, &whole), known_by(2, &whole)), (refused(1), refused(2)));
    let only = with(&update, "/state/ended/parts/0/of", json!(1));
    assert_eq!((known_by(1, &only), known_by(2, &only)), (Ok(()), refused(2)));
    let mut sum = update;
    let State::Ended(Some(report)) = &mut sum.state else { panic!("{:?}", sum.state) };
    report.pieces = Some(Box::default());
    assert_eq!(known_by(2, &sum), refused(2));
}

#[test]
fn an_agent_whose_clock_is_decades_wrong_is_an_agent() {
    let mut two = Two::after(2);
    let decades = -56 * 366 * 24 * 3600 * 1_000_000_000_i64;
    let update = with(&two.last(), "/clock/offset_ns", json!(decades));
    assert_eq!(two.send(update), Ok(()));
}

/// The pointers to all values in a value.
fn pointers(of: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match of {
        Value::Array(all) => {
            all.iter().enumerate().for_each(|(index, one)| pointers(one, &format!("{at}/{index}"), into));
        }
        Value::Object(all) => all.iter().for_each(|(key, one)| pointers(one, &format!("{at}/{key}"), into)),
        _ => {}
    }
}

fn extreme() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![0, 1, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, u64::MAX - 1, u64::MAX])
            .prop_map(|number| json!(number)),
        any::<u64>().prop_map(|number| json!(number)),
        prop::sample::select(vec![i64::MIN, -1]).prop_map(|number| json!(number)),
        prop::sample::select(vec![-1.0, -0.0, 1e-300, 1e308, f64::MAX]).prop_map(|number| json!(number)),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        ".{0,9}".prop_map(Value::String),
        Just(json!([])),
        Just(json!({})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is changed: it is refused and changes nothing, or it is used, and the run ends with a report.
    #[test]
    fn whatever_an_agent_sends_the_run_ends_with_a_report(
        changes in prop::collection::vec((any::<prop::sample::Index>(), extreme()), 1..4),
        at_most_seconds in 1u64..4,
    ) {
        let mut two = Two::after(at_most_seconds);
        let mut json = serde_json::to_value(two.last()).unwrap();
        for (place, value) in changes {
            let mut all = Vec::new();
            pointers(&json, "", &mut all);
            *json.pointer_mut(place.get(all.as_slice()).as_str()).unwrap() = value;
        }
        if let Ok(update) = serde_json::from_value::<Update>(json) {
            let before = format!("{:?}", two.coordinator);
            if two.send(update).is_err() {
                prop_assert_eq!(format!("{:?}", two.coordinator), before);
            }
        }
        (0..60).for_each(|second| two.coordinator.tick(two.now + Duration::from_secs(second)));
        prop_assert!(two.coordinator.ending().is_some());
        let members = two.coordinator.take_members();
        let report = report_of(members, two.start, plan(0, 2)).unwrap();
        prop_assert_eq!(report.agents.len(), 2);
        prop_assert!(!text::render(&report).is_empty());
        // As another program reads it.
        prop_assert!(json::parse(&json::render(&report).unwrap()).is_ok());
    }

    #[test]
    fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,99}") {
        for octets in [octets, text.into_bytes()] {
            prop_assert!(serde_json::from_slice::<Update>(&octets).is_err());
            prop_assert!(serde_json::from_slice::<Hello>(&octets).is_err());
        }
    }

    #[test]
    fn the_sums_of_all_seconds_are_bounded(counts: Vec<u64>) {
        let mut whole = Interval::new(0);
        let mut sum = 0_u64;
        for count in counts {
            whole.merge(&Interval { started: count, in_flight: count, ..Interval::new(0) });
            sum = sum.saturating_add(count);
        }
        prop_assert_eq!((whole.started, whole.in_flight), (sum, sum));
    }
}
