//! The command line.

mod plan;

use std::net::IpAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Command, Id, Parser, Subcommand, ValueEnum};
use smtpmock::units::EXACT_IN_JSON;

use crate::client::phase::Phase;
use crate::judge::gate::Gate;
use crate::load::clients::Clients;
use crate::load::part::Part;
use crate::load::plan::RECIPIENTS_LIMIT;
use crate::load::schedule::{Arrivals, Profile};
use crate::load::start::StartAt;
use crate::load::template::Template;
use crate::load::token::SEQ_LIMIT;
#[cfg(feature = "fleet")]
use crate::program::fleet::{AgentArgs, ServeArgs};
use crate::program::tls::TlsArgs;
use crate::program::values;

/// Addresses without --from and --to, and with --smtputf8.
const FROM: &str = "smtpload@example.com";
const FROM_UTF8: &str = "smtplo\u{e4}d@ex\u{e4}mple.com";
const TO: &str = "user{{rcpt}}@example.com";
const TO_UTF8: &str = "us\u{e9}r{{rcpt}}@ex\u{e4}mple.com";

/// An SMTP load generator: at full speed or at a steady rate, with figures that can be
/// trusted.
///
/// Without --rate, --ramp or --steps the loop is closed: each session sends one message after another.
#[derive(Debug, Parser)]
#[command(name = "smtpload", args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(mut_arg("target", |target| target.required_unless_present_any(["merge_reports", "targets"])))]
#[command(after_help = crate::program::help::AFTER)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Instead>,
    /// Do not run: merge these JSON reports, as `smtpload merge` does; repeatable
    #[arg(long, value_name = "FILE", conflicts_with_all = RunArgs::ids())]
    pub(crate) merge_reports: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// A subcommand instead of a run.
#[derive(Debug, Subcommand)]
pub(crate) enum Instead {
    /// Merge the JSON reports of several runs.
    Merge {
        /// Reports written by --report-json.
        #[arg(required = true, num_args = 1..)]
        reports: Vec<PathBuf>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Coordinate a run of several machines: give each agent its part, start them together, and report as if they were
    /// one.
    #[cfg(feature = "fleet")]
    #[command(mut_arg("target", |target| target.required_unless_present("targets")))]
    Serve {
        #[command(flatten)]
        fleet: ServeArgs,
        #[command(flatten)]
        run: Box<RunArgs>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Send a part of a run for a coordinator.
    #[cfg(feature = "fleet")]
    #[command(after_help = "\
Exit codes:
  0   the coordinator has written its report, with this part
  1   the run did not start, or the coordinator has no report with this part
  2   wrong flag or value, wrong token, another version")]
    Agent {
        #[command(flatten)]
        agent: AgentArgs,
    },
    /// Print the manual page for man(1).
    Man,
    /// Print the completions for a shell.
    Completions {
        #[arg(value_name = "SHELL", value_parser = clap::builder::PossibleValuesParser::new(smtpmock::manual::SHELLS))]
        shell: String,
    },
}

/// The load.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The server: `HOST:PORT`, `192.0.2.1:25`, `[2001:db8::1]:25` or `unix:PATH`; port 25 by
    /// default. `smtps://HOST:PORT` is encrypted from the start, on port 465 by default
    #[arg(value_name = "HOST[:PORT]")]
    target: Option<String>,
    /// A server as well, or instead of the one without a flag; repeatable. Message N goes to target N modulo their number,
    /// and each has its share of the connections
    #[arg(long = "target", value_name = "HOST[:PORT]")]
    targets: Vec<String>,
    /// Number of sessions (closed loop, default 16), or the maximum (open loop, default
    /// 128)
    #[arg(short, long, value_name = "N")]
    connections: Option<usize>,
    /// Open loop: start messages at this rate, like 5000/s
    #[arg(long, value_name = "RATE", value_parser = values::rate, group = "pace")]
    rate: Option<f64>,
    /// Open loop: a changing rate, like `100/s..5000/s over 60s`, or with `in 6 steps`
    #[arg(long, value_name = "RAMP", value_parser = values::ramp, group = "pace")]
    ramp: Option<Profile>,
    /// Open loop: rates one after the other, like `100/s:10s,500/s:30s`
    #[arg(long, value_name = "STEPS", value_parser = values::steps, group = "pace")]
    steps: Option<Profile>,
    /// Distribution of the arrivals of an open loop
    #[arg(long, value_name = "KIND", value_enum, default_value = "constant", requires = "pace")]
    arrivals: ArrivalKind,
    /// Start messages for this long (default 10s, or as long as the ramp)
    #[arg(long, value_name = "TIME", value_parser = values::positive_duration)]
    duration: Option<Duration>,
    /// Start this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SEQ_LIMIT))]
    count: Option<u64>,
    /// Exclude from the figures what starts in this first part of the run
    #[arg(long, value_name = "TIME", value_parser = values::duration, default_value = "0s")]
    warmup: Duration,
    /// Wait this long for messages in flight after --duration or Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = values::duration, default_value = "5s")]
    grace: Duration,
    /// Give up (exit 1) when no message was accepted for this long although messages
    /// waited for the target or failed; `never` disables it
    #[arg(long, value_name = "TIME", value_parser = values::duration_or_never, default_value = "10s")]
    give_up_after: Duration,
    /// End each session after N messages (default: never)
    #[arg(long, value_name = "N")]
    messages_per_session: Option<NonZeroU64>,
    /// Recipients per message
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(RECIPIENTS_LIMIT)))]
    rcpts: u16,
    /// Send MAIL, RCPT and DATA in one group where the server offers PIPELINING (RFC 2920)
    #[arg(long)]
    pipelining: bool,
    /// Send messages with BDAT instead of DATA where the server offers CHUNKING (RFC 3030); with --pipelining and
    /// where it is offered, without waiting for the replies between
    #[arg(long)]
    chunking: bool,
    /// The largest chunk of --chunking (default: each message is one chunk)
    #[arg(long, value_name = "SIZE", value_parser = values::chunk_size, requires = "chunking")]
    chunk_size: Option<NonZeroUsize>,
    /// Speak LMTP (RFC 2033): LHLO, and a reply to each message for each of its recipients
    #[arg(long)]
    lmtp: bool,
    /// Authenticate each session (RFC 4954). The mechanism is SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, PLAIN or LOGIN, by
    /// default the first of these that the server offers; with OAUTHBEARER and XOAUTH2 the password is a token. Other users
    /// of this machine can read it among the arguments
    #[arg(long, value_name = "USER:PASSWORD[@MECHANISM]")]
    auth: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Send addresses and headers in UTF-8, with SMTPUTF8 (RFC 6531), which the server must offer
    #[arg(long)]
    smtputf8: bool,
    /// Request delivery status notifications (RFC 3461: RET, ENVID, NOTIFY, ORCPT) where the server offers DSN
    #[arg(long)]
    dsn: bool,
    /// Begin each connection with a header of the PROXY protocol (version 2), each with another client of these
    /// addresses: `10.0.0.0/16`, `192.0.2.1-192.0.2.99`
    #[arg(long, value_name = "IP-RANGE")]
    proxy_protocol: Option<Clients>,
    /// Argument of EHLO
    #[arg(long, value_name = "NAME", default_value = "smtpload.localhost", value_parser = values::helo)]
    helo: String,
    /// Reverse-path; {{seq}} and {{run}} are replaced
    #[arg(long, value_name = "ADDRESS", default_value = FROM, default_value_if("smtputf8", "true", FROM_UTF8))]
    from: Template,
    /// Forward-path; {{seq}}, {{rcpt}} and {{run}} are replaced
    #[arg(long, value_name = "ADDRESS", default_value = TO, default_value_if("smtputf8", "true", TO_UTF8))]
    to: Template,
    /// Size of the body, or a range to draw from: 1KiB, 1KiB..64KiB
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = values::sizes)]
    size: (u64, u64),
    /// Send this message instead; dots are stuffed, line ends become CRLF
    #[arg(long, value_name = "FILE", conflicts_with = "size")]
    message: Option<PathBuf>,
    /// Timeout: 30s (the default) for all phases, or per phase, connect=5s,dot=60s;
    /// repeatable
    #[arg(long, value_name = "[PHASE=]TIME", value_delimiter = ',', value_parser = values::timeout)]
    timeout: Vec<(Option<Phase>, Duration)>,
    /// Seed of arrivals and sizes (default: random, and reported)
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Send one of several parts of the run, the others on other machines: 0/3, 1/3, 2/3. All flags but this one are
    /// those of the whole run, and the same on each: rates, --count and --connections are divided
    #[arg(long, value_name = "K/N")]
    pub(crate) part: Option<Part>,
    /// Start at this instant, like `2026-11-27T10:00:00Z` or seconds since 1970: the parts of a run together
    #[arg(long, value_name = "INSTANT")]
    pub(crate) start_at: Option<StartAt>,
    /// The id of the run in its tokens, where it is not that of the seed.
    #[arg(skip)]
    pub(crate) run_id: Option<u32>,
    /// Threads, each with its own event loop and its share of the connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Connect from this local address; several provide more ports
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    bind: Vec<IpAddr>,
    /// Use the target's IPv4 addresses only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Use the target's IPv6 addresses only
    #[arg(short = '6', long)]
    ipv6: bool,
    /// A message that the generator itself delays by more than this is late. The generator is
    /// saturated with more than 1% of the messages late (open loop), or when it stalled for more
    /// than 10% of its time, in stalls longer than this and 100ms (closed loop)
    #[arg(long, value_name = "TIME", value_parser = values::positive_duration, default_value = "10ms")]
    late_after: Duration,
    /// Compare with the output of `smtpmock --capture FILE`: list lost, duplicated and
    /// altered messages; repeatable, for the captures of several servers
    #[arg(long, value_name = "FILE")]
    pub(crate) verify: Vec<PathBuf>,
}

/// Outputs, gates and the baseline.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Write the report as JSON; - is standard output
    #[arg(long = "report-json", visible_alias = "json", value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write an HdrHistogram interval log
    #[arg(long, visible_alias = "report-hlog", value_name = "FILE")]
    pub(crate) hlog: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long = "report-html", visible_alias = "html", value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// What must be true of the final figures, or the exit code is 10; repeatable
    #[arg(long, value_name = "EXPECTATION", value_parser = Gate::expect)]
    pub(crate) expect: Vec<Gate>,
    /// What must not be true of them, like `p99(message) > 5ms` or `errors > 0.1%`; repeatable
    #[arg(long, value_name = "EXPECTATION", value_parser = Gate::fail_if)]
    pub(crate) fail_if: Vec<Gate>,
    /// Compare with this earlier report; exit code 11 for a regression
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Regression that is still allowed
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = values::percentage, requires = "baseline")]
    pub(crate) max_regression: f64,
    /// Print nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl OutputArgs {
    /// Only the report as JSON, if there is a file for it.
    #[cfg(feature = "fleet")]
    pub(crate) fn json_alone(json: Option<PathBuf>) -> OutputArgs {
        OutputArgs {
            json,
            hlog: None,
            html: None,
            expect: Vec::new(),
            fail_if: Vec::new(),
            baseline: None,
            max_regression: 0.0,
            quiet: true,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ArrivalKind {
    /// Evenly spaced
    Constant,
    /// A Poisson process
    Poisson,
}

impl ArrivalKind {
    fn kind(self) -> Arrivals {
        match self {
            ArrivalKind::Constant => Arrivals::Constant,
            ArrivalKind::Poisson => Arrivals::Poisson,
        }
    }
}

impl RunArgs {
    /// The ids of all arguments of a run.
    fn ids() -> Vec<Id> {
        let alone = RunArgs::augment_args(Command::new("run"));
        alone.get_arguments().map(|arg| arg.get_id().clone()).collect()
    }

    /// The flags of a run that were given, as one argument each.
    #[cfg(feature = "fleet")]
    pub(crate) fn given(matches: &clap::ArgMatches) -> Vec<String> {
        let alone = RunArgs::augment_args(Command::new("run"));
        let mut flags = Vec::new();
        let mut targets = Vec::new();
        for arg in alone.get_arguments() {
            let id = arg.get_id().as_str();
            if matches.value_source(id) != Some(clap::parser::ValueSource::CommandLine) {
                continue;
            }
            let values = matches.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy());
            match arg.get_long() {
                None => targets.extend(values.map(std::borrow::Cow::into_owned)),
                Some(long) if arg.get_action().takes_values() => {
                    flags.extend(values.map(|value| format!("--{long}={value}")));
                }
                Some(long) => flags.push(format!("--{long}")),
            }
        }
        flags.append(&mut targets);
        flags
    }

    #[cfg(feature = "fleet")]
    pub(crate) fn has_seed(&self) -> bool {
        self.seed.is_some()
    }

    /// The seed, or a random one.
    pub(crate) fn seed_or(&self, draw: impl Fn() -> u64) -> u64 {
        self.seed.unwrap_or_else(|| draw() % EXACT_IN_JSON)
    }

    /// The input files, each with its flag.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let message = self.message.iter().map(|path| ("--message", path.as_path()));
        let captures = self.verify.iter().map(|path| ("--verify", path.as_path()));
        message.chain(captures).chain(self.tls.files())
    }
}
