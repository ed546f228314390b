//! Messages parsed by [`mime`].

use super::Message;
use crate::mime::{self, Mail};

impl Message {
    /// The parsed message: header fields, texts, attachments, links and codes. Parsed at each call.
    ///
    /// ```
    /// use std::time::Duration;
    /// use smtpmock::{Config, Server};
    ///
    /// let server = Server::start(Config::default())?;
    /// // … let the code under test send to server.local_addr()
    /// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
    /// # std::io::Write::write_all(&mut client, b"HELO a.example\r\nMAIL FROM:<ann@example.com>\r\n\
    /// #     RCPT TO:<bob@example.com>\r\nDATA\r\nFrom: Ann <ann@example.com>\r\nSubject: Your invoice\r\n\
    /// #     Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    /// #     --b\r\nContent-Type: text/html\r\n\r\n<a href=\"https://app.example/pay\">Pay</a>\r\n\
    /// #     --b\r\nContent-Type: application/pdf; name=invoice.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    /// #     JVBERi0=\r\n--b--\r\n.\r\n")?;
    /// let message = server.wait_for(|mail| mail.msg(), Duration::from_secs(5))?;
    /// let mail = message.mail();
    /// assert_eq!(mail.subject.as_deref(), Some("Your invoice"));
    /// assert_eq!(mail.from[0].name.as_deref(), Some("Ann"));
    /// assert_eq!((&*mail.links()[0].text, &*mail.links()[0].href), ("Pay", "https://app.example/pay"));
    /// let invoice = mail.attachments().next().expect("an attachment");
    /// assert_eq!(invoice.name.as_deref(), Some("invoice.pdf"));
    /// assert!(message.part_content(invoice.number).expect("its octets").starts_with(b"%PDF-"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mail(&self) -> Mail {
        Mail::parse(self.body())
    }

    /// The octets of a [part](mime::Part) by its number, decoded; text in UTF-8. `None` without such a part.
    pub fn part_content(&self, number: usize) -> Option<Vec<u8>> {
        mime::part(self.body(), number).map(|(_, content)| content)
    }
}
