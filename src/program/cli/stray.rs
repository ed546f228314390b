//! Arguments that are not flags.
//!
//! go-smtp-mock silently ignores such an argument and all that follow, so they are also ignored here after flags of
//! go-smtp-mock. Any other is refused: a flag like `--expect` after it would be ignored, and a first word like `help`
//! has a meaning for its user.

use std::ffi::{OsStr, OsString};

use super::flag::Flag;
use super::goflags::{Given, split};
use super::{Failure, letters};

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

/// The argument at which parsing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stray {
    pub(super) argument: OsString,
    /// The flag before it, if that takes no following value.
    pub(super) switch: Option<String>,
    pub(super) rest: Vec<OsString>,
}

/// Why it can't be ignored; `None` if it can.
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

/// The probable meaning of a word at the beginning.
fn hint(word: &str, table: &[Flag]) -> String {
    let flag = table.iter().find(|flag| letters(&flag.name) == letters(word));
    match (word, flag) {
        ("help", _) => "did you mean --help?".to_owned(),
        (_, Some(flag)) => format!("did you mean --{}?", flag.kebab),
        (word, None) if word.parse::<u16>().is_ok() => format!("did you mean --port {word}?"),
        _ => {
            "the commands are merge FILE..., ready URL, man and completions SHELL; without a command smtpmock serves, with --port 2525 on that port"
                .to_owned()
        }
    }
}
