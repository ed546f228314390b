//! `smtpload`: an SMTP load generator.
fn main() {}
