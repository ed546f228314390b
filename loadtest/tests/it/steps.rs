//! A changing rate is reported step by step, with the knee.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::files::{json, path};
use crate::support::program::plain;
use crate::support::waiting::eventually;
use crate::support::{Act, Load, Outcome, Sink, Verb};

/// The steps of a report.
fn steps(report: &Value) -> Vec<Value> {
    report["steps"].as_array().cloned().unwrap_or_default()
}

fn sum(steps: &[Value], of: &str) -> u64 {
    steps.iter().filter_map(|step| step.pointer(of)?.as_u64()).sum()
}

#[test]
fn each_step_has_a_row_and_the_rows_add_up_to_the_whole() {
    // Two sessions have a capacity of 20 messages per second.
    let sink = Sink::answering(Verb::Dot, Act::After(Duration::from_millis(100)));
    let outcome = Load::on(&sink)
        .with("--steps 5/s:1s,40/s:1s,2/s:1s -c 2 --grace 60s --late-after 5s")
        .arg("--fail-if=p50(message) > 450ms")
        .run()
        .expect(10);
    let steps = steps(&outcome.report);
    let offered: Vec<_> =
        steps.iter().map(|step| (step["at_s"].as_f64(), step["rate_to"].as_f64())).collect();
    assert_eq!(offered, [(Some(0.0), Some(5.0)), (Some(1.0), Some(40.0)), (Some(2.0), Some(2.0))]);
    assert_eq!(sum(&steps, "/accounting/started"), outcome.count("started"));
    assert_eq!(sum(&steps, "/accounting/accepted"), outcome.count("accepted"));
    assert_eq!(sum(&steps, "/message/ok/count"), 47);
    let achieved = steps[1]["rate_achieved"].as_f64().expect("a rate");
    assert!(achieved <= 22.0, "{achieved}/s of the 40/s offered");
    assert_eq!(steps[1]["accounting"]["accepted"], 40, "the others of them were accepted later");
    // Half of the messages of the second step waited longer than that, those of the first did not.
    assert_eq!((&steps[0]["kept"], &steps[1]["kept"]), (&true.into(), &false.into()));
    assert_eq!(outcome.report["knee"], 5.0);
}

#[test]
fn errors_are_of_the_step_in_which_their_messages_were_due() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Dot if turn.nth >= 10 => Act::Say("451 later\r\n"),
        _ => Act::Usual,
    });
    // One session sends them in order.
    let load = Load::on(&sink).with("-c 1 --steps 10/s:1s,30/s:1s --grace 60s --late-after 5s");
    let outcome = load.arg("--fail-if=errors > 50%").run().expect(10);
    let steps = steps(&outcome.report);
    assert_eq!(steps[0]["accounting"]["refused_4xx"], 0);
    assert_eq!(steps[1]["accounting"]["refused_4xx"], 30);
    assert_eq!(steps[1]["message"]["failed"]["count"], 30);
    assert_eq!(outcome.report["knee"], 10.0);
}

#[test]
fn a_ramp_has_ten_rows_in_table_and_page_and_reads_back() {
    let (sink, folder) = (Sink::usual(), tempfile::tempdir().expect("a folder"));
    let (file, page) = (path(&folder, "ramp.json"), path(&folder, "ramp.html"));
    let load = Load::into_file(&sink, &file).with("--late-after 5s --html").arg(&page);
    load.arg("--ramp=10/s..110/s over 2s").run().code_is(0);
    let report = json(&file);
    assert_eq!(steps(&report).len(), 10);
    assert_eq!(report["knee"], 105.0);
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.contains("<h2>Steps</h2>") && page.contains("<td>100..110/s</td>"), "{page}");
    assert!(page.contains("Knee: above 100..110/s, the highest rate offered."));
    let again = plain(&["merge", &file]);
    again.code_is(0);
    let table: Vec<&str> = again.stdout.lines().skip_while(|line| !line.starts_with("step at")).collect();
    assert!(table[1].contains("10..20/s") && table[10].contains("100..110/s"), "{}", again.stdout);
    assert!(table[11].starts_with("knee        above 100..110/s"), "{}", again.stdout);
    assert!(table[..12].iter().all(|line| line.chars().count() <= 80), "{}", again.stdout);
}

#[test]
fn the_step_in_which_a_signal_ends_the_run_is_not_judged() {
    let sink = Sink::usual();
    let child = Load::on(&sink).with("--steps 20/s:500ms,50/s:10m,90/s:1s --fail-if errors>50%").spawn();
    eventually("the second step", || sink.seen().verbs.get(&Verb::Dot).is_some_and(|count| *count > 20));
    kill_process(Pid::from_child(&child), Signal::INT).expect("a signal is sent");
    let outcome = Outcome::after(child).expect(0);
    let why: Vec<_> = steps(&outcome.report).iter().map(|step| step.get("not_judged").cloned()).collect();
    assert_eq!(why, [None, Some("the run ended early".into())]);
    assert_eq!(outcome.report["knee"], 20.0);
}

#[test]
fn a_rate_that_does_not_change_has_no_steps() {
    let outcome =
        Load::on(&Sink::usual()).with("--rate 50/s --duration 200ms --late-after 5s").run().expect(0);
    assert!(outcome.report.get("steps").is_none() && outcome.report.get("knee").is_none());
}
