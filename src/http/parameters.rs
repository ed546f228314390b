//! The parameters after `?`: decoded, each at most once, none unknown. Pure.

use std::str::FromStr;
use std::time::Duration;

use crate::http::reply::{Refusal, invalid};
use crate::smtp::rules::{A_DURATION, nearest, parse_duration};
use crate::text::percent_decoded;

/// The hint for an empty parameter, as an unset variable makes it: treated as missing, it would select everything.
const A_VALUE: &str = "a value: without one, omit the parameter";

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<Parameter>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parameter {
    name: String,
    /// `None` without a `=`.
    value: Option<String>,
}

impl Parameters {
    /// # Errors
    /// The reply for a query that is not UTF-8, or names a parameter twice.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut all = Vec::<Parameter>::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
            let decoded =
                |text| form_decoded(text).ok_or_else(|| invalid("query", "text in UTF-8, percent-encoded"));
            let (name, value) = (decoded(name)?, value.map(decoded).transpose()?);
            if all.iter().any(|other| other.name == name) {
                return Err(invalid(name, "this parameter once"));
            }
            all.push(Parameter { name, value });
        }
        Ok(Self(all))
    }

    /// # Errors
    /// The reply for a parameter that is not among these: it would be ignored.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.iter().find(|of| !known.contains(&of.name.as_str())) {
            None => Ok(()),
            Some(Parameter { name, .. }) => {
                let hint = match (nearest(name, known.iter().copied()), known) {
                    (Some(nearest), _) => format!("did you mean {nearest}?"),
                    (None, []) => "no parameters".to_owned(),
                    (None, _) => format!("one of {}", known.join(", ")),
                };
                Err(invalid(name.clone(), hint))
            }
        }
    }

    fn find(&self, name: &str) -> Option<&Parameter> {
        self.0.iter().find(|of| of.name == name)
    }

    /// The value of a parameter; `None` where it is missing.
    ///
    /// # Errors
    /// The reply for one without a value.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        let Some(found) = self.find(name) else { return Ok(None) };
        match found.value.as_deref().filter(|value| !value.is_empty()) {
            None => Err(invalid(name, A_VALUE)),
            value => Ok(value),
        }
    }

    /// The same for interfaces in which one without a value counts as missing.
    pub(super) fn lax(&self, name: &str) -> Option<&str> {
        self.find(name)?.value.as_deref().filter(|value| !value.is_empty())
    }

    /// A parsed value.
    ///
    /// # Errors
    /// The reply with the expected value.
    pub(super) fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, Refusal> {
        self.text(name)?.map(|text| text.parse().map_err(|_| invalid(name, expected))).transpose()
    }

    /// A number within bounds.
    pub(super) fn number(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<Option<usize>, Refusal> {
        let hint = || invalid(name, format!("a whole number from {} to {}", range.start(), range.end()));
        let number = |text: &str| text.parse().ok().filter(|number| range.contains(number)).ok_or_else(hint);
        self.text(name)?.map(number).transpose()
    }

    /// `true` or `false`, by default the latter. The bare name is `true`.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Refusal> {
        if self.find(name).is_some_and(|of| of.value.is_none()) {
            return Ok(true);
        }
        Ok(self.parsed(name, "true or false")?.unwrap_or(false))
    }

    /// A duration, as on the command line.
    pub(super) fn duration(&self, name: &'static str, most: Duration) -> Result<Option<Duration>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let duration = parse_duration(text).ok_or_else(|| invalid(name, A_DURATION))?;
        match duration <= most {
            true => Ok(Some(duration)),
            false => Err(invalid(name, format!("at most {} s", most.as_secs()))),
        }
    }
}

/// Decodes percent-encoding of UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    String::from_utf8(percent_decoded(text)?).ok()
}

/// The same in a query or a form, where `+` is a space.
pub(super) fn form_decoded(text: &str) -> Option<String> {
    decoded(&text.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Parameters {
        Parameters::parse(Some(query)).expect("valid")
    }

    #[test]
    fn parameters_are_decoded_and_each_is_there_once() {
        let parameters =
            parse("query=to%3Abob%2Bx%40example.com+hi&timeout=1.5s&empty=&count=3&return=true&%C3%A4=1");
        assert_eq!(parameters.text("query").ok(), Some(Some("to:bob+x@example.com hi")));
        assert_eq!(
            parameters.duration("timeout", Duration::MAX).ok(),
            Some(Some(Duration::from_millis(1500)))
        );
        assert!(parameters.text("empty").is_err());
        assert_eq!(parameters.lax("empty"), None);
        assert_eq!(parameters.lax("count"), Some("3"));
        assert_eq!(parameters.number("count", 1..=5).ok(), Some(Some(3)));
        assert_eq!(parameters.flag("return").ok(), Some(true));
        assert_eq!(parameters.flag("missing").ok(), Some(false));
        assert_eq!(parameters.text("ä").ok(), Some(Some("1")));
        for query in ["a=1&a=2", "a=%", "a=%4", "a=%zz", "a=%ff", "%ff=1"] {
            assert!(Parameters::parse(Some(query)).is_err(), "{query}");
        }
    }

    #[test]
    fn what_would_be_ignored_or_misread_is_refused() {
        assert!(parse("query=a").only(&["query", "limit"]).is_ok());
        assert!(parse("qery=a").only(&["query", "limit"]).is_err());
        assert!(parse("a=b").only(&[]).is_err());
        for query in ["inbox=", "inbox"] {
            assert!(parse(query).text("inbox").is_err(), "{query}");
        }
        assert!(parse("").text("inbox").is_ok_and(|name| name.is_none()));
        assert_eq!(parse("return").flag("return").ok(), Some(true));
        assert!(parse("return=").flag("return").is_err());
        assert!(parse("count=").number("count", 1..=5).is_err());
        assert!(parse("timeout=").duration("timeout", Duration::MAX).is_err());
        assert!(parse("count=0").number("count", 1..=5).is_err());
        assert!(parse("count=-1").number("count", 1..=5).is_err());
        assert!(parse("return=yes").flag("return").is_err());
        assert!(parse("timeout=x").duration("timeout", Duration::MAX).is_err());
        assert!(parse("timeout=2m").duration("timeout", Duration::from_secs(60)).is_err());
    }
}
