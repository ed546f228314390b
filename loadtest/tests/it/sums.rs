//! What is added up of a run of several machines, and what of an agent that is lost or has another plan.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fleet::{Coordinator, Running, address, tokens};
use crate::mock::Mock;
use crate::support::files::{self, path};
use crate::support::program::{plain, program};
use crate::support::relay::{Relay, withholding};
use crate::support::{Load, Outcome, Sink};

#[test]
fn an_agent_whose_message_file_is_another_one_is_named_before_the_start() {
    let sink = Sink::usual();
    let [mine, other] = ["one", "two"].map(|word| {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("Subject: x\r\n\r\n{word}\r\n");
        std::fs::write(path(&folder, "msg.eml"), text).expect("a file");
        folder
    });
    let command = |folder| {
        let mut command = program();
        command.current_dir(folder);
        command
    };
    let mut serve = command(&mine);
    serve.args([
        "serve",
        &sink.address(),
        "--listen",
        "0",
        "--agents",
        "2",
        "-c",
        "2",
        "--message",
        "msg.eml",
    ]);
    let coordinator = Running::start(&mut serve);
    let line = coordinator.line("http://");
    let url = &line[line.find("http://").expect("a URL")..];
    let agents = [(&mine, "m0"), (&other, "m1")]
        .map(|(folder, name)| Running::start(command(folder).args(["agent", url, "--name", name])));
    let why = "m1 can't run: its --message msg.eml differs from the coordinator's";
    for agent in agents {
        let outcome = agent.ended();
        outcome.code_is(1);
        assert!(outcome.stderr.contains(why), "{}", outcome.stderr);
    }
    let outcome = coordinator.ended();
    outcome.code_is(1);
    assert!(outcome.stderr.contains(&format!("the run did not start: agent {why}")), "{}", outcome.stderr);
    assert_eq!(sink.sessions(), 0);
}

#[test]
fn the_file_of_a_lost_agent_makes_the_report_that_of_a_run_in_which_nobody_was_lost() {
    let mock = Mock::start(&["--http", "0"]);
    let plane = mock.ready()["http"][0].as_str().expect("a URL").to_owned();
    let load = format!("--agents 3 --steps 60/s:3s,120/s:3s --seed 5 --sink-report {plane}");
    let coordinator = Coordinator::start(&address(&mock), &load);
    let link = Relay::to(coordinator.address());
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| path(&folder, name);
    let start = |name: &str, url: &str| {
        let mut command = program();
        let json = file(&format!("{name}.json"));
        Running::start(command.args(["agent", url, "--name", name, "--report-json", &json]))
    };
    let stay = [start("a", &coordinator.url), start("b", &coordinator.url)];
    let goes = start("goes", &link.url);
    coordinator.program.line(" 2 s ");
    link.cut();
    coordinator.program.line("agent goes is lost");
    stay.map(Running::ended).iter().for_each(|outcome| outcome.code_is(0));
    // It has ended its part meanwhile, and tries to deliver its report.
    goes.signal(Signal::INT);
    let undelivered = goes.ended();
    undelivered.code_is(1);
    assert!(undelivered.stderr.contains("`smtpload merge` adds it to the others"), "{}", undelivered.stderr);

    let whole = file("whole.json");
    let kept = path(&coordinator.folder, "report.json");
    let outcome = coordinator.program.ended();
    outcome.code_is(1);
    std::fs::copy(kept, &whole).expect("a report");
    assert!(outcome.stdout.contains("per message, without goes\n"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("no figures"), "{}", outcome.stdout);
    let (_, knee) = outcome.stdout.split_once("\nknee        unknown: no step was judged").expect("no knee");
    assert!(knee.contains("lost)\n            without goes ("), "{knee}");
    let (least, most) = (files::json(&whole)["delivered"]["at_least"].as_u64(), tokens(&mock).len() as u64);
    assert!(least < Some(most), "{least:?} of {most}");

    let merged = |names: &[&str]| {
        let files: Vec<String> = names.iter().map(|name| file(&format!("{name}.json"))).collect();
        let files = files.iter().map(String::as_str);
        plain(&["merge", "--json", "-"].into_iter().chain(files).collect::<Vec<_>>())
    };
    let alone = merged(&["whole"]);
    alone.code_is(1);
    assert!(alone.stderr.contains("lost agents: goes ("), "{}", alone.stderr);
    plain(&["merge", &whole, "--html", &file("page.html")]).code_is(1);
    let page = std::fs::read_to_string(file("page.html")).expect("a page");
    let stated = "<td>not judged</td></tr></tbody></table></div>\n<p>Knee: unknown: no step was judged; not judged: agents were lost.</p>\n<p>Table without goes (";
    assert!(page.contains(stated), "{page}");
    let expected = merged(&["a", "b", "goes"]).expect(0);
    for names in [["whole", "goes"], ["goes", "whole"]] {
        let replaced = merged(&names).expect(0);
        for field in
            ["accounting", "latency", "intervals", "steps", "sessions", "agents", "delivered", "spans"]
        {
            assert_eq!(replaced.report[field], expected.report[field], "{field}");
        }
        for field in
            ["parts", "plans", "started_at_ms", "ended_at_ms", "measured_s", "rate", "pieces", "missing"]
        {
            assert_eq!(replaced.report[field], expected.report[field], "{field}");
        }
        assert_eq!(replaced.count("accepted"), 540);
        let delivered = json!({"at_least": 540, "at_most": 540});
        assert_eq!((&replaced.report["delivered"], most), (&delivered, 540));
        let agents = replaced.report["agents"].as_array().expect("a list");
        assert!(agents.iter().all(|agent| agent["lost"].is_null()), "{agents:?}");
        // Both sides agree to the message now.
        let sinks = &replaced.report["sinks"];
        assert_eq!(
            (&sinks["received"], &sinks["too_few"], &sinks["too_many"]),
            (&json!(540), &json!(0), &json!(0))
        );
    }
    // An agent that ended after the servers were asked may have sent more than these knew.
    let mut late = files::json(&file("goes.json"));
    late["ended_at_ms"] = (late["ended_at_ms"].as_u64().expect("a time") + 3_600_000).into();
    std::fs::write(file("late.json"), late.to_string()).expect("a file");
    // Unless both numbers are equal.
    let found = merged(&["whole", "late"]).expect(0);
    assert_eq!((found.number("/sinks/received"), found.report["sinks"].get("failed")), (540, None));
    let mut fewer = files::json(&whole);
    fewer["sinks"]["reports"][0]["received"] = 539.into();
    std::fs::write(file("fewer.json"), fewer.to_string()).expect("a file");
    let found = merged(&["fewer", "late"]);
    found.code_is(1);
    assert!(found.stderr.contains("it was asked before an agent ended"), "{}", found.stderr);
    assert_eq!((found.number("/sinks/received"), found.number("/sinks/too_few")), (539, 0));
    // The file replaces what was reported also in a sum with another run.
    let coordinator = Coordinator::start(
        &address(&mock),
        &format!("--agents 1 --rate 90/s --count 9 --sink-report {plane}"),
    );
    coordinator.agent(&[]).ended().code_is(0);
    let outcome = coordinator.ended().expect(0);
    std::fs::write(file("next.json"), outcome.report.to_string()).expect("a file");
    let both = merged(&["whole", "next"]);
    both.code_is(1);
    std::fs::write(file("both.json"), &both.stdout).expect("a file");
    let replaced = merged(&["both", "goes"]).expect(0);
    let found = ["received", "too_few", "too_many"].map(|name| replaced.number(&format!("/sinks/{name}")));
    assert_eq!(found, [549, 0, 0]);
    // It can't replace what is there already.
    let twice = merged(&["whole", "goes", "goes"]);
    twice.code_is(2);
    assert!(twice.stderr.contains("is in two of the reports"), "{}", twice.stderr);
}

/// An agent by hand.
struct Fake {
    path: String,
    order: Value,
}

impl Fake {
    fn join(coordinator: &Coordinator, name: &str, nonce: u64) -> Fake {
        let hello = serde_json::from_str(&coordinator.hello(name, nonce)).expect("JSON");
        let welcome = post(coordinator, "/v1/agents", &hello).expect("a place");
        let path = format!("/v1/agents/{}", welcome["agent"].as_str().expect("an id"));
        let answer = post(coordinator, &path, &json!({"state": "waiting"})).expect("an answer");
        Fake { path, order: answer["order"].clone() }
    }

    /// The report of a run by hand as one of this run.
    fn report(&self, by_hand: &Outcome) -> Value {
        assert_eq!(by_hand.number("/parts/0/index"), self.order["part"].as_u64().expect("a part"));
        let its_id = by_hand.report["settings"]["runs"][0].as_str().expect("an id");
        let id = format!("{:08x}", self.order["run"].as_u64().expect("an id"));
        serde_json::from_str(&by_hand.stdout.replace(its_id, &id)).expect("a report")
    }

    fn update(&self, coordinator: &Coordinator, update: &Value) -> Value {
        let mut update = update.clone();
        update["clock"] = json!({"offset_ns": 0, "uncertainty_ns": 1000, "exchanges": 8});
        post(coordinator, &self.path, &update).expect("an answer")
    }
}

/// The reply of a coordinator to a request; `None` if it is refused.
fn post(coordinator: &Coordinator, path: &str, body: &Value) -> Option<Value> {
    let reply = coordinator.ask(&format!("POST {path} HTTP/1.1"), &body.to_string());
    let (_, text) = reply.split_once("\r\n\r\n").expect("a body");
    reply.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(text).expect("JSON"))
}

/// What has become of the report of an agent, once that is decided.
fn fate(fake: &Fake, coordinator: &Coordinator) -> Value {
    loop {
        let answer = fake.update(coordinator, &json!({"state": {"ended": null}}));
        if !answer["fate"].is_null() {
            return answer["fate"].clone();
        }
    }
}

/// All that a report has, as its first second.
fn second_of(report: &Value) -> Value {
    let accounts = &report["accounting"];
    let count = |name: &str| accounts["measured"][name].clone();
    json!({
        "index": 0, "length_ns": 1_000_000_000, "is_last": false, "started": count("started"),
        "accepted": count("accepted"), "errors": 0, "in_flight": 0, "starved": false, "measured": accounts["measured"],
        "warmup": accounts["warmup"], "latency": report["latency"]["message"]["ok"]["histogram"],
    })
}

#[test]
fn a_report_that_cant_be_added_is_that_of_a_lost_agent_and_the_others_are_reported() {
    let sink = Sink::usual();
    let load = "-c 3 --count 30 --seed 5";
    let by_hand = ["--part 0/3 --to someone@example.com", "--part 1/3"]
        .map(|more| Load::on(&sink).with(load).with(more).run().expect(0));
    let coordinator = Coordinator::start(&sink.address(), &format!("--agents 3 {load}"));
    let other = Fake::join(&coordinator, "other", 1);
    let huge = Fake::join(&coordinator, "huge", 2);
    let real = coordinator.agent(&["--name", "real"]);
    coordinator.program.line("3 of 3");
    let (first, mut second) = (other.report(&by_hand[0]), huge.report(&by_hand[1]));
    let reported = second_of(&second);
    // Neither the report of this one can be added, nor what it has reported until then.
    let most = 1_u64 << 52;
    let measured = &mut second["accounting"]["measured"];
    measured["started"] = most.into();
    measured["accepted"] = most.into();
    let mut vast = reported.clone();
    for (name, count) in [("started", most), ("accepted", 0), ("in_flight", most)] {
        vast[name] = count.into();
        vast["measured"][name] = count.into();
    }
    vast["latency"] = "".into();
    // Until the start is known, as an agent asks.
    let armed = json!({"state": {"armed": second["plans"][0]["digest"]}});
    while [&other, &huge]
        .map(|fake| fake.update(&coordinator, &armed))
        .iter()
        .any(|answer| answer["start_ns"].is_null())
    {}
    coordinator.program.line("starts at ");
    for (fake, report, reported) in [(&other, first, reported), (&huge, second, vast)] {
        fake.update(&coordinator, &json!({"state": {"ended": report}, "seconds": [reported]}));
    }
    real.ended().code_is(0);
    // They learn of it, and have their reports.
    let fate = fate(&other, &coordinator);
    assert_eq!(fate, json!({"dropped": "its report can't be added: its --to differs"}));
    let outcome = coordinator.ended();
    outcome.code_is(1);
    outcome.check_sum();
    let named =
        "lost agents: other (its report can't be added: its --to differs), huge (its report can't be added: ";
    assert!(outcome.stderr.contains(named), "{}", outcome.stderr);
    let rows = outcome.report["agents"].as_array().expect("a list");
    let why = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name).expect("its row");
        (row["lost"]["why"].as_str().unwrap_or_default().to_owned(), row["lost"]["started"].clone())
    };
    let (text, started) = why("other");
    assert_eq!((text.as_str(), started), ("its report can't be added: its --to differs", json!(10)));
    let (text, started) = why("huge");
    assert!(text.contains("accounting.measured.started is larger than"), "{text}");
    let reported =
        "; the seconds that it reported can't be added: accounting.measured.started is larger than";
    assert!(text.contains(reported), "{text}");
    assert_eq!((started, why("real").1), (json!(0), Value::Null));
    // The seconds of one, and the range of the other: its whole part.
    let delivered = ["at_least", "at_most"].map(|name| outcome.number(&format!("/delivered/{name}")));
    assert_eq!((outcome.count("accepted"), delivered), (20, [20, 30]));
}

#[test]
fn what_servers_have_received_of_messages_without_a_reply_is_within_what_was_delivered() {
    // After the reply to EHLO all of a group with its only chunk is sent, and nothing of a message after DATA. After the
    // reply to DATA all of it is.
    for (flags, after, is_sent) in [
        ("--pipelining --chunking", 2, true),
        ("--pipelining", 2, false),
        ("--chunking", 2, false),
        ("--pipelining", 5, true),
    ] {
        let mock = Mock::start(&["--http", "0", "--esmtp"]);
        let plane = mock.ready()["http"][0].as_str().expect("a URL").to_owned();
        let proxy = withholding(&address(&mock), after);
        let load = "--agents 2 -c 4 --count 12 --timeout 2s --sink-report";
        let coordinator = Coordinator::start(&proxy, &format!("{load} {plane} {flags}"));
        let agents = [(); 2].map(|()| coordinator.agent(&[]));
        agents.into_iter().for_each(|agent| drop(agent.ended()));
        let outcome = coordinator.ended();
        outcome.code_is(0);
        let in_doubt = outcome.count("in_doubt");
        let delivered =
            json!({"at_least": outcome.count("accepted"), "at_most": outcome.count("accepted") + in_doubt});
        assert_eq!(outcome.report["delivered"], delivered, "{flags}");
        let received = outcome.number("/sinks/received");
        assert!(
            (outcome.count("accepted")..=outcome.count("accepted") + in_doubt).contains(&received),
            "{flags}"
        );
        assert_eq!(
            (in_doubt > 0, outcome.count("timed_out") > 0),
            (is_sent, true),
            "{flags}: {}",
            outcome.stdout
        );
    }
}
