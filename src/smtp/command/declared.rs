//! Declarations of MAIL and RCPT parameters about a message, found in one pass: most clients send some with each
//! message.

use crate::smtp::command::value::{Body, number_of_size};
use crate::smtp::command::{Parameter, Parameters};

/// Of parameters with the same keyword the first counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::smtp) struct Declared {
    /// SIZE, in octets (RFC 1870).
    pub(in crate::smtp) size: Option<u64>,
    /// BODY (RFC 6152, RFC 3030).
    pub(in crate::smtp) body: Option<Body>,
    /// SMTPUTF8 (RFC 6531).
    pub(in crate::smtp) smtputf8: bool,
    /// RET, ENVID, NOTIFY or ORCPT (RFC 3461).
    pub(in crate::smtp) dsn: bool,
}

impl Declared {
    #[inline]
    pub(in crate::smtp) fn of(parameters: Parameters<'_>) -> Self {
        let mut declared = Self::default();
        if !parameters.words().is_empty() {
            parameters.iter().for_each(|parameter| declared.note(parameter));
        }
        declared
    }

    fn note(&mut self, parameter: Parameter<'_>) {
        let Parameter { keyword, value } = parameter;
        let is = |name: &[u8]| keyword.eq_ignore_ascii_case(name);
        match keyword.len() {
            4 if is(b"SIZE") => self.size = self.size.or_else(|| value.and_then(number_of_size)),
            4 if is(b"BODY") => self.body = self.body.or_else(|| value.and_then(Body::parse)),
            8 if is(b"SMTPUTF8") => self.smtputf8 = true,
            3 if is(b"RET") => self.dsn = true,
            5 if is(b"ENVID") || is(b"ORCPT") => self.dsn = true,
            6 if is(b"NOTIFY") => self.dsn = true,
            _ => {}
        }
    }

    /// The message may contain octets beyond US-ASCII.
    pub(in crate::smtp) fn is_eight_bit(&self) -> bool {
        self.smtputf8 || !matches!(self.body, None | Some(Body::SevenBit))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WORDS: [&str; 14] = [
        "SIZE=12",
        "size=0",
        "SIZE=99999999999999999999",
        "BODY=7BIT",
        "body=8bitmime",
        "BODY=BINARYMIME",
        "SMTPUTF8",
        "smtputf8",
        "RET=HDRS",
        "ENVID=x",
        "NOTIFY=NEVER",
        "ORCPT=rfc822;a@b",
        "AUTH=<>",
        "X=1",
    ];

    proptest! {
        #[test]
        fn it_is_what_each_parameter_says_by_itself(
            words in prop::sample::subsequence(&WORDS[..], 0..WORDS.len()).prop_shuffle(),
        ) {
            let line = format!("<a@b> {}", words.join(" "));
            let (_, parameters) = Parameters::split_off(line.as_bytes(), |_| true);
            let declared = Declared::of(parameters);
            prop_assert_eq!(declared.size, parameters.size());
            prop_assert_eq!(declared.body, parameters.body());
            prop_assert_eq!(declared.smtputf8, parameters.has_smtputf8());
            let dsn = ["RET", "ENVID", "NOTIFY", "ORCPT"];
            prop_assert_eq!(declared.dsn, dsn.iter().any(|keyword| parameters.value(keyword).is_some()));
        }
    }
}
