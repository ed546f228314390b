//! Several targets in one run: each message has its own, and no target delays another.

use serde_json::Value;

use crate::support::files::path;
use crate::support::program::plain;
use crate::support::{Act, Load, Outcome, Sink, Verb};

/// The sequence numbers of what a server has accepted, in order.
fn seqs(sink: &Sink) -> Vec<u64> {
    let seen = sink.seen();
    let seq = |text: &str| text.split('-').nth(3).and_then(|seq| seq.parse().ok()).expect("a token");
    let mut all: Vec<u64> = seen.messages.iter().map(|message| seq(&message.text)).collect();
    all.sort_unstable();
    all
}

fn on(sinks: &[&Sink], args: &str) -> Outcome {
    let load = Load::on(sinks[0]).with(args);
    sinks[1..].iter().fold(load, |load, sink| load.arg("--target").arg(&sink.address())).run()
}

fn row<'r>(outcome: &'r Outcome, sink: &Sink) -> &'r Value {
    let rows = outcome.report["targets"].as_array().expect("a list");
    rows.iter().find(|row| row["target"] == sink.address().as_str()).expect("its row")
}

#[test]
fn message_n_goes_to_target_n_modulo_their_number() {
    for args in [
        "--rate 400/s --count 50 --arrivals poisson",
        "-c 9 --count 50 --threads 2",
        "-c 9 --rate 500/s --count 50 --threads 3",
        "-c 5 --count 50 --messages-per-session 2",
    ] {
        let sinks = [Sink::usual(), Sink::usual(), Sink::usual()];
        let outcome = on(&sinks.each_ref(), args).expect(0);
        assert_eq!(outcome.count("accepted"), 50, "{args}");
        for (index, sink) in sinks.iter().enumerate() {
            let wanted: Vec<u64> = (0..50).filter(|seq| seq % 3 == index as u64).collect();
            assert_eq!(seqs(sink), wanted, "{args}");
            let row = row(&outcome, sink);
            let count = wanted.len();
            assert_eq!(
                (&row["accounting"]["accepted"], &row["message"]["ok"]["count"]),
                (&count.into(), &count.into())
            );
            assert_eq!(row["established"], sink.sessions(), "{args}");
        }
    }
}

#[test]
fn parts_and_targets_together_are_the_run_of_one_machine() {
    for args in ["--rate 400/s --count 60 --seed 8", "-c 12 --count 60 --seed 8"] {
        let sinks = [Sink::usual(), Sink::usual(), Sink::usual(), Sink::usual()];
        for part in ["0/6", "1/6", "2/6", "3/6", "4/6", "5/6"] {
            on(&sinks.each_ref(), &format!("{} --part {part}", args.replace("-c 12", "-c 24"))).expect(0);
        }
        for (index, sink) in sinks.iter().enumerate() {
            let wanted: Vec<u64> = (0..60).filter(|seq| seq % 4 == index as u64).collect();
            assert_eq!(seqs(sink), wanted, "{args}");
        }
    }
}

#[test]
fn a_target_that_does_not_answer_delays_no_message_of_another() {
    let mute = Sink::answering(Verb::Mail, Act::Silence);
    let good = Sink::usual();
    let args = "-c 4 --rate 100/s --duration 1s --grace 500ms";
    let outcome = on(&[&mute, &good], args);
    outcome.code_is(1);
    let (mute_row, good_row) = (row(&outcome, &mute), row(&outcome, &good));
    assert_eq!(
        (&good_row["accounting"]["accepted"], &good_row["accounting"]["unsent"]),
        (&50.into(), &0.into())
    );
    assert_eq!(seqs(&good).len(), 50);
    assert_eq!(
        (&mute_row["accounting"]["in_flight"], &mute_row["accounting"]["unsent"]),
        (&2.into(), &48.into())
    );
    let named = format!("no measured message was accepted by {} (in flight", mute.address());
    assert!(outcome.stderr.contains(&named), "{}", outcome.stderr);
}

#[test]
fn accounts_by_target_are_shown_and_merged() {
    let folder = tempfile::tempdir().expect("a folder");
    let sinks = [Sink::usual(), Sink::answering(Verb::Rcpt, Act::Say("550 5.1.1 no\r\n"))];
    let files = [0, 1].map(|index| path(&folder, &index.to_string()));
    let [one, other] = sinks.each_ref().map(Sink::address);
    for (part, file) in ["0/2", "1/2"].iter().zip(&files) {
        // With two parts and two targets, each part has one of them.
        let args =
            ["--target", &one, "--target", &other, "-c", "4", "--count", "20", "--seed", "1", "--part", part];
        plain(&[&args[..], &["--json", file]].concat());
    }
    let page = path(&folder, "page.html");
    let merged = plain(&["merge", &files[0], &files[1], "--html", &page]);
    merged.code_is(1);
    let line = |target: &str| {
        let found = merged.stdout.lines().find(|line| line.starts_with(target) && line.len() > 40);
        found.unwrap_or_else(|| panic!("no line of {target}: {}", merged.stdout)).to_owned()
    };
    let figures = |target: &str| -> Vec<String> {
        line(target).split_ascii_whitespace().skip(2).take(2).map(str::to_owned).collect()
    };
    assert_eq!(
        (figures(&one), figures(&other)),
        (vec!["10".into(), "0".into()], vec!["0".into(), "10".into()])
    );
    assert_eq!(line(&one).split_ascii_whitespace().count(), 10, "all on one line: {}", merged.stdout);
    assert!(merged.stdout.contains("rcpt: reply 550 5.1.1 x10"), "{}", merged.stdout);
    assert!(merged.stdout.contains(&format!("target      {one}, {other}")), "{}", merged.stdout);
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.contains("<h2>Targets</h2>") && page.contains(&format!("<td>{other}</td>")));
    let complaint = format!("no measured message was accepted by {other} (rcpt: reply 550 5.1.1 x10)");
    assert!(merged.stderr.contains(&complaint), "{}", merged.stderr);
}

#[test]
fn targets_that_do_not_fit_are_named() {
    for (args, right) in [
        ("a:1 --target a:1", "--target a:1: this target is given twice"),
        ("127.0.0.1:1 --target smtps://127.0.0.1:2", "`127.0.0.1:1` and `smtps://127.0.0.1:2`"),
        ("127.0.0.1:1 --target 127.0.0.1:2 -c 1", "at least 2 are needed"),
        ("127.0.0.1:1 --target 127.0.0.1:2 -c 3 --threads 2", "at least 4 are needed"),
        ("127.0.0.1:1 --target no.such.host.invalid:2", "no.such.host.invalid:2"),
    ] {
        let outcome = plain(&args.split(' ').collect::<Vec<_>>());
        outcome.code_is(2);
        assert!(outcome.stderr.contains(right), "{args}: {}", outcome.stderr);
    }
}
