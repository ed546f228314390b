//! Token buckets, and the rate limit that uses them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::grammar::{Fault, GrammarError};
use super::units::PERIODS;

const A_LIMIT: &str =
    "a rate, like 100/s, 30/m or 10/h, and perhaps burst=20, per=ip or at=connect behind it";
/// Largest rate per second: more than a server can process.
const MAX_EVENTS: u64 = 1_000_000_000;

/// A full bucket allows a burst, and is refilled at a constant rate.
///
/// Its state is the time at which it will be full again: taking a token moves that by one interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: Duration,
}

impl Bucket {
    /// Takes a token if one is left.
    pub(super) fn take(&mut self, now: Duration, limit: &RateLimit) -> bool {
        let interval = limit.interval();
        let full_at = self.full_at.max(now).saturating_add(interval);
        let depth = interval.saturating_mul(limit.burst);
        let is_there = full_at.saturating_sub(now) <= depth;
        if is_there {
            self.full_at = full_at;
        }
        is_there
    }
}

/// What each bucket of a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RateScope {
    /// The server.
    #[default]
    Total,
    /// Each client address.
    Ip,
    /// Each sender's domain.
    Domain,
}

/// What a rate limit applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RatePoint {
    /// New connections: 421 instead of the greeting, then closed.
    Connect,
    /// Mail transactions: 451 in reply to MAIL.
    #[default]
    Mail,
}

/// A limit on the rate of connections or mail transactions.
///
/// As text: `100/s`, `30/m per=ip`, `10/h burst=1 per=domain`, `50/s at=connect`.
///
/// ```
/// use smtpmock::{Config, smtp::rules::{RateLimit, RateScope}};
///
/// let limit: RateLimit = "100/s per=ip".parse()?;
/// assert_eq!(Some(limit), RateLimit::per_second(100).map(|limit| limit.scope(RateScope::Ip)));
/// let config = Config::default().rate_limit(limit);
/// # Ok::<(), smtpmock::smtp::rules::GrammarError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    /// From 1 to [`MAX_EVENTS`].
    events: u64,
    /// Index into [`PERIODS`].
    period: u8,
    /// At least 1.
    burst: u32,
    scope: RateScope,
    point: RatePoint,
}

const SCOPES: &[(&str, RateScope)] =
    &[("total", RateScope::Total), ("ip", RateScope::Ip), ("domain", RateScope::Domain)];
const POINTS: &[(&str, RatePoint)] = &[("connect", RatePoint::Connect), ("mail", RatePoint::Mail)];

impl RateLimit {
    /// This many per second, and as many at once after a pause. `None` for zero.
    pub fn per_second(events: u64) -> Option<Self> {
        let burst = u32::try_from(events).unwrap_or(u32::MAX);
        let limit = Self { events, period: 0, burst, scope: RateScope::Total, point: RatePoint::Mail };
        (1..=MAX_EVENTS).contains(&events).then_some(limit)
    }

    /// Allows at most this many at once, at least 1.
    #[must_use]
    pub fn burst(self, burst: u32) -> Self {
        Self { burst: burst.max(1), ..self }
    }

    /// Applies the limit to each of these separately.
    #[must_use]
    pub fn scope(self, scope: RateScope) -> Self {
        Self { scope, ..self }
    }

    /// Limits connections, or mail transactions (the default). The sender's domain is known only for the latter.
    #[must_use]
    pub fn point(self, point: RatePoint) -> Self {
        Self { point, ..self }
    }

    pub(in crate::smtp) fn counts_by(&self) -> RateScope {
        self.scope
    }

    pub(in crate::smtp) fn is_at(&self, point: RatePoint) -> bool {
        self.point == point
    }

    /// Why the limit is invalid, if it is.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let is_too_early = self.scope == RateScope::Domain && self.point == RatePoint::Connect;
        is_too_early.then_some("at=mail beside per=domain: nobody has named a sender at connect")
    }

    /// Time for one token; rounded up, so that the rate is never above the limit.
    fn interval(&self) -> Duration {
        let seconds = PERIODS[usize::from(self.period)].1;
        Duration::from_nanos((seconds * 1_000_000_000).div_ceil(self.events))
    }
}

impl FromStr for RateLimit {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let wrong = |from: usize, to: usize, fault| GrammarError::new(text, from..to, fault);
        let mut limit: Option<Self> = None;
        for word in text.split_whitespace() {
            let from = word.as_ptr() as usize - text.as_ptr() as usize;
            let to = from + word.len();
            let Some(rate) = limit else {
                let read = read_rate(word).ok_or_else(|| wrong(from, to, Fault::expected(A_LIMIT)))?;
                limit = Some(read);
                continue;
            };
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let value_at = (from + name.len() + 1).min(to);
            limit = Some(match name {
                "burst" => {
                    let burst = value.parse().ok().filter(|&burst| burst > 0);
                    let reason = || wrong(value_at, to, Fault::expected("a whole number from 1"));
                    rate.burst(burst.ok_or_else(reason)?)
                }
                "per" => rate.scope(one_of(value, SCOPES).map_err(|fault| wrong(value_at, to, fault))?),
                "at" => rate.point(one_of(value, POINTS).map_err(|fault| wrong(value_at, to, fault))?),
                name => {
                    let fault = Fault::unknown("part of a rate limit", name, &["burst=", "per=", "at="]);
                    return Err(wrong(from, to, fault));
                }
            });
        }
        let limit = limit.ok_or_else(|| wrong(text.len(), text.len(), Fault::expected(A_LIMIT)))?;
        match limit.contradiction() {
            Some(expected) => Err(wrong(0, text.len(), Fault::expected(expected))),
            None => Ok(limit),
        }
    }
}

fn read_rate(word: &str) -> Option<RateLimit> {
    let (events, unit) = word.split_once('/')?;
    let period = PERIODS.iter().position(|(name, _)| *name == unit)?;
    let limit = RateLimit::per_second(events.parse().ok()?)?;
    Some(RateLimit { period: u8::try_from(period).ok()?, ..limit })
}

fn one_of<T: Copy>(word: &str, choices: &[(&str, T)]) -> Result<T, Fault> {
    let names: Vec<_> = choices.iter().map(|&(name, _)| name).collect();
    choices
        .iter()
        .find(|(name, _)| *name == word)
        .map(|&(_, value)| value)
        .ok_or_else(|| Fault::unknown("value", word, &names))
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, period, burst, scope, point } = self;
        write!(f, "{events}/{}", PERIODS[usize::from(*period)].0)?;
        if u64::from(*burst) != *events {
            write!(f, " burst={burst}")?;
        }
        match scope {
            RateScope::Total => {}
            RateScope::Ip => f.write_str(" per=ip")?,
            RateScope::Domain => f.write_str(" per=domain")?,
        }
        if *point == RatePoint::Connect { f.write_str(" at=connect") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> RateLimit {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_limit_is_printed_as_text_that_parses_to_the_same_limit() {
        for text in ["100/s", "30/m per=ip", "10/h burst=1 per=domain", "5/s at=connect"] {
            assert_eq!(limit(text).to_string(), text);
        }
        for (text, caret) in [("100", 0..3), ("1/s brust=2", 4..11), ("1/s per=hour", 8..12), ("0/s", 0..3)] {
            assert_eq!(text.parse::<RateLimit>().unwrap_err().span(), caret, "{text}");
        }
    }

    #[test]
    fn a_bucket_allows_a_burst_and_then_the_rate() {
        let limit = limit("10/s burst=3");
        let mut bucket = Bucket::default();
        let mut let_through = Vec::new();
        for milliseconds in 0..1000 {
            if bucket.take(Duration::from_millis(milliseconds), &limit) {
                let_through.push(milliseconds);
            }
        }
        assert_eq!(let_through[..5], [0, 1, 2, 100, 200]);
        assert_eq!(let_through.len(), 3 + 9);
    }
}
