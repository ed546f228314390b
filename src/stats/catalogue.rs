//! Every figure by its name: one list for reports, for files, and for what a run is expected to keep.

use super::{Durations, Numbers, Stats};

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric<'s> {
    /// How many.
    Count(u64),
    /// A distribution of durations.
    Durations(&'s Durations),
    /// A distribution of numbers.
    Numbers(&'s Numbers),
}

impl Stats {
    /// All figures with their names, in the order of reports. Those of a stage have its name at their end:
    /// `think.mail`, `refused.rcpt`.
    pub fn metrics(&self) -> Vec<(String, Metric<'_>)> {
        let plain = self.plain_metrics().into_iter().map(|(name, metric)| (name.to_owned(), metric));
        plain.chain(self.stage_metrics()).collect()
    }

    /// The figure of this name.
    pub fn metric(&self, name: &str) -> Option<Metric<'_>> {
        self.metrics().into_iter().find_map(|(own, metric)| (own == name).then_some(metric))
    }

    fn plain_metrics(&self) -> Vec<(&'static str, Metric<'_>)> {
        use Metric::{Count, Durations, Numbers};
        let Self { sessions, messages, pipelining, retries, delays, health, .. } = self;
        vec![
            ("sessions", Count(sessions.opened)),
            ("sessions.refused", Count(sessions.refused)),
            ("sessions.open", Count(self.sessions_open())),
            ("sessions.closed", Count(sessions.closed)),
            ("sessions.peak", Count(sessions.peak.get())),
            ("sessions.silent", Count(sessions.silent)),
            ("sessions.quit", Count(sessions.quit)),
            ("sessions.left", Count(sessions.left)),
            ("sessions.gave_up", Count(sessions.gave_up)),
            ("sessions.timed_out", Count(sessions.timed_out)),
            ("sessions.dismissed", Count(sessions.dismissed)),
            ("sessions.stopped", Count(sessions.stopped)),
            ("sessions.resets", Count(sessions.resets)),
            ("sessions.went_on_after_421", Count(sessions.went_on_after_421)),
            ("sessions.early_talkers", Count(sessions.early_talkers)),
            ("session.duration", Durations(&sessions.duration)),
            ("session.messages", Numbers(&sessions.messages)),
            ("session.commands", Numbers(&sessions.commands)),
            ("session.first_mail", Durations(&sessions.first_mail)),
            ("session.inter_arrival", Durations(&sessions.inter_arrival)),
            ("messages", Count(messages.accepted)),
            ("messages.refused", Count(messages.refused)),
            ("messages.aborted", Count(messages.aborted)),
            ("messages.bytes", Count(messages.bytes)),
            ("messages.inspected", Count(messages.inspected)),
            ("messages.with_bare_lf", Count(messages.with_bare_lf)),
            ("messages.with_long_lines", Count(messages.with_long_lines)),
            ("message.recipients", Numbers(&messages.recipients)),
            ("data.time", Durations(&messages.data_time)),
            ("data.rate", Numbers(&messages.data_rate)),
            ("data.longest_gap", Durations(&messages.longest_gap)),
            ("pipelining.groups", Numbers(&pipelining.groups)),
            ("retries.deferred", Count(retries.deferred)),
            ("retries.retried", Count(retries.retried)),
            ("retries.forgotten", Count(retries.forgotten)),
            ("retries.after", Durations(&retries.after)),
            ("delay.told", Durations(&delays.told)),
            ("delay.achieved", Durations(&delays.achieved)),
            ("delay.lateness", Durations(&delays.lateness)),
            ("delay.early", Count(delays.early)),
            ("loop.turns", Durations(&health.turns)),
            ("loop.accept_queue_overflows", Count(health.accept_queue_overflows.unwrap_or(0))),
            ("records.evicted", Count(health.records_evicted)),
            ("log.dropped", Count(health.log_entries_dropped)),
        ]
    }

    fn stage_metrics(&self) -> impl Iterator<Item = (String, Metric<'_>)> {
        use Metric::{Count, Durations};
        self.stages.iter().flat_map(|(stage, stats)| {
            let figures = [
                ("count", Count(stats.count)),
                ("refused", Count(stats.refused.values().sum())),
                ("think", Durations(&stats.think)),
                ("service", Durations(&stats.service)),
                ("gave_up", Durations(&stats.gave_up)),
                ("left", Durations(&stats.left)),
            ];
            figures.map(|(name, metric)| (format!("{name}.{}", stage.name()), metric))
        })
    }
}
