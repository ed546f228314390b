//! What every grammar must keep: what is read prints as text that reads back as the same, and an error shows
//! a place that is there.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use smtpmock::smtp::rules::GrammarError;

/// Reads `data`, if it is text.
pub fn check<T: FromStr<Err = GrammarError> + Display + Debug + PartialEq>(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            let again = printed.parse::<T>().unwrap_or_else(|error| panic!("{printed:?}: {error}"));
            assert_eq!(again, value, "{printed:?} reads back as something else");
            assert_eq!(again.to_string(), printed);
        }
        Err(error) => {
            assert_eq!(error.text(), text);
            assert!(text.get(error.span()).is_some(), "{:?} is no part of {text:?}", error.span());
            assert!(!error.fault().to_string().is_empty() && error.marked().contains('^'));
        }
    }
}
