//! The inboxes that a message belongs to.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Message, text};
use crate::smtp::inboxes_of;

/// The header field that names an inbox.
const FIELD: &str = "X-Smtpmock-Inbox";

impl Message {
    /// The inboxes that it belongs to, by which tests that share a server find their own mail, in lower case and
    /// alphabetical order: the inbox of its listener ([`Config::listen`](crate::Config::listen), `?inbox=NAME`), its
    /// [user](Self::auth_user), for each recipient, accepted or not, the domain and the part after `+` of the local
    /// part, and the first header field `X-Smtpmock-Inbox`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use smtpmock::{Config, Server};
    ///
    /// let server = Server::start(Config::default())?;
    /// // … let the code under test send to server.local_addr()
    /// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
    /// # std::io::Write::write_all(&mut client, b"HELO a.example\r\nMAIL FROM:<ann@example.com>\r\n\
    /// #     RCPT TO:<bob+test-1@example.com>\r\nDATA\r\nSubject: hi\r\n\r\nHello\r\n.\r\n")?;
    /// let mail = server.wait_for(|mail| mail.is_in("test-1"), Duration::from_secs(5))?;
    /// assert_eq!(mail.inboxes(), ["example.com", "test-1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn inboxes(&self) -> Vec<String> {
        let names: BTreeSet<_> = self.inbox_names().map(|name| name.to_lowercase()).collect();
        names.into_iter().collect()
    }

    /// Whether it belongs to this [inbox](Self::inboxes), ignoring case.
    pub fn is_in(&self, inbox: &str) -> bool {
        let inbox = inbox.to_lowercase();
        let is_it = |name: &str| match name.is_ascii() {
            true => name.eq_ignore_ascii_case(&inbox),
            false => name.to_lowercase() == inbox,
        };
        self.inbox_names().any(|name| is_it(&name))
    }

    /// The header field comes last, and is only read if needed.
    fn inbox_names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let of_session = self.inbox.as_deref().map(Cow::Borrowed).into_iter().chain(self.auth_user());
        let paths = self.record.rcptto_exchanges.iter().filter_map(|rcpt| rcpt.name());
        let of_field = std::iter::once_with(|| self.header(FIELD)).flatten().map(Cow::Owned);
        let names = of_session.chain(paths.flat_map(inboxes_of).map(text)).chain(of_field);
        names.filter(|name| !name.is_empty())
    }
}
