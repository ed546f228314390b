//! Messages in the interfaces of other programs: accepted ones only, with ids of letters and digits.

use std::fmt;
use std::str::FromStr;

use crate::http::Plane;
use crate::records::store::Shown;
use crate::smtp::{NoRecordId, RecordId};

/// Octets of the tag of a server in an id.
const TAG: usize = 8;

/// The id of a message with `x` for the dashes: `28t5cy4t-12-3` is `28t5cy4tx12x3`. Both are read.
///
/// This is reversible: the tag has a fixed length, and only numbers follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FacadeId(pub(super) RecordId);

impl fmt::Display for FacadeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string().replace('-', "x"))
    }
}

impl FromStr for FacadeId {
    type Err = NoRecordId;

    fn from_str(text: &str) -> Result<Self, NoRecordId> {
        let (tag, numbers) = text.split_at_checked(TAG).ok_or(NoRecordId)?;
        format!("{tag}{}", numbers.replace('x', "-")).parse().map(Self)
    }
}

/// The accepted messages, the newest first.
pub(super) fn newest(plane: &Plane) -> Vec<Shown> {
    let mut records = plane.store.snapshot_from(0).records;
    records.retain(|shown| shown.message.msg());
    records.sort_by_key(|shown| std::cmp::Reverse(shown.number));
    records
}

/// The accepted message with this id.
pub(super) fn find(id: &str, plane: &Plane) -> Option<Shown> {
    let FacadeId(id) = id.parse().ok()?;
    plane.store.find(id).filter(|shown| shown.message.msg())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::smtp::ServerTag;

    proptest! {
        #[test]
        fn an_id_is_letters_and_digits_and_reads_back(number: u64, session: u64, transaction: u32) {
            let id = RecordId { server: ServerTag::new(number), session, transaction };
            let text = FacadeId(id).to_string();
            prop_assert!(text.bytes().all(|octet| octet.is_ascii_alphanumeric()), "{}", text);
            prop_assert_eq!(text.parse(), Ok(FacadeId(id)));
            prop_assert_eq!(id.to_string().parse(), Ok(FacadeId(id)), "the id of /v1 is read too");
        }

        #[test]
        fn what_is_no_id_is_none(text in "[0-9a-zäx-]{0,16}") {
            let read = text.parse::<FacadeId>();
            prop_assert!(read.is_err() || read.is_ok_and(|id| id.to_string() == text.replace('-', "x")));
        }
    }
}
