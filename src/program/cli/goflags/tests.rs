use super::*;

use super::super::flags;
use super::super::stray::REFERENCE;

fn normalised(arguments: &[&str]) -> (Vec<(String, String)>, End) {
    let (given, end) = normalise(arguments.iter().map(OsString::from), &flags::table());
    let pairs =
        given.into_iter().map(|given| (given.kebab, given.value.into_string().expect("UTF-8"))).collect();
    (pairs, end)
}

fn pair(kebab: &str, value: &str) -> (String, String) {
    (kebab.to_owned(), value.to_owned())
}

#[test]
fn every_spelling_of_every_flag_is_the_same_flag() {
    for flag in flags::table() {
        for name in [&flag.name, &flag.kebab] {
            for dashes in ["-", "--"] {
                let joined = format!("{dashes}{name}=a=b");
                let expected = (vec![pair(&flag.kebab, "a=b")], End::Complete);
                assert_eq!(normalised(&[&joined]), expected, "{joined}");
                let apart = format!("{dashes}{name}");
                let expected = match flag.arity {
                    Arity::Value | Arity::List | Arity::Repeated => vec![pair(&flag.kebab, "-x")],
                    Arity::Switch => vec![pair(&flag.kebab, "true"), pair("ready", "true")],
                };
                let behind = match flag.arity {
                    Arity::Value | Arity::List | Arity::Repeated => "-x",
                    Arity::Switch => "--ready",
                };
                assert_eq!(normalised(&[&apart, behind]), (expected, End::Complete), "{apart}");
            }
        }
    }
}

#[test]
fn names_and_variables_are_unique() {
    let table = flags::table();
    let mut names: Vec<_> = table.iter().map(|flag| flag.kebab.as_str()).collect();
    let mut variables: Vec<_> = table.iter().filter_map(|flag| flag.variable.as_deref()).collect();
    for all in [&mut names, &mut variables] {
        let before = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), before);
    }
    assert_eq!(variables.len(), names.len() - 2, "all but --version and --merge-reports have one");
    assert!(variables.contains(&"SMTPMOCK_SESSION_TIMEOUT"));
}

/// The recorded flags of the reference: none may be missing.
#[test]
fn every_flag_of_the_reference_is_there() {
    let table = flags::table();
    let switches = ["failFast", "log", "multipleMessageReceiving", "multipleRcptto", "v"];
    for name in REFERENCE.iter().filter(|name| !matches!(**name, "h" | "help")) {
        let flag = table.iter().find(|flag| flag.is_called(name)).expect(name);
        assert_eq!(flag.arity == Arity::Switch, switches.contains(name), "{name}");
    }
}

#[test]
fn a_switch_takes_no_following_argument() {
    let (given, end) = normalised(&["-log", "false", "-port", "1"]);
    let (switch, rest) = (Some("-log".to_owned()), vec!["-port".into(), "1".into()]);
    let stray = Stray { argument: "false".into(), switch, rest };
    assert_eq!((given, end), (vec![pair("log", "true")], End::Stray(stray)));
    let (given, _) = normalised(&["-log=false"]);
    assert_eq!(given, [pair("log", "false")]);
}

#[test]
fn flags_end_at_the_first_argument_that_is_none() {
    for stop in ["foo", "-", "--", ""] {
        let (given, end) = normalised(&["-port", "1", stop, "-host", "x", "-nosuch", "---"]);
        let rest = ["-host", "x", "-nosuch", "---"].map(OsString::from).to_vec();
        let stray = Stray { argument: stop.into(), switch: None, rest };
        assert_eq!((given, end), (vec![pair("port", "1")], End::Stray(stray)), "{stop:?}");
    }
}

#[test]
fn a_value_is_taken_as_it_stands() {
    for value in ["--", "-", "-port", "", " x ", "\\r\\n"] {
        let (given, end) = normalised(&["-msgGreeting", value]);
        assert_eq!((given, end), (vec![pair("msg-greeting", value)], End::Complete), "{value:?}");
    }
}

#[test]
fn reading_ends_at_help_and_at_what_is_wrong() {
    for help in ["-h", "-help", "--help", "--h", "-help=x"] {
        assert_eq!(normalised(&["-v", help, "-nosuch"]), (vec![pair("version", "true")], End::Help));
    }
    for bad in ["---", "-=1", "--=1", "----port"] {
        assert_eq!(normalised(&[bad]).1, End::NoName(bad.to_owned()));
    }
    let typed = "--session-timeout".to_owned();
    let kebab = "session-timeout".to_owned();
    assert_eq!(normalised(&["--session-timeout"]).1, End::NoValue { typed, kebab });
    for (bad, dashes, name) in [("-foo", "-", "foo"), ("--foo=1", "--", "foo"), ("-Port=1", "-", "Port")] {
        let name = name.to_owned();
        assert_eq!(normalised(&[bad]).1, End::Unknown(Typed { dashes, name }));
    }
}
