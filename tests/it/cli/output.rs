//! Help and version.

use smtpmock::smtp::rules::Extension;
use smtpmock::smtp::{DelayPoint, ReplyKind, Stage};

use crate::support::program::run;

#[test]
fn the_version_is_three_lines() {
    for arguments in [&["-v"][..], &["--version"], &["-v=true", "-port", "1"], &["-v", "-host", "nowhere"]] {
        let ended = run(arguments);
        assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        let lines: Vec<_> = ended.stdout.lines().collect();
        assert_eq!(lines.len(), 3, "{ended:?}");
        assert_eq!(lines[0], concat!("smtpmock: ", env!("CARGO_PKG_VERSION")));
        assert!(lines[1].strip_prefix("commit: ").is_some_and(|commit| !commit.is_empty()));
        assert!(lines[2].strip_prefix("built at: ").is_some_and(|time| !time.is_empty()));
    }
}

#[test]
fn the_version_is_printed_after_all_arguments_were_checked() {
    assert_eq!(run(["-v", "-port", "abc"]).code(), Some(2));
    assert!(run(["-v", "-h"]).stdout.contains("Usage: smtpmock"));
}

#[test]
fn help_is_on_standard_output_and_names_every_flag() {
    let help = run(["--help"]);
    assert_eq!((help.code(), help.stderr.as_str()), (Some(0), ""));
    for other in ["-h", "-help"] {
        assert_eq!(run([other]).stdout, help.stdout);
    }
    let mut names: Vec<String> =
        "host port log session-timeout shutdown-timeout data-timeout fail-fast multiple-rcptto \
        multiple-message-receiving blacklisted-helo-domains blacklisted-mailfrom-emails \
        blacklisted-rcptto-emails not-registered-emails msg-size-limit version help ready ready-file capture \
        show capture-content capture-format records shards backlog max-message-memory addresses \
        report report-json report-html progress hlog exit-after expect"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
    names.extend(ReplyKind::ALL.iter().map(|kind| kebab(kind.flag())));
    names.extend(DelayPoint::ALL.iter().map(|point| kebab(&format!("responseDelay{point:?}"))));
    for name in names {
        let taught = help.stdout.lines().any(|line| {
            let line = line.trim_start();
            let flag = line.find("--").map_or("", |at| &line[at + 2..]);
            flag.split([' ', '[', '=']).next() == Some(&name) && line.starts_with('-')
        });
        assert!(taught, "--{name} in {}", help.stdout);
    }
    for part in ["Listening:", "Delays:", "Examples:", "SMTPMOCK_SESSION_TIMEOUT", "-sessionTimeout 30"] {
        assert!(help.stdout.contains(part), "{part}");
    }
}

#[test]
fn help_names_every_stage_of_a_rule_and_every_extension() {
    let help = run(["--help"]).stdout;
    let (_, values) = help.split_once("\nValues:\n").expect("values behind the flags");
    let section = |start: &str, end: &str| {
        let (_, rest) = values.split_once(start).expect(start);
        let (section, _) = rest.split_once(end).expect(end);
        section.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned).collect::<Vec<_>>()
    };
    let stages = section("stages:", "name:");
    let missing = Stage::ALL.iter().find(|stage| !stages.contains(&stage.name().to_owned()));
    assert_eq!(missing, None);
    let extensions = section("known are", "URL");
    let missing = Extension::ALL.iter().find(|one| !extensions.contains(&one.keyword().to_owned()));
    assert_eq!(missing, None);
}

/// The complaint about an unknown word lists those that there are.
#[test]
fn help_names_every_word_of_a_rule_and_every_scheme_of_a_url() {
    let help = run(["--help"]).stdout;
    let (_, values) = help.split_once("\nValues:\n").expect("values behind the flags");
    let listed = |flag: &str, value: &str| {
        let complaint = run([flag, value]).stderr;
        let (_, rest) = complaint.split_once(": expected ").expect("what is right");
        rest.trim_start_matches("one of ")
            .lines()
            .next()
            .expect("a line")
            .replace(" (smtpmock --help shows all flags)", "")
    };
    let (rule, rest) = values.split_once("\n  EXTENSIONS").expect("a section");
    let (_, rest) = rest.split_once("\n  URL").expect("a section");
    let (url, _) = rest.split_once("\n  RATE").expect("a section");
    for word in listed("--rule", "rcpt zzz=1 silent").split(", ") {
        assert!(rule.contains(word), "{word} in {rule}");
    }
    for key in listed("--rule", "rcpt nth=1 per=zzz silent").split(", ") {
        let (_, keys) = rule.split_once("per=").expect("keys");
        assert!(keys.split([')', '+']).any(|listed| listed == key), "{key} in {rule}");
    }
    for form in listed("--listen", "zzz://x").split(" or ") {
        let (scheme, rest) = form.split_once("://").expect("a URL");
        let named = url
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| scheme.split('+').next() == Some(word));
        let query = rest.split_once('?').map_or("", |(_, query)| query).split(['&', ' ']);
        assert!(named, "{form} in {url}");
        query.filter(|part| !part.is_empty()).for_each(|part| assert!(url.contains(part), "{part} in {url}"));
    }
}

/// Text that a terminal of 80 columns wraps within quotes cannot be copied.
#[test]
fn examples_were_wrapped_within_their_quotes() {
    let help = run(["--help"]).stdout;
    let (_, values_and_examples) = help.split_once("\nValues:\n").expect("values behind the flags");
    for line in values_and_examples.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        // One is Go's.
        let quotes = line.replace("Go's", "").matches(['\'', '"']).count();
        assert_eq!(quotes % 2, 0, "{line}");
    }
}

/// Users copy the examples: each must be a valid command line.
#[test]
fn every_example_in_the_help_is_valid() {
    let help = run(["--help"]).stdout.replace("\\\n", "");
    let examples: Vec<_> = help
        .lines()
        .filter_map(|line| {
            line.strip_prefix("    ").filter(|line| line.contains("smtpmock") && !line.starts_with(' '))
        })
        .collect();
    assert!(examples.len() >= 6, "{examples:?}");
    // `ready` asks a server that is not there, and the others write for other programs: they are tested with these.
    let elsewhere = ["smtpmock ready", "smtpmock man", "smtpmock completions"];
    let is_here = |example: &&str| !elsewhere.iter().any(|command| example.starts_with(command));
    for example in examples.into_iter().filter(is_here) {
        let binary = env!("CARGO_BIN_EXE_smtpmock");
        // With -v first, or after a command, all arguments are checked and nothing is started.
        let script = example.replacen("smtpmock --", "smtpmock -v --", 1).replacen("smtpmock", "\"$0\"", 1);
        let script = match example.starts_with("SMTPMOCK_") || example.starts_with("smtpmock merge") {
            true => format!("{script} -v"),
            false => script,
        };
        let ended = std::process::Command::new("sh").args(["-c", &script, binary]).output().expect("sh runs");
        let output = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && output.starts_with("smtpmock: "), "{script}: {ended:?}");
    }
}

fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}
