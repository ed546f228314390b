//! All figures, in the order of reports.

#[cfg(feature = "report")]
use super::Slot;
use super::{Figure, Figures, Metric, Unit};
use crate::smtp::Stage;
use crate::stats::{StageStats, Stats};

/// A count that is computed from others.
struct Derived {
    /// The figure that it follows in reports.
    behind: &'static str,
    name: &'static str,
    meaning: &'static str,
    count: fn(&Stats) -> u64,
}

static DERIVED: &[Derived] = &[
    Derived {
        behind: "sessions.refused",
        name: "sessions.open",
        meaning: "open sessions",
        count: Stats::sessions_open,
    },
    Derived {
        behind: "session.inter_arrival",
        name: "transactions",
        meaning: "mail transactions started, one by each MAIL",
        count: Stats::transactions,
    },
    Derived {
        behind: "session.inter_arrival",
        name: "transactions.open",
        meaning: "open mail transactions",
        count: Stats::transactions_open,
    },
    Derived {
        behind: "tls.service",
        name: "tls.ended_by_client",
        meaning: "handshakes that failed, ended by the client",
        count: |stats| stats.tls.ended_by_client(),
    },
    Derived {
        behind: "tls.service",
        name: "tls.ended_by_server",
        meaning: "handshakes that failed, ended by the server",
        count: |stats| stats.tls.ended_by_server(),
    },
];

/// Every figure, in the order of reports.
pub(super) fn all(stats: &Stats) -> Vec<Figure<'_>> {
    // All fields are listed, so that a new part must be added to the figures or excluded explicitly.
    let Stats {
        sessions,
        proxy,
        messages,
        stages,
        pipelining,
        auth,
        extensions,
        tls,
        retries,
        delays,
        health,
        timeline: _,
        started_at: _,
        begins: _,
        ends: _,
        unmeasured: _,
        open_before: _,
        transactions_before: _,
        seed: _,
        rules: _,
        sessions_by_shard: _,
    } = stats;
    let plain = sessions.figures().chain(proxy.figures()).chain(messages.figures());
    let plain = plain.chain(pipelining.figures()).chain(extensions.figures()).chain(auth.figures());
    let plain = plain.chain(tls.figures());
    let plain = plain.chain(retries.figures()).chain(delays.figures()).chain(health.figures());
    let mut figures = Vec::new();
    for figure in plain {
        let derived = DERIVED.iter().filter(|derived| derived.behind == figure.name);
        let derived = derived.map(|&Derived { name, meaning, count, .. }| {
            let value = Some(Metric::Count(count(stats)));
            Figure { name: name.to_owned(), unit: Unit::Number, meaning, value }
        });
        let derived: Vec<_> = derived.collect();
        figures.push(figure);
        figures.extend(derived);
    }
    for line in StageStats::lines() {
        figures.extend(stages.iter().map(|(stage, own)| line.figure(name_of(line.name, stage), own)));
    }
    figures
}

fn name_of(name: &str, stage: Stage) -> String {
    format!("{name}.{}", stage.name())
}

/// Mutable access to the figure of this name.
#[cfg(feature = "report")]
pub(super) fn slot<'s>(stats: &'s mut Stats, name: &str) -> Option<Slot<'s>> {
    if DERIVED.iter().any(|derived| derived.name == name) {
        return Some(Slot::Derived);
    }
    let Stats { sessions, proxy, messages, stages, pipelining, auth, extensions, tls, .. } = stats;
    let Stats { retries, delays, health, .. } = stats;
    let plain = sessions.slot(name).or_else(|| proxy.slot(name)).or_else(|| messages.slot(name));
    let plain = plain.or_else(|| pipelining.slot(name)).or_else(|| auth.slot(name));
    let plain = plain.or_else(|| extensions.slot(name)).or_else(|| tls.slot(name));
    let plain = plain.or_else(|| retries.slot(name)).or_else(|| delays.slot(name));
    plain.or_else(|| health.slot(name)).or_else(|| {
        let (name, stage) = name.rsplit_once('.')?;
        let stage = Stage::ALL.iter().copied().find(|one| one.name() == stage)?;
        stages[stage].slot(name)
    })
}
