//! The recorded dialogues of `tests/transcripts/`, parsed into types.

use std::path::PathBuf;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value};
use smtpmock::Config;
use smtpmock::smtp::{AddressRules, DelayPoint, Policy, RecordMode, ReplyKind};

/// One dialogue and its records.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) settings: Vec<Setting>,
    pub(crate) steps: Vec<Step>,
    pub(crate) messages: Vec<Value>,
    /// In the recordings: the defect of go-smtp-mock. In the mended dialogues: what was corrected.
    pub(crate) defect: Option<String>,
    /// Settings as in the file.
    pub(crate) config: Map<String, Value>,
}

/// One action of the client, and what it receives after it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) connection: usize,
    pub(crate) send: Vec<u8>,
    /// Write in pieces of this many bytes.
    pub(crate) split: Option<usize>,
    pub(crate) end: ClientEnd,
    /// Lines without CRLF.
    pub(crate) receive: Vec<String>,
    pub(crate) server_closed: bool,
    /// The client waits for at least this long.
    pub(crate) wait: Option<Duration>,
    /// The last byte, or the close, arrives no earlier than about this long after sending.
    pub(crate) delay: Duration,
}

/// What the client does with its side of the connection after sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientEnd {
    StaysOpen,
    HalfCloses,
    ClosesUnread,
}

/// A setting that differs from the default.
#[derive(Clone, Debug)]
pub(crate) enum Setting {
    SizeLimit(usize),
    Reply(ReplyKind, String),
    Delay(DelayPoint, Duration),
    List(ListName, Vec<String>),
    FailFast,
    MultipleRcptto,
    MultipleMessageReceiving,
    /// Zero if the reference has a negative one: both close directly after the greeting.
    SessionTimeout(Duration),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ListName {
    HeloDomains,
    MailfromEmails,
    RcpttoEmails,
    NotRegistered,
}

/// The dialogues recorded from go-smtp-mock.
pub(crate) fn recorded() -> Vec<Case> {
    read("go-smtp-mock-2.5.1.jsonl", "peer_defect_kind")
}

/// The correct dialogue for each recorded one with a defect.
pub(crate) fn mended() -> Vec<Case> {
    read("mended.jsonl", "mends")
}

fn read(file: &str, defect_key: &str) -> Vec<Case> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| case(&serde_json::from_str(line).expect("one JSON object per line"), defect_key))
        .collect()
}

fn case(json: &Value, defect_key: &str) -> Case {
    let config = json["config"].as_object().expect("config is an object").clone();
    let mut settings: Vec<Setting> = config.iter().filter_map(|(flag, value)| setting(flag, value)).collect();
    // The size limit replaces the text that contains it, so it is set before the texts of the case.
    settings.sort_by_key(|setting| !matches!(setting, Setting::SizeLimit(_)));
    Case {
        name: text(&json["name"]),
        settings,
        steps: array(&json["steps"]).iter().map(step).collect(),
        messages: array(&json["messages"]).clone(),
        defect: json[defect_key].as_str().map(str::to_owned),
        config,
    }
}

fn step(json: &Value) -> Step {
    let mut send = match json["send_b64"].as_str() {
        Some(encoded) => decode(encoded),
        None => text(&json["send"]).into_bytes(),
    };
    if let Some(repeat) = json.get("send_repeat") {
        let count = usize::try_from(repeat["count"].as_u64().expect("a count")).expect("a small count");
        send.extend(text(&repeat["unit"]).repeat(count).into_bytes());
    }
    send.extend(json["send_suffix"].as_str().unwrap_or_default().bytes());
    Step {
        connection: json["conn"].as_u64().map_or(0, |conn| usize::try_from(conn).expect("small")),
        send,
        split: json["split"].as_u64().map(|size| usize::try_from(size).expect("small")),
        end: match (json["half_close"] == true, json["close"] == true) {
            (true, _) => ClientEnd::HalfCloses,
            (_, true) => ClientEnd::ClosesUnread,
            _ => ClientEnd::StaysOpen,
        },
        receive: array(&json["recv"]).iter().map(text).collect(),
        server_closed: json["server_closed"] == true,
        wait: json["wait_ms"].as_u64().map(Duration::from_millis),
        delay: Duration::from_secs(json["delay_s"].as_u64().unwrap_or(0)),
    }
}

/// `None` for a value that means the default.
fn setting(flag: &str, value: &Value) -> Option<Setting> {
    if let Some(&kind) = ReplyKind::ALL.iter().find(|kind| kind.flag() == flag) {
        return non_empty(value).map(|text| Setting::Reply(kind, text));
    }
    let list =
        |name| non_empty(value).map(|list| Setting::List(name, list.split(',').map(str::to_owned).collect()));
    match flag {
        "msgSizeLimit" => {
            usize::try_from(number(value)).ok().filter(|&limit| limit > 0).map(Setting::SizeLimit)
        }
        "sessionTimeout" if number(value) == 0 => None,
        "sessionTimeout" => Some(Setting::SessionTimeout(seconds(value))),
        "failFast" => (value == true).then_some(Setting::FailFast),
        "multipleRcptto" => (value == true).then_some(Setting::MultipleRcptto),
        "multipleMessageReceiving" => (value == true).then_some(Setting::MultipleMessageReceiving),
        "blacklistedHeloDomains" => list(ListName::HeloDomains),
        "blacklistedMailfromEmails" => list(ListName::MailfromEmails),
        "blacklistedRcpttoEmails" => list(ListName::RcpttoEmails),
        "notRegisteredEmails" => list(ListName::NotRegistered),
        _ => Some(Setting::Delay(delay_point(flag), seconds(value))),
    }
}

fn delay_point(flag: &str) -> DelayPoint {
    let name = flag.strip_prefix("responseDelay").unwrap_or_else(|| panic!("unknown flag {flag}"));
    *DelayPoint::ALL
        .iter()
        .find(|point| format!("{point:?}") == name)
        .unwrap_or_else(|| panic!("unknown delay {flag}"))
}

impl Case {
    /// The settings, added to those that correspond to go-smtp-mock's defaults.
    pub(crate) fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        policy.addresses = AddressRules::Compat;
        policy.records = RecordMode::Session;
        for setting in &self.settings {
            apply(&mut policy, setting);
        }
        policy
    }

    /// The same settings for a whole server.
    pub(crate) fn server_config(&self) -> Config {
        let config = Config::default().addresses(AddressRules::Compat).records(RecordMode::Session);
        self.settings.iter().fold(config, configure)
    }

    /// The same settings as go-smtp-mock's flags.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let flag = |(flag, value): (&String, &Value)| match value {
            Value::String(text) => format!("-{flag}={text}"),
            other => format!("-{flag}={other}"),
        };
        let of_reference = ["--addresses=compat", "--records=session"].map(str::to_owned);
        self.config.iter().map(flag).chain(of_reference).collect()
    }

    /// The session timeout, if the case sets it.
    pub(crate) fn session_timeout(&self) -> Option<Duration> {
        self.settings.iter().find_map(|setting| match setting {
            Setting::SessionTimeout(timeout) => Some(*timeout),
            _ => None,
        })
    }

    /// The longest pause of the dialogue, by which the slow ones are run first.
    pub(crate) fn slowness(&self) -> Duration {
        self.steps.iter().map(|step| step.delay.max(step.wait.unwrap_or_default())).sum()
    }
}

impl Step {
    /// What the client receives, as bytes.
    pub(crate) fn expected(&self) -> Vec<u8> {
        self.receive.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect()
    }
}

fn apply(policy: &mut Policy, setting: &Setting) {
    match setting {
        Setting::SizeLimit(octets) => policy.set_message_size_limit(*octets),
        Setting::Reply(kind, text) => policy.set_reply(*kind, text),
        Setting::Delay(point, delay) => policy.set_delay(*point, *delay),
        Setting::List(name, items) => policy.change_lists(|lists| {
            let list = match name {
                ListName::HeloDomains => &mut lists.blacklisted_helo_domains,
                ListName::MailfromEmails => &mut lists.blacklisted_mailfrom_emails,
                ListName::RcpttoEmails => &mut lists.blacklisted_rcptto_emails,
                ListName::NotRegistered => &mut lists.not_registered_emails,
            };
            *list = items.iter().map(|item| item.clone().into_bytes()).collect();
        }),
        Setting::FailFast => policy.fail_fast = true,
        Setting::MultipleRcptto => policy.multiple_rcptto = true,
        Setting::MultipleMessageReceiving => policy.multiple_message_receiving = true,
        Setting::SessionTimeout(_) => {} // implemented by the server, not by the session
    }
}

fn configure(config: Config, setting: &Setting) -> Config {
    match setting {
        Setting::SizeLimit(octets) => config.message_size_limit(*octets),
        Setting::Reply(kind, text) => config.reply(*kind, text),
        Setting::Delay(point, delay) => config.delay(*point, *delay),
        Setting::List(name, items) => {
            let items = items.iter().cloned();
            match name {
                ListName::HeloDomains => config.blacklisted_helo_domains(items),
                ListName::MailfromEmails => config.blacklisted_mailfrom_emails(items),
                ListName::RcpttoEmails => config.blacklisted_rcptto_emails(items),
                ListName::NotRegistered => config.not_registered_emails(items),
            }
        }
        Setting::FailFast => config.fail_fast(true),
        Setting::MultipleRcptto => config.multiple_rcptto(true),
        Setting::MultipleMessageReceiving => config.multiple_message_receiving(true),
        Setting::SessionTimeout(timeout) => config.session_timeout(*timeout),
    }
}

pub(crate) fn decode(encoded: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(encoded).expect("valid base64")
}

fn array(json: &Value) -> &Vec<Value> {
    json.as_array().expect("an array")
}

fn text(json: &Value) -> String {
    json.as_str().expect("a string").to_owned()
}

fn non_empty(json: &Value) -> Option<String> {
    Some(text(json)).filter(|text| !text.is_empty())
}

fn number(json: &Value) -> i64 {
    json.as_i64().expect("an integer")
}

fn seconds(json: &Value) -> Duration {
    Duration::from_secs(u64::try_from(number(json)).unwrap_or(0))
}
