//! An argument that is no flag, and what stands behind it.
//!
//! go-smtp-mock ignores it all without a word, so a command line made for it is taken as it takes it. Any other is
//! refused: an `--expect` that nobody reads would be a check that can't fail.

use std::ffi::{OsStr, OsString};

use super::Failure;
use super::flag::Flag;
use super::goflags::{Given, split};

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
    let ends_flags = stray.argument == "--" && stray.rest.is_empty();
    if ends_flags || !flags.any(|(flag, _)| is_ours(&flag.name)) {
        return None;
    }
    let Stray { argument, switch, .. } = stray;
    let expected = match switch {
        Some(switch) => format!("expected {switch}, {switch}=true or {switch}=false"),
        None => "expected a flag, like --port".to_owned(),
    };
    let behind = switch.as_ref().map_or_else(String::new, |switch| format!(" behind {switch}"));
    Some(Failure::Usage(format!("unexpected argument {argument:?}{behind}: {expected}")))
}
