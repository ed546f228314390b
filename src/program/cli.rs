//! The command line: parses arguments, environment and settings file into an [`Action`]. A [`Failure`] names the
//! wrong value and what would be right.
//!
//! Pure: arguments and environment are passed in as values. Flags follow Go's conventions ([`goflags`]) and are
//! defined in one table ([`flags`]). clap parses the normalised arguments and renders the help.

mod compat;
mod file;
mod flag;
mod flags;
mod goflags;
mod help;
mod http;
mod implied;
mod manual;
pub(crate) mod outputs;
mod ready;
mod stray;
mod sum;
mod tls;
mod values;
mod variables;

use std::error::Error as _;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fmt, io};

use clap::error::{ContextKind, ErrorKind};
use smtpmock::escape::escape_lines;
use smtpmock::output::{Claims, OutputError};
use smtpmock::report::Report;
use smtpmock::smtp::auth::{Credential, read_password_file, slow_passwords};
use smtpmock::smtp::rules::nearest;
use smtpmock::{Config, ConfigError, HttpSettings};

use flag::{Arity, Change, Flag};
use flags::Options;
pub(crate) use flags::{Limit, Reporting};
use goflags::{End, Given, Typed};
pub(crate) use ready::{ReadyTarget, ReadyWhere};

/// The action that the command line requests.
#[derive(Debug)]
pub(crate) enum Action {
    /// Print this and exit.
    Print(String),
    /// Write the merged report and exit.
    Report(Box<Report<'static>>, Reporting, Claims),
    /// Ask a server whether it is ready.
    Ready(ReadyTarget),
    /// Run a server.
    Run(Box<Settings>),
}

/// The settings of a run: the server's, and those of its announcements and reports.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// Whether the ready line goes to standard output.
    pub(crate) ready_line: bool,
    /// The file that the ready line is also written to.
    pub(crate) ready_file: Option<PathBuf>,
    pub(crate) reporting: Reporting,
    /// Whether events are logged (`--log`).
    pub(crate) logs: bool,
    /// Whether mails are printed readably (`--show`).
    pub(crate) shows: bool,
    /// The control plane.
    pub(crate) http: Option<HttpSettings>,
    /// It replaces Mailpit: its log lines are printed.
    pub(crate) is_compatible: bool,
    /// Where the certificate of the CA is written.
    pub(crate) ca_out: Option<PathBuf>,
    /// The files that are read or written.
    pub(crate) claims: Claims,
    /// Warnings about accepted settings that are probably mistakes.
    pub(crate) doubts: Vec<String>,
    /// The run ends at the first of these limits.
    pub(crate) exit_after: Vec<Limit>,
    /// The settings given, as pairs of flag name and value.
    pub(crate) effective: Vec<(String, String)>,
}

/// Why the program fails. Displays as one line, beginning with the program's name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// An argument, variable or settings file is wrong.
    Usage(String),
    /// The server can't start or can't continue.
    Server(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Server(_) => ExitCode::from(1),
        }
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self::Server(error.to_string())
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(text) | Self::Server(text)) = self;
        let text = escape_lines(text);
        match self {
            Self::Usage(_) if text.contains('\n') => {
                write!(f, "smtpmock: {text}\n(smtpmock --help shows all flags)")
            }
            Self::Usage(_) => write!(f, "smtpmock: {text} (smtpmock --help shows all flags)"),
            Self::Server(_) => write!(f, "smtpmock: {text}"),
        }
    }
}

/// Reads the arguments (without the program's name). Other flags are read from the environment, and the remaining ones
/// from the file of `--config`.
///
/// Arguments are checked from left to right. `--version` takes effect only if all of them are valid.
///
/// # Errors
/// The first argument or variable that can't be parsed, or has a value that is invalid for a server.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Action, Failure> {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.next_if(|first| first == ready::READY).is_some() {
        return ready::parse(arguments);
    }
    if arguments.next_if(|first| first == manual::MAN).is_some() {
        return manual::man(arguments);
    }
    if arguments.next_if(|first| first == manual::COMPLETIONS).is_some() {
        return manual::completions_for(arguments);
    }
    let table = flags::table();
    let (mut given, end) = goflags::normalise(arguments, &table);
    let mut argv: Vec<OsString> = given.iter().map(Given::argument).collect();
    if end == End::Help {
        argv.push("--help".into());
    }
    if let Some(error) = refusal(&end, &given, &table) {
        read(&argv, &given, &table)?;
        return Err(error);
    }
    let typed = given.len();
    let environment: Vec<_> = environment.into_iter().collect();
    for variable in variables::read(&given, &table, environment.iter().cloned())? {
        argv.push(variable.argument());
        given.push(variable);
    }
    for setting in from_file(&given, &table, &read_file)? {
        argv.push(setting.argument());
        given.push(setting);
    }
    let (compatible, ignored) = compat::settings(&given, &table, &environment, compat::has_ipv6);
    for setting in compatible {
        argv.push(setting.argument());
        given.push(setting);
    }
    match read(&argv, &given, &table)? {
        Read::Help(text) => Ok(Action::Print(text)),
        Read::Options(options) if options.version => Ok(Action::Print(help::version())),
        Read::Options(options) if !options.merged.is_empty() => {
            sum::report(*options, &given[..typed], &given, &read_file)
        }
        Read::Options(options) if options.print_config => {
            settle(*options, &given, &table, &read_file)?;
            Ok(Action::Print(file::print(&given, &table)))
        }
        Read::Options(options) => {
            let mut settings = settle(*options, &given, &table, &read_file)?;
            settings.doubts.extend(ignored);
            Ok(Action::Run(Box::new(settings)))
        }
    }
}

/// The settings from the file of `--config` that no argument or variable overrides, and those that accumulate.
fn from_file(
    given: &[Given],
    table: &[Flag],
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Vec<Given>, Failure> {
    let is_config = |given: &&Given| given.kebab == flags::CONFIG;
    let Some(named) = given.iter().rfind(is_config).filter(|given| !given.value.is_empty()) else {
        return Ok(Vec::new());
    };
    let path = Path::new(&named.value);
    let text = read_file(path).map_err(|error| {
        let typed = &named.typed;
        Failure::Usage(format!("invalid value {path:?} for {typed}: expected a readable file: {error}"))
    })?;
    let mut settings = file::read(&path.display().to_string(), &text, table)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let adds_up = |setting: &Given| table.iter().any(|flag| flag.adds_up && flag.kebab == setting.kebab);
    let is_overridden = |setting: &Given| given.iter().any(|given| given.kebab == setting.kebab);
    settings.retain(|setting| adds_up(setting) || !is_overridden(setting));
    Ok(settings)
}

enum Read {
    Help(String),
    Options(Box<Options>),
}

/// Parses all values and applies them in the order of the table.
fn read(argv: &[OsString], given: &[Given], table: &[Flag]) -> Result<Read, Failure> {
    let name = OsString::from("smtpmock");
    let matches = match help::command(table).try_get_matches_from(std::iter::once(&name).chain(argv)) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => return Ok(Read::Help(error.to_string())),
        Err(error) => return Err(bad_value(&error, given)),
    };
    let options = table
        .iter()
        .filter_map(|flag| matches.get_many::<Option<Change>>(&flag.kebab))
        .flatten()
        .flatten()
        .fold(Options::default(), |options, change| change(options));
    Ok(Read::Options(Box::new(options)))
}

/// The failure for an invalid value, with the flag and the value as they were typed.
fn bad_value(error: &clap::Error, given: &[Given]) -> Failure {
    let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let (argument, value) = (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue));
    let is_it = |given: &&Given| {
        let name = argument.trim_start_matches('-');
        name.split(['=', ' ', '[']).next() == Some(&given.kebab) && given.value.to_string_lossy() == value
    };
    match (given.iter().find(is_it), error.source()) {
        (Some(given), Some(expected)) => {
            let (typed, value) = (&given.typed, shown(&given.kebab, &value));
            Failure::Usage(format!("invalid value {value} for {typed}: {expected}"))
        }
        _ => Failure::Usage(error.to_string()),
    }
}

/// The failure if parsing ended at an error.
fn refusal(end: &End, given: &[Given], table: &[Flag]) -> Option<Failure> {
    let text = match end {
        End::Complete | End::Help => return None,
        End::Stray(stray) => return stray::refusal(stray, given, table),
        End::NoName(typed) => {
            format!("bad flag syntax: {typed}: expected a name behind one or two dashes, like --port")
        }
        End::NoReport => "merge needs a report: smtpmock merge a.json b.json".to_owned(),
        End::NoValue { typed, kebab } => {
            let example =
                table.iter().find(|flag| flag.kebab == *kebab).map_or("VALUE", |flag| flag.placeholder);
            format!("flag needs an argument: {typed}: expected {typed} {example}")
        }
        End::Unknown(typed) => {
            let Typed { dashes, name } = typed;
            match meant(typed, table) {
                Some(nearest) => format!("unknown flag {dashes}{name}: did you mean {nearest}?"),
                None => format!("unknown flag {dashes}{name}"),
            }
        }
    };
    Some(Failure::Usage(text))
}

/// The flag most similar to the one typed, in the same spelling style.
fn meant(typed: &Typed, table: &[Flag]) -> Option<String> {
    let kebab = flag::kebab_case(&typed.name);
    let is_same = |flag: &&Flag| letters(&flag.name) == letters(&typed.name);
    let nearest = match table.iter().find(is_same) {
        Some(flag) => flag.kebab.clone(),
        None => suggestion(&kebab, table)?.to_owned(),
    };
    let is_kebab = kebab == typed.name && (typed.dashes == "--" || typed.name.contains('-'));
    Some(match table.iter().find(|flag| flag.kebab == nearest) {
        Some(flag) if !is_kebab => format!("{}{}", typed.dashes, flag.name),
        _ => format!("--{nearest}"),
    })
}

/// The name in lower case, without dashes and underscores, for comparison with similar names.
fn letters(name: &str) -> String {
    name.replace(['-', '_'], "").to_lowercase()
}

/// The flag whose name is similar to this one or begins with it.
fn suggestion<'t>(kebab: &str, table: &'t [Flag]) -> Option<&'t str> {
    let names = || table.iter().map(|flag| flag.kebab.as_str()).chain(["help"]);
    nearest(kebab, names()).or_else(|| names().find(|name| kebab.len() > 2 && name.starts_with(kebab)))
}

fn settle(
    options: Options,
    given: &[Given],
    table: &[Flag],
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Settings, Failure> {
    implied::refuse_contradictions(given, table)?;
    let config = match options.port {
        Some(port) => options.config.port(checked_port(port, given)?),
        None => options.config,
    };
    let (config, slow_users) = match &options.auth_file {
        Some(path) => {
            let (users, slow) = users_of(path, given, &read_file)?;
            (config.auth_users(users), slow)
        }
        None => (config, Vec::new()),
    };
    let config = match tls::tls(&options.tls, given, &read_file)? {
        Some(tls) => config.tls(tls),
        None => config,
    };
    let (config, http) = http::http(config, options.http.clone(), given, table)?;
    let is_valid = config
        .validate()
        .and_then(|()| if options.shows { config.validate_mails() } else { Ok(()) })
        .and_then(|()| http.as_ref().map_or(Ok(()), HttpSettings::validate));
    is_valid.map_err(|error| bad_setting(&error, given, table))?;
    let Options { ready, ready_file, reporting, exit_after, logs, shows, tls, is_compatible, .. } = options;
    let effective = file::given_settings(given, table);
    let http = http.map(|http| http.effective(effective.clone()));
    let claims = outputs::claims(given);
    let doubts = doubts(&config, given, table).into_iter().chain(slow_users).collect();
    Ok(Settings {
        doubts,
        config,
        ready_line: ready,
        ready_file,
        reporting,
        logs,
        shows,
        http,
        is_compatible,
        ca_out: tls.ca_out,
        claims,
        exit_after,
        effective,
    })
}

/// The users of a password file, and a line for each slow password.
fn users_of(
    path: &Path,
    given: &[Given],
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<(Vec<Credential>, Vec<String>), Failure> {
    let typed = || typed_as(&flag::kebab_case(flags::AUTH_FILE), given);
    let text = read_file(path).map_err(|error| {
        let typed = typed();
        Failure::Usage(format!("invalid value {path:?} for {typed}: expected a readable file: {error}"))
    })?;
    let with_place = |error| format!("{} {}, {error}", typed(), path.display());
    let users = read_password_file(&text).map_err(|error| Failure::Usage(with_place(error)))?;
    Ok((users, slow_passwords(&text).into_iter().map(with_place).collect()))
}

fn checked_port(port: i64, given: &[Given]) -> Result<u16, Failure> {
    u16::try_from(port).map_err(|_| {
        let (port, typed) = (port.to_string(), typed_as("port", given));
        Failure::Usage(format!(
            "invalid value {port:?} for {typed}: expected a number from 0 (any free port) to 65535"
        ))
    })
}

fn bad_setting(error: &ConfigError, given: &[Given], table: &[Flag]) -> Failure {
    let Some((value, typed)) = given_as(error, given, table) else {
        return Failure::Usage(error.to_string());
    };
    // The value of a switch was not typed.
    let is_switch = table.iter().any(|flag| flag.setting == error.setting && flag.arity == Arity::Switch);
    Failure::Usage(match is_switch {
        true => format!("{typed}: expected {}", error.expected_by_flags()),
        false => format!("invalid value {value} for {typed}: expected {}", error.expected_by_flags()),
    })
}

/// A value for an error, without secrets: standard error ends up in logs.
fn shown(kebab: &str, value: &str) -> String {
    match flags::is_secret(kebab) {
        true => "<redacted>".to_owned(),
        false => format!("{value:?}"),
    }
}

/// One line for each accepted setting that is probably a mistake.
fn doubts(config: &Config, given: &[Given], table: &[Flag]) -> Vec<String> {
    let doubt = |error: &ConfigError| {
        let (value, typed) = given_as(error, given, table)?;
        let problem = match error.setting {
            "listen" => " takes PROXY headers, but trusts nobody to send one",
            "tls" => " has no effect",
            setting if setting.starts_with("Tls::") => "",
            _ => " is sent unchanged, but no client knows it",
        };
        let value = if error.setting == "tls" { String::new() } else { format!(" {value}") };
        Some(format!("{typed}{value}{problem}: expected {}", error.expected_by_flags()))
    };
    let idle = |error: &ConfigError| {
        let (value, typed) = given_as(error, given, table)?;
        Some(format!("{typed} {value} can never fire: expected {}", error.expected_by_flags()))
    };
    let (doubtful, idle_rules) = (config.doubts(), config.idle_rules());
    doubtful.iter().filter_map(doubt).chain(idle_rules.iter().filter_map(idle)).collect()
}

/// The value of a setting and the spelling of its flag.
fn given_as(error: &ConfigError, given: &[Given], table: &[Flag]) -> Option<(String, String)> {
    let flag = table.iter().find(|flag| flag.setting == error.setting)?;
    let last = given.iter().rfind(|given| given.kebab == flag.kebab);
    // If there are several values, the error contains the invalid one.
    let value = match last {
        Some(given) if flag.arity == Arity::Value => given.value.to_string_lossy().into_owned(),
        _ => error.value.clone(),
    };
    let is_it = |given: &&Given| given.kebab == flag.kebab && given.value.to_string_lossy() == value;
    let typed = given.iter().rfind(is_it).map(|given| given.typed.clone());
    Some((shown(&flag.kebab, &value), typed.unwrap_or_else(|| typed_as(&flag.kebab, given))))
}

/// The spelling of the flag in its last occurrence.
fn typed_as(kebab: &str, given: &[Given]) -> String {
    given
        .iter()
        .rfind(|given| given.kebab == kebab)
        .map_or_else(|| format!("--{kebab}"), |given| given.typed.clone())
}

#[cfg(test)]
mod tests;
