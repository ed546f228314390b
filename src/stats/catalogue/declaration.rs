//! The declaration of figures: once, at the field that gathers it, with its name, unit and meaning.

use std::collections::BTreeMap;

use super::{Figure, Metric, Unit};
use crate::stats::{Durations, Numbers, Peak, Tally};

/// Mutable access to a figure, to set it from a file.
#[cfg(feature = "report")]
#[derive(Debug)]
pub(crate) enum Slot<'s> {
    /// A count.
    Count(&'s mut u64),
    /// A count whose sum is the maximum.
    Peak(&'s mut Peak),
    /// A count that not every system reports.
    Optional(&'s mut Option<u64>),
    /// Durations.
    Durations(&'s mut Durations),
    /// Numbers.
    Numbers(&'s mut Numbers),
    /// None: the figure is computed from others.
    Derived,
}

/// A type that can be a figure.
pub(in crate::stats) trait Value {
    fn metric(&self) -> Option<Metric<'_>>;

    #[cfg(feature = "report")]
    fn slot(&mut self) -> Slot<'_>;
}

/// Implements [`Value`]: how a figure of this type is read and set.
macro_rules! value {
    ($type:ty, $this:ident => $metric:expr, $slot:expr) => {
        impl Value for $type {
            fn metric(&self) -> Option<Metric<'_>> {
                let $this = self;
                $metric
            }

            #[cfg(feature = "report")]
            fn slot(&mut self) -> Slot<'_> {
                let $this = self;
                $slot
            }
        }
    };
}

value!(u64, this => Some(Metric::Count(*this)), Slot::Count(this));
value!(Peak, this => Some(Metric::Count(this.get())), Slot::Peak(this));
value!(Option<u64>, this => this.map(Metric::Count), Slot::Optional(this));
value!(Durations, this => Some(Metric::Durations(this)), Slot::Durations(this));
value!(Numbers, this => Some(Metric::Numbers(this)), Slot::Numbers(this));
/// Counts by code. The figure is their sum; reports list each count too.
impl Value for BTreeMap<u16, u64> {
    fn metric(&self) -> Option<Metric<'_>> {
        // Counts from a file may overflow.
        Some(Metric::Count(self.values().fold(0, |sum, count| sum.saturating_add(*count))))
    }

    #[cfg(feature = "report")]
    fn slot(&mut self) -> Slot<'_> {
        Slot::Derived
    }
}

/// Counts by name. The figure is their sum; reports list each count too.
impl Value for Tally {
    fn metric(&self) -> Option<Metric<'_>> {
        Some(Metric::Count(self.total()))
    }

    #[cfg(feature = "report")]
    fn slot(&mut self) -> Slot<'_> {
        Slot::Derived
    }
}

/// A figure of a struct.
pub(in crate::stats) struct Line<T: 'static> {
    pub(in crate::stats) name: &'static str,
    pub(in crate::stats) unit: Unit,
    pub(in crate::stats) meaning: &'static str,
    pub(in crate::stats) metric: fn(&T) -> Option<Metric<'_>>,
    #[cfg(feature = "report")]
    pub(in crate::stats) slot: fn(&mut T) -> Slot<'_>,
}

impl<T> Line<T> {
    pub(super) fn figure<'s>(&self, name: String, of: &'s T) -> Figure<'s> {
        Figure { name, unit: self.unit, meaning: self.meaning, value: (self.metric)(of) }
    }
}

/// A struct that has figures.
pub(in crate::stats) trait Figures: Sized + 'static {
    /// Its fields in order; `None` for a field that is not a figure.
    const LINES: &'static [Option<Line<Self>>];

    fn lines() -> impl Iterator<Item = &'static Line<Self>> {
        Self::LINES.iter().flatten()
    }

    /// All of its figures, in order.
    fn figures(&self) -> impl Iterator<Item = Figure<'_>> {
        Self::lines().map(|line| line.figure(line.name.to_owned(), self))
    }

    /// Mutable access to the figure of this name.
    #[cfg(feature = "report")]
    fn slot(&mut self, name: &str) -> Option<Slot<'_>> {
        let line = Self::lines().find(|line| line.name == name)?;
        Some((line.slot)(self))
    }
}

/// Declares a struct with a description of each field: its documentation and, in brackets, the name of the figure in
/// reports, its unit, and its meaning in one line. The type determines how values are added up. A field with `[no
/// figure]` is added up but not listed. A field without brackets does not compile.
macro_rules! figures {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $(
                $(#[$documentation:meta])*
                pub $field:ident: $type:ty = [$($figure:tt)*],
            )+
        }
    ) => {
        $(#[$attribute])*
        pub struct $name {
            $($(#[$documentation])* pub $field: $type,)+
        }

        $crate::stats::by_fields!($name: $($field),+);

        impl $crate::stats::catalogue::Figures for $name {
            const LINES: &'static [Option<$crate::stats::catalogue::Line<Self>>] =
                &[$($crate::stats::catalogue::line!($field, $($figure)*)),+];
        }
    };
}
pub(in crate::stats) use figures;

macro_rules! line {
    ($field:ident, no figure) => {
        None
    };
    ($field:ident, $name:literal, $unit:ident, $meaning:literal) => {
        Some($crate::stats::catalogue::Line {
            name: $name,
            unit: $crate::stats::catalogue::Unit::$unit,
            meaning: $meaning,
            metric: |of| $crate::stats::catalogue::Value::metric(&of.$field),
            #[cfg(feature = "report")]
            slot: |of| $crate::stats::catalogue::Value::slot(&mut of.$field),
        })
    };
}
pub(in crate::stats) use line;
