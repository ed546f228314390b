//! Marks: readings of all figures, from which the figures of a phase are differences ([`Stats::since`]).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use hyper::StatusCode;

use crate::http::reply::{Refusal, error, invalid};
use crate::process::lock;
use crate::stats::Stats;

/// Largest number of marks. Each has a histogram for each distribution: some hundred KiB in a usual run.
pub(super) const MOST_MARKS: usize = 32;
/// Letters of a name.
const MOST_LETTERS: usize = 64;
const A_NAME: &str = "a name of 1 to 64 letters, digits, \".\", \"_\" and \"-\"";

/// The marks of a server, oldest first. Another one beyond [`MOST_MARKS`] replaces the oldest.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    marks: VecDeque<(String, Arc<Stats>)>,
    /// The last number that was used as a name.
    last: u64,
}

/// # Errors
/// 400 for an invalid name.
pub(super) fn checked(name: &str) -> Result<&str, Refusal> {
    let is_letter = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    let is_name = (1..=MOST_LETTERS).contains(&name.len()) && name.bytes().all(is_letter);
    if is_name { Ok(name) } else { Err(invalid("name", A_NAME)) }
}

impl Marks {
    /// Remembers a reading and returns its id: the name, or a number. A mark of this name is replaced.
    pub(super) fn set(&self, name: Option<String>, stats: Stats) -> String {
        let mut inner = lock(&self.0);
        let id = name.unwrap_or_else(|| inner.unused());
        inner.marks.retain(|(other, _)| *other != id);
        if inner.marks.len() == MOST_MARKS {
            inner.marks.pop_front();
        }
        inner.marks.push_back((id.clone(), Arc::new(stats)));
        id
    }

    /// All marks, the oldest first.
    pub(super) fn all(&self) -> Vec<(String, Arc<Stats>)> {
        lock(&self.0).marks.iter().cloned().collect()
    }

    /// The reading of a mark.
    ///
    /// # Errors
    /// 404 for an unknown mark.
    pub(super) fn get(&self, id: &str) -> Result<Arc<Stats>, Refusal> {
        let inner = lock(&self.0);
        let found = inner.marks.iter().find(|(own, _)| own == id);
        found.map(|(_, stats)| Arc::clone(stats)).ok_or_else(|| {
            let hint =
                format!("the id of a mark, which POST /v1/marks returns: one of the last {MOST_MARKS}");
            error(StatusCode::NOT_FOUND, "no_such_mark", "since", hint)
        })
    }
}

impl Inner {
    /// A number that no mark has as its name.
    fn unused(&mut self) -> String {
        loop {
            self.last += 1;
            let id = self.last.to_string();
            if !self.marks.iter().any(|(other, _)| *other == id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(seed: u64) -> Stats {
        Stats { seed, ..Stats::default() }
    }

    fn seed_of(marks: &Marks, id: &str) -> Option<u64> {
        marks.get(id).ok().map(|stats| stats.seed)
    }

    #[test]
    fn a_mark_has_its_name_or_a_number_that_no_other_has() {
        let marks = Marks::default();
        assert_eq!(marks.set(Some("2".into()), reading(1)), "2");
        assert_eq!(marks.set(None, reading(2)), "1");
        assert_eq!(marks.set(None, reading(3)), "3");
        assert_eq!(marks.set(Some("2".into()), reading(4)), "2");
        assert_eq!(["1", "2", "3", "4"].map(|id| seed_of(&marks, id)), [Some(2), Some(4), Some(3), None]);
    }

    #[test]
    fn the_newest_are_remembered() {
        let marks = Marks::default();
        let last = MOST_MARKS as u64 + 5;
        (1..=last).for_each(|number| _ = marks.set(None, reading(number)));
        for number in 1..=last {
            assert_eq!(seed_of(&marks, &number.to_string()), (number > 5).then_some(number));
        }
    }

    #[test]
    fn names_are_short_and_need_no_encoding() {
        for (name, is_one) in [("warm-up_1.x", true), ("", false), ("a b", false), ("ä", false)] {
            assert_eq!(checked(name).is_ok(), is_one, "{name}");
        }
        assert!(checked(&"x".repeat(64)).is_ok() && checked(&"x".repeat(65)).is_err());
    }
}
