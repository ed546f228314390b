//! The parameters of a TLS session.

use std::fmt;

use crate::smtp::rules::TlsVersion;

/// The result of a TLS handshake. See [`Message::tls`](crate::Message::tls).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSession {
    pub(crate) version: TlsVersion,
    pub(crate) cipher_suite: &'static str,
    pub(crate) server_name: Option<Box<str>>,
    pub(crate) is_resumed: bool,
    pub(crate) client: Option<ClientCertificate>,
}

impl TlsSession {
    /// The version.
    pub fn version(&self) -> TlsVersion {
        self.version
    }

    /// The cipher suite, by its name in the IANA registry, like `TLS_AES_128_GCM_SHA256`.
    pub fn cipher_suite(&self) -> &str {
        self.cipher_suite
    }

    /// The name that the client requested (server name indication, RFC 6066 section 3).
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The client resumed an earlier session by a ticket: no certificate was sent.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// The client's verified certificate, if it has sent one (`Tls::client_ca`). In a resumed session it is that of the
    /// earlier one.
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.client.as_ref()
    }
}

impl fmt::Display for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}, suite {}", self.version, self.cipher_suite)?;
        if let Some(name) = &self.server_name {
            write!(f, ", server name {name}")?;
        }
        f.write_str(if self.is_resumed { ", resumed" } else { ", full" })?;
        self.client.as_ref().map_or(Ok(()), |client| write!(f, ", client certificate {}", client.subject))
    }
}

/// The names in a verified client certificate. See [`TlsSession::client_certificate`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    pub(crate) subject: Box<str>,
    pub(crate) common_name: Option<Box<str>>,
    pub(crate) alternative_name: Option<Box<str>>,
}

impl ClientCertificate {
    /// The subject as text (RFC 4514), like `CN=ann,O=Example`; empty without one. It is truncated after 1,024 octets,
    /// with `…`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The common name of the subject. Names of more than 255 octets are dropped.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The first alternative name of the subject that is a mailbox, a host, a URI or an IP address (RFC 5280 section
    /// 4.2.1.6). Names of more than 255 octets are dropped.
    pub fn alternative_name(&self) -> Option<&str> {
        self.alternative_name.as_deref()
    }

    /// The client's name, which is its user after AUTH EXTERNAL: the common name, or the alternative name, or the
    /// subject.
    pub fn name(&self) -> Option<&str> {
        self.names().next()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = [self.common_name(), self.alternative_name(), Some(self.subject())];
        names.into_iter().flatten().filter(|name| !name.is_empty())
    }
}
