//! Values that can be added up: over shards, over machines, and by difference over time.

use std::collections::BTreeMap;

/// A value that can be added up over shards and subtracted over time.
pub(crate) trait Additive {
    /// Adds another value.
    fn merge(&mut self, other: &Self);

    /// Subtracts an earlier reading of the same value.
    fn subtract(&mut self, earlier: &Self);
}

impl Additive for u64 {
    /// Saturates at 64 bits; a report refuses counts that large.
    fn merge(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }

    fn subtract(&mut self, earlier: &Self) {
        *self = self.saturating_sub(*earlier);
    }
}

/// Adds up a struct by the fields before the semicolon; those after it are set by the server. It does not compile
/// unless all fields are listed.
macro_rules! by_fields {
    ($type:ty: $($field:ident),+ $(; $($other:ident),+)?) => {
        impl $crate::stats::Additive for $type {
            fn merge(&mut self, other: &Self) {
                let Self { $($field,)+ $($($other: _,)+)? } = self;
                $($crate::stats::Additive::merge($field, &other.$field);)+
            }

            fn subtract(&mut self, earlier: &Self) {
                let Self { $($field,)+ $($($other: _,)+)? } = self;
                $($crate::stats::Additive::subtract($field, &earlier.$field);)+
            }
        }
    };
}
pub(crate) use by_fields;

/// True in a sum if it is true in a part.
impl Additive for bool {
    fn merge(&mut self, other: &Self) {
        *self |= *other;
    }

    fn subtract(&mut self, _earlier: &Self) {}
}

/// A maximum. Differences retain it, because the time at which it occurred is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak(u64);

impl Peak {
    /// The highest value.
    pub fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn see(&mut self, value: u64) {
        self.0 = self.0.max(value);
    }
}

impl Additive for Peak {
    fn merge(&mut self, other: &Self) {
        self.see(other.0);
    }

    fn subtract(&mut self, _earlier: &Self) {}
}

impl Additive for BTreeMap<u16, u64> {
    fn merge(&mut self, other: &Self) {
        for (code, count) in other {
            self.entry(*code).or_default().merge(count);
        }
    }

    fn subtract(&mut self, earlier: &Self) {
        for (code, count) in earlier {
            if let Some(own) = self.get_mut(code) {
                own.subtract(count);
            }
        }
        self.retain(|_, count| *count > 0);
    }
}
