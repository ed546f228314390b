//! The extensions that a server offers in its reply to EHLO or LHLO (RFC 5321 section 4.1.1.1).

use crate::client::sasl::Mechanisms;

/// Which of the extensions that a client can use a server offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// RFC 2920.
    pub(crate) pipelining: bool,
    /// RFC 1870.
    pub(crate) size: bool,
    /// 8BITMIME (RFC 6152).
    pub(crate) eight_bit: bool,
    /// RFC 3030.
    pub(crate) chunking: bool,
    /// RFC 3461.
    pub(crate) dsn: bool,
    /// RFC 6531.
    pub(crate) smtputf8: bool,
    /// RFC 3207.
    pub(crate) starttls: bool,
    /// Of AUTH (RFC 4954).
    pub(crate) mechanisms: Mechanisms,
}

impl Offer {
    /// Takes in a line behind the first one of the reply: a keyword, in any case, and its parameters.
    pub(crate) fn take(&mut self, line: &[u8]) {
        let mut words = line.split(|byte| *byte == b' ');
        let keyword = words.next().unwrap_or_default();
        let known: [(&[u8], &mut bool); 7] = [
            (b"PIPELINING", &mut self.pipelining),
            (b"SIZE", &mut self.size),
            (b"8BITMIME", &mut self.eight_bit),
            (b"CHUNKING", &mut self.chunking),
            (b"DSN", &mut self.dsn),
            (b"SMTPUTF8", &mut self.smtputf8),
            (b"STARTTLS", &mut self.starttls),
        ];
        for (name, offered) in known {
            *offered |= keyword.eq_ignore_ascii_case(name);
        }
        if keyword.eq_ignore_ascii_case(b"AUTH") {
            words.for_each(|name| self.mechanisms.add(name));
        }
    }
}
