//! Rules, delays and limits as flags, and all settings as a file.

use smtpmock::OverLimit;
use smtpmock::smtp::rules::Rule;

use super::*;

pub(super) const GOOD: &str = r#"
# as in the README
port = 2525
session-timeout = "5s"
failFast = true
host = ["127.0.0.1", "::1"]
msg-greeting = "220 hi \"there\""
response-delay-greeting = "lognormal(p50=80ms,p99=400ms),max=2s@5%"
seed = 7
rule = [
  'rcpt to=*@slow.example delay=2s',
  'any odds=5% drop=rst',
]
"#;

fn rule(text: &str) -> Rule {
    text.parse().unwrap()
}

fn good() -> Config {
    base()
        .port(2525)
        .session_timeout(Duration::from_secs(5))
        .fail_fast(true)
        .hosts(["127.0.0.1", "::1"])
        .reply(ReplyKind::Greeting, "220 hi \"there\"")
        .delay(
            DelayPoint::Greeting,
            "lognormal(p50=80ms,p99=400ms),max=2s@5%".parse::<smtpmock::smtp::rules::Delay>().unwrap(),
        )
        .seed(7)
        .rule(rule("rcpt to=*@slow.example delay=2s"))
        .rule(rule("any odds=5% drop=rst"))
}

#[test]
fn flags_of_behaviour_set_what_they_name() {
    let cases: &[(&[&str], Config)] = &[
        (
            &["-rule", "noop delay=1s", "--rule=quit silent"],
            base().rule(rule("noop delay=1s")).rule(rule("quit silent")),
        ),
        (&["-seed", "18446744073709551615"], base().seed(u64::MAX)),
        (&["-drip", "100B/s"], base().drip("100B/s".parse().unwrap())),
        (&["-readRate", "10KiB/s"], base().read_rate("10KiB/s".parse().unwrap())),
        (&["-maxSessions", "3"], base().max_sessions(3)),
        (&["-overLimit", "backlog"], base().over_limit(OverLimit::Backlog)),
        (&["-maxSessionsPerIp", "3"], base().max_sessions_per_ip(3)),
        (&["-maxMessagesPerSession", "3"], base().max_messages_per_session(3)),
        (&["-maxRcpts", "3"], base().max_rcpts(3)),
        (&["-rateLimit", "5/s per=ip"], base().rate_limit("5/s per=ip".parse().unwrap())),
    ];
    for (arguments, expected) in cases {
        assert_eq!(config(arguments), shown(expected), "{arguments:?}");
    }
    let variable = [("SMTPMOCK_RULE", "noop delay=1s\n\nquit silent\n")];
    assert_eq!(config_with(&[], &variable), shown(&cases[0].1));
}

#[test]
fn a_bad_rule_has_a_caret_under_the_wrong_place() {
    let failure = parsed(&["--rule", "rcpt dely=2s"], &[]).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "smtpmock: invalid value \"rcpt dely=2s\" for --rule: unknown condition or action \"dely=\": did you \
         mean delay=?\n  rcpt dely=2s\n       ^^^^^\n(smtpmock --help shows all flags)"
    );
    let text = usage(&["-responseDelayHelo", "exp(80)ms"], &[]);
    assert!(
        text.contains("-responseDelayHelo: expected max=2s, @5% or the end") && text.contains("^^"),
        "{text}"
    );
}

#[test]
fn a_file_takes_every_setting_and_flags_override_it() {
    assert_eq!(config(&["--config", "good.toml"]), shown(&good()));
    assert_eq!(config_with(&[], &[("SMTPMOCK_CONFIG", "good.toml")]), shown(&good()));
    let overridden = good().port(1).fail_fast(false);
    let environment = [("SMTPMOCK_FAIL_FAST", "false")];
    assert_eq!(config_with(&["--config=good.toml", "-port=1"], &environment), shown(&overridden));
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let text = printed(FILES, &["--config", "good.toml", "-backlog", "7"]);
    match parsed_beside(&[("printed.toml", &text)], &["--config", "printed.toml"], &[]) {
        Ok(Action::Run(settings)) => assert_eq!(shown(&settings.config), shown(&good().backlog(7)), "{text}"),
        other => panic!("{other:?}\n{text}"),
    }
}

#[test]
fn urls_that_are_printed_read_back_without_the_default_listener() {
    let url = "smtp+unix:///run/mock.sock?mode=0600";
    for (arguments, expected) in [
        (&["--listen", url][..], base().listen(url)),
        (&["--listen", url, "--port=0"], base().listen(url).port(0)),
        (&["--listen", url, "--host="], base().listen(url)),
    ] {
        let text = printed(FILES, arguments);
        match parsed_beside(&[("printed.toml", &text)], &["--config", "printed.toml"], &[]) {
            Ok(Action::Run(settings)) => assert_eq!(shown(&settings.config), shown(&expected), "{text}"),
            other => panic!("{other:?}\n{text}"),
        }
    }
}

/// Printed settings can be read again.
#[test]
fn a_switch_that_another_flag_turns_on_is_printed_as_on() {
    for (arguments, on) in [
        (&["--auth=any"][..], &["esmtp"][..]),
        (&["--tls-name=a.example"], &["esmtp", "tls"]),
        (&["--auth-clear=refuse", "--tls"], &["esmtp", "tls"]),
        (&["--auth-required=false"], &[]),
    ] {
        let text = printed(FILES, arguments);
        for switch in ["esmtp", "tls"] {
            let line = format!("\n{switch} = {}\n", on.contains(&switch));
            assert!(text.contains(&line), "{arguments:?}: {text}");
        }
        let read = parsed_beside(&[("printed.toml", &text)], &["--config", "printed.toml"], &[]);
        assert!(matches!(read, Ok(Action::Run(_))), "{arguments:?}: {read:?}");
    }
}

fn printed(files: &[(&str, &str)], arguments: &[&str]) -> String {
    let arguments = [arguments, &["--print-config"]].concat();
    match parsed_beside(files, &arguments, &[]) {
        Ok(Action::Print(text)) => text,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

/// Settings without a value unless given.
const VALUELESS: &[&str] = &[
    "listen",
    "extensions",
    "ehlo-line",
    "auth",
    "auth-file",
    "auth-token",
    "auth-mechanisms",
    "tls-name",
    "tls-ca-out",
    "tls-ca-cert",
    "tls-ca-key",
    "tls-cert",
    "tls-key",
    "tls-min",
    "tls-max",
    "tls-client-ca",
    "tls-client",
    "auth-clear",
    "rule",
    "seed",
    "drip",
    "read-rate",
    "capture",
    "max-sessions",
    "max-sessions-per-ip",
    "max-messages-per-session",
    "rate-limit",
    "msg-ehlo-received",
    "msg-lhlo-received",
    "ready-file",
    "report-json",
    "report-html",
    "hlog",
    "exit-after",
    "expect",
    "fail-if",
    "compat",
    "http-auth",
    "http-token",
];

#[test]
fn every_setting_that_has_a_default_is_printed_with_it() {
    let text = printed(FILES, &[]);
    let of_no_file = ["config", "print-config", "merge-reports", "version"];
    for flag in flags::table().iter().filter(|flag| !of_no_file.contains(&&*flag.kebab)) {
        let is_set = text.contains(&format!("\n{} = ", flag.kebab));
        assert_eq!(is_set, !VALUELESS.contains(&&*flag.kebab), "{}:\n{text}", flag.kebab);
        let Some(default) = &flag.default else { continue };
        let typed = format!("--{}={default}", flag.kebab);
        // They request the default listener, also with --listen.
        let expected = match &*flag.kebab {
            "host" => shown(&base().hosts(["127.0.0.1"])),
            "port" => shown(&base().port(0)),
            _ => config(&[]),
        };
        assert_eq!(config(&[&typed]), expected, "{typed} is not the default");
        let is_told = default.is_empty() || default == "false" || flag.help.contains(default);
        assert!(is_told, "{}: {}", flag.kebab, flag.help);
    }
}

#[test]
fn what_is_printed_and_read_prints_as_the_same() {
    let many = [
        "--config=good.toml",
        "--log",
        "--msg-size-limit=5MiB",
        "--capture=a \"b\"\\c.jsonl",
        "--not-registered-emails=a@example.com,b@example.com",
        "--shards=auto",
        "--msg-quit-cmd=221-a\r\n221 b",
    ];
    for arguments in [&[][..], &many] {
        let text = printed(FILES, arguments);
        assert_eq!(printed(&[("printed.toml", &text)], &["--config=printed.toml"]), text, "{arguments:?}");
    }
    let asking = ["--backlog=0", "--addresses=", "--rule=", "--log=false", "--data-timeout=0"];
    assert_eq!(printed(FILES, &asking), printed(FILES, &[]), "all of these ask for the default");
}

#[test]
fn mistakes_in_a_file_are_told_with_their_line() {
    for (file, told) in [
        (
            "typo.toml",
            "typo.toml, line 2: unknown setting sesion-timeout: did you mean session-timeout?\n  sesion-timeout = 5\n  ^^^^^^^^^^^^^^",
        ),
        ("broken.toml", "broken.toml, line 1: invalid TOML"),
        ("value.toml", "invalid value \"abc\" for port in value.toml, line 2: expected a whole number"),
        ("rule.toml", "for rule in rule.toml, line 1: unknown condition or action \"dely=\""),
        ("nested.toml", "nested.toml, line 1: config is allowed on the command line only"),
        ("table.toml", "table.toml, line 1: unknown setting delays"),
        ("none.toml", "expected a readable file"),
    ] {
        let text = usage(&["--config", file], &[]);
        assert!(text.contains(told), "{file}: {text}");
    }
}
