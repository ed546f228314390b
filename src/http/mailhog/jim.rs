//! `/api/v2/jim`: chances of failures as rules, which `/v1/rules` shows under ids of their own. It is on while one of them
//! exists.

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::http::call::Call;
use crate::http::changes::change_rules;
use crate::http::document;
use crate::http::reply::{Refusal, Reply, empty, error, invalid, json};
use crate::http::route::Route;
use crate::smtp::rules::Rule;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v2/jim", |call| Box::pin(async move { show(&call) })),
    Route::with_body(Method::POST, "/api/v2/jim", BODY, |call| Box::pin(turn_on(call))),
    Route::with_body(Method::PUT, "/api/v2/jim", BODY, |call| Box::pin(set(call))),
    Route::delete("/api/v2/jim", |call| Box::pin(turn_off(call))),
];

/// Octets of the settings.
const BODY: usize = 64 << 10;

const DISCONNECT: &str = "mailhog-jim-disconnect";
const ACCEPT: &str = "mailhog-jim-accept";
const SENDER: &str = "mailhog-jim-sender";
const RECIPIENT: &str = "mailhog-jim-recipient";
const AUTH: &str = "mailhog-jim-auth";
const IDS: &[&str] = &[DISCONNECT, ACCEPT, SENDER, RECIPIENT, AUTH];

/// Chances from 0 to 1. The defaults are those of MailHog's flags, except for the speed, which no rule changes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
struct Jim {
    disconnect_chance: f64,
    accept_chance: f64,
    link_speed_affect: f64,
    /// Octets a second.
    link_speed_min: f64,
    link_speed_max: f64,
    reject_sender_chance: f64,
    reject_recipient_chance: f64,
    reject_auth_chance: f64,
}

impl Default for Jim {
    fn default() -> Self {
        Self {
            disconnect_chance: 0.005,
            accept_chance: 0.99,
            link_speed_affect: 0.0,
            link_speed_min: 1024.0,
            link_speed_max: 10240.0,
            reject_sender_chance: 0.05,
            reject_recipient_chance: 0.05,
            reject_auth_chance: 0.05,
        }
    }
}

impl Jim {
    fn parse(body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        document::read(body).map_err(|misfit| invalid(misfit.at(), misfit.hint))
    }

    fn rules(&self) -> Result<Vec<Rule>, Refusal> {
        let speeds = [
            ("LinkSpeedAffect", self.link_speed_affect),
            ("LinkSpeedMin", self.link_speed_min),
            ("LinkSpeedMax", self.link_speed_max),
        ];
        if let Some((name, _)) = speeds.iter().find(|(_, speed)| !(0.0..=f64::MAX).contains(speed)) {
            return Err(invalid(*name, "a number of at least 0"));
        }
        if self.link_speed_affect > 0.0 {
            let hint = "0: the speed of links is set for all sessions, by --drip and --read-rate";
            return Err(invalid("LinkSpeedAffect", hint));
        }
        let chances = [
            (
                "RejectSenderChance",
                self.reject_sender_chance,
                SENDER,
                "mail",
                "reply=\"550 Invalid sender {{from}}\"",
            ),
            (
                "RejectRecipientChance",
                self.reject_recipient_chance,
                RECIPIENT,
                "rcpt",
                "reply=\"550 Invalid recipient {{to}}\"",
            ),
            (
                "RejectAuthChance",
                self.reject_auth_chance,
                AUTH,
                "auth",
                "reply=\"535 Authentication failed\"",
            ),
            ("AcceptChance", 1.0 - self.accept_chance, ACCEPT, "connect", "drop=fin"),
            ("DisconnectChance", self.disconnect_chance, DISCONNECT, "any", "drop=fin"),
        ];
        let mut rules = Vec::new();
        for (name, chance, id, stage, action) in chances {
            if !(0.0..=1.0).contains(&chance) {
                return Err(invalid(name, "a number from 0 to 1"));
            }
            // The precision of chances of rules.
            let percent = format!("{:.4}", chance * 100.0);
            if percent != "0.0000" {
                let rule = format!("{stage} id={id} odds={percent}% {action}");
                rules.push(rule.parse().map_err(|error| invalid(name, format!("{error}")))?);
            }
        }
        Ok(rules)
    }

    /// The chances of its rules; `None` without any.
    fn of(call: &Call) -> Option<Self> {
        let settings = call.plane.server.settings();
        let chance =
            |id: &str| settings.policy().rules().find(|rule| rule.name() == Some(id)).map(Rule::probability);
        IDS.iter().any(|id| chance(id).is_some()).then(|| Self {
            disconnect_chance: chance(DISCONNECT).unwrap_or(0.0),
            accept_chance: 1.0 - chance(ACCEPT).unwrap_or(0.0),
            reject_sender_chance: chance(SENDER).unwrap_or(0.0),
            reject_recipient_chance: chance(RECIPIENT).unwrap_or(0.0),
            reject_auth_chance: chance(AUTH).unwrap_or(0.0),
            ..Self::default()
        })
    }
}

fn off() -> Refusal {
    let hint = "POST to turn it on";
    error(StatusCode::NOT_FOUND, "off", "jim", hint)
}

fn show(call: &Call) -> Result<Reply, Refusal> {
    Jim::of(call).map(|jim| json(&jim)).ok_or_else(off)
}

async fn turn_on(call: Call) -> Result<Reply, Refusal> {
    let rules = Jim::parse(&call.body)?.rules()?;
    replace(&call, rules, |is_on| match is_on {
        true => Err(invalid("jim", "PUT to change it: it is on")),
        false => Ok(()),
    })
    .await?;
    Ok(empty(StatusCode::CREATED))
}

async fn set(call: Call) -> Result<Reply, Refusal> {
    let rules = Jim::parse(&call.body)?.rules()?;
    replace(&call, rules, must_be_on).await?;
    Ok(empty(StatusCode::OK))
}

async fn turn_off(call: Call) -> Result<Reply, Refusal> {
    replace(&call, Vec::new(), must_be_on).await?;
    Ok(empty(StatusCode::OK))
}

fn must_be_on(is_on: bool) -> Result<(), Refusal> {
    if is_on { Ok(()) } else { Err(off()) }
}

/// Replaces its rules by these, before all others, which would hide them. `check` may refuse, depending on whether it is on.
async fn replace(
    call: &Call,
    rules: Vec<Rule>,
    check: fn(bool) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let change = move |mut all: Vec<Rule>| {
        let count = all.len();
        all.retain(|rule| !IDS.iter().any(|id| rule.name() == Some(id)));
        check(all.len() < count)?;
        Ok(rules.into_iter().chain(all).collect())
    };
    change_rules(call, change).await.map(drop)
}
