//! The texts of replies that refused something. Pure.

use std::collections::BTreeMap;

use crate::client::phase::Phase;

/// The most kinds of refusals with a text; a server has 200 codes for each phase.
const KINDS_LIMIT: usize = 64;

/// The longest text, in octets: it is for people, and a reply's line may be far longer.
const TEXT_LIMIT: usize = 128;

/// The text of the first refusal of each phase and code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts(BTreeMap<(Phase, u16), String>);

impl Texts {
    /// Notes the text in the last line of a reply that refused.
    pub(crate) fn note(&mut self, phase: Phase, code: u16, text: &[u8]) {
        if self.0.len() < KINDS_LIMIT && !self.0.contains_key(&(phase, code)) {
            let text = String::from_utf8_lossy(&text[..text.len().min(TEXT_LIMIT)]);
            self.0.insert((phase, code), text.trim().to_owned());
        }
    }

    /// Adds those of another thread.
    pub(crate) fn merge(&mut self, other: &Texts) {
        for ((phase, code), text) in &other.0 {
            self.note(*phase, *code, text.as_bytes());
        }
    }

    /// Phase, code and text, in this order.
    pub(crate) fn into_rows(self) -> impl Iterator<Item = (Phase, u16, String)> {
        self.0.into_iter().map(|((phase, code), text)| (phase, code, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_text_of_each_kind_is_retained_within_limits() {
        let mut texts = Texts::default();
        texts.note(Phase::Mail, 550, b" no\xff ");
        texts.note(Phase::Mail, 550, b"later");
        texts.note(Phase::Rcpt, 550, &[b'x'; 1000]);
        let mut other = Texts::default();
        (0..1000).for_each(|code| other.note(Phase::Dot, code, b"many"));
        texts.merge(&other);
        let rows: Vec<_> = texts.into_rows().collect();
        assert_eq!(rows.len(), KINDS_LIMIT);
        assert_eq!(rows[0], (Phase::Mail, 550, "no\u{fffd}".to_owned()));
        assert_eq!((rows[1].0, rows[1].2.len()), (Phase::Rcpt, TEXT_LIMIT));
    }
}
