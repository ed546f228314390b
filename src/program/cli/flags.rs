//! The table of flags and the options they set.
//!
//! Each flag is defined only here. The kebab-case name and the environment variable follow from go-smtp-mock's name;
//! flags that go-smtp-mock does not have are named in its style as well.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use smtpmock::smtp::rules::Trusted;
use smtpmock::smtp::{AddressRules, RecordMode, ReplyKind};
use smtpmock::{CaptureContent, CaptureFormat, Config};

use super::compat::{COMPAT, MAILPIT};
use super::flag::{Arity, Flag, reading, reading_or_default};
use super::values::{self, Expected, SignedSpan};

mod extensions;
mod http;
mod impairments;
mod reporting;
mod tls;

pub(super) use http::{HTTP, HTTP_AUTH, HTTP_TOKEN, HttpOptions, OF_HTTP};
pub(crate) use reporting::{Limit, Reporting};
pub(super) use tls::TlsOptions;

/// The values of all flags.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) config: Config,
    /// As typed; its range is checked when the server starts.
    pub(super) port: Option<i64>,
    pub(super) version: bool,
    pub(super) ready: bool,
    pub(super) ready_file: Option<PathBuf>,
    pub(super) print_config: bool,
    pub(super) logs: bool,
    pub(super) shows: bool,
    pub(super) reporting: Reporting,
    pub(super) exit_after: Vec<Limit>,
    /// Users and their passwords.
    pub(super) auth_file: Option<PathBuf>,
    pub(super) tls: TlsOptions,
    pub(super) http: HttpOptions,
    /// It replaces Mailpit.
    pub(super) is_compatible: bool,
    /// Reports to merge instead of running a server.
    pub(super) merged: Vec<PathBuf>,
}

/// The flag of `-v` and `--version`.
pub(super) const VERSION: &str = "version";

/// The flag that names a settings file and the flag that prints one. Neither is allowed in such a file.
pub(super) const CONFIG: &str = "config";
pub(super) const PRINT_CONFIG: &str = "print-config";

/// The flag that merges reports. It is not allowed in a settings file, which configures a server.
pub(super) const MERGE_REPORTS: &str = "merge-reports";

/// The flag that adds listeners. With it these have no defaults.
pub(super) const LISTEN: &str = "listen";
pub(super) const OF_DEFAULT_LISTENER: &[&str] = &["host", "port"];

/// The flags with secrets, and the flag that names a file with them.
pub(super) const AUTH: &str = "auth";
pub(super) const AUTH_TOKEN: &str = "authToken";
pub(super) const AUTH_FILE: &str = "authFile";

/// The values of this flag, by its kebab-case name, are secrets.
pub(super) fn is_secret(kebab: &str) -> bool {
    [AUTH, AUTH_TOKEN, HTTP_AUTH, HTTP_TOKEN].iter().any(|name| super::letters(name) == super::letters(kebab))
}

pub(super) const SHOW: &str = "show";

pub(super) const REPORT: &str = "report";

/// The flags allowed with [`MERGE_REPORTS`], which need no server.
pub(super) const OF_REPORTS: &[&str] =
    &[MERGE_REPORTS, REPORT, "report-json", "report-html", "expect", "fail-if", "quiet", CONFIG];

/// All flags, in the order of `--help` and of application.
pub(super) fn table() -> Vec<Flag> {
    let groups = [
        ("Listening", listening()),
        ("Timeouts", timeouts()),
        ("Behaviour", responses()),
        ("Service extensions", extensions::extensions()),
        ("Authentication", extensions::authentication()),
        ("TLS", tls::tls()),
        ("Refused names and addresses", lists()),
        ("Delays", impairments::delays()),
        ("Rules and slow links", impairments::rules()),
        ("Records", records()),
        ("Limits", limits().into_iter().chain(impairments::limits()).collect()),
        // After the limits, because the size limit sets the default text of a reply.
        (
            "Replies (code and text, one line or more; raw:OCTETS sends any octets, with a CRLF at the end)",
            replies(),
        ),
        ("What the sender did", reporting::reporting()),
        ("Messages over HTTP", http::http()),
        ("Program", program()),
    ];
    groups
        .into_iter()
        .flat_map(|(heading, flags)| {
            flags.into_iter().map(move |flag| Flag {
                heading,
                turns_on: turned_on_by(heading, &flag.kebab),
                ..flag
            })
        })
        .collect()
}

/// The switch that a flag turns on.
fn turned_on_by(heading: &str, kebab: &str) -> Option<&'static str> {
    match (heading, kebab) {
        ("Service extensions", "esmtp") => None,
        ("Service extensions" | "Authentication", _) | ("TLS", "tls" | "auth-clear") => Some("esmtp"),
        ("TLS", _) => Some("tls"),
        _ => None,
    }
}

fn listening() -> Vec<Flag> {
    vec![
        Flag::new(
            "host",
            "ADDRESS,...",
            "Addresses to listen on: IPv4 or IPv6, optionally with a port",
            reading_or_default(
                |raw| Ok(Some(values::list(raw)?).filter(|hosts| !hosts.is_empty())),
                |options: Options, hosts| options.with(|config| config.hosts(hosts)),
            ),
        )
        .listing()
        .defaults_to("127.0.0.1")
        .checked_as("hosts"),
        Flag::new(
            "port",
            "PORT",
            "Port to listen on; 0: any free one",
            reading(values::integer, |options, port| Options { port: Some(port), ..options }),
        )
        .defaults_to("0"),
        Flag {
            arity: Arity::Repeated,
            ..Flag::new(
                LISTEN,
                "URL",
                "Listen at this URL: smtp://ADDRESS:PORT, smtp+unix:///PATH?mode=0666, for LMTP lmtp:// and lmtp+unix://, with TLS from \
                 the first octet smtps:// and lmtps://; may be repeated. With ?proxy=require each connection begins with a \
                 PROXY header of a --trust peer, with ?proxy=accept it may; with ?inbox=NAME its mails belong to that \
                 inbox. Replaces the default of --host and --port, unless one of them is given",
                reading(values::texts, |options: Options, urls| {
                    options.with(|config| urls.into_iter().fold(config, Config::listen))
                }),
            )
        }
        .checked_as("listen"),
        Flag::new(
            "trust",
            "NETWORK,...",
            "Peers that may name another client, by a PROXY header or XCLIENT: IP addresses and networks like \
             10.0.0.0/8, and unix for Unix sockets. Default: none",
            reading(values::parsed_names, |options: Options, trusted: Vec<Trusted>| {
                options.with(|config| trusted.into_iter().fold(config.without_trust(), Config::trust))
            }),
        )
        .listing()
        .defaults_to(""),
        Flag::new(
            "backlog",
            "N",
            "Connections that may wait in the kernel to be accepted",
            reading_or_default(unless_zero(values::count), |options: Options, backlog| {
                // A number that does not fit exceeds the maximum, and is refused for that.
                options.with(|config| config.backlog(u32::try_from(backlog).unwrap_or(u32::MAX)))
            }),
        )
        .defaults_to("4096")
        .checked_as("backlog"),
        Flag::new(
            "shards",
            "N|auto",
            "Threads that serve sessions; auto: one for each CPU",
            reading_or_default(unless_zero(shards), |options: Options, shards| {
                options.with(|config| config.shards(shards))
            }),
        )
        .defaults_to("1")
        .checked_as("shards"),
    ]
}

fn timeouts() -> Vec<Flag> {
    vec![
        Flag::new(
            "sessionTimeout",
            "DURATION",
            "How long to wait for the client's next line; negative: close after the greeting",
            reading_or_default(unless_default(values::span), |options: Options, timeout| {
                options.with(|config| config.session_timeout(timeout))
            }),
        )
        .defaults_to("30s")
        .checked_as("session_timeout"),
        Flag::new(
            "dataTimeout",
            "DURATION",
            "How long one message may take from the 354, or the first chunk, to its end",
            reading_or_default(unless_default(values::positive_span), |options: Options, timeout| {
                options.with(|config| config.data_timeout(timeout))
            }),
        )
        .defaults_to("10m")
        .checked_as("data_timeout"),
        Flag::new(
            "shutdownTimeout",
            "DURATION",
            "How long a stop waits for sessions to finish their mails; negative: no wait",
            reading_or_default(unless_default(values::span), |options: Options, timeout| {
                options.with(|config| config.shutdown_timeout(timeout))
            }),
        )
        .defaults_to("1s")
        .checked_as("shutdown_timeout"),
    ]
}

fn responses() -> Vec<Flag> {
    vec![
        Flag::switch("failFast", "Close the session after the first refused command", |options, on| {
            options.with(|config| config.fail_fast(on))
        }),
        Flag::switch(
            "multipleRcptto",
            "With --records session: record every recipient instead of the last one only",
            |options, on| options.with(|config| config.multiple_rcptto(on)),
        ),
        Flag::switch(
            "multipleMessageReceiving",
            "With --records session: record every mail of a session that sends RSET between mails",
            |options, on| options.with(|config| config.multiple_message_receiving(on)),
        ),
        Flag::choosing(
            "addresses",
            "RULES",
            "Valid HELO names and addresses: lenient (those of go-smtp-mock or RFC 5321), compat (as in \
             go-smtp-mock, without names of one label), rfc5321 (strict) or any",
            &[
                ("lenient", AddressRules::Lenient),
                ("compat", AddressRules::Compat),
                ("rfc5321", AddressRules::Rfc5321),
                ("any", AddressRules::Any),
            ],
            |options, value| options.with(|config| config.addresses(value)),
        )
        .defaults_to("lenient"),
    ]
}

fn lists() -> Vec<Flag> {
    let list = |name, help, set: fn(Config, Vec<String>) -> Config| {
        let read =
            reading(values::entries, move |options: Options, list| options.with(|config| set(config, list)));
        Flag { default: Some(String::new()), ..Flag::new(name, "LIST", help, read).listing() }
    };
    vec![
        list(
            "blacklistedHeloDomains",
            "HELO and EHLO domains to refuse, separated by commas",
            Config::blacklisted_helo_domains,
        ),
        list(
            "blacklistedMailfromEmails",
            "Senders to refuse, separated by commas",
            Config::blacklisted_mailfrom_emails,
        ),
        list(
            "blacklistedRcpttoEmails",
            "Recipients to refuse, separated by commas",
            Config::blacklisted_rcptto_emails,
        ),
        list(
            "notRegisteredEmails",
            "Recipients that do not exist, separated by commas",
            Config::not_registered_emails,
        ),
    ]
}

pub(super) const CAPTURE_FORMATS: &[(&str, CaptureFormat)] = &[
    ("jsonl", CaptureFormat::JsonLines),
    ("mbox", CaptureFormat::Mbox),
    ("maildir", CaptureFormat::Maildir),
    ("eml", CaptureFormat::Eml),
];

fn records() -> Vec<Flag> {
    vec![
        Flag::switch(
            SHOW,
            "Print each mail readably to standard output: from, to, subject, size and the first lines",
            |options, shows| Options { shows, ..options },
        ),
        Flag::new(
            "capture",
            "PATH",
            "Write every finished record to this file as a JSON line or in --capture-format; - is standard output",
            reading(values::path, |options: Options, path| options.with(|config| config.capture(path))),
        )
        .checked_as("capture"),
        Flag::choosing(
            "captureFormat",
            "FORM",
            "Format of the capture: jsonl (one record per line), mbox (one file of mails), or maildir or eml (a folder of mails)",
            CAPTURE_FORMATS,
            |options, value| options.with(|config| config.capture_format(value)),
        )
        .defaults_to("jsonl"),
        Flag::choosing(
            "captureContent",
            "WHAT",
            "Content of the capture: message (the whole record) or envelope (without the message's text)",
            &[("message", CaptureContent::Message), ("envelope", CaptureContent::Envelope)],
            |options, value| options.with(|config| config.capture_content(value)),
        )
        .checked_as("capture_content")
        .defaults_to("message"),
        Flag::choosing(
            "records",
            "UNIT",
            "Unit of a record: message (a mail with all its recipients) or session (as in go-smtp-mock: a RCPT \
             replaces the previous one, and a mail the previous mail)",
            &[("message", RecordMode::Message), ("session", RecordMode::Session)],
            |options, value| options.with(|config| config.records(value)),
        )
        .checked_as("records")
        .defaults_to("message"),
    ]
}

fn limits() -> Vec<Flag> {
    vec![
        Flag::new(
            "msgSizeLimit",
            "SIZE",
            "Largest message",
            reading_or_default(unless_zero(values::size), |options: Options, size| {
                options.with(|config| config.message_size_limit(size))
            }),
        )
        .defaults_to("10MiB")
        .checked_as("message_size_limit"),
        Flag::new(
            "maxMessageMemory",
            "SIZE",
            "Memory for the messages and recipients of all sessions in progress; RCPT, DATA and messages get 452 beyond it",
            reading_or_default(unless_zero(values::size), |options: Options, size| {
                options.with(|config| config.max_message_memory(size))
            }),
        )
        .defaults_to("1GiB")
        .checked_as("max_message_memory"),
    ]
}

fn replies() -> Vec<Flag> {
    let reply = |&kind: &ReplyKind| {
        let text = kind.default_text();
        let read = reading_or_default(
            |raw| Ok(Some(values::verbatim(raw)).filter(|text| !text.is_empty())),
            move |options: Options, text| options.with(|config| config.reply(kind, text)),
        );
        let help = match kind {
            ReplyKind::EhloReceived => "Default: that of --msg-helo-received".to_owned(),
            ReplyKind::LhloReceived => "Default: with the extensions of --esmtp".to_owned(),
            _ => format!("Default: {text}"),
        };
        // Their defaults depend on the reply to HELO and on the offered extensions.
        let follows = matches!(kind, ReplyKind::EhloReceived | ReplyKind::LhloReceived);
        let default = (!follows).then(|| text.to_owned());
        let setting = format!("reply(ReplyKind::{kind:?})");
        Flag { default, ..Flag::new(kind.flag(), "TEXT", help, read).checked_as(setting) }
    };
    ReplyKind::ALL.iter().map(reply).collect()
}

fn program() -> Vec<Flag> {
    vec![
        Flag::switch(
            "log",
            "Log events to standard output and errors to standard error; all to standard error if an output goes to -",
            |options, logs| Options { logs, ..options },
        ),
        Flag::switch("quiet", "Print only errors and failed checks on standard error", |options, on| {
            options.reporting(|reporting| reporting.is_quiet = on)
        }),
        Flag::switch(
            "ready",
            "Print a line of JSON with the addresses to standard output when listening",
            |options, ready| Options { ready, ..options },
        ),
        Flag::new(
            "readyFile",
            "PATH",
            "Write that line to this file when listening",
            reading(values::path, |options, path| Options { ready_file: Some(path), ..options }),
        ),
        Flag::choosing(
            COMPAT,
            "PROGRAM",
            "Replace this program, mailpit: use its addresses, ports, replies and variables (MP_...), unless overridden \
             by other flags",
            &[(MAILPIT, true)],
            |options, is_compatible| Options { is_compatible, ..options },
        ),
        Flag::new(
            "config",
            "PATH",
            "Read settings from this TOML file, named like the flags: session-timeout = \"30s\"",
            reading(values::path, |options, _| options),
        ),
        Flag::switch(
            "printConfig",
            "Print the settings in effect in that format, including defaults, and exit",
            |options, print_config| Options { print_config, ..options },
        ),
        Flag {
            variable: None,
            ..Flag::switch(VERSION, "Print the version and exit", |options, version| Options {
                version,
                ..options
            })
        },
    ]
}

impl Options {
    pub(super) fn with(self, change: impl FnOnce(Config) -> Config) -> Self {
        Self { config: change(self.config), ..self }
    }
}

/// Zero requests the default; a negative value means no wait.
fn unless_default(
    read: fn(&OsStr) -> Result<SignedSpan, Expected>,
) -> impl Fn(&OsStr) -> Result<Option<Duration>, Expected> {
    move |raw| {
        Ok(match read(raw)? {
            SignedSpan::Zero => None,
            SignedSpan::Negative => Some(Duration::ZERO),
            SignedSpan::Positive(duration) => Some(duration),
        })
    }
}

/// Zero requests the default.
fn unless_zero(
    read: fn(&OsStr) -> Result<usize, Expected>,
) -> impl Fn(&OsStr) -> Result<Option<usize>, Expected> {
    move |raw| Ok(Some(read(raw)?).filter(|number| *number > 0))
}

fn shards(raw: &OsStr) -> Result<usize, Expected> {
    if raw == "auto" {
        let cpus = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        return Ok(cpus.min(Config::MAX_SHARDS));
    }
    values::count(raw)
        .map_err(|_| Expected::new(format!("auto, or a whole number from 1 to {}", Config::MAX_SHARDS)))
}
