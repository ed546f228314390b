//! The attributes of XCLIENT, by which a proxy or a test names the real client (Postfix's XCLIENT_README).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::smtp::command::decode_xtext;

/// The known attributes, as listed in the reply to EHLO.
pub(in crate::smtp) const ATTRIBUTES: &str = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";

/// The longest value of an attribute, in octets: the length of a host name, as in Postfix.
const MAX_VALUE: usize = 255;

/// Values of unknown attributes: permanently, and temporarily.
const UNAVAILABLE: [&str; 2] = ["[UNAVAILABLE]", "[TEMPUNAVAIL]"];

/// Prefix of an IPv6 address.
const IPV6: &str = "IPV6:";

/// The attributes of XCLIENT. Absent attributes are unchanged, and those with the value `[UNAVAILABLE]` or
/// `[TEMPUNAVAIL]` are unknown; an unknown address does not change the address.
///
/// ```
/// use smtpmock::smtp::ClientAttributes;
///
/// let client = ClientAttributes::parse(b"NAME=mx.example ADDR=IPV6:2001:db8::1 LOGIN=ann+2Bwork").unwrap();
/// assert_eq!(client.ip(), Some("2001:db8::1".parse().unwrap()));
/// assert_eq!(client.name(), Some(&b"mx.example"[..]));
/// assert_eq!(client.login(), Some(&b"ann+work"[..]));
/// assert_eq!(ClientAttributes::parse(b"ADDR=mx.example"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAttributes {
    ip: Attribute<IpAddr>,
    port: Attribute<u16>,
    destination_ip: Attribute<IpAddr>,
    destination_port: Attribute<u16>,
    name: Attribute<Box<[u8]>>,
    protocol: Attribute<Box<[u8]>>,
    helo: Attribute<Box<[u8]>>,
    login: Attribute<Box<[u8]>>,
}

/// The value of an attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Attribute<T> {
    /// Absent from the command.
    #[default]
    Absent,
    /// Present, but without a value.
    Unknown,
    Known(T),
}

impl<T> Attribute<T> {
    /// Sets the value; `None` if already set or invalid.
    fn set(&mut self, value: &[u8], parse: impl FnOnce(&[u8]) -> Option<T>) -> Option<()> {
        if !matches!(self, Self::Absent) {
            return None;
        }
        let is_unknown = UNAVAILABLE.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
        *self = if is_unknown { Self::Unknown } else { Self::Known(parse(value)?) };
        Some(())
    }

    fn replace_by(&mut self, newer: Self) {
        if !matches!(newer, Self::Absent) {
            *self = newer;
        }
    }

    fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown => None,
        }
    }
}

impl Attribute<u16> {
    /// The new port, given the port before: an unknown one is 0.
    fn port(&self, before: u16) -> u16 {
        match self {
            Self::Absent => before,
            Self::Unknown => 0,
            Self::Known(port) => *port,
        }
    }
}

impl ClientAttributes {
    /// Parses what follows XCLIENT: one attribute or more, each once. `None` if one is unknown or has an invalid value.
    pub fn parse(arguments: &[u8]) -> Option<Self> {
        let mut client = Self::default();
        let mut count = 0;
        for word in arguments.split(|octet| *octet == b' ').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_at(memchr::memchr(b'=', word)?);
            client.set(name, &value[1..])?;
            count += 1;
        }
        (count > 0).then_some(client)
    }

    fn set(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        if value.is_empty() || value.len() > MAX_VALUE {
            return None;
        }
        match &*name.to_ascii_uppercase() {
            b"ADDR" => self.ip.set(value, ip),
            b"PORT" => self.port.set(value, port),
            b"DESTADDR" => self.destination_ip.set(value, ip),
            b"DESTPORT" => self.destination_port.set(value, port),
            b"NAME" => self.name.set(value, text),
            b"HELO" => self.helo.set(value, text),
            b"LOGIN" => self.login.set(value, text),
            b"PROTO" => self.protocol.set(value, protocol),
            _ => None,
        }
    }

    /// Adds the attributes of a later command, which replace those of the same name.
    pub fn update(&mut self, newer: Self) {
        let Self { ip, port, destination_ip, destination_port, name, protocol, helo, login } = newer;
        self.ip.replace_by(ip);
        self.port.replace_by(port);
        self.destination_ip.replace_by(destination_ip);
        self.destination_port.replace_by(destination_port);
        self.name.replace_by(name);
        self.protocol.replace_by(protocol);
        self.helo.replace_by(helo);
        self.login.replace_by(login);
    }

    /// The attribute `LOGIN` is present, with or without a value.
    pub(in crate::smtp) fn has_login(&self) -> bool {
        !matches!(self.login, Attribute::Absent)
    }

    /// Bytes of memory in addition to the value itself.
    pub(crate) fn memory(&self) -> usize {
        let texts = [self.name(), self.protocol(), self.helo(), self.login()];
        texts.into_iter().flatten().map(<[u8]>::len).sum()
    }

    /// The client's address (`ADDR`); an IPv4 address mapped into IPv6 is returned as IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip.known().copied()
    }

    /// The client's port (`PORT`), given the port before: 0 if unknown.
    pub fn port(&self, before: u16) -> u16 {
        self.port.port(before)
    }

    /// The address that the client connected to (`DESTADDR`).
    pub fn destination_ip(&self) -> Option<IpAddr> {
        self.destination_ip.known().copied()
    }

    /// The port that the client connected to (`DESTPORT`), given the port before: 0 if unknown.
    pub fn destination_port(&self, before: u16) -> u16 {
        self.destination_port.port(before)
    }

    /// The client's host name (`NAME`).
    pub fn name(&self) -> Option<&[u8]> {
        self.name.known().map(|name| &**name)
    }

    /// `SMTP` or `ESMTP` (`PROTO`).
    pub fn protocol(&self) -> Option<&[u8]> {
        self.protocol.known().map(|protocol| &**protocol)
    }

    /// The client's name in HELO or EHLO (`HELO`).
    pub fn helo(&self) -> Option<&[u8]> {
        self.helo.known().map(|helo| &**helo)
    }

    /// The user that the client has authenticated as (`LOGIN`).
    pub fn login(&self) -> Option<&[u8]> {
        self.login.known().map(|login| &**login)
    }
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let value = str::from_utf8(value).ok()?;
    let ip = match value.split_at_checked(IPV6.len()) {
        Some((prefix, address)) if prefix.eq_ignore_ascii_case(IPV6) => {
            address.parse::<Ipv6Addr>().ok()?.into()
        }
        _ => value.parse::<Ipv4Addr>().ok()?.into(),
    };
    Some(IpAddr::to_canonical(&ip))
}

fn port(value: &[u8]) -> Option<u16> {
    let digits = str::from_utf8(value).ok().filter(|_| value.iter().all(u8::is_ascii_digit));
    digits.and_then(|digits| digits.parse().ok())
}

/// Decodes xtext.
fn text(value: &[u8]) -> Option<Box<[u8]>> {
    decode_xtext(value).map(Into::into)
}

fn protocol(value: &[u8]) -> Option<Box<[u8]>> {
    let word = value.to_ascii_uppercase();
    matches!(&*word, b"SMTP" | b"ESMTP").then(|| word.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_known_and_their_values_valid() {
        let parsed = |text: &str| ClientAttributes::parse(text.as_bytes());
        let client = parsed(
            "name=mx.example ADDR=192.0.2.1 PORT=4711 PROTO=esmtp HELO=client+20example LOGIN=ann \
             DESTADDR=ipv6:::1 DESTPORT=25",
        );
        let client = client.expect("valid");
        assert_eq!(client.ip(), Some(IpAddr::from([192, 0, 2, 1])));
        assert_eq!(client.destination_ip(), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!((client.port(1), client.destination_port(1)), (4711, 25));
        assert_eq!(client.helo(), Some(&b"client example"[..]));
        assert_eq!(client.protocol(), Some(&b"ESMTP"[..]));
        assert_eq!(parsed("ADDR=IPV6:::ffff:192.0.2.1").and_then(|client| client.ip()), client.ip());
        for wrong in [
            "",
            " ",
            "ADDR",
            "ADDR=",
            "ADDR=::1",
            "ADDR=IPV6:192.0.2.1",
            "ADDR=mx.example",
            "ADDR=192.0.2.1 ADDR=192.0.2.1",
            "PORT=65536",
            "PORT=+1",
            "PORT=x",
            "PROTO=LMTP",
            "NAME=a+2b",
            "NAME=a=b",
            "SIZE=1",
            &format!("NAME={}", "x".repeat(MAX_VALUE + 1)),
        ] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_unavailable_is_unknown_and_what_is_absent_stays() {
        let parsed = |text: &str| ClientAttributes::parse(text.as_bytes()).expect(text);
        let mut client = parsed("NAME=a ADDR=192.0.2.1 PORT=1 LOGIN=ann");
        client.update(parsed("NAME=[UNAVAILABLE] PORT=[tempunavail] HELO=b"));
        assert_eq!((client.name(), client.port(7)), (None, 0));
        assert_eq!((client.login(), client.helo()), (Some(&b"ann"[..]), Some(&b"b"[..])));
        assert_eq!(client.ip(), Some(IpAddr::from([192, 0, 2, 1])));
        assert_eq!(parsed("NAME=a").port(7), 7);
        assert_eq!(parsed("ADDR=[UNAVAILABLE]").ip(), None);
    }
}
