//! Places in the texts of replies, `{{to}}` and others: found when a text is configured, filled when it is sent.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::ops::Range;

use crate::smtp::reply::id::{RecordId, append_number};
use crate::smtp::reply::wire::Wire;

/// Longest value, in octets: the longest local part, `@` and the longest domain (RFC 5321 section 4.5.3.1).
const LONGEST: usize = 64 + 1 + 255;

/// Length of the code at the start of a text, which has no places.
const CODE: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    To,
    From,
    Helo,
    Ip,
    Id,
    PlainId,
    Session,
    Size,
    Limit,
    Commands,
}

const NAMES: &[(&str, Place)] = &[
    ("{{to}}", Place::To),
    ("{{from}}", Place::From),
    ("{{helo}}", Place::Helo),
    ("{{ip}}", Place::Ip),
    ("{{id}}", Place::Id),
    ("{{plain_id}}", Place::PlainId),
    ("{{session}}", Place::Session),
    ("{{size}}", Place::Size),
    ("{{limit}}", Place::Limit),
    ("{{commands}}", Place::Commands),
];

/// Values for the places of a reply to one command. A place without a value is left empty.
pub(in crate::smtp) trait Values {
    fn to(&self) -> Option<&[u8]>;
    fn from(&self) -> Option<&[u8]>;
    fn helo(&self) -> Option<&[u8]>;
    /// `None` over a Unix socket.
    fn ip(&self) -> Option<IpAddr>;
    fn id(&self) -> RecordId;
    fn size(&self) -> Option<u64>;
    fn limit(&self) -> usize;
    /// Calls `list` with each command that the session can use.
    fn commands(&self, list: &mut dyn FnMut(&str));
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places(Box<[(Range<usize>, Place)]>);

impl Places {
    /// The places in these octets; `None` without any.
    pub(super) fn in_text(octets: &[u8]) -> Option<Self> {
        let places = (CODE..octets.len()).filter_map(|start| {
            let (name, place) =
                NAMES.iter().find(|(name, _)| octets[start..].starts_with(name.as_bytes()))?;
            Some((start..start + name.len(), *place))
        });
        let places: Box<[_]> = places.collect();
        (!places.is_empty()).then_some(Self(places))
    }

    /// These octets with values in their places.
    pub(super) fn fill(&self, octets: &[u8], values: &impl Values) -> Wire {
        let (mut wire, mut start) = (Wire::default(), 0);
        for (range, place) in &self.0 {
            wire.append(&octets[start..range.start]);
            place.append_to(&mut wire, values);
            start = range.end;
        }
        wire.append(&octets[start..]);
        wire
    }
}

impl Place {
    fn append_to(self, wire: &mut Wire, values: &impl Values) {
        match self {
            Self::To => append_clean(wire, values.to()),
            Self::From => append_clean(wire, values.from()),
            Self::Helo => append_clean(wire, values.helo()),
            Self::Ip => match values.ip() {
                Some(ip) => _ = write!(wire, "{ip}"),
                None => wire.append(b"unix"),
            },
            Self::Id => values.id().append_to(wire),
            Self::PlainId => values.id().append_plain_to(wire),
            Self::Session => append_number(wire, values.id().session),
            Self::Size => values.size().into_iter().for_each(|size| append_number(wire, size)),
            Self::Limit => append_number(wire, values.limit() as u64),
            Self::Commands => {
                let mut comma = "";
                values.commands(&mut |command| {
                    wire.append(comma.as_bytes());
                    wire.append(command.as_bytes());
                    comma = ", ";
                });
            }
        }
    }
}

/// Appends client input, up to a bound: control characters, including CR and LF, and invalid UTF-8 become question
/// marks.
fn append_clean(wire: &mut Wire, value: Option<&[u8]>) {
    let value = value.unwrap_or_default();
    let value = match value.len() > LONGEST {
        true => &value[..(0..=LONGEST).rev().find(|&end| value[end] & 0xc0 != 0x80).unwrap_or(LONGEST)],
        false => value,
    };
    if value.iter().all(|octet| matches!(octet, b' '..=b'~')) {
        return wire.append(value);
    }
    for chunk in value.utf8_chunks() {
        let clean = chunk.valid().chars().map(|c| if c.is_control() { '?' } else { c });
        clean.for_each(|c| wire.append(c.encode_utf8(&mut [0; 4]).as_bytes()));
        if !chunk.invalid().is_empty() {
            wire.append(b"?");
        }
    }
}

impl fmt::Write for Wire {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::smtp::reply::{Reply, ServerTag};

    /// Client input, and numbers.
    struct Client<'c>(&'c [u8]);

    impl Values for Client<'_> {
        fn to(&self) -> Option<&[u8]> {
            Some(self.0)
        }

        fn from(&self) -> Option<&[u8]> {
            None
        }

        fn helo(&self) -> Option<&[u8]> {
            Some(self.0)
        }

        fn ip(&self) -> Option<IpAddr> {
            Some([192, 0, 2, 1].into())
        }

        fn id(&self) -> RecordId {
            RecordId { server: ServerTag::new(1), session: 2, transaction: 3 }
        }

        fn size(&self) -> Option<u64> {
            Some(4)
        }

        fn limit(&self) -> usize {
            5
        }

        fn commands(&self, list: &mut dyn FnMut(&str)) {
            ["NOOP", "QUIT"].into_iter().for_each(list);
        }
    }

    /// Replaces one name after another: the values here contain no names.
    fn replaced(text: &str, client: &str) -> String {
        let id = "00000001-2-3";
        let pairs = [("to", client), ("from", ""), ("helo", client), ("ip", "192.0.2.1"), ("id", id)];
        let text = text.replace("{{plain_id}}", "00000001x2x3");
        let numbers = [("session", "2"), ("size", "4"), ("limit", "5"), ("commands", "NOOP, QUIT")];
        let fill =
            |text: String, (name, value): (&str, &str)| text.replace(&format!("{{{{{name}}}}}"), value);
        pairs.into_iter().chain(numbers).fold(text, fill)
    }

    proptest! {
        #[test]
        fn each_place_is_replaced_and_nothing_else(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "{{to}}", "{{from}}", "{{helo}}", "{{ip}}", "{{id}}", "{{plain_id}}", "{{session}}", "{{size}}", "{{limit}}",
                    "{{no}}", "{{", "}}", "{", "x", " ", "to",
                ]),
                0..20,
            ),
            client in "[a-z@ü]{0,80}",
        ) {
            let text = format!("250 {}", words.concat());
            let reply = Reply::new(&text);
            let sent = reply.filled(&Client(client.as_bytes()));
            let expected = replaced(&text, &client);
            prop_assert_eq!(reply.has_places(), NAMES.iter().any(|(name, _)| text.contains(name)));
            prop_assert_eq!(sent.text(), expected.as_bytes());
            prop_assert_eq!(sent.code(), Some(250));
            prop_assert_eq!(reply.memory(), 0);
        }

        #[test]
        fn no_client_ends_a_line_or_fills_it(client: Vec<u8>, more in 0..3000usize) {
            let client = [client, vec![b'x'; more]].concat();
            let filled = Reply::new("250 {{to}}").filled(&Client(&client));
            let text = std::str::from_utf8(filled.text()).expect("UTF-8");
            prop_assert!(!text.contains(char::is_control), "{:?}", text);
            prop_assert!(text.len() <= 4 + LONGEST && filled.wire().ends_with(b"\r\n"));
            prop_assert!(filled.memory() >= filled.wire().len());
        }
    }
}
