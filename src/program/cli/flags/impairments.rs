//! The flags for delays, faults and limits.

use smtpmock::smtp::DelayPoint;
use smtpmock::smtp::rules::{ByteRate, RateLimit, Rule};
use smtpmock::{Config, OverLimit};

use super::{Options, unless_zero};
use crate::program::cli::flag::{Arity, Flag, reading, reading_or_default};
use crate::program::cli::values;

pub(super) fn delays() -> Vec<Flag> {
    let delay = |&point: &DelayPoint| {
        let help = format!("Delay {}", words(point));
        let read = reading(values::delay, move |options: Options, delay| {
            options.with(|config| config.delay(point, delay))
        });
        Flag::new(format!("responseDelay{point:?}"), "DELAY", help, read).defaults_to("0s")
    };
    DelayPoint::ALL.iter().map(delay).collect()
}

fn words(point: DelayPoint) -> String {
    match point {
        DelayPoint::Greeting => "the greeting".to_owned(),
        DelayPoint::Mailfrom => "the reply to MAIL FROM".to_owned(),
        DelayPoint::Rcptto => "the reply to RCPT TO".to_owned(),
        DelayPoint::Message => "the reply to the message data".to_owned(),
        command => format!("the reply to {}", format!("{command:?}").to_uppercase()),
    }
}

pub(super) fn rules() -> Vec<Flag> {
    let rate = |name, help, set: fn(Config, ByteRate) -> Config| {
        let read = reading_or_default(values::parsed, move |options: Options, rate| {
            options.with(|config| set(config, rate))
        });
        Flag::new(name, "RATE", help, read)
    };
    vec![
        Flag {
            arity: Arity::Repeated,
            ..Flag::new(
                "rule",
                "RULE",
                "Change what the server does at a stage; may be repeated. Evaluated in order, before the lists",
                reading(values::lines, |options, rules: Vec<Rule>| {
                    options.with(|config| rules.into_iter().fold(config, Config::rule))
                }),
            )
        }
        .checked_as("rule"),
        Flag::new(
            "seed",
            "SEED",
            "Seed of all random choices. Default: random",
            reading_or_default(values::seed, |options: Options, seed| {
                options.with(|config| config.seed(seed))
            }),
        ),
        rate("drip", "Write every reply in pieces at this rate. Default: unlimited", Config::drip),
        rate(
            "readRate",
            "Read from every connection at this rate, which causes back pressure on the sender. Default: unlimited",
            Config::read_rate,
        ),
    ]
}

pub(super) fn limits() -> Vec<Flag> {
    let count = |name, setting, help: &str, set: fn(Config, u64) -> Config| {
        let read = reading_or_default(unless_zero(values::count), move |options: Options, count| {
            options.with(|config| set(config, count as u64))
        });
        Flag::new(name, "N", help, read).checked_as(setting)
    };
    vec![
        count(
            "maxSessions",
            "max_sessions",
            "Maximum number of open sessions; see --over-limit. Default: unlimited",
            Config::max_sessions,
        ),
        Flag::choosing(
            "overLimit",
            "WHAT",
            "Connections beyond --max-sessions: refuse (421 and close) or backlog (not accepted)",
            &[("refuse", OverLimit::Refuse), ("backlog", OverLimit::Backlog)],
            |options, value| options.with(|config| config.over_limit(value)),
        )
        .defaults_to("refuse"),
        count(
            "maxSessionsPerIp",
            "max_sessions_per_ip",
            "Maximum number of open sessions from one address; 421 beyond it. Default: unlimited",
            Config::max_sessions_per_ip,
        ),
        count(
            "maxMessagesPerSession",
            "max_messages_per_session",
            "Maximum number of messages in one session; MAIL gets 421 beyond it. Default: unlimited",
            Config::max_messages_per_session,
        ),
        count("maxRcpts", "max_rcpts", "Maximum number of recipients of one mail; RCPT gets 452 beyond it", |config, count| {
            config.max_rcpts(usize::try_from(count).unwrap_or(usize::MAX))
        })
        .defaults_to("10000"),
        Flag::new(
            "rateLimit",
            "LIMIT",
            "Maximum rate of mails or, with at=connect, of connections; 451 or 421 beyond it. Default: unlimited",
            reading_or_default(values::parsed, |options: Options, limit: RateLimit| {
                options.with(|config| config.rate_limit(limit))
            }),
        )
        .checked_as("rate_limit"),
    ]
}
