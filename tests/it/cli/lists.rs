//! Lists of names and addresses to refuse, from any source, and which entries are equal.

use std::net::SocketAddr;

use smtpmock::Config;
use smtpmock::smtp::AddressRules;
use tempfile::NamedTempFile;

use crate::support::client::Client;
use crate::support::program::{command, start, start_command};
use crate::support::server;

/// Lists as typed by users; a comma at the end is not an entry.
const HELO: &str = "a.example, Bad.Example ,[ipv6:2001:db8::1]";
const FROM: &str = "a@a.example, Ann@Bad.Example,postmaster@bad.example,";
const TO: &str = "b@b.example,\tbob@bad.example";
const GONE: &str = "c@c.example, Gone@x.example , postmaster";

/// Lines, each with whether an entry in another form refuses it, and whether only the same octets do.
const LINES: &[(&str, bool, bool)] = &[
    ("EHLO a.example", true, true),
    ("EHLO A.example", true, false),
    ("EHLO bad.EXAMPLE", true, false),
    ("EHLO [IPv6:2001:DB8::1]", true, false),
    ("EHLO c.example", false, false),
    ("MAIL FROM:<a@a.example>", true, true),
    ("MAIL FROM:<a@A.Example>", true, false),
    ("MAIL FROM:<A@a.example>", false, false),
    ("MAIL FROM:<Ann@bad.example>", true, false),
    ("MAIL FROM:<PostMaster@BAD.example>", true, false),
    ("MAIL FROM:<>", false, false),
    ("RCPT TO:<b@b.example>", true, true),
    ("RCPT TO:<bob@Bad.example>", true, false),
    ("RCPT TO:<Bob@bad.example>", false, false),
    ("RCPT TO:<c@c.example>", true, true),
    ("RCPT TO:<Gone@X.example>", true, false),
    ("RCPT TO:<gone@x.example>", false, false),
    ("RCPT TO:<PostMaster>", true, false),
];

fn check(address: SocketAddr, is_exact: bool, what: &str) {
    let mut client = Client::greeted(address);
    for &(line, is_same, is_equal) in LINES {
        let is_refused = if is_exact { is_equal } else { is_same };
        let reply = client.command(line);
        assert_eq!(reply != "250 Received", is_refused, "{what}: {line}: {reply}");
    }
}

#[test]
fn domains_are_compared_without_case_and_entries_are_trimmed_unless_compat() {
    for (rules, name) in [
        (AddressRules::Lenient, "lenient"),
        (AddressRules::Rfc5321, "rfc5321"),
        (AddressRules::Any, "any"),
        (AddressRules::Compat, "compat"),
    ] {
        let is_exact = rules == AddressRules::Compat;
        let program = start([
            "--blacklisted-helo-domains",
            HELO,
            "-blacklistedMailfromEmails",
            FROM,
            "--blacklisted-rcptto-emails",
            TO,
            "--not-registered-emails",
            GONE,
            "--addresses",
            name,
        ]);
        check(program.address(), is_exact, &format!("flags, {name}"));

        let split = |list: &'static str| list.split(',').filter(|entry| !entry.is_empty());
        // The rules for addresses may be set before the lists or after them.
        let config = if is_exact { Config::default().addresses(rules) } else { Config::default() };
        let config = config
            .blacklisted_helo_domains(split(HELO))
            .blacklisted_mailfrom_emails(split(FROM))
            .blacklisted_rcptto_emails(split(TO))
            .not_registered_emails(split(GONE));
        check(server::start(config.addresses(rules)).local_addr(), is_exact, &format!("library, {name}"));
    }
}

#[test]
fn a_file_and_variables_have_the_same_lists() {
    let file = NamedTempFile::new().expect("a file");
    let entries: Vec<String> = GONE.split(',').map(|entry| format!("{entry:?}")).collect();
    let toml = format!(
        "blacklisted-helo-domains = {HELO:?}\nblacklisted-mailfrom-emails = {FROM:?}\n\
         blacklisted-rcptto-emails = {TO:?}\nnot-registered-emails = [{}]\n",
        entries.join(", ")
    );
    std::fs::write(file.path(), toml).expect("a writable file");
    let program = start(["--config", &file.path().display().to_string()]);
    check(program.address(), false, "file");

    let program = start_command(
        command::<&str>([])
            .env("SMTPMOCK_BLACKLISTED_HELO_DOMAINS", HELO)
            .env("SMTPMOCK_BLACKLISTED_MAILFROM_EMAILS", FROM)
            .env("SMTPMOCK_BLACKLISTED_RCPTTO_EMAILS", TO)
            .env("SMTPMOCK_NOT_REGISTERED_EMAILS", GONE),
    );
    check(program.address(), false, "variables");
}
