//! A mail for mail programs: the message, preceded by its envelope.

use std::net::IpAddr;

use crate::records::Message;
use crate::text::escape::escape_octets;

/// Header fields before those of the message, each with CRLF: the envelope in the format of Postfix's `smtp-sink -d`,
/// with the accepted recipients, then `Return-Path:` and `Received:` (RFC 5321 section 4.4).
pub(super) fn head(message: &Message) -> Vec<u8> {
    let record = message.record();
    let mut head = Vec::with_capacity(512);
    let peer = match message.peer_addr().ip().map(|ip| ip.to_canonical()) {
        Some(IpAddr::V4(ip)) => ip.to_string(),
        Some(IpAddr::V6(ip)) => format!("ipv6:{ip}"),
        None => "unix".to_owned(),
    };
    field(&mut head, "X-Client-Addr", peer.as_bytes());
    field(&mut head, "X-Client-Proto", message.with_protocol().as_bytes());
    field(&mut head, "X-Helo-Args", behind(&record.helo_exchange.request, b' '));
    field(&mut head, "X-Mail-Args", behind(&record.mailfrom_exchange.request, b':'));
    for rcpt in message.deliveries() {
        field(&mut head, "X-Rcpt-Args", behind(&rcpt.request, b':'));
    }
    head.extend_from_slice(message.trace_header().as_bytes());
    head
}

/// The arguments of a command.
fn behind(line: &[u8], separator: u8) -> &[u8] {
    let at = line.iter().position(|octet| *octet == separator);
    at.map_or(&[][..], |at| line[at + 1..].trim_ascii())
}

/// A field; a control character in the value must not begin another.
fn field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(format!("{name}: {}\r\n", escape_octets(value)).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::message::sample::mail;

    #[test]
    fn the_envelope_is_in_front_and_can_not_add_a_field() {
        let message = mail("ann\r@example.com", &["b\u{f6}b@example.com", "c\rX-Evil: 1"], "Subject: hi\r\n");
        let head = String::from_utf8(head(&message)).expect("UTF-8");
        let expected = "X-Client-Addr: 127.0.0.1\r\nX-Client-Proto: ESMTP\r\nX-Helo-Args: client.example\r\n\
            X-Mail-Args: <ann\\r@example.com>\r\nX-Rcpt-Args: <b\u{f6}b@example.com>\r\n\
            X-Rcpt-Args: <c\\rX-Evil: 1>\r\nReturn-Path: <ann";
        assert!(head.starts_with(expected), "{head}");
        assert!(!head.replace("\r\n", "").contains('\r'), "{head:?}");
    }
}
