//! A value in a JSON document with its path, for errors.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Datelike, Utc};
use serde_json::Value;

use super::ReadError;
use crate::text::units::EXACT_IN_JSON;

/// The maximum time, in seconds: longer than any run.
const LONGEST: f64 = (1u64 << 38) as f64;

/// A value and its path in the document.
#[derive(Clone, Debug)]
pub(super) struct Node<'v> {
    value: &'v Value,
    path: String,
}

impl<'v> Node<'v> {
    /// The whole document.
    pub(super) fn of(value: &'v Value) -> Self {
        Self { value, path: String::new() }
    }

    /// An error about this value.
    pub(super) fn error(&self, problem: impl Into<String>) -> ReadError {
        ReadError::new(self.path.clone(), problem)
    }

    fn wanted<T>(&self, value: Option<T>, wanted: &str) -> Result<T, ReadError> {
        value.ok_or_else(|| {
            let text = self.value.to_string();
            let shown = if text.len() > 40 { "a longer value".to_owned() } else { text };
            self.error(format!("{shown} is not {wanted}"))
        })
    }

    fn below(&self, name: &str, value: &'v Value) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { value, path: format!("{}{dot}{name}", self.path) }
    }

    /// A field of this object, if it exists.
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        self.value.get(name).map(|value| self.below(name, value))
    }

    /// A field of this object.
    pub(super) fn field(&self, name: &str) -> Result<Self, ReadError> {
        self.get(name).ok_or_else(|| self.below(name, &Value::Null).error("is missing"))
    }

    /// The entries of this object.
    pub(super) fn entries<T>(
        &self,
        mut read: impl FnMut(&str, &Self) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let object = self.wanted(self.value.as_object(), "an object")?;
        object.iter().map(|(name, value)| read(name, &self.below(name, value))).collect()
    }

    /// The elements of this list.
    pub(super) fn each<T>(&self, read: impl Fn(&Self) -> Result<T, ReadError>) -> Result<Vec<T>, ReadError> {
        let list = self.wanted(self.value.as_array(), "a list")?;
        list.iter().enumerate().map(|(index, value)| read(&self.below(&index.to_string(), value))).collect()
    }

    /// `None` for null.
    pub(super) fn or_null<T>(
        &self,
        read: impl Fn(&Self) -> Result<T, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        if self.value.is_null() { Ok(None) } else { read(self).map(Some) }
    }

    pub(super) fn bool(&self) -> Result<bool, ReadError> {
        self.wanted(self.value.as_bool(), "true or false")
    }

    pub(super) fn text(&self) -> Result<&'v str, ReadError> {
        self.wanted(self.value.as_str(), "a text")
    }

    /// A whole number from 0.
    pub(super) fn number(&self) -> Result<u64, ReadError> {
        self.wanted(self.value.as_u64(), "a whole number from 0")
    }

    /// A count: a whole number from 0 to 2^53.
    pub(super) fn count(&self) -> Result<u64, ReadError> {
        let count = self.value.as_u64().filter(|count| *count <= EXACT_IN_JSON);
        self.wanted(count, "a count: a whole number from 0 to 2^53")
    }

    pub(super) fn seconds(&self) -> Result<Duration, ReadError> {
        let seconds = self.value.as_f64().filter(|seconds| (0.0..=LONGEST).contains(seconds));
        self.wanted(seconds, "a number of seconds from 0").map(Duration::from_secs_f64)
    }

    pub(super) fn timestamp(&self) -> Result<SystemTime, ReadError> {
        let at = self.value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        let at = at.map(|at| at.with_timezone(&Utc)).filter(|at| (1970..10_000).contains(&at.year()));
        self.wanted(at, "a time since 1970 as in RFC 3339, like 2026-11-22T22:45:24.000000Z").map(Into::into)
    }
}
