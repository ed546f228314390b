//! Renders commands. The constant parts are rendered once.

use crate::client::session::Command;
use crate::load::envelope::Envelope;
use crate::load::plan::Plan;

/// Renders the commands of one run.
#[derive(Debug)]
pub(crate) struct Renderer {
    ehlo: Vec<u8>,
    envelope: Envelope,
}

impl Renderer {
    pub(crate) fn new(plan: &Plan) -> Renderer {
        Renderer { ehlo: format!("EHLO {}\r\n", plan.helo).into_bytes(), envelope: Envelope::of(plan) }
    }

    /// Appends `command` for message `seq`. The body is not rendered here: its buffer is shared.
    pub(crate) fn render(&self, command: Command, seq: u64, out: &mut Vec<u8>) {
        match command {
            Command::Ehlo => out.extend_from_slice(&self.ehlo),
            Command::Mail => self.mail(seq, out),
            Command::Rcpt(index) => self.rcpt(seq, index, out),
            Command::Data => out.extend_from_slice(b"DATA\r\n"),
            Command::Group => {
                self.mail(seq, out);
                for index in 0..self.envelope.recipients() {
                    self.rcpt(seq, index, out);
                }
                out.extend_from_slice(b"DATA\r\n");
            }
            Command::EmptyBody => out.extend_from_slice(b".\r\n"),
            Command::Rset => out.extend_from_slice(b"RSET\r\n"),
            Command::Quit => out.extend_from_slice(b"QUIT\r\n"),
            Command::Body => debug_assert!(false, "the body is written from the payload"),
        }
    }

    fn mail(&self, seq: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"MAIL FROM:<");
        self.envelope.reverse_path(seq, out);
        out.extend_from_slice(b">\r\n");
    }

    fn rcpt(&self, seq: u64, index: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(b"RCPT TO:<");
        self.envelope.forward_path(seq, index, out);
        out.extend_from_slice(b">\r\n");
    }
}
