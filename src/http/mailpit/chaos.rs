//! `/api/v1/chaos`: triggers as rules, which `/v1/rules` shows under ids of their own.

use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::http::call::Call;
use crate::http::changes::change_rules;
use crate::http::mailpit::{BODY, bad_request, parsed};
use crate::http::reply::{Refusal, Reply, json};
use crate::http::route::Route;
use crate::smtp::rules::Rule;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/chaos", |call| {
        let show =
            move || json(&Triggers::of(&Vec::from_iter(call.plane.server.settings().policy().rules())));
        Box::pin(async move { Ok(show()) })
    }),
    Route::with_body(Method::PUT, "/api/v1/chaos", BODY, |call| Box::pin(set(call))),
];

/// The rule of each trigger: its id, its stage, and the text after the code.
const SENDER: (&str, &str, &str) = ("mailpit-chaos-sender", "mail", "Chaos sender error");
const RECIPIENT: (&str, &str, &str) = ("mailpit-chaos-recipient", "rcpt", "Chaos recipient error");
const AUTHENTICATION: (&str, &str, &str) =
    ("mailpit-chaos-authentication", "auth", "Chaos authentication error");

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
struct Triggers {
    authentication: Trigger,
    recipient: Trigger,
    sender: Trigger,
}

impl Default for Triggers {
    fn default() -> Self {
        let never = |error_code| Trigger { error_code, probability: 0 };
        Self { authentication: never(535), recipient: never(451), sender: never(451) }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Trigger {
    /// Of the reply, 400 to 599.
    error_code: u16,
    /// In percent; 0: never.
    probability: u8,
}

impl Trigger {
    /// The rule; `None` for one that never fires.
    fn rule(&self, (id, stage, text): (&str, &str, &str)) -> Result<Option<Rule>, Refusal> {
        let Self { error_code, probability } = *self;
        if !(400..600).contains(&error_code) {
            return Err(bad_request(format!("{id}: the error code {error_code} is not from 400 to 599")));
        }
        if probability > 100 {
            return Err(bad_request(format!("{id}: the probability {probability} is not from 0 to 100")));
        }
        if probability == 0 {
            return Ok(None);
        }
        let rule = format!("{stage} id={id} odds={probability}% reply=\"{error_code} {text}\"");
        rule.parse().map(Some).map_err(|error| bad_request(format!("{error}")))
    }

    /// The trigger of a rule, which `/v1/rules` may have changed; `None` if the rule has no reply.
    fn of(rule: &Rule) -> Option<Self> {
        let percent = (rule.probability() * 100.0).round();
        Some(Self { error_code: rule.reply_code()?, probability: percent.clamp(0.0, 100.0) as u8 })
    }
}

impl Triggers {
    /// The triggers among these rules.
    fn of(rules: &[&Rule]) -> Self {
        let trigger = |(id, _, _): (&str, &str, &str), usual| {
            let rule = rules.iter().copied().find(|rule| rule.name() == Some(id));
            rule.and_then(Trigger::of).unwrap_or(usual)
        };
        let usual = Self::default();
        Self {
            authentication: trigger(AUTHENTICATION, usual.authentication),
            recipient: trigger(RECIPIENT, usual.recipient),
            sender: trigger(SENDER, usual.sender),
        }
    }
}

/// Missing triggers never fire, as in Mailpit.
async fn set(mut call: Call) -> Result<Reply, Refusal> {
    let Triggers { authentication, recipient, sender } = parsed(&mut call).await?;
    let triggers = [(sender, SENDER), (recipient, RECIPIENT), (authentication, AUTHENTICATION)];
    let rules = triggers.iter().map(|(trigger, of)| trigger.rule(*of));
    let rules: Vec<_> = rules.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    let set = Triggers::of(&Vec::from_iter(&rules));
    let change = move |mut all: Vec<Rule>| {
        all.retain(|rule| {
            ![SENDER, RECIPIENT, AUTHENTICATION].iter().any(|(id, _, _)| rule.name() == Some(id))
        });
        // First: another rule would hide them.
        Ok(rules.into_iter().chain(all).collect())
    };
    change_rules(&call, change).await?;
    Ok(json(&set))
}
