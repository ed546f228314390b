//! The texts of `--help` and `--version`, and the flags as arguments for clap.

use std::ffi::OsString;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, Command};

use smtpmock::build;

use super::flag::{Arity, Flag};
use super::flags::VERSION;

/// The kebab-case flags; other spellings are normalised to them before clap parses.
pub(super) fn command(table: &[Flag]) -> Command {
    let help = Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::HelpLong)
        .help("Print this help and exit")
        .help_heading(table.last().map(|flag| flag.heading));
    Command::new("smtpmock")
        .about(ABOUT)
        .after_help(AFTER)
        .override_usage(
            "smtpmock [FLAGS]\n       smtpmock merge FILE... [FLAGS]\n       smtpmock ready URL [--wait[=DURATION]]\n       \
             smtpmock man\n       smtpmock completions SHELL",
        )
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .args(table.iter().map(argument))
        .arg(help)
}

pub(super) fn argument(flag: &Flag) -> Arg {
    let read = flag.read.clone();
    let argument = Arg::new(flag.kebab.clone())
        .long(flag.kebab.clone())
        .value_name(flag.placeholder)
        .help(flag.help.clone())
        .help_heading(flag.heading)
        .value_parser(OsStringValueParser::new().try_map(move |raw: OsString| read(&raw)));
    let argument = match flag.arity {
        Arity::Value | Arity::List => argument,
        Arity::Repeated => argument.action(ArgAction::Append),
        Arity::Switch => argument.num_args(0..=1).require_equals(true),
    };
    match flag.name.as_str() {
        VERSION => argument.short('v'),
        "quiet" => argument.short('q'),
        _ => argument,
    }
}

/// The three lines of go-smtp-mock's `-v`.
pub(super) fn version() -> String {
    format!("smtpmock: {}\n{}\n", env!("CARGO_PKG_VERSION"), build::origin())
}

const ABOUT: &str = "\
A mock SMTP server: accepts mail, discards or shows it, and replies exactly as configured.

Without flags it listens on a free port of 127.0.0.1 and accepts every valid mail. On a terminal,
or with --ready, it prints the address.";

/// No line exceeds 80 columns: an example that the terminal wraps within quotes can't be copied.
pub(super) const AFTER: &str = "\
Values:
  DURATION  a whole number of seconds (30), or with a unit: 250ms, 1.5s, 2m, 1h;
            at most 365 days
  DELAY     a DURATION, or drawn: 50ms..200ms, exp(80ms), normal(100ms,20ms),
            lognormal(p50=80ms,p99=400ms), percentiles(50=20ms,99=300ms,100=2s);
            optionally followed by max=2s (the maximum) and @5% (how often)
  RULE      STAGE CONDITIONS ACTIONS,
            like 'rcpt to=*@slow.example times=3 delay=2s'; the first
            rule that fires at a stage decides
            stages: connect, helo, mail, rcpt, data, message, rset, noop, quit,
            unknown, any; with --esmtp auth, bdat, help, vrfy, xclient; with
            --tls starttls, tls (the handshake)
            name: id=NAME, unique (optional)
            conditions: from= to= helo= user= mechanism= inbox=,
            at tls sni= (each with * and ?),
            ip=10.0.0.0/8, session=3.. nth=3 every=10 times=3 odds=5%,
            size>=1MiB,
            param.NAME= (a parameter of MAIL or RCPT, like param.notify=never),
            after=10s until=20s period=30s
            (nth=, every= and times= counted
            per=session+sender+recipient+ip+user)
            actions: reply=\"451 4.7.1 later\" ehlo=EXTENSIONS delay=DELAY accept
            close silent stall cut=N drop=fin|rst (in place of the reply)
            drop=fin-after|rst-after (after it)
            at tls: certificate=expired|not-yet-valid|wrong-name|self-signed|
            untrusted|no-san, version=1.2|1.3, alert=NAME garbage silent
            drop=fin|rst delay=DELAY accept
  EXTENSIONS
            only these: SIZE,DSN; all but these: -SIZE,-DSN; or none;
            known are PIPELINING, SIZE, 8BITMIME, SMTPUTF8, DSN,
            ENHANCEDSTATUSCODES, CHUNKING, BINARYMIME, LIMITS, AUTH, STARTTLS
  URL       smtp://127.0.0.1:2525, smtp://[::1] (any free port), or a Unix
            socket, smtp+unix:///run/mock.sock?mode=0666 (its permissions);
            lmtp in place of smtp; smtps and lmtps with TLS; followed by
            ?proxy=require or ?proxy=accept, ?inbox=NAME
  RATE      bytes per second: 100B/s, 10KiB/s
  LIMIT     events per s, m or h, optionally burst=N, per=total|ip|domain,
            at=mail|connect: 100/s per=ip
  AMOUNT    10000messages, 500sessions, or a DURATION with its unit
  EXPECTATION
            FIGURE OP VALUE, like 'messages == 10000',
            'p99(think.mail) < 50ms', 'findings == 0'
            figures: the counts of the report, rate(COUNT), and of its
            distributions p50(NAME) (any percentile), min(NAME), mean(NAME),
            max(NAME), count(NAME); OP: == != < <= > >=
  SIZE      a number of bytes (1048576), or with a unit: 10MB, 64KiB, 1GiB
  LIST      entries separated by commas, white space around them ignored;
            domains match ignoring case, local parts exactly (with
            --addresses compat both match exactly)
  TEXT      code and text of a reply, one line or more, each with the code:
            $'250-mx.example\\n250 PIPELINING'; {{to}}, {{from}}, {{helo}},
            {{ip}}, {{id}}, {{plain_id}}, {{session}}, {{size}}, {{limit}}
            and {{commands}} are filled in; text after raw: is sent unchanged,
            with a CRLF added if it has no line end
  BOOL      may be left out for true; true or false, and Go's other spellings
  Zero and the empty text request the default. Of a repeated flag the last one
  counts, except for --rule, --listen, --ehlo-line, --tls-cert, --tls-key,
  --tls-client-ca, --auth, --auth-token, --exit-after, --expect, --fail-if and
  --merge-reports: each adds one, and a variable takes one per line. For the
  last six, and for every PATH, the empty text is an error; an empty variable
  sets no PATH.

Other spellings:
  Every flag also works in the spelling of go-smtp-mock: -sessionTimeout 30,
  -sessionTimeout=30, --sessionTimeout=30. After flags that all exist
  in go-smtp-mock, an argument without a dash and all later ones are ignored.
  Every flag except --version and --merge-reports has an environment variable,
  which the flag overrides: --session-timeout is SMTPMOCK_SESSION_TIMEOUT. A
  misspelled variable is an error. An empty variable counts as not set, except
  for --auth, --auth-token, --http-auth, --http-token, --expect, --fail-if and
  --exit-after, where it is an error.
  In the file of --config it is session-timeout = \"30s\"; variables and flags
  override the file, except for --expect and --fail-if: those of flags, of the
  variable and of the file all count.

Signals:
  SIGINT, SIGTERM, SIGQUIT, and SIGHUP unless it was ignored at the start:
  close sessions between two mails, let the others finish theirs for up to
  --shutdown-timeout, then end with code 0. A second one ends the program at
  once, with code 128 + its number; a repeated signal counts as a second one
  from 300 ms after the first.
  SIGUSR1: print the report so far to standard output and continue; to standard
  error if standard output carries JSON, a page or an interval log.
  SIGUSR2: reopen the output files by their names, after they were renamed.

Exit codes:
  0        ended by a signal or --exit-after, or --help, --version
  1        could not start, failed later, or an output was lost
  2        wrong flag or value, or two outputs in one file
  10       a condition of --expect is false, or one of --fail-if is true
  128 + N  ended by a second signal

Examples:
  Accept all mail on port 2525 and log it:
    smtpmock --port 2525 --log
  Any free port, for a script that waits for the file:
    smtpmock --ready-file /tmp/smtpmock.json
  Print every mail:
    smtpmock --port 2525 --show
  Capture every mail as a line of JSON, or for a mail program:
    smtpmock --port 2525 --capture mail.jsonl
    smtpmock --port 2525 --capture Mail/test --capture-format maildir
  Listen on IPv4 and IPv6:
    smtpmock --host '127.0.0.1,[::1]' --port 2525
  Listen at a Unix socket, and on a free port too:
    smtpmock --listen smtp+unix:///run/mock.sock?mode=0666 --port 0 --ready
  Refuse some recipients, one for good and one for now:
    smtpmock --not-registered-emails gone@example.com \\
      --blacklisted-rcptto-emails full@example.com \\
      --msg-rcptto-blacklisted-email '452 4.2.2 Mailbox full'
  A slow server:
    smtpmock --response-delay-message 1.5s --response-delay-helo 250ms
  A recipient accepted at the third attempt, and 5 % of connections reset:
    smtpmock --rule 'connect odds=5% drop=rst' \\
      --rule 'rcpt to=bob@example.com times=2 reply=\"451 4.3.0 later\"'
  Measure a sender; for a CI job, the exit code is the verdict:
    smtpmock --port 2525 --exit-after 10000messages --exit-after 5m --report \\
      --expect 'messages == 10000' --expect 'p99(think.mail) < 50ms' \\
      --expect 'findings == 0'
  Merge the reports of two runs into a page, and check it:
    smtpmock merge monday.json tuesday.json \\
      --report-html both.html --expect 'sessions.gave_up == 0'
  Settings as a file for --config, printed from flags:
    smtpmock --port 2525 --fail-fast --print-config
  A target for a load test:
    smtpmock --port 2525 --shards auto --backlog 65535 \\
      --max-message-memory 4GiB
  All extensions except SMTPUTF8; none for every tenth EHLO or HELO:
    smtpmock --port 2525 --extensions -SMTPUTF8 \\
      --rule 'helo every=10 ehlo=none'
  Require AUTH of one user, who fails twice; LMTP behind a proxy:
    smtpmock --port 2525 --auth ann:secret --auth-required \\
      --rule 'auth user=ann times=2 reply=\"454 4.7.0 later\"'
    smtpmock --listen 'lmtp://127.0.0.1:2424?proxy=require' --trust 127.0.0.1
  Messages over HTTP, and the health check of a container:
    smtpmock --port 2525 --http 8025
    smtpmock ready http://127.0.0.1:8025 --wait=30s
  This help as a manual page, and completions:
    smtpmock man | man -l -
    smtpmock completions bash > /etc/bash_completion.d/smtpmock
  In a container:
    SMTPMOCK_HOST=0.0.0.0 SMTPMOCK_PORT=2525 SMTPMOCK_LOG=true smtpmock
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::cli::flag::Arity;
    use crate::program::cli::flags;

    #[test]
    fn flags_that_add_up_are_listed_and_no_others() {
        let (_, rest) = AFTER.split_once("counts, except for").expect("the exceptions");
        let (list, _) = rest.split_once("each adds one").expect("what they do");
        let mut listed: Vec<&str> =
            list.split([' ', ',', ':', '\n']).filter_map(|word| word.strip_prefix("--")).collect();
        let table = flags::table();
        let repeated = table.iter().filter(|flag| flag.arity == Arity::Repeated);
        let mut repeated: Vec<&str> = repeated.map(|flag| flag.kebab.as_str()).collect();
        listed.sort_unstable();
        repeated.sort_unstable();
        assert_eq!(listed, repeated);
    }
}
