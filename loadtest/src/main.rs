//! `smtpload`: an SMTP load generator.

use std::process::ExitCode;

fn main() -> ExitCode {
    smtpload::run()
}
