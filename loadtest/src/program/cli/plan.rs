//! The [`Plan`] that the flags of a run describe. Errors name the flag.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::RunArgs;
use crate::client::dialect::{Dialect, Encryption};
use crate::client::phase::Phase;
use crate::client::sasl::Login;
use crate::load::part::Part;
use crate::load::payload::{BODY_MAX, BODY_MIN, Content};
use crate::load::plan::{
    CONNECTIONS_LIMIT, Limit, Load, Plan, TARGETS_LIMIT, THREADS_LIMIT, Target, Timeouts, connections,
};
use crate::load::schedule::{Profile, RATE_LIMIT, Schedule};
use crate::load::target::{self, Allowed, Endpoint};
use crate::load::token::run_of;
use crate::program::plan_error::PlanError;

/// Duration of a run without --duration, --count, --ramp and --steps.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// Timeout of a phase without --timeout.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Connections without -c: few in a closed loop, where each one is always busy; more in
/// an open loop, where they are opened only when needed.
const CONNECTIONS_CLOSED: usize = 16;
const CONNECTIONS_OPEN: usize = 128;

impl RunArgs {
    /// The rates of an open loop; `None` in a closed loop.
    fn profile(&self) -> Option<Profile> {
        let scheduled = self.ramp.as_ref().or(self.steps.as_ref()).cloned();
        scheduled.or_else(|| self.rate.map(Profile::constant))
    }

    /// Validates the flags and builds the plan. Names are resolved by the system.
    pub(crate) fn plan(&self, draw: impl Fn() -> u64) -> Result<Plan, PlanError> {
        self.plan_with(draw, |named| Ok(named.to_socket_addrs()?.collect()))
    }

    /// The same with another resolver.
    pub(crate) fn plan_with(
        &self,
        draw: impl Fn() -> u64,
        resolve: impl Fn(&str) -> io::Result<Vec<SocketAddr>>,
    ) -> Result<Plan, PlanError> {
        let named = self.named_targets()?;
        let profile = self.profile();
        let limit = self.limit(profile.as_ref());
        if limit.duration.is_some_and(|duration| self.warmup >= duration) {
            return Err(PlanError::AllWarmup);
        }
        let part = self.part_of(profile.as_ref(), limit)?;
        let open_loop = profile.is_some();
        let (connections, threads) = self.counts(open_loop, part, named.len())?;
        let (targets, addresses) = self.targets(&named, connections, resolve)?;
        let sources = self.sources()?;
        let dialect = self.dialect(self.tls.encryption(named[0])?, &draw)?;
        let seed = self.seed_or(&draw);
        let of_its_own = || match self.part {
            Some(_) => run_of(seed, self.start_at),
            None => (draw() >> 32) as u32,
        };
        let run = self.run_id.unwrap_or_else(of_its_own);
        Ok(Plan {
            targets,
            addresses,
            sources,
            clients: self.proxy_protocol.clone(),
            load: match profile {
                None => Load::Closed,
                Some(profile) => Load::Open { profile, arrivals: self.arrivals.kind() },
            },
            limit,
            part,
            is_cut: self.part.is_some(),
            start_at: self.start_at,
            warmup: self.warmup,
            asked_connections: self.asked_connections(open_loop),
            connections,
            threads,
            messages_per_session: self.messages_per_session,
            dialect,
            helo: self.helo.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            content: self.content()?,
            timeouts: self.timeouts(),
            grace: self.grace,
            give_up_after: self.give_up_after,
            late_after: self.late_after,
            seed,
            run,
            has_ledger: !self.verify.is_empty(),
        })
    }

    /// The targets in the order of their turns.
    fn named_targets(&self) -> Result<Vec<&str>, PlanError> {
        let named: Vec<&str> = self.target.iter().chain(&self.targets).map(String::as_str).collect();
        if named.len() > TARGETS_LIMIT {
            return Err(PlanError::Targets(named.len()));
        }
        let first = named.first().ok_or(PlanError::NoTarget)?;
        for (index, target) in named.iter().enumerate() {
            if named[..index].contains(target) {
                return Err(PlanError::TargetTwice((*target).to_owned()));
            }
            if target::is_smtps(first) != target::is_smtps(target) {
                return Err(PlanError::Mixed((*first).to_owned(), (*target).to_owned()));
            }
        }
        Ok(named)
    }

    /// The targets, and the addresses of all of them.
    fn targets(
        &self,
        named: &[&str],
        connections: usize,
        resolve: impl Fn(&str) -> io::Result<Vec<SocketAddr>>,
    ) -> Result<(Vec<Target>, Vec<Endpoint>), PlanError> {
        let allowed = Allowed { ipv4: !self.ipv6, ipv6: !self.ipv4, sources: &self.bind, is_lmtp: self.lmtp };
        let mut all: Vec<Endpoint> = Vec::new();
        let mut targets = Vec::new();
        for name in named {
            let mut addresses = Vec::new();
            for address in target::addresses(name, allowed, &resolve)? {
                let known = all.iter().position(|one| *one == address);
                addresses.push(known.unwrap_or(all.len()));
                if known.is_none() {
                    all.push(address);
                }
            }
            let security = self.tls.security(name, connections.div_ceil(named.len()))?;
            targets.push(Target { name: (*name).to_owned(), addresses, security });
        }
        Ok((targets, all))
    }

    fn dialect(&self, encryption: Encryption, draw: impl Fn() -> u64) -> Result<Dialect, PlanError> {
        let chunk = self.chunk_size.unwrap_or(NonZeroUsize::MAX);
        let login = self.auth.as_ref().map(|text| Login::read(text, draw()));
        Ok(Dialect {
            recipients: self.rcpts,
            pipelining: self.pipelining,
            is_lmtp: self.lmtp,
            encryption,
            chunk: self.chunking.then_some(chunk),
            dsn: self.dsn,
            smtputf8: self.smtputf8,
            login: login.transpose().map_err(PlanError::Login)?.map(Arc::new),
        })
    }

    fn limit(&self, profile: Option<&Profile>) -> Limit {
        let scheduled = profile.map(Profile::length).filter(|length| !length.is_zero());
        let duration = self.duration.or(scheduled);
        let unbounded = duration.is_none() && self.count.is_none();
        Limit { count: self.count, duration: if unbounded { Some(DURATION_DEFAULT) } else { duration } }
    }

    /// The part of the run, if every part has something to do.
    fn part_of(&self, profile: Option<&Profile>, limit: Limit) -> Result<Part, PlanError> {
        let part = self.part.unwrap_or(Part::WHOLE);
        if part.of() > 1 && self.seed.is_none() {
            return Err(PlanError::Seedless(part));
        }
        if let Some(count) = self.count.filter(|count| *count < part.of()) {
            return Err(PlanError::IdleParts { flag: "--count", count, part });
        }
        let highest = profile.map_or(0.0, Profile::highest) / part.of() as f64;
        if highest > RATE_LIMIT {
            return Err(PlanError::Rate(highest));
        }
        let all = profile.zip(self.seed).map(|(profile, seed)| {
            Schedule::new(profile.clone(), self.arrivals.kind(), seed, limit.duration, limit.count)
        });
        if part.of() > 1 && all.is_some_and(|mut all| all.after(part.of() - 1).is_none()) {
            return Err(PlanError::FewArrivals(part));
        }
        Ok(part)
    }

    /// The connections of the whole run, or the default.
    fn asked_connections(&self, open_loop: bool) -> usize {
        self.connections.unwrap_or(if open_loop { CONNECTIONS_OPEN } else { CONNECTIONS_CLOSED })
    }

    /// The connections of the part, and its threads.
    fn counts(&self, open_loop: bool, part: Part, targets: usize) -> Result<(usize, usize), PlanError> {
        let threads = self.threads;
        if !(1..=THREADS_LIMIT).contains(&threads) {
            return Err(PlanError::Threads(threads));
        }
        if let Some(whole) = self.connections {
            check_connections(whole, threads, targets, part)?;
        }
        Ok((connections(self.asked_connections(open_loop), threads, targets, part), threads))
    }

    /// The source addresses; each must be an address of this machine.
    fn sources(&self) -> Result<Vec<SocketAddr>, PlanError> {
        let sources = self.bind.iter().map(|ip| SocketAddr::new(*ip, 0));
        sources
            .map(|source| {
                let bound = std::net::TcpListener::bind(source);
                bound.map(|_| source).map_err(|error| PlanError::Source { ip: source.ip(), error })
            })
            .collect()
    }

    fn content(&self) -> Result<Content, PlanError> {
        let Some(path) = &self.message else {
            let (min, max) = self.size;
            if min < BODY_MIN || max > BODY_MAX {
                return Err(PlanError::Size);
            }
            return Ok(Content::Generated { min, max, is_utf8: self.smtputf8 });
        };
        let name = path.display().to_string();
        match smtpmock::read_bounded(path, BODY_MAX) {
            Ok(bytes) => Ok(Content::File { name, bytes }),
            Err(error) => Err(PlanError::Message { name, error }),
        }
    }

    /// A time without a phase applies to all of them, in any order.
    fn timeouts(&self) -> Timeouts {
        let general = self.timeout.iter().rev().find(|(phase, _)| phase.is_none());
        let mut all = [general.map_or(TIMEOUT_DEFAULT, |(_, time)| *time); Phase::COUNT];
        for (phase, time) in &self.timeout {
            if let Some(phase) = phase {
                all[phase.index()] = *time;
            }
        }
        Timeouts(all)
    }
}

/// Whether each part has connections that its process can have, and this part enough of them. Other parts may have fewer
/// threads.
fn check_connections(whole: usize, threads: usize, targets: usize, part: Part) -> Result<(), PlanError> {
    let count = whole as u64;
    if (1..part.of()).contains(&count) {
        return Err(PlanError::IdleParts { flag: "--connections", count, part });
    }
    if !(1..=CONNECTIONS_LIMIT as u64).contains(&count.div_ceil(part.of())) {
        return Err(PlanError::Connections(whole));
    }
    let connections = usize::try_from(part.share(count)).unwrap_or(usize::MAX);
    if threads > connections {
        return Err(PlanError::IdleThreads { threads, connections });
    }
    if threads * targets > connections {
        return Err(PlanError::IdleTargets { targets, threads, connections });
    }
    Ok(())
}
