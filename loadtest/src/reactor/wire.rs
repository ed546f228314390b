//! Renders commands. The constant parts are rendered once.

use std::fmt;
use std::io::Write as _;

use crate::client::offer::Offer;
use crate::client::session::Command;
use crate::load::envelope::Envelope;
use crate::load::payload::Payload;
use crate::load::plan::Plan;
use crate::load::template::write_number;
use crate::load::xtext;

/// Renders the commands of one run.
#[derive(Debug)]
pub(crate) struct Renderer {
    ehlo: Vec<u8>,
    helo: Vec<u8>,
    envelope: Envelope,
    dsn: bool,
    smtputf8: bool,
    /// The run's id, as in its tokens.
    run: u32,
    /// A buffer, so that no message allocates.
    path: Vec<u8>,
}

impl Renderer {
    pub(crate) fn new(plan: &Plan) -> Renderer {
        Renderer {
            ehlo: format!("{} {}\r\n", if plan.dialect.is_lmtp { "LHLO" } else { "EHLO" }, plan.helo)
                .into_bytes(),
            helo: format!("HELO {}\r\n", plan.helo).into_bytes(),
            envelope: Envelope::of(plan),
            dsn: plan.dialect.dsn,
            smtputf8: plan.dialect.smtputf8,
            run: plan.run,
            path: Vec::new(),
        }
    }

    /// Appends `command` for message `seq`, with parameters of extensions that are offered. The body is not rendered
    /// here: its buffer is shared.
    pub(crate) fn render(
        &mut self,
        command: Command,
        seq: u64,
        offer: &Offer,
        payload: &Payload,
        out: &mut Vec<u8>,
    ) {
        match command {
            Command::Ehlo => out.extend_from_slice(&self.ehlo),
            Command::Starttls => out.extend_from_slice(b"STARTTLS\r\n"),
            Command::Helo => out.extend_from_slice(&self.helo),
            Command::Rcpt(index) => self.rcpt(seq, index, offer, out),
            Command::Data => out.extend_from_slice(b"DATA\r\n"),
            Command::Mail | Command::Group | Command::ChunkGroup => {
                self.mail(seq, offer, payload, out);
                if command != Command::Mail {
                    (0..self.envelope.recipients()).for_each(|index| self.rcpt(seq, index, offer, out));
                }
                if command == Command::Group {
                    out.extend_from_slice(b"DATA\r\n");
                }
            }
            Command::EmptyBody => out.extend_from_slice(b".\r\n"),
            Command::Rset => out.extend_from_slice(b"RSET\r\n"),
            Command::Quit => out.extend_from_slice(b"QUIT\r\n"),
            // Lines of AUTH are the session's. A chunk is written from the payload, with its BDAT, and so is the body.
            Command::Auth | Command::Response | Command::Chunk | Command::Body => {}
        }
    }

    #[inline]
    fn mail(&self, seq: u64, offer: &Offer, payload: &Payload, out: &mut Vec<u8>) {
        out.extend_from_slice(b"MAIL FROM:<");
        self.envelope.reverse_path(seq, out);
        if *offer == Offer::default() {
            out.extend_from_slice(b">\r\n");
            return;
        }
        out.push(b'>');
        self.parameters_of_mail(seq, offer, payload, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Not inlined: commands without parameters are the usual ones.
    #[inline(never)]
    fn parameters_of_mail(&self, seq: u64, offer: &Offer, payload: &Payload, out: &mut Vec<u8>) {
        if offer.size {
            out.extend_from_slice(b" SIZE=");
            write_number(out, payload.size(seq) as u64);
        }
        // Without it the message is 7BIT (RFC 6152 section 3).
        if offer.eight_bit && payload.is_eight_bit() {
            out.extend_from_slice(b" BODY=8BITMIME");
        }
        if offer.smtputf8 && self.smtputf8 {
            out.extend_from_slice(b" SMTPUTF8");
        }
        if offer.dsn && self.dsn {
            put(out, format_args!(" RET=HDRS ENVID={:08x}-{seq}", self.run));
        }
    }

    #[inline]
    fn rcpt(&mut self, seq: u64, index: u16, offer: &Offer, out: &mut Vec<u8>) {
        out.extend_from_slice(b"RCPT TO:<");
        let from = out.len();
        self.envelope.forward_path(seq, index, out);
        if !(self.dsn && offer.dsn) {
            out.extend_from_slice(b">\r\n");
            return;
        }
        self.parameters_of_rcpt(from, out);
        out.extend_from_slice(b"\r\n");
    }

    /// The end of RCPT with DSN; the path begins at `from`. Not inlined, likewise.
    #[inline(never)]
    fn parameters_of_rcpt(&mut self, from: usize, out: &mut Vec<u8>) {
        self.path.clear();
        self.path.extend_from_slice(&out[from..]);
        out.extend_from_slice(b"> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=");
        xtext::original_recipient(&self.path, out);
    }
}

fn put(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_else(|_| unreachable!("a Vec takes every write"));
}
