//! The digest of a plan: of all that determines the messages of the whole run and their schedule. It is the same for all
//! parts of a run, on all machines.

use crate::client::dialect::Dialect;
use crate::client::sasl::Mechanism;
use crate::load::payload::Content;
use crate::load::plan::{Limit, Plan, Target};
use crate::load::security::{Security, Settings};
use crate::report::STRONGEST;
use crate::report::plans::Digest;
use crate::run::settings::{chunk_text, mode, settings, trust};

/// The digest of a plan. Every setting is named here, so that a new one can't be forgotten.
pub(crate) fn digest(plan: &Plan) -> Digest {
    let Plan {
        targets,
        clients,
        // What `Digest::of` has.
        load: _,
        limit: Limit { count, duration: _ },
        warmup: _,
        seed: _,
        asked_connections,
        messages_per_session,
        dialect,
        helo,
        from,
        to,
        content,
        // What names resolve to, and where a machine connects from.
        addresses: _,
        sources: _,
        // What is this part's own. The id of the run has the start.
        part: _,
        is_cut: _,
        start_at: _,
        connections: _,
        run: _,
        // How long each process waits, and what it measures.
        threads: _,
        timeouts: _,
        grace: _,
        give_up_after: _,
        late_after: _,
        has_ledger: _,
    } = plan;
    let mut digest = Digest::of(&settings(plan));
    digest.set("--count", text(count.as_ref()));
    digest.set("--connections", asked_connections.to_string());
    digest.set("--messages-per-session", text(messages_per_session.as_ref()));
    digest.set("--proxy-protocol", clients.as_ref().map_or("", |clients| clients.source()));
    digest.set("--helo", helo);
    digest.set("--from", from.source());
    digest.set("--to", to.source());
    add_targets(&mut digest, targets);
    add_dialect(&mut digest, dialect);
    match content {
        Content::Generated { min, max, is_utf8 } => digest.set("message", format!("{min} {max} {is_utf8}")),
        Content::File { name, bytes } => {
            digest.set("message", name);
            digest.set(format!("--message {name}"), bytes);
        }
    }
    digest
}

fn add_targets(digest: &mut Digest, targets: &[Target]) {
    let (mut names, mut tls) = (String::new(), String::new());
    for Target { name, addresses: _, security } in targets {
        names.push_str(&format!("{name}\n"));
        if let Some(Security { config: _, name, settings }) = security {
            let Settings { trust: accepted, version, resumption, has_certificate } = settings;
            let (name, trust, version) = (name.to_str(), trust(*accepted), text(version.as_ref()));
            tls.push_str(&format!("{name} {trust} {version} {resumption} {has_certificate}\n"));
        }
    }
    digest.set("targets", names);
    digest.set("TLS", tls);
}

fn add_dialect(digest: &mut Digest, dialect: &Dialect) {
    let Dialect { recipients, pipelining, is_lmtp, encryption, chunk, dsn, smtputf8, login } = dialect;
    digest.set("--rcpts", recipients.to_string());
    digest.set("--pipelining", pipelining.to_string());
    digest.set("--lmtp", is_lmtp.to_string());
    digest.set("--starttls", mode(*encryption).unwrap_or_default());
    digest.set("--chunking", chunk.map(chunk_text).unwrap_or_default());
    digest.set("--dsn", dsn.to_string());
    digest.set("--smtputf8", smtputf8.to_string());
    // No digest of a password: it could be guessed from that.
    let mechanism = login.as_ref().map(|login| login.mechanism().map_or(STRONGEST, Mechanism::name));
    digest.set("--auth", mechanism.unwrap_or_default());
}

/// Nothing for `None`. A digest is compared with those of other builds: it is never of the text of `Debug`.
fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn of(args: &str) -> Digest {
        let typed = ["smtpload"].into_iter().chain(args.split(' '));
        let cli = crate::program::cli::Cli::try_parse_from(typed).unwrap();
        digest(&cli.run.plan_with(|| 1, |_| Ok(vec!["127.0.0.1:1".parse().unwrap()])).unwrap())
    }

    #[test]
    fn it_is_that_of_all_parts_and_of_all_machines() {
        let whole = of("t:1 --seed 3 --rate 10/s --part 0/1");
        for same in [
            "t:1 --seed 3 --rate 10/s --part 2/3",
            "--target t:1 --seed 3 --rate 10/s --arrivals constant --part 1/3 --threads 3 --late-after 1s",
            "t:1 --seed 3 --rate 10/s --duration 10s -c 128 --part 0/2 --timeout 3s --grace 1s --give-up-after 1s",
            "t:1 --seed 3 --rate 10/s --part 0/2 --bind 127.0.0.1 -4 --start-at 2100-01-01T00:00:00Z --verify x",
        ] {
            assert_eq!(of(same), whole, "{same}");
        }
    }

    #[test]
    fn it_is_the_same_on_all_machines_and_of_all_builds() {
        let typed = "smtps://t:1 --seed 3 --steps 10/s:1s,20/s:2s --arrivals poisson --warmup 500ms --count 9 -c 4 \
                     --messages-per-session 7 --proxy-protocol 10.0.0.0/16 --helo h --from a@b --to c@d --insecure \
                     --tls-version 1.3 --rcpts 2 --pipelining --chunking --dsn --auth a:b --size 1KiB..2KiB";
        let few = "t:1 --seed 3 --duration 1500ms";
        for (typed, [auth, chunks, count, per_session, clients, starttls, tls, duration, load, message]) in [
            (
                typed,
                [
                    "strongest",
                    "whole",
                    "9",
                    "7",
                    "10.0.0.0/16",
                    "implicit",
                    "t any 1.3 true false\n",
                    "3",
                    "open 10/s:1s,20/s:2s,20/s poisson",
                    "1024 2048 false",
                ],
            ),
            (few, ["", "", "", "", "", "", "", "1.5", "closed", "1024 1024 false"]),
        ] {
            let all = [
                ("--auth", auth),
                ("--chunking", chunks),
                ("--count", count),
                ("--messages-per-session", per_session),
                ("--proxy-protocol", clients),
                ("--starttls", starttls),
                ("TLS", tls),
                ("duration", duration),
                ("load", load),
                ("message", message),
                ("seed", "3"),
            ];
            let digest = serde_json::to_value(of(typed)).unwrap();
            for (name, value) in all {
                let xxh3 = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(value.as_bytes()));
                assert_eq!(digest[name], xxh3, "{name} of {typed}: {value}");
            }
        }
        // As every implementation of XXH3 has it.
        assert_eq!(serde_json::to_value(of(few)).unwrap()["seed"], "7324dc1e7e9474f0");
    }

    #[test]
    fn each_setting_that_differs_is_named() {
        let args = "t:1 --seed 3 --count 9 --part 0/2";
        let one = of(args);
        for (more, name) in [
            ("--seed 4", "seed"),
            ("--count 8", "--count"),
            ("-c 17", "--connections"),
            ("--duration 9s", "duration"),
            ("--duration 9s --warmup 1s", "duration, warm-up"),
            ("--warmup 1s", "warm-up"),
            ("--rate 9/s", "--connections, load"),
            ("--rate 9/s -c 16", "load"),
            ("--target u:1", "targets"),
            ("--to x@example.com", "--to"),
            ("--from x@example.com", "--from"),
            ("--helo x", "--helo"),
            ("--rcpts 2", "--rcpts"),
            ("--size 1MiB", "message"),
            ("--pipelining", "--pipelining"),
            ("--chunking", "--chunking"),
            ("--dsn", "--dsn"),
            ("--lmtp", "--lmtp"),
            ("--smtputf8 --from a@b --to c@d --size 1KiB", "--from, --smtputf8, --to, message"),
            ("--messages-per-session 1", "--messages-per-session"),
            ("--auth a:b", "--auth"),
            ("--starttls required --insecure", "--starttls, TLS"),
            ("--proxy-protocol 10.0.0.0/16", "--proxy-protocol"),
        ] {
            let typed = if more.contains("--seed") {
                args.replace("--seed 3", more)
            } else {
                format!("{args} {more}")
            };
            let typed = if more.contains("--count") { args.replace("--count 9", more) } else { typed };
            assert_eq!(one.differences(&of(&typed)), name, "{more}");
        }
        let (one, other) =
            (of("t:1 --starttls required --insecure"), of("t:1 --starttls required --insecure --tls-name x"));
        assert_eq!(one.differences(&other), "TLS");
    }
}
