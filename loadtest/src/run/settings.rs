//! The settings of a plan, as its report has them.

use std::num::NonZeroUsize;

use crate::client::dialect::Encryption;
use crate::client::phase::Phase;
use crate::client::sasl::Mechanism;
use crate::load::payload::Content;
use crate::load::plan::{Load, Plan};
use crate::load::schedule::{Arrivals, Profile};
use crate::load::security::Trust;
use crate::report::{ANY, IMPLICIT, Protocol, STRONGEST, Settings, Shape, TlsShape, WHOLE};

/// The settings of a plan.
pub(crate) fn settings(plan: &Plan) -> Settings {
    Settings {
        target: plan.target_names(),
        shape: Shape {
            load: load_text(&plan.load),
            connections: plan.connections,
            messages_per_session: plan.messages_per_session.map(Into::into),
            rcpts: plan.dialect.recipients,
            pipelining: plan.dialect.pipelining,
            protocol: if plan.dialect.is_lmtp { Protocol::Lmtp } else { Protocol::Smtp },
            chunking: plan.dialect.chunk.map(chunk_text),
            smtputf8: plan.dialect.smtputf8,
            dsn: plan.dialect.dsn,
            proxy_protocol: plan.clients.is_some(),
            auth: plan
                .dialect
                .login
                .as_ref()
                .map(|login| login.mechanism().map_or(STRONGEST, Mechanism::name).to_owned()),
            tls: tls_shape(plan),
            message: content_text(&plan.content),
        },
        count: plan.count(),
        duration_s: plan.limit.duration.map(|duration| duration.as_secs_f64()),
        warmup_s: plan.warmup.as_secs_f64(),
        grace_s: plan.grace.as_secs_f64(),
        timeouts_s: Phase::ALL.iter().map(|phase| (*phase, plan.timeouts.of(*phase).as_secs_f64())).collect(),
        late_after_ms: plan.late_after.as_secs_f64() * 1e3,
        threads: plan.threads,
        sources: plan.sources.iter().map(|source| source.ip().to_string()).collect(),
        clients: plan.clients.as_ref().map(|clients| clients.source().to_owned()),
        helo: plan.helo.clone(),
        from: plan.from.source().to_owned(),
        to: plan.to.source().to_owned(),
        seed: plan.seed,
        runs: vec![format!("{:08x}", plan.run)],
    }
}

fn tls_shape(plan: &Plan) -> Option<TlsShape> {
    let settings = plan.targets.first()?.security.as_ref()?.settings;
    Some(TlsShape {
        mode: mode(plan.dialect.encryption)?.to_owned(),
        trust: trust(settings.trust).to_owned(),
        version: settings.version.map(|version| version.to_string()),
        resumption: settings.resumption,
        client_certificate: settings.has_certificate,
    })
}

/// The size of chunks, the same on all machines.
pub(crate) fn chunk_text(size: NonZeroUsize) -> String {
    match size {
        NonZeroUsize::MAX => WHOLE.to_owned(),
        size => size.to_string(),
    }
}

/// How sessions are encrypted; `None` if they are not.
pub(crate) fn mode(encryption: Encryption) -> Option<&'static str> {
    match encryption {
        Encryption::Never => None,
        Encryption::Opportunistic => Some("opportunistic"),
        Encryption::Required => Some("required"),
        Encryption::Implicit => Some(IMPLICIT),
    }
}

/// Which certificates are accepted.
pub(crate) fn trust(trust: Trust) -> &'static str {
    match trust {
        Trust::System => "system",
        Trust::Authorities => "ca",
        Trust::Any => ANY,
    }
}

fn load_text(load: &Load) -> String {
    let Load::Open { profile, arrivals } = load else {
        return "closed".to_owned();
    };
    let kind = match arrivals {
        Arrivals::Constant => "constant",
        Arrivals::Poisson => "poisson",
    };
    format!("open {} {kind}", profile_text(profile))
}

fn profile_text(profile: &Profile) -> String {
    let mut parts: Vec<String> = profile
        .segments
        .iter()
        .map(|segment| {
            let over = segment.over.as_secs_f64();
            if segment.from == segment.to {
                format!("{}/s:{over}s", segment.from)
            } else {
                format!("{}/s..{}/s:{over}s", segment.from, segment.to)
            }
        })
        .collect();
    parts.push(format!("{}/s", profile.then));
    parts.join(",")
}

fn content_text(content: &Content) -> String {
    match content {
        Content::Generated { min, max, .. } if min == max => min.to_string(),
        Content::Generated { min, max, .. } => format!("{min}..{max}"),
        Content::File { name, bytes } => format!("file {name} ({} bytes)", bytes.len()),
    }
}
