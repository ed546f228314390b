//! An argument that is no flag, and what stands behind it.
//!
//! go-smtp-mock ignores it all in silence, so behind its flags it is ignored here too. Any other is refused: an
//! `--expect` that nobody reads would be a check that can't fail, and a word in front, like `help`, is meant to do
//! something.

use std::ffi::{OsStr, OsString};

use super::Failure;
use super::flag::Flag;
use super::goflags::{Given, split};
use super::letters;

/// The flags of go-smtp-mock 2.5.1.
pub(super) const REFERENCE: &[&str] = &[
    "blacklistedHeloDomains",
    "blacklistedMailfromEmails",
    "blacklistedRcpttoEmails",
    "failFast",
    "h",
    "help",
    "host",
    "log",
    "msgDataReceived",
    "msgGreeting",
    "msgHeloBlacklistedDomain",
    "msgHeloReceived",
    "msgInvalidCmd",
    "msgInvalidCmdDataSequence",
    "msgInvalidCmdHeloArg",
    "msgInvalidCmdHeloSequence",
    "msgInvalidCmdMailfromArg",
    "msgInvalidCmdMailfromSequence",
    "msgInvalidCmdRcpttoArg",
    "msgInvalidCmdRcpttoSequence",
    "msgInvalidCmdRsetArg",
    "msgInvalidCmdRsetSequence",
    "msgMailfromBlacklistedEmail",
    "msgMailfromReceived",
    "msgMsgReceived",
    "msgMsgSizeIsTooBig",
    "msgNoopReceived",
    "msgQuitCmd",
    "msgRcpttoBlacklistedEmail",
    "msgRcpttoNotRegisteredEmail",
    "msgRcpttoReceived",
    "msgRsetReceived",
    "msgSizeLimit",
    "multipleMessageReceiving",
    "multipleRcptto",
    "notRegisteredEmails",
    "port",
    "responseDelayData",
    "responseDelayHelo",
    "responseDelayMailfrom",
    "responseDelayMessage",
    "responseDelayNoop",
    "responseDelayQuit",
    "responseDelayRcptto",
    "responseDelayRset",
    "sessionTimeout",
    "shutdownTimeout",
    "v",
];

/// What reading ended at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stray {
    pub(super) argument: OsString,
    /// The flag right before it, if that takes no value from behind.
    pub(super) switch: Option<String>,
    pub(super) rest: Vec<OsString>,
}

/// Why it can't be ignored; `None` where it can.
pub(super) fn refusal(stray: &Stray, given: &[Given], table: &[Flag]) -> Option<Failure> {
    let typed = given.iter().map(|given| OsStr::new(&given.typed));
    let mut flags = typed.chain(stray.rest.iter().map(OsString::as_os_str)).filter_map(split);
    let is_ours = |name: &str| !REFERENCE.contains(&name) && table.iter().any(|flag| flag.is_called(name));
    let Stray { argument, switch, .. } = stray;
    let ends_flags = argument == "--" && stray.rest.is_empty();
    let is_word = given.is_empty() && !argument.as_encoded_bytes().starts_with(b"-");
    if ends_flags || !is_word && !flags.any(|(flag, _)| is_ours(&flag.name)) {
        return None;
    }
    let expected = match switch {
        Some(switch) => format!("expected {switch}, {switch}=true or {switch}=false"),
        None if is_word => hint(&argument.to_string_lossy(), table),
        None => "expected a flag, like --port".to_owned(),
    };
    let behind = switch.as_ref().map_or_else(String::new, |switch| format!(" behind {switch}"));
    Some(Failure::Usage(format!("unexpected argument {argument:?}{behind}: {expected}")))
}

/// What may be meant by a word that stands in front.
fn hint(word: &str, table: &[Flag]) -> String {
    let flag = table.iter().find(|flag| letters(&flag.name) == letters(word));
    match (word, flag) {
        ("help", _) => "did you mean --help?".to_owned(),
        (_, Some(flag)) => format!("did you mean --{}?", flag.kebab),
        (word, None) if word.parse::<u16>().is_ok() => format!("did you mean --port {word}?"),
        _ => {
            "its only command is merge FILE...; without one it serves on a free port, with --port 2525 on that one"
                .to_owned()
        }
    }
}
