//! Where a session is in the sequence of commands (RFC 5321 section 4.1.4).

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
    /// There is no mail transaction.
    Greeted,
    /// MAIL was accepted, and its message has not come yet (RFC 5321 section 3.3).
    Mail(Transaction),
    /// The first BDAT of its message has come (RFC 3030 section 2), and not the last.
    Chunks(Transaction),
    /// Its message has come. go-smtp-mock leaves the reverse-path in place until the next MAIL, RSET or HELO: commands out
    /// of sequence get the refusals of a transaction. With [`RecordMode::Session`] alone.
    Past(Transaction),
}

/// A mail transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transaction {
    /// RCPTs, refused ones included.
    pub(super) recipients: usize,
    /// In LMTP those that got a 2yz reply: each gets a reply to the message.
    pub(super) accepted: u32,
    /// One of them counts as accepted: DATA is in sequence.
    pub(super) has_recipient: bool,
    /// One of them got the text of an accepted RCPT, which counts for go-smtp-mock.
    pub(super) has_worded_recipient: bool,
    /// MAIL had parameters.
    pub(super) has_parameters: bool,
    /// MAIL had the parameter SMTPUTF8.
    pub(super) takes_utf8: bool,
    /// MAIL had the parameter `BODY=BINARYMIME`.
    pub(super) is_binary: bool,
    /// Its message was accepted, and no command that starts another has followed.
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

    /// HELO or EHLO was accepted.
    pub(super) fn is_greeted(self) -> bool {
        !matches!(self, Self::Refused | Self::Connected)
    }

    /// Without a mail transaction.
    pub(super) fn without_mail(self) -> Self {
        if self.is_greeted() { Self::Greeted } else { self }
    }
}
