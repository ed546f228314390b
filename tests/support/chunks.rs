//! Dialogues with BDAT (RFC 3030 section 2) and their results, computed by a naive oracle.

/// What a client sends at a time.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    Mail,
    Rcpt,
    /// DATA and a final dot, whether or not it is accepted.
    Data,
    Rset,
    Noop,
    Bdat {
        octets: Vec<u8>,
        is_last: bool,
    },
}

/// The results of turns after EHLO.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialogue {
    pub(crate) input: Vec<u8>,
    /// The code of the reply to each line and to each message.
    pub(crate) codes: Vec<u16>,
    /// The texts that are accepted.
    pub(crate) messages: Vec<Vec<u8>>,
}

enum Mail {
    None,
    Begun { has_recipient: bool },
    Chunks(Vec<u8>),
    Refused,
}

/// Computes a dialogue with a server that accepts messages of up to `limit` octets.
pub(crate) fn work_out(turns: &[Turn], limit: usize) -> Dialogue {
    let (mut dialogue, mut mail) = (Dialogue::default(), Mail::None);
    let Dialogue { input, codes, messages } = &mut dialogue;
    for turn in turns {
        let line = match turn {
            Turn::Mail => "MAIL FROM:<ann@example.com>\r\n".to_owned(),
            Turn::Rcpt => "RCPT TO:<bob@example.com>\r\n".to_owned(),
            Turn::Data => "DATA\r\n.\r\n".to_owned(),
            Turn::Rset => "RSET\r\n".to_owned(),
            Turn::Noop => "NOOP\r\n".to_owned(),
            Turn::Bdat { octets, is_last: false } => format!("BDAT {}\r\n", octets.len()),
            Turn::Bdat { octets, is_last: true } => format!("BDAT {} LAST\r\n", octets.len()),
        };
        input.extend_from_slice(line.as_bytes());
        let is_open = matches!(mail, Mail::Begun { has_recipient: true });
        match turn {
            Turn::Mail => {
                codes.push(250);
                mail = Mail::Begun { has_recipient: false };
            }
            Turn::Rcpt if matches!(mail, Mail::Begun { .. }) => {
                codes.push(250);
                mail = Mail::Begun { has_recipient: true };
            }
            Turn::Rcpt => codes.push(503),
            Turn::Data if is_open => {
                codes.extend([354, 250]);
                messages.push(Vec::new());
                mail = Mail::None;
            }
            // The dot is an unknown command.
            Turn::Data => codes.extend([503, 502]),
            Turn::Rset => {
                codes.push(250);
                mail = Mail::None;
            }
            Turn::Noop => codes.push(250),
            Turn::Bdat { octets, is_last } => {
                input.extend_from_slice(octets);
                let (code, next) = chunk(mail, octets, limit);
                codes.push(code);
                mail = match (next, is_last) {
                    (Mail::Chunks(text), true) => {
                        messages.push(text);
                        Mail::None
                    }
                    (_, true) => Mail::None,
                    (next, false) => next,
                };
            }
        }
    }
    dialogue
}

fn chunk(mail: Mail, octets: &[u8], limit: usize) -> (u16, Mail) {
    let mut text = match mail {
        Mail::None => return (503, Mail::None),
        Mail::Refused | Mail::Begun { has_recipient: false } => return (503, Mail::Refused),
        Mail::Begun { has_recipient: true } => Vec::new(),
        Mail::Chunks(text) => text,
    };
    if text.len() + octets.len() > limit {
        return (552, Mail::Refused);
    }
    text.extend_from_slice(octets);
    (250, Mail::Chunks(text))
}
