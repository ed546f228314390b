//! The parameters behind `?`: decoded, each at most once, none unknown. Pure.

use std::str::FromStr;
use std::time::Duration;

use crate::http::reply::{Refusal, invalid};
use crate::smtp::rules::{A_DURATION, nearest, parse_duration};
use crate::text::percent_decoded;

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// # Errors
    /// The reply for a query that is not UTF-8, or names a parameter twice.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut all = Vec::<(String, String)>::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded =
                |text| form_decoded(text).ok_or_else(|| invalid("query", "text in UTF-8, percent-encoded"));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if all.iter().any(|(other, _)| *other == name) {
                return Err(invalid(name, "this parameter once"));
            }
            all.push((name, value));
        }
        Ok(Self(all))
    }

    /// # Errors
    /// The reply for a parameter that is not among these: it would be ignored.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let hint = match (nearest(name, known.iter().copied()), known) {
                    (Some(nearest), _) => format!("did you mean {nearest}?"),
                    (None, []) => "no parameters".to_owned(),
                    (None, _) => format!("one of {}", known.join(", ")),
                };
                Err(invalid(name.clone(), hint))
            }
        }
    }

    /// The value of a parameter; `None` where it is missing or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The value of a parameter that would select everything if it were empty, as an unset variable makes it.
    ///
    /// # Errors
    /// The reply for an empty one.
    pub(super) fn name(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        match (self.text(name), self.0.iter().any(|(other, _)| other == name)) {
            (None, true) => Err(invalid(name, "a name that is not empty")),
            (text, _) => Ok(text),
        }
    }

    /// A parsed value.
    ///
    /// # Errors
    /// The reply with what is expected.
    pub(super) fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, Refusal> {
        self.text(name).map(|text| text.parse().map_err(|_| invalid(name, expected))).transpose()
    }

    /// A number within bounds.
    pub(super) fn number(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<Option<usize>, Refusal> {
        let hint = || invalid(name, format!("a whole number from {} to {}", range.start(), range.end()));
        let number = |text: &str| text.parse().ok().filter(|number| range.contains(number)).ok_or_else(hint);
        self.text(name).map(number).transpose()
    }

    /// `true` or `false`, by default the latter.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Refusal> {
        Ok(self.parsed(name, "true or false")?.unwrap_or(false))
    }

    /// A duration, as on the command line.
    pub(super) fn duration(&self, name: &'static str, most: Duration) -> Result<Option<Duration>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
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
        assert_eq!(parameters.text("query"), Some("to:bob+x@example.com hi"));
        assert_eq!(
            parameters.duration("timeout", Duration::MAX).ok(),
            Some(Some(Duration::from_millis(1500)))
        );
        assert_eq!(parameters.text("empty"), None);
        assert_eq!(parameters.number("count", 1..=5).ok(), Some(Some(3)));
        assert_eq!(parameters.flag("return").ok(), Some(true));
        assert_eq!(parameters.flag("missing").ok(), Some(false));
        assert_eq!(parameters.text("ä"), Some("1"));
        for query in ["a=1&a=2", "a=%", "a=%4", "a=%zz", "a=%ff", "%ff=1"] {
            assert!(Parameters::parse(Some(query)).is_err(), "{query}");
        }
    }

    #[test]
    fn what_would_be_ignored_or_misread_is_refused() {
        assert!(parse("query=a").only(&["query", "limit"]).is_ok());
        assert!(parse("qery=a").only(&["query", "limit"]).is_err());
        assert!(parse("a=b").only(&[]).is_err());
        assert!(parse("inbox=").name("inbox").is_err());
        assert!(parse("").name("inbox").is_ok_and(|name| name.is_none()));
        assert!(parse("count=0").number("count", 1..=5).is_err());
        assert!(parse("count=-1").number("count", 1..=5).is_err());
        assert!(parse("return=yes").flag("return").is_err());
        assert!(parse("timeout=x").duration("timeout", Duration::MAX).is_err());
        assert!(parse("timeout=2m").duration("timeout", Duration::from_secs(60)).is_err());
    }
}
