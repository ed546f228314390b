//! The table of settings: the name of each, and how it is shown and set. Values have the forms of the command line: durations and
//! sizes are texts or numbers, rates are texts, lists are arrays. `null` is the default, and so is zero if it is for the flag.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::values::{
    Expected, choice, duration, flag, is_zero, list, names, number, parsed, size, snake_case, some, span,
    string, text, texts, timeout, word,
};
use crate::config::{OverLimit, Settings};
use crate::smtp::auth::{Auth, Credential};
use crate::smtp::rules::{ByteRate, Delay, GrammarError, Rule, Trusted};
use crate::smtp::{AddressRules, DelayPoint, Esmtp, Limits, Lists, ReplyKind};

/// Replaces a secret. One that is set to this is unchanged.
const REDACTED: &str = "<redacted>";

/// The flags whose settings are fixed when the server starts.
pub(super) const FIXED: &[&str] = &[
    "compat",
    "host",
    "port",
    "listen",
    "backlog",
    "shards",
    "shutdown_timeout",
    "multiple_rcptto",
    "multiple_message_receiving",
    "auth_file",
    "tls",
    "tls_name",
    "tls_ca_out",
    "tls_ca_cert",
    "tls_ca_key",
    "tls_cert",
    "tls_key",
    "tls_min",
    "tls_max",
    "tls_client_ca",
    "tls_client",
    "seed",
    "show",
    "capture",
    "capture_format",
    "capture_content",
    "records",
    "max_message_memory",
    "report",
    "report_json",
    "report_html",
    "progress",
    "hlog",
    "exit_after",
    "expect",
    "fail_if",
    "http",
    "http_host",
    "http_allow_origin",
    "http_auth",
    "http_token",
    "keep_messages",
    "log",
    "quiet",
    "ready",
    "ready_file",
    "config",
    "print_config",
    "merge_reports",
    "version",
];

type Set = Box<dyn Fn(Settings, &Value) -> Result<Settings, Expected>>;

/// One setting.
pub(super) struct Setting {
    /// The name of its flag, in snake_case.
    pub(super) name: Cow<'static, str>,
    /// Its name in errors of the configuration.
    pub(super) checked_as: &'static str,
    pub(super) get: Box<dyn Fn(&Settings) -> Value>,
    /// Sets it. `null` is passed only where that is how the default is shown.
    pub(super) set: Set,
    /// Zero requests the default, as for its flag.
    pub(super) has_no_zero: bool,
}

impl Setting {
    fn without_zero(self) -> Self {
        Self { has_no_zero: true, ..self }
    }

    /// Whether this value requests the default.
    pub(super) fn is_default(&self, value: &Value) -> bool {
        value.is_null() || (self.has_no_zero && is_zero(value))
    }
}

/// All settings, in the order in which they are set: the extensions before the settings that turn them on.
pub(super) fn settings() -> Vec<Setting> {
    let mut all = vec![
        setting(
            "trust",
            |of| texts(of.policy().trusted()),
            |settings, value| {
                Ok(list::<Trusted>(value)?.into_iter().fold(settings.without_trust(), Settings::trust))
            },
        ),
        setting(
            "session_timeout",
            |of| span(of.get_session_timeout(), "-1s"),
            |settings, value| Ok(settings.session_timeout(timeout(value)?)),
        )
        .without_zero(),
        setting(
            "data_timeout",
            |of| span(of.get_data_timeout(), "0s"),
            |settings, value| Ok(settings.data_timeout(duration(value)?)),
        )
        .without_zero(),
        setting(
            "fail_fast",
            |of| json!(of.policy().fail_fast),
            |settings, value| Ok(settings.fail_fast(flag(value)?)),
        ),
        setting(
            "addresses",
            |of| word(of.policy().addresses, ADDRESSES),
            |settings, value| Ok(settings.addresses(choice(value, ADDRESSES)?)),
        ),
    ];
    all.extend(extensions());
    all.extend(lists());
    all.extend(DelayPoint::ALL.iter().map(delay));
    all.push(setting("rule", |of| Value::from_iter(of.policy().rules().map(ToString::to_string)), set_rules));
    all.extend(limits());
    all.extend(ReplyKind::ALL.iter().map(reply));
    all
}

const ADDRESSES: &[(&str, AddressRules)] = &[
    ("lenient", AddressRules::Lenient),
    ("compat", AddressRules::Compat),
    ("rfc5321", AddressRules::Rfc5321),
    ("any", AddressRules::Any),
];
const OVER_LIMIT: &[(&str, OverLimit)] = &[("refuse", OverLimit::Refuse), ("backlog", OverLimit::Backlog)];
const CLEAR_AUTH: &[(&str, bool)] = &[("allow", true), ("refuse", false)];

fn setting(
    name: &'static str,
    get: impl Fn(&Settings) -> Value + 'static,
    set: impl Fn(Settings, &Value) -> Result<Settings, Expected> + 'static,
) -> Setting {
    Setting {
        name: name.into(),
        checked_as: name,
        get: Box::new(get),
        set: Box::new(set),
        has_no_zero: false,
    }
}

/// Extended SMTP, or its defaults where it is off.
fn shown(of: &Settings) -> Esmtp {
    of.policy().esmtp().cloned().unwrap_or_default()
}

/// Extended SMTP, and who may authenticate. A default value does not turn it on.
fn extensions() -> Vec<Setting> {
    // All of them, so that the compiler finds one that is missing below.
    let Esmtp { offer: _, lines: _, auth: _, clear_auth: _, tls_required: _ } = Esmtp::default();
    let mut all = vec![
        setting(
            "esmtp",
            |of| json!(of.policy().esmtp().is_some()),
            |settings, value| Ok(if flag(value)? { settings.esmtp() } else { settings.without_esmtp() }),
        ),
        setting(
            "extensions",
            |of| names(shown(of).offer),
            |settings, value| {
                let offer = some(value, |value| parsed(&Value::from(list::<String>(value)?.join(","))))?;
                Ok(with_esmtp(settings, value, |esmtp| esmtp.offer = offer))
            },
        ),
        setting(
            "ehlo_line",
            |of| json!(shown(of).lines),
            |settings, value| {
                let lines = list(value)?;
                Ok(with_esmtp(settings, value, |esmtp| esmtp.lines = lines))
            },
        ),
    ];
    all.extend(authentication());
    all.extend([
        setting(
            "tls_required",
            |of| json!(shown(of).tls_required),
            |settings, value| {
                let on = flag(value)?;
                Ok(with_esmtp(settings, value, |esmtp| esmtp.tls_required = on))
            },
        ),
        Setting {
            checked_as: "auth_in_clear",
            ..setting(
                "auth_clear",
                |of| shown(of).clear_auth.map_or(Value::Null, |on| word(on, CLEAR_AUTH)),
                |settings, value| {
                    let allowed = some(value, |value| choice(value, CLEAR_AUTH))?;
                    Ok(with_esmtp(settings, value, |esmtp| esmtp.clear_auth = allowed))
                },
            )
        },
    ]);
    all
}

/// Who may authenticate, and when.
fn authentication() -> Vec<Setting> {
    vec![
        setting(
            "auth",
            |of| users(&shown(of).auth),
            |settings, value| {
                let users = list::<String>(value)?;
                let credentials = credentials(&shown(&settings).auth, &users)?;
                Ok(with_esmtp(settings, value, |esmtp| esmtp.auth.replace_users(credentials)))
            },
        ),
        Setting {
            checked_as: "auth",
            ..setting(
                "auth_token",
                |of| Value::from_iter(shown(of).auth.tokens().map(|_| REDACTED)),
                |settings, value| {
                    let tokens = tokens(&shown(&settings).auth, &list::<String>(value)?)?;
                    Ok(with_esmtp(settings, value, |esmtp| esmtp.auth.replace_tokens(tokens)))
                },
            )
        },
        setting(
            "auth_mechanisms",
            |of| shown(of).auth.listed().map_or(Value::Null, texts),
            |settings, value| {
                let mechanisms = some(value, list)?;
                Ok(with_esmtp(settings, value, |esmtp| esmtp.auth.restrict(mechanisms)))
            },
        ),
        setting(
            "auth_required",
            |of| json!(shown(of).auth.required),
            |settings, value| {
                let on = flag(value)?;
                Ok(with_esmtp(settings, value, |esmtp| esmtp.auth.required = on))
            },
        ),
    ]
}

/// Whether a value requests nothing of Extended SMTP.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || *value == json!(false) || *value == json!([])
}

/// Refuses `esmtp: false` together with a setting that turns it on, as the command line does: one of the two would have no
/// effect.
///
/// # Errors
/// The expected value of `esmtp`.
pub(super) fn check_esmtp(changes: &Map<String, Value>) -> Result<(), Expected> {
    let is_off = changes.get("esmtp") == Some(&json!(false));
    let mut others = extensions().into_iter().filter(|setting| setting.name != "esmtp");
    let on = others.find(|setting| changes.get(&*setting.name).is_some_and(|value| !is_nothing(value)));
    match on.filter(|_| is_off) {
        Some(on) => Err(format!("true: {} turns it on", on.name)),
        None => Ok(()),
    }
}

fn with_esmtp(mut settings: Settings, value: &Value, change: impl FnOnce(&mut Esmtp)) -> Settings {
    let esmtp = settings.policy.esmtp().cloned();
    if esmtp.is_some() || !is_nothing(value) {
        let mut esmtp = esmtp.unwrap_or_default();
        change(&mut esmtp);
        settings.policy.set_esmtp(Some(esmtp));
    }
    settings
}

fn lists() -> Vec<Setting> {
    let list = |name, of: fn(&mut Lists) -> &mut HashSet<Vec<u8>>| {
        let get = move |settings: &Settings| {
            let mut lists = settings.policy().lists().clone();
            let mut entries: Vec<_> =
                of(&mut lists).iter().map(|entry| String::from_utf8_lossy(entry).into_owned()).collect();
            entries.sort_unstable();
            json!(entries)
        };
        let set = move |mut settings: Settings, value: &Value| {
            let entries: HashSet<Vec<u8>> =
                list::<String>(value)?.into_iter().map(String::into_bytes).collect();
            // They would match the null reverse-path.
            if entries.iter().any(|entry| entry.trim_ascii().is_empty()) {
                return Err("entries that are not blank".to_owned());
            }
            settings.policy.change_lists(|lists| *of(lists) = entries);
            Ok(settings)
        };
        setting(name, get, set)
    };
    // All of them, so that the compiler finds one that is missing below.
    let Lists {
        blacklisted_helo_domains: _,
        blacklisted_mailfrom_emails: _,
        blacklisted_rcptto_emails: _,
        not_registered_emails: _,
    } = Lists::default();
    vec![
        list("blacklisted_helo_domains", |lists| &mut lists.blacklisted_helo_domains),
        list("blacklisted_mailfrom_emails", |lists| &mut lists.blacklisted_mailfrom_emails),
        list("blacklisted_rcptto_emails", |lists| &mut lists.blacklisted_rcptto_emails),
        list("not_registered_emails", |lists| &mut lists.not_registered_emails),
    ]
}

fn limits() -> Vec<Setting> {
    let count = |name, of: fn(&mut Limits) -> &mut Option<u64>| {
        let get = move |settings: &Settings| json!(*of(&mut settings.policy().limits().clone()));
        let set = move |mut settings: Settings, value: &Value| {
            let most = some(value, number)?;
            settings.policy.change_limits(|limits| *of(limits) = most);
            Ok(settings)
        };
        setting(name, get, set).without_zero()
    };
    // All of them, so that the compiler finds one that is missing below.
    let Limits { max_sessions: _, max_sessions_per_ip: _, max_messages_per_session: _, rate: _ } =
        Limits::default();
    vec![
        setting(
            "drip",
            |of| text(of.get_drip()),
            |settings, value| {
                Ok(some(value, parsed::<ByteRate>)?
                    .map_or(settings.clone().without_drip(), |rate| settings.drip(rate)))
            },
        ),
        setting(
            "read_rate",
            |of| text(of.get_read_rate()),
            |settings, value| {
                Ok(some(value, parsed::<ByteRate>)?
                    .map_or(settings.clone().without_read_rate(), |rate| settings.read_rate(rate)))
            },
        ),
        Setting {
            checked_as: "message_size_limit",
            ..setting(
                "msg_size_limit",
                |of| json!(of.policy().message_size_limit()),
                |settings, value| Ok(settings.message_size_limit(size(value)?)),
            )
            .without_zero()
        },
        count("max_sessions", |limits| &mut limits.max_sessions),
        setting(
            "over_limit",
            |of| word(of.get_over_limit(), OVER_LIMIT),
            |settings, value| Ok(settings.over_limit(choice(value, OVER_LIMIT)?)),
        ),
        count("max_sessions_per_ip", |limits| &mut limits.max_sessions_per_ip),
        count("max_messages_per_session", |limits| &mut limits.max_messages_per_session),
        setting(
            "max_rcpts",
            |of| json!(of.policy().max_recipients()),
            |settings, value| Ok(settings.max_rcpts(usize::try_from(number(value)?).unwrap_or(usize::MAX))),
        )
        .without_zero(),
        setting(
            "rate_limit",
            |of| text(of.policy().limits().rate),
            |mut settings, value| {
                let rate = some(value, parsed)?;
                settings.policy.change_limits(|limits| limits.rate = rate);
                Ok(settings)
            },
        ),
    ]
}

fn delay(&point: &DelayPoint) -> Setting {
    let name = snake_case(&format!("responseDelay{point:?}"));
    let set = move |settings: Settings, value: &Value| {
        let constant = duration(value).map(Delay::from);
        Ok(settings.delay(point, constant.or_else(|_| parsed(value))?))
    };
    Setting {
        name: name.into(),
        checked_as: point.setting(),
        get: Box::new(move |of| json!(of.policy().delay(point).to_string())),
        set: Box::new(set),
        has_no_zero: false,
    }
}

/// Replies that are derived from others are `null` unless they are configured.
fn reply(&kind: &ReplyKind) -> Setting {
    let follows = matches!(kind, ReplyKind::EhloReceived | ReplyKind::LhloReceived);
    let get = move |of: &Settings| match (of.policy().is_configured(kind), follows) {
        (true, _) => json!(of.policy().reply(kind).source()),
        (false, true) => Value::Null,
        (false, false) => json!(kind.default_text()),
    };
    let set = move |mut settings: Settings, value: &Value| {
        match some(value, string)? {
            Some(text) => settings.policy.set_reply(kind, text),
            None => settings.policy.reset_reply(kind),
        }
        Ok(settings)
    };
    Setting {
        name: snake_case(kind.flag()).into(),
        checked_as: kind.setting(),
        get: Box::new(get),
        set: Box::new(set),
        has_no_zero: false,
    }
}

/// A rule with an unchanged text is retained, with the end of its `ttl`.
fn set_rules(settings: Settings, value: &Value) -> Result<Settings, Expected> {
    let mut before: Vec<_> = settings.policy().rules().cloned().collect();
    let rules: Vec<Rule> = list(value)?;
    let same = |rule: Rule| match before.iter().position(|own| own.to_string() == rule.to_string()) {
        Some(place) => before.remove(place),
        None => rule,
    };
    let rules: Vec<_> = rules.into_iter().map(same).collect();
    Ok(settings.rules(rules))
}

/// Users without their passwords.
fn users(auth: &Auth) -> Value {
    let any = auth.takes_any().then(|| "any".to_owned());
    let user = |name: &[u8]| format!("{}:{REDACTED}", String::from_utf8_lossy(name));
    any.into_iter().chain(auth.user_names().map(user)).collect()
}

/// A user given without a password, as it is shown, retains it.
fn credentials(before: &Auth, texts: &[String]) -> Result<Vec<Credential>, Expected> {
    let credential = |text: &String| match text.split_once(':') {
        Some((name, REDACTED)) => {
            let expected = || format!("a password: {name} has none to retain");
            before.user(name.as_bytes()).ok_or_else(expected)
        }
        _ => text.parse().map_err(|error: GrammarError| error.fault().to_string()),
    };
    texts.iter().map(credential).collect()
}

fn tokens(before: &Auth, texts: &[String]) -> Result<Vec<Credential>, Expected> {
    let token = |(index, text): (usize, &String)| match text.as_str() {
        REDACTED => before
            .tokens()
            .nth(index)
            .ok_or_else(|| "a token: there is none at this position to retain".to_owned()),
        text if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic()) => {
            Ok(Credential::token(text))
        }
        _ => Err("a token of visible characters of ASCII, without spaces".to_owned()),
    };
    texts.iter().enumerate().map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// A value other than the default, as it is shown; `None` if it requires other settings.
    fn other(name: &str) -> Option<Value> {
        Some(match name {
            "trust" => json!(["10.0.0.0/8", "unix"]),
            "session_timeout" | "data_timeout" => json!("150ms"),
            "fail_fast" | "esmtp" | "auth_required" | "tls_required" => json!(true),
            "addresses" => json!("rfc5321"),
            "extensions" => json!(["PIPELINING", "SIZE"]),
            "ehlo_line" => json!(["XTEST a b"]),
            "auth" => json!(["any"]),
            "auth_mechanisms" => json!(["PLAIN", "LOGIN"]),
            "auth_clear" => json!("allow"),
            "rule" => json!(["rcpt delay=2s", "mail accept"]),
            "drip" | "read_rate" => json!("100B/s"),
            "rate_limit" => json!("10/s"),
            "over_limit" => json!("backlog"),
            "msg_size_limit"
            | "max_sessions"
            | "max_sessions_per_ip"
            | "max_messages_per_session"
            | "max_rcpts" => json!(7),
            "auth_token" => return None,
            name if name.starts_with("response_delay_") => json!("10ms..20ms"),
            name if name.starts_with("msg_") => json!("299 Other"),
            name => json!([format!("{name}.example")]),
        })
    }

    #[test]
    fn each_setting_is_set_shown_and_reset_and_leaves_the_others_alone() {
        let default = Config::default().settings(0);
        let values = |settings: &Settings| -> Vec<_> {
            self::settings().iter().map(|setting| (setting.get)(settings)).collect()
        };
        for (index, setting) in settings().iter().enumerate() {
            let Some(value) = other(&setting.name) else { continue };
            let before = values(&default);
            assert_ne!(before[index], value, "{}", setting.name);
            let changed = (setting.set)(default.clone(), &value)
                .unwrap_or_else(|error| panic!("{}: {error}", setting.name));
            let after = values(&changed);
            assert_eq!(after[index], value, "{}", setting.name);
            for (place, (before, after)) in before.iter().zip(&after).enumerate() {
                let name = &settings()[place].name;
                assert!(
                    place == index || before == after || name == "esmtp",
                    "{} changes {name}",
                    setting.name
                );
            }
            let reset = (setting.set)(changed, &before[index]).expect("what was shown");
            assert_eq!(values(&reset)[index], before[index], "{}", setting.name);
        }
    }

    /// A new field of the settings must be added to the table: this does not compile until it is listed here.
    #[test]
    fn no_setting_is_missing() {
        let Config {
            fixed: (),
            policy,
            session_timeout: _,
            data_timeout: _,
            drip: _,
            read_rate: _,
            over_limit: _,
        } = Config::default().settings(0);
        let shown = ["session_timeout", "data_timeout", "drip", "read_rate", "over_limit"];
        let names: Vec<_> = settings().into_iter().map(|setting| setting.name).collect();
        for name in shown.iter().chain(policy.changeable_parts()) {
            assert!(names.iter().any(|own| own == name), "{name}");
        }
        let distinct: HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(FIXED.iter().all(|fixed| !names.iter().any(|own| own == fixed)));
    }
}
