//! `/v1/rules`: the rules of a running server, with their counts, and their replacement.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::config::ConfigError;
use crate::http::api::settings::duration;
use crate::http::call::Call;
use crate::http::changes::{change_rules, change_rules_at};
use crate::http::expiry;
use crate::http::reply::{Refusal, Reply, broken, error, invalid, json, json_as};
use crate::http::route::Route;
use crate::server::ExpiringRule;
use crate::smtp::rules::{Delay, Rule};
use crate::stats::RuleStats;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/rules", |call| Box::pin(list(call))),
    Route::with_body(Method::PUT, "/v1/rules", BODY, |call| Box::pin(replace(call))),
    Route::with_body(Method::POST, "/v1/rules", BODY, |call| Box::pin(add(call))),
    Route::get("/v1/rules/{rule}", |call| Box::pin(one(call))),
    Route::with_body(Method::PUT, "/v1/rules/{rule}", BODY, |call| Box::pin(exchange(call))),
    Route::with_body(Method::PATCH, "/v1/rules/{rule}", BODY, |call| Box::pin(merge(call))),
    Route::delete("/v1/rules/{rule}", |call| Box::pin(remove(call))),
];

/// Octets of the rules in one request: some ten thousand.
const BODY: usize = 1 << 20;

/// A requested rule: a text, or an object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    rule: String,
    id: Option<String>,
    /// A text, or a number of seconds.
    ttl: Option<Value>,
}

impl From<&str> for Named {
    fn from(rule: &str) -> Self {
        Self { rule: rule.to_owned(), id: None, ttl: None }
    }
}

/// A requested change of a rule: missing fields are unchanged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    #[serde(default, deserialize_with = "present")]
    rule: Option<String>,
    #[serde(default, deserialize_with = "present")]
    id: Option<String>,
    /// A text, or a number of seconds; `null`: none.
    #[serde(default, deserialize_with = "present")]
    ttl: Option<Value>,
}

impl From<&str> for Patch {
    fn from(rule: &str) -> Self {
        Self { rule: Some(rule.to_owned()), id: None, ttl: None }
    }
}

/// For a field of which `null` is a value: `None` only if the field is missing.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The forms of a body: fields, or only the text of a rule.
trait Fields: for<'r> From<&'r str> {
    /// The expected body, for errors.
    const EXPECTED: &str;
}

impl Fields for Named {
    const EXPECTED: &str =
        r#"a rule like "rcpt reply=\"452 4.2.2 full\"", or {"rule": RULE, "id": NAME, "ttl": "30s"}"#;
}

impl Fields for Patch {
    const EXPECTED: &str =
        r#"a rule like "rcpt reply=\"452 4.2.2 full\"", or any of {"rule": RULE, "id": NAME, "ttl": "30s"}"#;
}

/// Fields, or only the text of a rule.
struct Entry<F>(F);

impl<'de, F: Deserialize<'de> + Fields> Deserialize<'de> for Entry<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<F>(PhantomData<F>);

        impl<'de, F: Deserialize<'de> + Fields> Visitor<'de> for Either<F> {
            type Value = Entry<F>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(F::EXPECTED)
            }

            fn visit_str<E>(self, rule: &str) -> Result<Entry<F>, E> {
                Ok(Entry(F::from(rule)))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Entry<F>, A::Error> {
                F::deserialize(MapAccessDeserializer::new(fields)).map(Entry)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replacement {
    rules: Vec<Entry<Named>>,
}

#[derive(Serialize)]
struct List {
    /// In the order of evaluation: the first that fires decides.
    rules: Vec<View>,
}

#[derive(Serialize)]
struct View {
    /// The name given by `id=`.
    id: Option<String>,
    rule: String,
    /// How often its stage was reached and its conditions were true, apart from counts and chances.
    reached: u64,
    fired: u64,
    /// The remaining part of its `ttl`, in whole milliseconds, rounded up.
    expires_in: Option<String>,
}

impl From<ExpiringRule> for View {
    fn from((RuleStats { id, rule, reached, fired }, expires_at): ExpiringRule) -> Self {
        let left = expires_at.map(|at| at.saturating_sub(expiry::now()));
        let left = left.map(|left| Duration::from_millis(left.as_nanos().div_ceil(1_000_000) as u64));
        Self { id, rule, reached, fired, expires_in: left.map(|left| Delay::from(left).to_string()) }
    }
}

/// A requested rule, and its lifetime.
struct Asked {
    rule: Rule,
    ttl: Option<Duration>,
}

impl Asked {
    /// The rule, with its lifetime beginning now.
    fn begin(self) -> Rule {
        let end = self.ttl.map(|ttl| expiry::now() + ttl);
        self.rule.expiring_at(end)
    }
}

/// Where an entry is in a request.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// The entry is the whole body.
    Body,
    /// At this index of `rules`.
    Listed(usize),
}

impl Place {
    fn rule(self) -> String {
        match self {
            Self::Body => "rule".to_owned(),
            Self::Listed(index) => format!("rules[{index}]"),
        }
    }

    fn field(self, name: &str) -> String {
        match self {
            Self::Body => name.to_owned(),
            Self::Listed(index) => format!("rules[{index}].{name}"),
        }
    }
}

impl Named {
    /// The requested rule.
    fn read(&self, place: Place) -> Result<Asked, Refusal> {
        let ttl = self.ttl.as_ref().map(|ttl| above_zero(ttl, place)).transpose()?;
        let rule = parsed_rule(&self.rule, place)?;
        let Some(id) = &self.id else { return Ok(Asked { rule, ttl }) };
        if rule.name().is_some_and(|own| own != id) {
            return Err(invalid(place.field("id"), "one id: that of the field, or the id= of the rule"));
        }
        let is_valid = rule.contradiction().is_none();
        let rule = rule.id(id);
        match rule.contradiction().filter(|_| is_valid) {
            Some(contradiction) => Err(invalid(place.field("id"), contradiction.expected)),
            None => Ok(Asked { rule, ttl }),
        }
    }
}

fn parsed_rule(text: &str, place: Place) -> Result<Rule, Refusal> {
    text.parse::<Rule>().map_err(|error| invalid(place.rule(), error.to_string()))
}

/// A `ttl`.
fn above_zero(ttl: &Value, place: Place) -> Result<Duration, Refusal> {
    match duration(ttl) {
        Ok(ttl) if ttl.is_zero() => Err("a duration above zero".to_owned()),
        read => read,
    }
    .map_err(|expected| invalid(place.field("ttl"), expected))
}

/// Gives the rule the id in the path. It may have that id already.
fn with_id(rule: Rule, id: &str) -> Result<Rule, Refusal> {
    match rule.name().is_none_or(|own| own == id) {
        true => Ok(rule.id(id)),
        false => Err(invalid("rule", format!("the id of the path, {id}, or none"))),
    }
}

async fn list(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let server = Arc::clone(&call.plane.server);
    call.plane.desk.look(move || json(&List { rules: views(server.expiring_rules()) })).await
}

async fn one(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let Call { plane, segments, .. } = call;
    let server = Arc::clone(&plane.server);
    plane.desk.look(move || Ok(json(&view(server.expiring_rules(), &segments[0])?))).await?
}

/// Replaces all rules, or none.
async fn replace(mut call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let Replacement { rules } = super::parsed(&mut call).await?;
    let parse = move || {
        let rules = rules.iter().enumerate();
        rules.map(|(index, entry)| entry.0.read(Place::Listed(index))).collect::<Result<Vec<_>, _>>()
    };
    let rules = call.plane.desk.run(parse).await??;
    let texts: Vec<_> = rules.iter().map(|asked| asked.rule.to_string()).collect();
    let place = move |error: &ConfigError| {
        // Of equal rules the last is the invalid one.
        let index = texts.iter().rposition(|text| *text == error.value);
        index.map_or("rules".to_owned(), |index| Place::Listed(index).rule())
    };
    let replace = move |_| Ok(rules.into_iter().map(Asked::begin).collect());
    let done = change_rules_at(&call, replace, place).await?;
    Ok(json(&List { rules: views(done.rules) }))
}

/// Adds a rule after all others, or with `first=true` before them.
async fn add(mut call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&["first"])?;
    let is_first = call.parameters.flag("first")?;
    let rule = super::parsed::<Entry<Named>>(&mut call).await?.0.read(Place::Body)?;
    let add = move |mut rules: Vec<Rule>| {
        let place = if is_first { 0 } else { rules.len() };
        rules.insert(place, rule.begin());
        Ok(rules)
    };
    let mut rules = change_rules(&call, add).await?.rules.into_iter();
    let added = if is_first { rules.next() } else { rules.next_back() };
    Ok(json_as(StatusCode::CREATED, &View::from(added.ok_or_else(broken)?)))
}

/// Replaces the rule with the id of the path; the new rule takes that id.
async fn exchange(mut call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let Asked { rule, ttl } = super::parsed::<Entry<Named>>(&mut call).await?.0.read(Place::Body)?;
    let asked = Asked { rule: with_id(rule, &call.segments[0])?, ttl };
    change_one(&call, move |_| asked.begin()).await
}

/// Changes the given fields of the rule with the id of the path.
async fn merge(mut call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let Patch { rule, id, ttl } = super::parsed::<Entry<Patch>>(&mut call).await?.0;
    let own = &call.segments[0];
    if id.is_some_and(|id| id != *own) {
        return Err(invalid("id", format!("the id of the path, {own}, or none")));
    }
    let rule =
        rule.map(|text| parsed_rule(&text, Place::Body).and_then(|rule| with_id(rule, own))).transpose()?;
    let ttl =
        ttl.map(|ttl| (!ttl.is_null()).then(|| above_zero(&ttl, Place::Body)).transpose()).transpose()?;
    let merge = move |before: &Rule| {
        let end = before.expires_at();
        let rule = rule.unwrap_or_else(|| before.clone());
        match ttl {
            None => rule.expiring_at(end),
            Some(ttl) => Asked { rule, ttl }.begin(),
        }
    };
    change_one(&call, merge).await
}

/// Changes the rule with the id of the path, in its place.
async fn change_one(
    call: &Call,
    change: impl FnOnce(&Rule) -> Rule + Send + 'static,
) -> Result<Reply, Refusal> {
    let id = call.segments[0].clone();
    let name = id.clone();
    let change = move |mut rules: Vec<Rule>| {
        let place = place(&rules, &name)?;
        rules[place] = change(&rules[place]);
        Ok(rules)
    };
    let done = change_rules(call, change).await?;
    Ok(json(&view(done.rules, &id)?))
}

async fn remove(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let id = call.segments[0].clone();
    let name = id.clone();
    let remove = move |mut rules: Vec<Rule>| {
        rules.remove(place(&rules, &name)?);
        Ok(rules)
    };
    let done = change_rules(&call, remove).await?;
    // Its counts end with it: these are the final ones.
    Ok(json(&view(done.rules_before, &id)?))
}

fn views(rules: Vec<ExpiringRule>) -> Vec<View> {
    rules.into_iter().map(View::from).collect()
}

fn view(rules: Vec<ExpiringRule>, id: &str) -> Result<View, Refusal> {
    let found = rules.into_iter().find(|(rule, _)| rule.id.as_deref() == Some(id));
    found.map(View::from).ok_or_else(|| no_such_rule(id))
}

/// The position of the rule with this id.
fn place(rules: &[Rule], id: &str) -> Result<usize, Refusal> {
    rules.iter().position(|rule| rule.name() == Some(id)).ok_or_else(|| no_such_rule(id))
}

fn no_such_rule(id: &str) -> Refusal {
    let hint = "the id of a rule: id=NAME in its text gives it one";
    error(StatusCode::NOT_FOUND, "no_such_rule", id.to_owned(), hint)
}
