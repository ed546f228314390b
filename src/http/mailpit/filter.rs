//! Which messages a search finds: the terms of [`Query`], and those about marks.

use crate::http::Plane;
use crate::http::desk::{Abandoned, Asker};
use crate::http::facade::newest;
use crate::http::mailpit::bad_request;
use crate::http::mailpit::marks::Mark;
use crate::http::reply::Refusal;
use crate::records::store::Shown;
use crate::search::{Candidate, Query};

/// A search.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    query: Query,
    marks: Vec<MarkTerm>,
}

#[derive(Clone, Debug)]
struct MarkTerm {
    is_negated: bool,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Read,
    Unread,
    Tagged,
    Tag(String),
}

/// A message and its mark.
pub(super) type Marked = (Shown, Mark);

impl Filter {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut marks = Vec::new();
        let takes = |term: &str, is_negated| {
            let Some(test) = Test::parse(term) else { return false };
            marks.push(MarkTerm { is_negated, test });
            true
        };
        let query = Query::parse_lax(text, takes).map_err(|error| bad_request(format!("Error: {error}")))?;
        Ok(Self { query, marks })
    }

    /// All messages, the newest first, and those of them that are found.
    pub(super) fn apply(&self, plane: &Plane, asker: &Asker) -> Result<Found, Abandoned> {
        let all = newest(plane);
        let marks = plane.mailpit.marks.of_all(&all);
        let all: Vec<_> = all.into_iter().zip(marks).collect();
        let chosen = asker.filter(0..all.len(), |index| self.covers(&all[*index], plane))?;
        Ok(Found { all, chosen })
    }

    fn covers(&self, (shown, mark): &Marked, plane: &Plane) -> bool {
        self.marks.iter().all(|term| term.test.holds(mark) != term.is_negated)
            && (self.query.is_empty()
                || self
                    .query
                    .selects(Candidate { message: &shown.message, index: &plane.indexes.index(shown) }))
    }
}

/// All messages, and those of them that are found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) all: Vec<Marked>,
    /// Indexes of those that are found.
    chosen: Vec<usize>,
}

impl Found {
    pub(super) fn chosen(&self) -> impl ExactSizeIterator<Item = &Marked> {
        self.chosen.iter().map(|index| &self.all[*index])
    }
}

impl Test {
    fn parse(term: &str) -> Option<Self> {
        let (prefix, value) = term.split_once(':')?;
        let value = value.trim();
        match (prefix.to_ascii_lowercase().as_str(), value.to_ascii_lowercase().as_str()) {
            ("is", "read") => Some(Self::Read),
            ("is", "unread") => Some(Self::Unread),
            ("is", "tagged") => Some(Self::Tagged),
            ("tag", _) => Some(Self::Tag(value.to_owned())),
            _ => None,
        }
    }

    fn holds(&self, mark: &Mark) -> bool {
        match self {
            Self::Read => mark.is_read,
            Self::Unread => !mark.is_read,
            Self::Tagged => !mark.tags.is_empty(),
            Self::Tag(tag) => mark.has_tag(tag),
        }
    }
}
