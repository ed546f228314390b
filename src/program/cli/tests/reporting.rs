//! Reports, limits and expectations as flags, and in a file.

use smtpmock::{Milestone, Stats};

use super::*;

pub(super) const FILE: &str = r#"
report = true
hlog = "run.hlog"
exit-after = ["10_000messages", "5m"]
expect = ["messages == 10000", "p99(think.mail) < 50ms"]
"#;

fn settings(arguments: &[&str]) -> Settings {
    match parsed(arguments, &[]) {
        Ok(Action::Run(settings)) => *settings,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn flags_of_reports_set_what_they_name() {
    let Reporting { text, json, html, progress, interval_log, .. } =
        settings(&["-report", "-reportJson=j", "-reportHtml=h", "-progress", "-hlog=l"]).reporting;
    assert!(text && progress);
    assert_eq!([json, html, interval_log], ["j", "h", "l"].map(|path| Some(path.into())));
    let Reporting { json, html, interval_log, .. } =
        settings(&["--json=j", "-html", "h", "--report-hlog=l"]).reporting;
    assert_eq!([json, html, interval_log], ["j", "h", "l"].map(|path| Some(path.into())));
    // Variables too; a flag's own variable takes precedence over an alias's.
    let variables = [
        ("SMTPMOCK_JSON", "j"),
        ("SMTPMOCK_REPORT_HTML", "h"),
        ("SMTPMOCK_HTML", "unused"),
        ("SMTPMOCK_HLOG", ""),
        ("SMTPMOCK_REPORT_HLOG", "l"),
    ];
    let Ok(Action::Run(settings_of_variables)) = parsed(&[], &variables) else { panic!("{variables:?}") };
    let Reporting { json, html, interval_log, .. } = settings_of_variables.reporting;
    assert_eq!([json, html, interval_log], ["j", "h", "l"].map(|path| Some(path.into())));
    let Reporting { text, json, html, progress, is_quiet, interval_log, expectations } =
        settings(&["-report", "-report=false"]).reporting;
    assert!(!text && !progress && !is_quiet && expectations.is_empty());
    assert!(settings(&["-q"]).reporting.is_quiet && settings(&["--quiet"]).reporting.is_quiet);
    assert_eq!([json, html, interval_log], [None, None, None]);
}

#[test]
fn a_log_is_asked_for_and_not() {
    assert!(settings(&["-log"]).logs && !settings(&["--log", "--log=false"]).logs && !settings(&[]).logs);
}

#[test]
fn reports_are_added_up_in_place_of_a_run() {
    let told =
        |arguments: &[&str]| parsed_beside(&[("a.json", &report(1)), ("b.json", &report(2))], arguments, &[]);
    match told(&["--merge-reports", "a.json", "-mergeReports=b.json", "--expect=messages == 0"]) {
        Ok(Action::Report(sum, reporting, _)) => {
            assert_eq!((sum.runs().len(), reporting.text, reporting.expectations.len()), (2, true, 1));
        }
        other => panic!("{other:?}"),
    }
    match told(&["--merge-reports=a.json", "--report-html=page"]) {
        Ok(Action::Report(_, reporting, _)) => assert!(!reporting.text && reporting.html.is_some()),
        other => panic!("{other:?}"),
    }
    match told(&["merge", "a.json", "--json", "sum.json", "b.json"]) {
        Ok(Action::Report(sum, reporting, _)) => {
            assert_eq!((sum.runs().len(), reporting.json), (2, Some("sum.json".into())));
        }
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(told(&["merge"]), Err(Failure::Usage(text)) if text == "merge needs a report: smtpmock merge a.json b.json")
    );
    match told(&["merge", "a.json", "a.json"]) {
        Err(Failure::Usage(text)) => {
            assert!(text.contains("\"a.json\" for merge: expected another run: "), "{text}");
        }
        other => panic!("{other:?}"),
    }
    for (second, reason) in [
        ("none.json", "\"none.json\" for --merge-reports: expected a readable file: "),
        ("a.json", "\"a.json\" for --merge-reports: expected another run: "),
    ] {
        match told(&["--merge-reports=a.json", "--merge-reports", second]) {
            Err(Failure::Usage(text)) => assert!(text.contains(reason), "{text}"),
            other => panic!("{second}: {other:?}"),
        }
    }
    let no_report = parsed(&["--merge-reports=good.toml"], &[]);
    assert!(matches!(no_report, Err(Failure::Usage(text)) if text.contains("expected a report in JSON: ")));
}

/// A report in JSON, of a run with this seed.
fn report(seed: u64) -> String {
    let mut stats = smtpmock::Stats::default();
    (stats.started_at, stats.seed) = (Some(std::time::SystemTime::UNIX_EPOCH), seed);
    stats.ends = Duration::from_secs(1);
    Report::new(&stats).json()
}

#[test]
fn limits_are_read_with_their_units() {
    for (typed, limit) in [
        ("10000messages", Limit::Milestone(Milestone::Messages(10_000))),
        ("10_000 messages", Limit::Milestone(Milestone::Messages(10_000))),
        ("1session", Limit::Milestone(Milestone::Sessions(1))),
        ("60s", Limit::Time(Duration::from_secs(60))),
        ("1m30s", Limit::Time(Duration::from_secs(90))),
        ("2m", Limit::Time(Duration::from_secs(120))),
    ] {
        assert_eq!(settings(&["-exitAfter", typed]).exit_after, [limit], "{typed}");
    }
}

#[test]
fn a_file_takes_them_and_what_is_in_effect_is_listed() {
    let settings =
        settings(&["--config", "report.toml", "--backlog=5", "--backlog=7", "--hlog", "mine.hlog"]);
    assert!(settings.reporting.text);
    assert_eq!(settings.reporting.interval_log, Some("mine.hlog".into()));
    let expectations: Vec<_> = settings.reporting.expectations.iter().map(ToString::to_string).collect();
    assert_eq!(expectations, ["messages == 10000", "p99(think.mail) < 50ms"]);
    let limits = [Limit::Milestone(Milestone::Messages(10_000)), Limit::Time(Duration::from_secs(300))];
    assert_eq!(settings.exit_after, limits);
    let effective = [
        ("backlog", "7"),
        ("report", "true"),
        ("hlog", "mine.hlog"),
        ("exit-after", "10_000messages\n5m"),
        ("expect", "messages == 10000\np99(think.mail) < 50ms"),
    ];
    assert_eq!(settings.effective, effective.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn flags_of_a_server_are_refused_where_reports_are_added_up() {
    let reports = [("a.json", &*report(1)), ("b.json", &*report(2)), ("report.toml", FILE)];
    for flag in flags::table().iter().filter(|flag| flag.kebab != flags::VERSION) {
        let value = match (flag.placeholder, flag.arity) {
            ("PATH", _) if flag.kebab == flags::CONFIG => "report.toml",
            ("PATH", _) => "b.json",
            ("AMOUNT", _) => "1s",
            ("EXPECTATION", _) => "messages == 0",
            ("USER:PASSWORD" | "TOKEN", _) => "ann:secret",
            (_, flag::Arity::Switch) => "true",
            ("PORT" | "N" | "N|auto" | "DURATION" | "SIZE", _) => "0",
            _ => "",
        };
        let typed = format!("-{}", flag.name);
        let told = parsed_beside(&reports, &["-mergeReports=a.json", &format!("{typed}={value}")], &[]);
        match (told, flags::OF_REPORTS.contains(&flag.kebab.as_str())) {
            (Ok(Action::Report(..)), true) => {}
            (Err(Failure::Usage(text)), false) => {
                let reason =
                    format!("-mergeReports starts no server: {typed} has no effect with it: expected only ");
                assert!(text.starts_with(&reason), "{text}");
            }
            (other, _) => panic!("{typed}={value}: {other:?}"),
        }
    }
}

#[test]
fn a_server_in_variables_and_files_keeps_no_report_from_being_added_up() {
    let reports = [("a.json", &*report(1)), ("server.toml", "port = 2525\nreport-json = \"both\"\n")];
    let variables = [("SMTPMOCK_CAPTURE", "both"), ("SMTPMOCK_PROGRESS", "true")];
    let told = parsed_beside(&reports, &["--merge-reports=a.json", "--config=server.toml"], &variables);
    assert!(matches!(told, Ok(Action::Report(_, reporting, _)) if reporting.json == Some("both".into())));
}

/// The flags of a command line that name files or standard output, in the order of comparison.
fn claims(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    match parsed_beside(&[("a.json", &report(1)), ("x", "")], arguments, environment) {
        Ok(Action::Run(settings)) => format!("{:?}", settings.claims),
        Ok(Action::Report(_, _, claims)) => format!("{claims:?}"),
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn every_file_is_claimed_by_the_flag_that_named_it_last() {
    let wanted = |describe: fn(&mut Claims)| {
        let mut claims = Claims::default();
        describe(&mut claims);
        format!("{claims:?}")
    };
    assert_eq!(
        claims(
            &["--capture=a", "-capture", "b", "-report", "--log=false", "--config=x", "--ready-file=r"],
            &[("SMTPMOCK_REPORT_JSON", "j")],
        ),
        wanted(|claims| {
            claims.output("-capture", "the capture", Path::new("b"));
            claims.output("SMTPMOCK_REPORT_JSON", "the JSON report", Path::new("j"));
            claims.text("-report");
            claims.input("--config", Path::new("x"));
            claims.input("--ready-file", Path::new("r"));
        })
    );
    assert_eq!(
        claims(&["--merge-reports=a.json", "--report-html=h"], &[]),
        wanted(|claims| {
            claims.output("--report-html", "the HTML report", Path::new("h"));
            claims.input("--merge-reports", Path::new("a.json"));
        })
    );
    // The log leaves standard output to JSON.
    let json = |claims: &mut Claims| claims.output("--capture", "the capture", Path::new("-"));
    assert_eq!(claims(&["--log", "--capture=-"], &[]), wanted(json));
    assert_eq!(claims(&["--log"], &[]), wanted(|claims| claims.text("--log")));
}

#[test]
fn an_empty_check_is_no_check_that_passes() {
    for (flag, variable) in [("--expect", "SMTPMOCK_EXPECT"), ("--fail-if", "SMTPMOCK_FAIL_IF")] {
        for value in ["", " ", "\n", "messages == 0\n\nfindings == 0", "\nmessages == 0"] {
            let text = usage(&[flag, value], &[]);
            assert!(text.contains(&format!("for {flag}: expected a figure, like messages")), "{text}");
            let text = usage(&[], &[(variable, value)]);
            assert!(text.contains(&format!("for {variable}: expected a figure")), "{text}");
            usage(&[flag, "messages == 0"], &[(variable, value)]);
        }
    }
    for value in ["", " ", "60s\n\n1message"] {
        let text = usage(&["--exit-after", value], &[]);
        assert!(text.contains("for --exit-after: expected a number of messages or sessions"), "{text}");
        let text = usage(&[], &[("SMTPMOCK_EXIT_AFTER", value)]);
        assert!(text.contains("for SMTPMOCK_EXIT_AFTER: expected"), "{text}");
    }
    let text = usage(&["--merge-reports", ""], &[]);
    assert!(text.contains("for --merge-reports: expected the path of a file"), "{text}");
    for (setting, reason) in [
        ("expect = \"\"", "for expect in checks.toml, line 1: expected a figure"),
        ("expect = [\"messages == 0\", \"\"]", "for expect in checks.toml, line 1: expected a figure"),
        ("expect = []", "checks.toml, line 1: expected at least one"),
        ("fail-if = [\"\"]", "for fail-if in checks.toml, line 1: expected a figure"),
        ("exit-after = \" \"", "for exit-after in checks.toml, line 1: expected"),
    ] {
        let told = parsed_beside(&[("checks.toml", setting)], &["--config=checks.toml"], &[]);
        assert!(matches!(&told, Err(Failure::Usage(text)) if text.contains(reason)), "{setting}: {told:?}");
    }
    // Several lines end with a line end.
    assert_eq!(settings(&["--expect", "messages == 0\nfindings == 0\n"]).reporting.expectations.len(), 2);
}

#[test]
fn expectations_of_flags_variables_and_files_add_up() {
    let typed = ["--config=report.toml", "--expect=findings == 0", "--expect=sessions == 3"];
    let variables = [("SMTPMOCK_EXPECT", "degraded == 0\nsessions.open == 0")];
    let all = [
        "findings == 0",
        "sessions == 3",
        "degraded == 0",
        "sessions.open == 0",
        "messages == 10000",
        "p99(think.mail) < 50ms",
    ];
    match parsed(&typed, &variables) {
        Ok(Action::Run(settings)) => {
            let expectations = settings.reporting.expectations.iter().map(ToString::to_string);
            assert_eq!(expectations.collect::<Vec<_>>(), all);
            assert!(settings.effective.contains(&("expect".to_owned(), all.join("\n"))));
        }
        other => panic!("{other:?}"),
    }
    match parsed(&[&typed[..], &["--print-config"]].concat(), &variables) {
        Ok(Action::Print(text)) => {
            let lines = all.map(|one| format!("  \"{one}\",\n")).concat();
            assert!(text.contains(&format!("expect = [\n{lines}]\n")), "{text}");
        }
        other => panic!("{other:?}"),
    }
    // `--fail-if` is not an alias of `--expect`.
    let typed = ["--fail-if=messages > 9", "--expect=messages == 9"];
    match parsed(&typed, &[("SMTPMOCK_FAIL_IF", "sessions > 9")]) {
        Ok(Action::Run(settings)) => {
            let judged =
                settings.reporting.expectations.iter().map(|one| one.judge(&Stats::default()).to_string());
            assert_eq!(
                judged.collect::<Vec<_>>(),
                [
                    "expected messages == 9: failed, 0",
                    "fail if messages > 9: passed, 0",
                    "fail if sessions > 9: passed, 0"
                ]
            );
        }
        other => panic!("{other:?}"),
    }
    // For settings that do not accumulate, arguments override the others.
    let overridden = settings(&["--config=report.toml", "--exit-after=1message"]);
    assert_eq!(overridden.exit_after, [Limit::Milestone(Milestone::Messages(1))]);
}

#[test]
fn lists_of_flags_name_flags() {
    let table = flags::table();
    let outputs = outputs::OUTPUTS.iter().map(|(kebab, _)| kebab);
    let files = outputs.chain(outputs::TEXTS).chain(outputs::INPUTS);
    for kebab in files.chain(flags::OF_REPORTS) {
        assert!(table.iter().any(|flag| flag.kebab == *kebab), "{kebab}");
    }
}
