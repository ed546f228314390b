//! The digest of a plan: of all that determines the messages of the whole run and their schedule. It is the same for all
//! parts of a run, on all machines.

use crate::client::dialect::Dialect;
use crate::client::sasl::Mechanism;
use crate::load::payload::Content;
use crate::load::plan::{Limit, Plan, Target};
use crate::load::security::{Security, Settings};
use crate::report::plans::Digest;
use crate::run::settings::{load_text, settings};

/// The digest of a plan. Every setting is named here, so that a new one can't be forgotten.
pub(crate) fn digest(plan: &Plan) -> Digest {
    let Plan {
        targets,
        clients,
        load,
        limit: Limit { count, duration },
        warmup,
        asked_connections,
        messages_per_session,
        dialect,
        helo,
        from,
        to,
        content,
        seed,
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
    digest.set("seed", seed.to_string());
    digest.set("load", load_text(load));
    digest.set("duration", format!("{:?}", duration.map(|duration| duration.as_secs_f64())));
    digest.set("warm-up", format!("{:?}", warmup.as_secs_f64()));
    digest.set("--count", format!("{count:?}"));
    digest.set("--connections", asked_connections.to_string());
    digest.set("--messages-per-session", format!("{messages_per_session:?}"));
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
            let Settings { trust, version, resumption, has_certificate } = settings;
            tls.push_str(&format!(
                "{} {trust:?} {version:?} {resumption} {has_certificate}\n",
                name.to_str()
            ));
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
    digest.set("--starttls", format!("{encryption:?}"));
    digest.set("--chunking", format!("{chunk:?}"));
    digest.set("--dsn", dsn.to_string());
    digest.set("--smtputf8", smtputf8.to_string());
    // No digest of a password: it could be guessed from that.
    let login = login.as_ref().map(|login| login.mechanism().map(Mechanism::name));
    digest.set("--auth", format!("{login:?}"));
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
        // On all machines: these are the digests of XXH3.
        let text = serde_json::to_value(&whole).unwrap();
        assert_eq!(
            (&text["seed"], &text["--count"]),
            (&"7324dc1e7e9474f0".into(), &"715ea0deb6f6f5f9".into())
        );
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
