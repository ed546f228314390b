use super::*;

use std::time::Duration;

use smtpmock::smtp::{DelayPoint, ReplyKind};

mod reporting;
mod rules;

/// The existing files.
const FILES: &[(&str, &str)] = &[
    ("good.toml", rules::GOOD),
    ("report.toml", reporting::FILE),
    ("typo.toml", "port = 2525\nsesion-timeout = 5\n"),
    ("broken.toml", "port = \n"),
    ("value.toml", "# a comment\nport = \"abc\"\n"),
    ("rule.toml", "rule = [\"rcpt dely=2s\"]\n"),
    ("nested.toml", "config = \"good.toml\"\n"),
    ("table.toml", "[delays]\nhelo = 1\n"),
];

fn parsed(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Action, Failure> {
    parsed_beside(FILES, arguments, environment)
}

fn parsed_beside(
    files: &[(&str, &str)],
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<Action, Failure> {
    let files = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    parse(arguments.iter().map(OsString::from), environment, files)
}

fn config(arguments: &[&str]) -> String {
    config_with(arguments, &[])
}

/// The complete settings as `Debug` output, for comparison.
fn config_with(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    match parsed(arguments, environment) {
        Ok(Action::Run(settings)) => shown(&settings.config),
        other => panic!("{arguments:?} {environment:?}: {other:?}"),
    }
}

fn shown(config: &Config) -> String {
    format!("{config:?}")
}

/// The program's initial configuration.
fn base() -> Config {
    Config::default().keep_records(false)
}

fn usage(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    match parsed(arguments, environment) {
        Err(Failure::Usage(text)) => text,
        other => panic!("{arguments:?} {environment:?}: {other:?}"),
    }
}

#[test]
fn every_flag_sets_what_it_names() {
    let seconds = Duration::from_secs;
    let cases: &[(&[&str], Config)] = &[
        (&[], base()),
        (&["-host", "::1,127.0.0.1"], base().hosts(["::1", "127.0.0.1"])),
        (&["-port=0x9dd"], base().port(2525)),
        (
            &["--listen", "smtp://[::1]", "--listen=smtp+unix:///a"],
            base().listen("smtp://[::1]").listen("smtp+unix:///a"),
        ),
        (&["-backlog", "7"], base().backlog(7)),
        (&["-shards", "3"], base().shards(3)),
        (&["-sessionTimeout", "5"], base().session_timeout(seconds(5))),
        (&["-dataTimeout", "5"], base().data_timeout(seconds(5))),
        (&["-shutdownTimeout", "5"], base().shutdown_timeout(seconds(5))),
        (&["-failFast"], base().fail_fast(true)),
        (&["-multipleRcptto"], base().multiple_rcptto(true)),
        (&["-multipleMessageReceiving"], base().multiple_message_receiving(true)),
        (&["-addresses", "any"], base().addresses(smtpmock::smtp::AddressRules::Any)),
        (&["-blacklistedHeloDomains", "a"], base().blacklisted_helo_domains(["a"])),
        (&["-blacklistedMailfromEmails", "a"], base().blacklisted_mailfrom_emails(["a"])),
        (&["-blacklistedRcpttoEmails", "a"], base().blacklisted_rcptto_emails(["a"])),
        (&["-notRegisteredEmails", "a"], base().not_registered_emails(["a"])),
        (&["-capture", "-"], base().capture("-")),
        (&["-captureContent", "envelope"], base().capture_content(smtpmock::CaptureContent::Envelope)),
        (&["-records", "session"], base().records(smtpmock::smtp::RecordMode::Session)),
        (&["-msgSizeLimit", "1KiB"], base().message_size_limit(1024)),
        (&["-maxMessageMemory", "1KiB"], base().max_message_memory(1024)),
    ];
    for (arguments, expected) in cases {
        assert_eq!(config(arguments), shown(expected), "{arguments:?}");
    }
    for &point in DelayPoint::ALL {
        let flag = format!("-responseDelay{point:?}");
        let expected = base().delay(point, Duration::from_millis(1500));
        assert_eq!(config(&[&flag, "1.5s"]), shown(&expected), "{flag}");
    }
    for &kind in ReplyKind::ALL {
        let flag = format!("-{}", kind.flag());
        assert_eq!(config(&[&flag, "999 x"]), shown(&base().reply(kind, "999 x")), "{flag}");
    }
}

#[test]
fn empty_texts_and_zeros_ask_for_the_default() {
    for flag in flags::table() {
        let value = match (flag.placeholder, flag.arity) {
            (_, flag::Arity::Switch) => continue,
            // 0 is a valid port: any free one.
            ("PORT", _) => continue,
            _ if flag.refuses_empty || flag.placeholder == "PATH" => continue,
            ("N" | "N|auto" | "DURATION" | "SIZE", _) => "0",
            _ => "",
        };
        let argument = format!("-{}={value}", flag.name);
        assert_eq!(config(&[&argument]), shown(&base()), "{argument}");
    }
}

/// A regression: the file was silently not written.
#[test]
fn a_path_without_a_name_is_refused_and_as_a_variable_is_none() {
    let table = flags::table();
    let paths: Vec<_> = table.iter().filter(|flag| flag.placeholder == "PATH").collect();
    assert_eq!(paths.len(), 14);
    for flag in paths {
        let typed = format!("--{}", flag.kebab);
        let Err(Failure::Usage(text)) = parsed(&[&typed, ""], &[]) else { panic!("{typed}") };
        assert!(text.contains(&format!("\"\" for {typed}: expected the path of a file")), "{text}");
        if let Some(variable) = &flag.variable {
            assert_eq!(config_with(&[], &[(variable, "")]), shown(&base()), "{variable}");
        }
    }
}

#[test]
fn the_last_of_a_repeated_flag_counts() {
    let expected = shown(&base().port(3).hosts(["::1"]));
    assert_eq!(config(&["-port", "1", "--host=::1", "--port=2", "-port=3"]), expected);
    assert_eq!(config(&["-host", "::1", "-host", ""]), shown(&base()));
    assert_eq!(config(&["-failFast", "-failFast=false"]), shown(&base()));
}

#[test]
fn negative_times_mean_what_they_mean_to_the_reference_and_negative_numbers_are_refused() {
    assert_eq!(config(&["-sessionTimeout", "-1"]), shown(&base().session_timeout(Duration::ZERO)));
    assert_eq!(config(&["-shutdownTimeout=-1"]), shown(&base().shutdown_timeout(Duration::ZERO)));
    assert_eq!(config(&["-responseDelayHelo", "-1"]), shown(&base()));
    let table = flags::table();
    let numbers =
        table.iter().filter(|flag| matches!(flag.placeholder, "PORT" | "N" | "N|auto" | "SIZE" | "SEED"));
    assert_eq!(numbers.clone().count(), 11);
    for flag in numbers {
        for value in ["-1", "-5KiB"] {
            let argument = format!("--{}={value}", flag.kebab);
            let Err(Failure::Usage(text)) = parsed(&[&argument], &[]) else { panic!("{argument}") };
            assert!(
                text.contains(&format!("invalid value {value:?} for --{}: expected", flag.kebab)),
                "{text}"
            );
        }
    }
}

#[test]
fn the_size_limit_leaves_a_configured_reply_alone() {
    let expected = shown(&base().message_size_limit(9).reply(ReplyKind::MessageTooBig, "552 no"));
    for arguments in
        [["-msgSizeLimit=9", "-msgMsgSizeIsTooBig=552 no"], ["-msgMsgSizeIsTooBig=552 no", "-msgSizeLimit=9"]]
    {
        assert_eq!(config(&arguments), expected);
    }
}

#[test]
fn auto_shards_are_a_number_that_a_server_takes() {
    assert!(matches!(parsed(&["--shards", "auto"], &[]), Ok(Action::Run(_))));
}

#[test]
fn the_environment_sets_what_no_flag_does() {
    let environment = [
        ("SMTPMOCK_PORT", "2525"),
        ("SMTPMOCK_FAIL_FAST", "T"),
        ("SMTPMOCK_MSG_GREETING", "220 hi"),
        ("SMTPMOCK_HOST", ""),
    ];
    let expected = base().port(2525).fail_fast(true).reply(ReplyKind::Greeting, "220 hi");
    assert_eq!(config_with(&[], &environment), shown(&expected));
    let expected = expected.port(1).fail_fast(false);
    assert_eq!(config_with(&["-port", "1", "-failFast=0"], &environment), shown(&expected));
}

fn defaults() -> Settings {
    match parsed(&[], &[]) {
        Ok(Action::Run(settings)) => *settings,
        other => panic!("{other:?}"),
    }
}

/// All settings, without the list of typed ones.
fn told(settings: Settings) -> String {
    format!("{:?}", Settings { effective: Vec::new(), ..settings })
}

#[test]
fn every_flag_has_its_variable_but_those_that_start_no_server() {
    for flag in flags::table() {
        let variable = format!("SMTPMOCK_{}", flag.kebab.replace('-', "_").to_uppercase());
        let given = [(variable.as_str(), "\u{1}")];
        let outcome = parsed(&[], &given);
        let has_none = [flags::VERSION, flags::MERGE_REPORTS].contains(&&*flag.kebab);
        match outcome {
            Err(failure) => assert!(failure.to_string().contains(&variable), "{failure}"),
            Ok(Action::Run(settings)) => {
                assert!(has_none || told(*settings) != told(defaults()), "{variable}");
            }
            Ok(other) => panic!("{variable}: {other:?}"),
        }
    }
}

#[test]
fn a_bad_variable_is_named_and_one_that_is_overridden_is_not_read() {
    let bad = [("SMTPMOCK_SESSION_TIMEOUT", "soon")];
    let text = usage(&[], &bad);
    assert!(text.contains("\"soon\" for SMTPMOCK_SESSION_TIMEOUT"), "{text}");
    assert!(parsed(&["--session-timeout=1"], &bad).is_ok());
    let text = usage(&[], &[("SMTPMOCK_SHARDS", "300")]);
    assert!(text.contains("\"300\" for SMTPMOCK_SHARDS"), "{text}");
}

#[test]
fn the_port_that_kubernetes_sets_for_a_service_is_not_ours() {
    let links = [
        ("SMTPMOCK_PORT", "tcp://10.3.240.10:2525"),
        ("SMTPMOCK_SERVICE_HOST", "10.3.240.10"),
        ("SMTPMOCK_PORT_2525_TCP", "tcp://10.3.240.10:2525"),
    ];
    assert_eq!(config_with(&[], &links), shown(&base()));
}

#[test]
fn arguments_are_judged_from_left_to_right() {
    assert!(matches!(parsed(&["-v"], &[]), Ok(Action::Print(text)) if text.starts_with("smtpmock: ")));
    assert!(matches!(parsed(&["-v=false"], &[]), Ok(Action::Run(_))));
    assert!(matches!(parsed(&["-v", "-h"], &[]), Ok(Action::Print(text)) if text.contains("Usage")));
    assert!(matches!(parsed(&["-h", "-port", "abc"], &[]), Ok(Action::Print(_))));
    assert!(matches!(parsed(&["-v", "-port", "99999", "-host", "x"], &[]), Ok(Action::Print(_))));
    usage(&["-v", "-port", "abc"], &[]);
    usage(&["-port", "abc", "-h"], &[]);
    assert!(usage(&["-port", "abc", "-nosuch"], &[]).contains("abc"));
    assert!(usage(&["-nosuch", "-port", "abc"], &[]).contains("-nosuch"));
}

#[test]
fn a_bad_value_is_told_with_the_flag_as_it_was_typed() {
    for (arguments, flag) in [
        (["-port", "abc"], "-port"),
        (["--port", "abc"], "--port"),
        (["-sessionTimeout", "abc"], "-sessionTimeout"),
        (["--session-timeout", "abc"], "--session-timeout"),
        (["-log=abc", "x"], "-log"),
        (["--log=abc", "x"], "--log"),
    ] {
        let text = usage(&arguments, &[]);
        assert!(text.starts_with(&format!("invalid value \"abc\" for {flag}: expected ")), "{text}");
    }
    assert!(usage(&["-port=", "-port=1"], &[]).starts_with("invalid value \"\" for -port"));
}

#[test]
fn an_unknown_flag_gets_the_nearest_in_the_same_style() {
    for (typed, nearest) in [
        ("-sesionTimeout", "-sessionTimeout"),
        ("--sesionTimeout", "--sessionTimeout"),
        ("--sesion-timeout", "--session-timeout"),
        ("-sesion-timeout", "--session-timeout"),
        ("-Port", "-port"),
        ("--prt", "--port"),
        ("-sessiontimeout", "-sessionTimeout"),
        ("--session_timeout", "--session-timeout"),
        ("--hlep", "--help"),
        ("-blacklistedRcptoEmails=x", "-blacklistedRcpttoEmails"),
    ] {
        let text = usage(&[typed], &[]);
        assert!(text.ends_with(&format!("did you mean {nearest}?")), "{typed}: {text}");
    }
    assert_eq!(usage(&["-xyzzy"], &[]), "unknown flag -xyzzy");
}

#[test]
fn ports_and_hosts_that_can_not_be_are_wrong_values() {
    for (typed, value, shown, expected) in [
        ("-port", "65536", "65536", "from 0 (any free port) to 65535"),
        ("--port", "-1", "-1", "from 0 (any free port) to 65535"),
        ("-host", "256.1.1.1", "256.1.1.1", "an IPv4 or IPv6 address of this machine"),
        ("--host", "nowhere.example", "nowhere.example", "an IPv4 or IPv6 address of this machine"),
        ("-host", "127.0.0.1,localhost", "localhost", "each address once"),
        ("--host", "127.0.0.1,127.0.0.1", "127.0.0.1", "each address once"),
        ("--backlog", "99999999999", "99999999999", "a number from 1 to 65535"),
        ("-shards", "18446744073709551615", "18446744073709551615", "a whole number from 1 to 256"),
        ("--session-timeout", "1_000_000_000", "1_000_000_000", ""),
    ] {
        let text = match parsed(&[typed, value], &[]) {
            Err(Failure::Usage(text)) => text,
            // Longer than any session: the maximum.
            Ok(Action::Run(_)) if expected.is_empty() => continue,
            other => panic!("{other:?}"),
        };
        let start = format!("invalid value {shown:?} for {typed}: expected ");
        assert!(text.starts_with(&start) && text.contains(expected), "{text}");
    }
}

#[test]
fn a_variable_that_is_almost_one_is_refused_and_others_are_left_alone() {
    for (variable, nearest) in [
        ("SMTPMOCK_PRT", "SMTPMOCK_PORT"),
        ("SMTPMOCK_HOSTS", "SMTPMOCK_HOST"),
        ("SMTPMOCK_SESION_TIMEOUT", "SMTPMOCK_SESSION_TIMEOUT"),
        ("SMTPMOCK_SESSIONTIMEOUT", "SMTPMOCK_SESSION_TIMEOUT"),
        ("SMTPMOCK_EXPCET", "SMTPMOCK_EXPECT"),
        ("SMTPMOCK_EXIT_AFER", "SMTPMOCK_EXIT_AFTER"),
        ("SMTPMOCK_MSG_GREETING_", "SMTPMOCK_MSG_GREETING"),
    ] {
        let text = usage(&[], &[(variable, "1")]);
        assert_eq!(text, format!("unknown variable {variable}: did you mean {nearest}?"));
    }
    // Set by Kubernetes, images and others; empty or foreign.
    let others = [
        ("SMTPMOCK_PORT", "tcp://10.0.0.1:2525"),
        ("SMTPMOCK_PORT_2525_TCP", "tcp://10.0.0.1:2525"),
        ("SMTPMOCK_PORT_2525_TCP_ADDR", "10.0.0.1"),
        ("SMTPMOCK_PORT_2525_TCP_PORT", "2525"),
        ("SMTPMOCK_PORT_2525_TCP_PROTO", "tcp"),
        ("SMTPMOCK_SERVICE_HOST", "10.0.0.1"),
        ("SMTPMOCK_SERVICE_PORT", "2525"),
        ("SMTPMOCK_SERVICE_PORT_SMTP", "2525"),
        ("SMTPMOCK_VERSION", "4.0.0"),
        ("SMTPMOCK_HOME", "/opt/smtpmock"),
        ("SMTPMOCK_TAG", "latest"),
        ("SMTPMOCK_PRT", ""),
        ("SMTPMOCKPORT", "1"),
    ];
    assert_eq!(config_with(&[], &others), shown(&base()));
}

#[test]
fn what_is_no_flag_is_ignored_in_a_command_line_of_the_reference() {
    for arguments in [
        &["-failFast", "foo", "-port", "2525"][..],
        &["-", "-port", "2525"],
        &["-log", "false", "-port", "2525"],
        &["--port=0", "-", "-failFast=x"],
        &["-v=false", "--", "-host", "nowhere"],
        &["--ready", "--"],
    ] {
        assert!(matches!(parsed(arguments, &[]), Ok(Action::Run(_))), "{arguments:?}");
    }
}

#[test]
fn what_is_no_flag_is_refused_in_any_other() {
    for (arguments, expected) in [
        (
            &["--report", "yes", "--exit-after", "1s"][..],
            "\"yes\" behind --report: expected --report, --report=true or",
        ),
        (
            &["-log", "false", "--expect", "messages == 3"],
            "\"false\" behind -log: expected -log, -log=true or -log=false",
        ),
        (&["--session-timeout", "5s", "foo"], "\"foo\": expected a flag, like --port"),
        (&["-port", "0", "--", "--expect=messages == 3"], "\"--\": expected a flag"),
        (&["help"], "\"help\": did you mean --help?"),
        (&["version", "-port", "1"], "\"version\": did you mean --version?"),
        (&["2525"], "\"2525\": did you mean --port 2525?"),
        (&["port", "2525"], "\"port\": did you mean --port?"),
        (
            &["serve", "--port=2525"],
            "\"serve\": the commands are merge FILE..., ready URL, man and completions SHELL; without a command smtpmock serves",
        ),
        (&[""], "\"\": the commands are merge FILE..., ready URL, man and completions SHELL"),
        (&["--ready", ""], "\"\" behind --ready: expected --ready, --ready=true or --ready=false"),
    ] {
        let Err(Failure::Usage(text)) = parsed(arguments, &[]) else { panic!("{arguments:?}") };
        assert!(text.starts_with("unexpected argument ") && text.contains(expected), "{text}");
    }
}
