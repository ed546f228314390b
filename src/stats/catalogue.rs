//! All figures by name: the list that reports, files and expectations use.

mod declaration;
mod figures;

use super::{Durations, Numbers, Stats};

#[cfg(feature = "report")]
pub(crate) use declaration::Slot;
pub(in crate::stats) use declaration::{Figures, Line, Value, figures, line};

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric<'s> {
    /// A count.
    Count(u64),
    /// A distribution of durations.
    Durations(&'s Durations),
    /// A distribution of numbers.
    Numbers(&'s Numbers),
}

impl<'s> Metric<'s> {
    /// The values of a distribution, durations in microseconds; `None` for a count.
    pub fn as_numbers(self) -> Option<&'s Numbers> {
        match self {
            Self::Count(_) => None,
            Self::Durations(durations) => Some(durations.as_numbers()),
            Self::Numbers(numbers) => Some(numbers),
        }
    }
}

/// The unit of a figure or of the values of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Number,
    /// Octets.
    Octets,
    /// Octets per second.
    OctetsPerSecond,
    /// Time.
    Microseconds,
}

impl Unit {
    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Octets => "octets",
            Self::OctetsPerSecond => "octets/s",
            Self::Microseconds => "µs",
        }
    }
}

/// A figure with its description.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Figure<'s> {
    /// Its name. Figures of a stage end with the stage's name: `think.mail`, `refused.rcpt`.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Its meaning, in one line.
    pub meaning: &'static str,
    /// Its value; `None` if the system does not report it.
    pub value: Option<Metric<'s>>,
}

impl Stats {
    /// All figures, in the order of reports.
    pub fn figures(&self) -> Vec<Figure<'_>> {
        figures::all(self)
    }

    /// All figures with their names, in the order of reports. Counts that the system does not report are zero.
    pub fn metrics(&self) -> Vec<(String, Metric<'_>)> {
        let figures = self.figures().into_iter();
        figures.map(|figure| (figure.name, figure.value.unwrap_or(Metric::Count(0)))).collect()
    }

    /// The figure of this name.
    pub fn metric(&self, name: &str) -> Option<Metric<'_>> {
        self.figure(name).map(|figure| figure.value.unwrap_or(Metric::Count(0)))
    }

    /// The figure of this name, with its description.
    pub(super) fn figure(&self, name: &str) -> Option<Figure<'_>> {
        self.figures().into_iter().find(|figure| figure.name == name)
    }

    /// Mutable access to the figure of this name.
    #[cfg(feature = "report")]
    pub(crate) fn slot(&mut self, name: &str) -> Option<Slot<'_>> {
        figures::slot(self, name)
    }
}
