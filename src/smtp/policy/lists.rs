//! The lists of refused names and addresses, and when two names or addresses are equal.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use crate::smtp::command::octets::{Listed, Octets};

/// The lists of refused names and addresses.
///
/// White space around an entry is ignored. Domains are compared case-insensitively and local parts case-sensitively
/// (RFC 5321 section 2.4), except `postmaster` (section 4.5.1). Under
/// [`AddressRules::Compat`](crate::smtp::AddressRules::Compat) the comparison is exact, as in go-smtp-mock.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Lists {
    /// HELO/EHLO domains answered with [`ReplyKind::HeloBlacklisted`](crate::smtp::ReplyKind::HeloBlacklisted).
    pub blacklisted_helo_domains: HashSet<Vec<u8>>,
    /// Reverse-paths answered with [`ReplyKind::MailBlacklisted`](crate::smtp::ReplyKind::MailBlacklisted).
    pub blacklisted_mailfrom_emails: HashSet<Vec<u8>>,
    /// Forward-paths answered with [`ReplyKind::RcptBlacklisted`](crate::smtp::ReplyKind::RcptBlacklisted).
    pub blacklisted_rcptto_emails: HashSet<Vec<u8>>,
    /// Forward-paths answered with [`ReplyKind::RcptNotRegistered`](crate::smtp::ReplyKind::RcptNotRegistered).
    pub not_registered_emails: HashSet<Vec<u8>>,
}

impl fmt::Debug for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            blacklisted_helo_domains,
            blacklisted_mailfrom_emails,
            blacklisted_rcptto_emails,
            not_registered_emails,
        } = self;
        let mut shown = f.debug_struct("Lists");
        for (name, list) in [
            ("blacklisted_helo_domains", blacklisted_helo_domains),
            ("blacklisted_mailfrom_emails", blacklisted_mailfrom_emails),
            ("blacklisted_rcptto_emails", blacklisted_rcptto_emails),
            ("not_registered_emails", not_registered_emails),
        ] {
            let mut entries: Vec<&[u8]> = list.iter().map(Vec::as_slice).collect();
            entries.sort_unstable();
            let entries: Vec<Octets<'_>> = entries.into_iter().map(Octets).collect();
            shown.field(name, &Listed(&entries));
        }
        shown.finish()
    }
}

/// The lists in the normalized form of their entries, derived once.
#[derive(Clone, Default)]
pub(in crate::smtp) struct Folded(Lists);

impl Folded {
    pub(in crate::smtp) fn of(lists: &Lists) -> Self {
        let Lists {
            blacklisted_helo_domains,
            blacklisted_mailfrom_emails,
            blacklisted_rcptto_emails,
            not_registered_emails,
        } = lists;
        let fold_all = |list: &HashSet<Vec<u8>>, fold: Fold| {
            list.iter().map(|entry| fold(entry.trim_ascii()).into_owned()).collect()
        };
        Self(Lists {
            blacklisted_helo_domains: fold_all(blacklisted_helo_domains, fold_domain),
            blacklisted_mailfrom_emails: fold_all(blacklisted_mailfrom_emails, fold_mailbox),
            blacklisted_rcptto_emails: fold_all(blacklisted_rcptto_emails, fold_mailbox),
            not_registered_emails: fold_all(not_registered_emails, fold_mailbox),
        })
    }

    pub(in crate::smtp) fn lists(&self) -> &Lists {
        &self.0
    }
}

impl fmt::Debug for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folded").finish_non_exhaustive()
    }
}

/// Normalizes a name: equal names have the same form.
pub(in crate::smtp) type Fold = fn(&[u8]) -> Cow<'_, [u8]>;

/// A domain or address literal in lower case.
pub(in crate::smtp) fn fold_domain(domain: &[u8]) -> Cow<'_, [u8]> {
    match domain.iter().any(u8::is_ascii_uppercase) {
        true => domain.to_ascii_lowercase().into(),
        false => domain.into(),
    }
}

/// A mailbox with its domain in lower case; only its host may interpret the local part.
pub(in crate::smtp) fn fold_mailbox(mailbox: &[u8]) -> Cow<'_, [u8]> {
    let (local, domain) = mailbox.split_at(memchr::memrchr(b'@', mailbox).unwrap_or(mailbox.len()));
    if local.eq_ignore_ascii_case(b"postmaster") {
        return fold_domain(mailbox);
    }
    match fold_domain(domain) {
        Cow::Borrowed(_) => mailbox.into(),
        Cow::Owned(domain) => [local, &domain].concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_folded_and_local_parts_are_not() {
        for (mailbox, folded) in [
            ("gone@x.example", "gone@x.example"),
            ("Gone@X.Example", "Gone@x.example"),
            ("\"A@B\"@X.example", "\"A@B\"@x.example"),
            ("bob@[IPv6:2001:DB8::1]", "bob@[ipv6:2001:db8::1]"),
            ("PostMaster@X.example", "postmaster@x.example"),
            ("Postmaster", "postmaster"),
            ("Bob", "Bob"),
            ("", ""),
        ] {
            assert_eq!(fold_mailbox(mailbox.as_bytes()), folded.as_bytes(), "{mailbox}");
        }
        assert_eq!(fold_domain(b"MX.Example"), &b"mx.example"[..]);
        assert!(matches!(fold_mailbox(b"Gone@x.example"), Cow::Borrowed(_)), "nothing is allocated");
    }
}
