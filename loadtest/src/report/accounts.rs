//! An [`Accounting`] in JSON: totals, and a row per cause.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::account::accounting::{Abort, Accounting};
use crate::client::enhanced::Enhanced;
use crate::client::phase::Phase;

#[derive(Serialize, Deserialize)]
struct View {
    started: u64,
    accepted: u64,
    refused_4xx: u64,
    refused_5xx: u64,
    aborted: u64,
    timed_out: u64,
    in_flight: u64,
    /// Absent in older reports.
    in_doubt: Option<u64>,
    unsent: u64,
    recipients_accepted: u64,
    recipients_refused: Vec<ByCode>,
    /// Absent in older reports, like that of the recipients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recipients_refused_by_enhanced: Vec<ByEnhanced>,
    refused_by: Vec<ByReply>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refused_by_enhanced: Vec<ByPhaseAndEnhanced>,
    aborted_by: Vec<ByReason>,
    timed_out_by: Vec<ByPhase>,
}

#[derive(Serialize, Deserialize)]
struct ByCode {
    code: u16,
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct ByReply {
    phase: Phase,
    code: u16,
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct ByEnhanced {
    code: u16,
    #[serde(with = "as_text")]
    enhanced: Enhanced,
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct ByPhaseAndEnhanced {
    phase: Phase,
    #[serde(flatten)]
    by: ByEnhanced,
}

#[derive(Serialize, Deserialize)]
struct ByReason {
    phase: Phase,
    reason: Abort,
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct ByPhase {
    phase: Phase,
    count: u64,
}

impl Serialize for Accounting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let view = View {
            started: self.started,
            accepted: self.accepted,
            refused_4xx: self.refused_class(4),
            refused_5xx: self.refused_class(5),
            aborted: self.aborted_total(),
            timed_out: self.timed_out_total(),
            in_flight: self.in_flight,
            in_doubt: Some(self.in_doubt),
            unsent: self.unsent,
            recipients_accepted: self.recipients_accepted,
            recipients_refused: self
                .recipients_refused
                .iter()
                .map(|(code, count)| ByCode { code: *code, count: *count })
                .collect(),
            recipients_refused_by_enhanced: self
                .recipients_refused_enhanced
                .iter()
                .map(|((code, enhanced), count)| ByEnhanced {
                    code: *code,
                    enhanced: *enhanced,
                    count: *count,
                })
                .collect(),
            refused_by: self
                .refused
                .iter()
                .map(|((phase, code), count)| ByReply { phase: *phase, code: *code, count: *count })
                .collect(),
            refused_by_enhanced: self
                .refused_enhanced
                .iter()
                .map(|((phase, code, enhanced), count)| ByPhaseAndEnhanced {
                    phase: *phase,
                    by: ByEnhanced { code: *code, enhanced: *enhanced, count: *count },
                })
                .collect(),
            aborted_by: self
                .aborted
                .iter()
                .map(|((phase, reason), count)| ByReason { phase: *phase, reason: *reason, count: *count })
                .collect(),
            timed_out_by: self
                .timed_out
                .iter()
                .map(|(phase, count)| ByPhase { phase: *phase, count: *count })
                .collect(),
        };
        view.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Accounting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Accounting, D::Error> {
        let view = View::deserialize(deserializer)?;
        let codes = view.refused_by.iter().map(|row| row.code);
        if let Some(code) = codes
            .chain(view.recipients_refused.iter().map(|row| row.code))
            .find(|code| !(400..600).contains(code))
        {
            return Err(D::Error::custom(format!("{code} is not the code of a refusal, 400 to 599")));
        }
        let mut account = Accounting {
            started: view.started,
            accepted: view.accepted,
            refused: view.refused_by.iter().map(|row| ((row.phase, row.code), row.count)).collect(),
            refused_enhanced: view
                .refused_by_enhanced
                .iter()
                .map(|row| ((row.phase, row.by.code, row.by.enhanced), row.by.count))
                .collect(),
            aborted: view.aborted_by.iter().map(|row| ((row.phase, row.reason), row.count)).collect(),
            timed_out: view.timed_out_by.iter().map(|row| (row.phase, row.count)).collect(),
            in_flight: view.in_flight,
            in_doubt: 0,
            unsent: view.unsent,
            recipients_accepted: view.recipients_accepted,
            recipients_refused: view.recipients_refused.iter().map(|row| (row.code, row.count)).collect(),
            recipients_refused_enhanced: view
                .recipients_refused_by_enhanced
                .iter()
                .map(|row| ((row.code, row.enhanced), row.count))
                .collect(),
        };
        if !account.balances() {
            return Err(D::Error::custom(
                "the account does not add up: started is not the sum of the outcomes",
            ));
        }
        account.in_doubt = view.in_doubt.unwrap_or_else(|| account.most_in_doubt());
        if !account.doubts_are_undecided() {
            return Err(D::Error::custom(
                "in_doubt is more than the messages without a reply: aborted, timed_out and in_flight",
            ));
        }
        if !account.enhanced_are_refusals() {
            return Err(D::Error::custom("refusals by enhanced code are not among those by code"));
        }
        Ok(account)
    }
}

/// An enhanced code as a text, like `5.1.1`.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::client::enhanced::Enhanced;

    pub(super) fn serialize<S: Serializer>(code: &Enhanced, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(code)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Enhanced, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|why| D::Error::custom(format!("`{text}`: {why}")))
    }
}
