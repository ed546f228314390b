//! The position of a session in the sequence of commands (RFC 5321 section 4.1.4).

#[cfg(doc)]
use crate::smtp::policy::RecordMode;

/// The position in the sequence of commands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Sequence {
    /// The greeting refused the session.
    Refused,
    /// HELO or EHLO must come first.
    #[default]
    Connected,
    /// No mail transaction is open.
    Greeted,
    /// MAIL was accepted, and its message has not arrived (RFC 5321 section 3.3).
    Mail(Transaction),
    /// The first BDAT of its message has arrived (RFC 3030 section 2), but not the last.
    Chunks(Transaction),
    /// Its message has arrived. go-smtp-mock retains the reverse-path until the next MAIL, RSET or HELO: commands out
    /// of sequence get the refusals of a transaction. Only with [`RecordMode::Session`].
    Past(Transaction),
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transaction {
    /// RCPTs, including refused ones.
    pub(super) recipients: usize,
    /// In LMTP, RCPTs with a 2yz reply: each gets a reply to the message.
    pub(super) accepted: u32,
    /// At least one RCPT counts as accepted: DATA is in sequence.
    pub(super) has_recipient: bool,
    /// At least one got the text of an accepted RCPT, as go-smtp-mock counts them.
    pub(super) has_worded_recipient: bool,
    /// MAIL had parameters.
    pub(super) has_parameters: bool,
    /// MAIL had the parameter SMTPUTF8.
    pub(super) takes_utf8: bool,
    /// MAIL had the parameter `BODY=BINARYMIME`.
    pub(super) is_binary: bool,
    /// Its message was accepted, and no later command has started another.
    pub(super) is_delivered: bool,
}

impl Sequence {
    /// The transaction to which RCPT and DATA belong.
    pub(super) fn mail(&mut self) -> Option<&mut Transaction> {
        match self {
            Self::Mail(mail) | Self::Past(mail) => Some(mail),
            Self::Refused | Self::Connected | Self::Greeted | Self::Chunks(_) => None,
        }
    }

    pub(super) fn is_greeted(self) -> bool {
        !matches!(self, Self::Refused | Self::Connected)
    }

    /// The position after the mail transaction ends.
    pub(super) fn without_mail(self) -> Self {
        if self.is_greeted() { Self::Greeted } else { self }
    }
}
