//! Delays as distributions: how long a reply is delayed, and how often.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, Exp1, StandardNormal};

use super::grammar::{Fault, GrammarError};
use super::units::{A_CHANCE, A_DURATION, Chance, MAX_DURATION, Span, parse_duration};

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874_040_841;
/// Largest number of points: more than any measured latency table has.
const MAX_POINTS: usize = 100;

const KINDS: &[&str] = &["exp", "normal", "lognormal", "percentiles"];
const A_DELAY: &str = "a delay, like 2 (seconds), 250ms, 50ms..200ms, exp(80ms), normal(100ms,20ms), lognormal(p50=80ms,p99=400ms) or percentiles(50=20ms,100=2s)";

/// The distribution of a delay, drawn separately for each reply.
///
/// ```
/// use std::time::Duration;
/// use smtpmock::smtp::rules::Delay;
///
/// let delay: Delay = "lognormal(p50=80ms,p99=400ms),max=2s@5%".parse()?;
/// assert_eq!(delay.to_string(), "lognormal(p50=80ms,p99=400ms),max=2s@5%");
/// assert_eq!("2".parse::<Delay>()?, Delay::constant(Duration::from_secs(2)));
/// # Ok::<(), smtpmock::smtp::rules::GrammarError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delay {
    shape: Shape,
    cap: Option<Duration>,
    odds: Option<Chance>,
}

/// The constructors ensure that the parameters are within their ranges.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shape {
    Constant(Duration),
    /// The first is less than the second.
    Uniform(Duration, Duration),
    Exponential {
        mean: Duration,
    },
    /// Samples below zero count as zero.
    Normal {
        mean: Duration,
        deviation: Duration,
    },
    /// `p50` is greater than zero and at most `p99`.
    LogNormal {
        p50: Duration,
        p99: Duration,
    },
    /// Points of the distribution function, strictly increasing in both coordinates, with linear interpolation between
    /// them.
    Percentiles(Box<[(Chance, Duration)]>),
}

impl Default for Delay {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<Duration> for Delay {
    fn from(delay: Duration) -> Self {
        Self::constant(delay)
    }
}

impl Delay {
    /// No delay.
    pub const NONE: Self = Self { shape: Shape::Constant(Duration::ZERO), cap: None, odds: None };

    /// A constant delay.
    pub const fn constant(delay: Duration) -> Self {
        Self { shape: Shape::Constant(delay), cap: None, odds: None }
    }

    /// Uniform between `least` and `most`, in either order.
    pub fn uniform(least: Duration, most: Duration) -> Self {
        Self::of(match least == most {
            true => Shape::Constant(least),
            false => Shape::Uniform(least.min(most), least.max(most)),
        })
    }

    /// Exponential, like the time between independent events.
    pub fn exponential(mean: Duration) -> Self {
        Self::of(Shape::Exponential { mean })
    }

    /// Normal; samples below zero count as zero.
    pub fn normal(mean: Duration, deviation: Duration) -> Self {
        Self::of(Shape::Normal { mean, deviation })
    }

    /// Log-normal with this median and 99th percentile. `None` unless `0 < p50 <= p99`.
    pub fn log_normal(p50: Duration, p99: Duration) -> Option<Self> {
        (!p50.is_zero() && p50 <= p99).then(|| Self::of(Shape::LogNormal { p50, p99 }))
    }

    /// Limits the delay to this duration.
    #[must_use]
    pub fn max(self, cap: Duration) -> Self {
        Self { cap: Some(cap), ..self }
    }

    /// Delays only with this probability.
    #[must_use]
    pub fn odds(self, odds: Chance) -> Self {
        Self { odds: Some(odds), ..self }
    }

    /// The delay if it is constant.
    pub fn as_constant(&self) -> Option<Duration> {
        match self {
            Self { shape: Shape::Constant(delay), cap: None, odds: None } => Some(*delay),
            _ => None,
        }
    }

    /// The delay is always zero.
    pub fn is_none(&self) -> bool {
        self.as_constant() == Some(Duration::ZERO)
    }

    /// The longest duration among the parameters.
    pub(crate) fn longest_named(&self) -> Duration {
        let shape = match &self.shape {
            Shape::Constant(delay) | Shape::Uniform(_, delay) | Shape::Exponential { mean: delay } => *delay,
            Shape::Normal { mean, deviation } => *mean.max(deviation),
            Shape::LogNormal { p99, .. } => *p99,
            Shape::Percentiles(points) => points.last().map_or(Duration::ZERO, |point| point.1),
        };
        shape.max(self.cap.unwrap_or_default())
    }

    /// Draws a delay, after drawing whether there is one.
    pub fn sample(&self, rng: &mut impl Rng) -> Duration {
        if self.odds.is_some_and(|odds| rng.random::<f64>() >= odds.probability()) {
            return Duration::ZERO;
        }
        self.shape.sample(rng).min(self.cap.unwrap_or(MAX_DURATION))
    }

    fn of(shape: Shape) -> Self {
        Self { shape, cap: None, odds: None }
    }
}

impl Shape {
    fn sample(&self, rng: &mut impl Rng) -> Duration {
        let seconds = match self {
            Self::Constant(delay) => return *delay,
            Self::Uniform(least, most) => {
                let (least, most) = (least.as_secs_f64(), most.as_secs_f64());
                least + rng.random::<f64>() * (most - least)
            }
            Self::Exponential { mean } => {
                let unit: f64 = Exp1.sample(rng);
                unit * mean.as_secs_f64()
            }
            Self::Normal { mean, deviation } => {
                let unit: f64 = StandardNormal.sample(rng);
                mean.as_secs_f64() + unit * deviation.as_secs_f64()
            }
            Self::LogNormal { p50, p99 } => {
                let sigma = (p99.as_secs_f64() / p50.as_secs_f64()).ln() / Z99;
                let unit: f64 = StandardNormal.sample(rng);
                p50.as_secs_f64() * (unit * sigma).exp()
            }
            Self::Percentiles(points) => interpolate(points, rng.random()),
        };
        Duration::from_secs_f64(seconds.clamp(0.0, MAX_DURATION.as_secs_f64()))
    }
}

/// The inverse of the distribution function at `share` (from 0 to 1), in seconds. It starts at zero and is constant
/// beyond the last point.
fn interpolate(points: &[(Chance, Duration)], share: f64) -> f64 {
    let mut from = (0.0, 0.0);
    for (chance, delay) in points {
        let to = (chance.probability(), delay.as_secs_f64());
        if share <= to.0 {
            return from.1 + (to.1 - from.1) * (share - from.0) / (to.0 - from.0);
        }
        from = to;
    }
    from.1
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shape {
            Shape::Constant(delay) => write!(f, "{}", Span(*delay))?,
            Shape::Uniform(least, most) => write!(f, "{}..{}", Span(*least), Span(*most))?,
            Shape::Exponential { mean } => write!(f, "exp({})", Span(*mean))?,
            Shape::Normal { mean, deviation } => write!(f, "normal({},{})", Span(*mean), Span(*deviation))?,
            Shape::LogNormal { p50, p99 } => write!(f, "lognormal(p50={},p99={})", Span(*p50), Span(*p99))?,
            Shape::Percentiles(points) => {
                let point = |(chance, delay): &(Chance, Duration)| {
                    format!("{}={}", chance.to_string().trim_end_matches('%'), Span(*delay))
                };
                let points: Vec<_> = points.iter().map(point).collect();
                write!(f, "percentiles({})", points.join(","))?;
            }
        }
        if let Some(cap) = self.cap {
            write!(f, ",max={}", Span(cap))?;
        }
        self.odds.map_or(Ok(()), |odds| write!(f, "@{odds}"))
    }
}

impl FromStr for Delay {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        Reader { text, at: 0 }.delay()
    }
}

/// Parses a delay from left to right.
struct Reader<'t> {
    text: &'t str,
    /// Octets parsed so far.
    at: usize,
}

/// A part of the text and its position.
#[derive(Clone, Copy)]
struct Part<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn delay(mut self) -> Result<Delay, GrammarError> {
        let mut delay = Delay::of(self.shape()?);
        loop {
            self.skip(|c| c == ' ' || c == ',');
            let rest = self.rest();
            if rest.is_empty() {
                return Ok(delay);
            }
            let at = self.at;
            if let Some(behind) = rest.strip_prefix('@') {
                let part = self.part(rest.len() - behind.len());
                let odds = Chance::parse(part.text).ok_or_else(|| self.wrong(part, A_CHANCE))?;
                self.only_once(at, delay.odds.replace(odds).is_some())?;
            } else if let Some(behind) = rest.strip_prefix("max=") {
                let part = self.part(rest.len() - behind.len());
                let cap = self.duration(part)?;
                self.only_once(at, delay.cap.replace(cap).is_some())?;
            } else {
                return Err(self.error(at..self.text.len(), "max=2s, @5% or the end of the delay"));
            }
        }
    }

    fn shape(&mut self) -> Result<Shape, GrammarError> {
        self.skip(|c| c == ' ');
        let word = self.part(0);
        if self.rest().starts_with('(') {
            return self.call(word);
        }
        let wrong = |part| self.wrong(part, A_DELAY);
        match word.text.split_once("..") {
            None => parse_duration(word.text).map(Shape::Constant).ok_or_else(|| wrong(word)),
            Some((least, most)) => {
                let behind = word.at + least.len() + 2;
                let least = self.duration(Part { text: least, at: word.at })?;
                let most = self.duration(Part { text: most, at: behind })?;
                match least < most {
                    true => Ok(Shape::Uniform(least, most)),
                    false => Err(self.error(
                        word.at..word.at + word.text.len(),
                        "the smaller duration in front, like 50ms..200ms",
                    )),
                }
            }
        }
    }

    /// A name and the arguments in parentheses after it.
    fn call(&mut self, name: Part<'t>) -> Result<Shape, GrammarError> {
        let open = self.at;
        let Some(length) = self.rest().find(')') else {
            return Err(self.error(self.text.len()..self.text.len(), "a closing parenthesis"));
        };
        let inside = &self.text[open + 1..open + length];
        self.at = open + length + 1;
        let mut at = open + 1;
        let mut arguments = Vec::new();
        for piece in inside.split(',') {
            let indent = piece.len() - piece.trim_start().len();
            arguments.push(Part { text: piece.trim(), at: at + indent });
            at += piece.len() + 1;
        }
        let whole = Part { text: inside, at: open + 1 };
        match (name.text, arguments.as_slice()) {
            ("exp", [mean]) => Ok(Shape::Exponential { mean: self.duration(*mean)? }),
            ("exp", _) => Err(self.wrong(whole, "the mean, like exp(80ms)")),
            ("normal", [mean, deviation]) => {
                Ok(Shape::Normal { mean: self.duration(*mean)?, deviation: self.duration(*deviation)? })
            }
            ("normal", _) => Err(self.wrong(whole, "mean and standard deviation, like normal(100ms,20ms)")),
            ("lognormal", [p50, p99]) => self.log_normal(*p50, *p99),
            ("lognormal", _) => {
                Err(self.wrong(whole, "median and 99th percentile, like lognormal(p50=80ms,p99=400ms)"))
            }
            ("percentiles", points) => self.percentiles(points),
            (typed, _) => {
                let span = name.at..name.at + name.text.len();
                Err(GrammarError::new(self.text, span, Fault::unknown("distribution", typed, KINDS)))
            }
        }
    }

    fn log_normal(&self, p50: Part<'t>, p99: Part<'t>) -> Result<Shape, GrammarError> {
        let named = |part: Part<'t>, name: &str| match part.text.strip_prefix(name) {
            Some(text) => Ok((self.duration(Part { text, at: part.at + name.len() })?, part)),
            None => Err(self.wrong(part, format!("{name} and a duration, like {name}80ms"))),
        };
        let ((p50, _), (p99, place)) = (named(p50, "p50=")?, named(p99, "p99=")?);
        match !p50.is_zero() && p50 <= p99 {
            true => Ok(Shape::LogNormal { p50, p99 }),
            false => Err(self.wrong(place, "a 99th percentile of at least the median, and both above zero")),
        }
    }

    fn percentiles(&self, parts: &[Part<'t>]) -> Result<Shape, GrammarError> {
        let mut points: Vec<(Chance, Duration)> = Vec::new();
        for &part in parts.iter().take(MAX_POINTS + 1) {
            let (percent, delay) =
                part.text.split_once('=').ok_or_else(|| self.wrong(part, "a percentile, like 99=300ms"))?;
            let chance = Chance::parse(&format!("{percent}%"))
                .ok_or_else(|| self.wrong(part, "a percentile above 0 and up to 100, like 99=300ms"))?;
            let delay = self.duration(Part { text: delay, at: part.at + percent.len() + 1 })?;
            if points.last().is_some_and(|last| last.0 >= chance || last.1 > delay) {
                return Err(self.wrong(part, "percentiles that rise, and delays that rise with them"));
            }
            points.push((chance, delay));
        }
        if points.len() > MAX_POINTS {
            return Err(self.error(0..self.text.len(), "at most 100 percentiles"));
        }
        Ok(Shape::Percentiles(points.into()))
    }

    /// The word that begins `skipped` octets from here; parsing continues after it.
    fn part(&mut self, skipped: usize) -> Part<'t> {
        let at = self.at + skipped;
        let rest = &self.text[at..];
        let text = &rest[..rest.find(['(', ')', ',', '@', ' ']).unwrap_or(rest.len())];
        self.at = at + text.len();
        Part { text, at }
    }

    fn duration(&self, part: Part<'t>) -> Result<Duration, GrammarError> {
        parse_duration(part.text).ok_or_else(|| self.wrong(part, A_DURATION))
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) {
        self.at = self.text.len() - self.rest().trim_start_matches(is_skipped).len();
    }

    fn only_once(&self, from: usize, is_repeated: bool) -> Result<(), GrammarError> {
        if is_repeated {
            Err(GrammarError::new(self.text, from..self.at, Fault::Repeated("this".into())))
        } else {
            Ok(())
        }
    }

    fn wrong(&self, part: Part<'t>, expected: impl Into<Cow<'static, str>>) -> GrammarError {
        self.error(part.at..part.at + part.text.len(), expected)
    }

    fn error(&self, span: std::ops::Range<usize>, expected: impl Into<Cow<'static, str>>) -> GrammarError {
        GrammarError::expected(self.text, span, expected)
    }
}

#[cfg(test)]
pub(super) mod tests;
