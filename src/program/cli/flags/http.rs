//! The flags of the control plane.

use std::ffi::OsStr;

use super::{Options, unless_zero};
use crate::program::cli::flag::{Flag, reading, reading_or_default};
use crate::program::cli::values::{self, Expected};

/// The flag that turns it on, and those without effect otherwise.
pub(in crate::program::cli) const HTTP: &str = "http";
pub(in crate::program::cli) const OF_HTTP: &[&str] =
    &["http-host", "http-allow-origin", "http-auth", "http-token", "keep-messages"];

/// The flags with secrets.
pub(in crate::program::cli) const HTTP_AUTH: &str = "httpAuth";
pub(in crate::program::cli) const HTTP_TOKEN: &str = "httpToken";

/// Default number of retained records.
const KEEP_MESSAGES: usize = 10_000;

/// The flags' values.
#[derive(Clone, Debug, Default)]
pub(in crate::program::cli) struct HttpOptions {
    pub(in crate::program::cli) listen: Option<String>,
    pub(in crate::program::cli) hosts: Vec<String>,
    pub(in crate::program::cli) origins: Vec<String>,
    pub(in crate::program::cli) auth: Option<(String, String)>,
    pub(in crate::program::cli) token: Option<String>,
    pub(in crate::program::cli) keep_messages: Option<usize>,
}

impl HttpOptions {
    pub(in crate::program::cli) fn keep_messages(&self) -> usize {
        self.keep_messages.unwrap_or(KEEP_MESSAGES)
    }
}

impl Options {
    fn with_http(mut self, change: impl FnOnce(&mut HttpOptions)) -> Self {
        change(&mut self.http);
        self
    }
}

fn text(raw: &OsStr) -> Result<String, Expected> {
    raw.to_str().map(str::to_owned).ok_or(Expected::new("text in UTF-8"))
}

fn list(name: &str, placeholder: &'static str, help: &str, set: fn(&mut HttpOptions, Vec<String>)) -> Flag {
    let read = reading(values::entries, move |options: Options, entries: Vec<String>| {
        let entries = entries.iter().map(|entry| entry.trim().to_owned()).collect();
        options.with_http(|http| set(http, entries))
    });
    Flag::new(name, placeholder, help, read).listing().defaults_to("")
}

pub(super) fn http() -> Vec<Flag> {
    let secret = |name, placeholder, help, read| Flag {
        refuses_empty: true,
        ..Flag::new(name, placeholder, help, read)
    };
    let pair = |raw: &OsStr| {
        let text = text(raw)?;
        let pair = text.split_once(':').filter(|(user, _)| !user.is_empty());
        pair.map(|(user, password)| (user.to_owned(), password.to_owned()))
            .ok_or(Expected::new("USER:PASSWORD"))
    };
    vec![
        Flag::new(
            HTTP,
            "ADDRESS:PORT",
            "Serve messages, rules, settings and figures over HTTP at this address, and retain messages in memory. A port alone \
             is on 127.0.0.1 (0: any free one); unix:/PATH is a Unix socket",
            reading_or_default(
                |raw| Ok(Some(text(raw)?).filter(|text| !text.is_empty())),
                |options: Options, listen| options.with_http(|http| http.listen = Some(listen)),
            ),
        )
        .defaults_to("")
        .checked_as("http"),
        list(
            "httpHost",
            "NAME,...",
            "Accept requests for these hosts too, with * and ?, in addition to IP addresses, names without a dot or below localhost, and \
             this machine's",
            |http, hosts| http.hosts = hosts,
        )
        .checked_as("http_host"),
        list(
            "httpAllowOrigin",
            "ORIGIN,...",
            "Accept requests from web pages of these origins too, like http://localhost:3000",
            |http, origins| http.origins = origins,
        )
        .checked_as("http_allow_origin"),
        secret(
            "httpAuth",
            "USER:PASSWORD",
            "Require these for all requests except /livez and /readyz",
            reading(pair, |options: Options, auth| options.with_http(|http| http.auth = Some(auth))),
        )
        .checked_as("http_auth"),
        secret(
            "httpToken",
            "TOKEN",
            "Require this bearer token for all requests except /livez, /readyz and the page's files; with --http-auth either is accepted",
            reading(text, |options: Options, token| options.with_http(|http| http.token = Some(token))),
        )
        .checked_as("http_token"),
        Flag::new(
            "keepMessages",
            "N",
            "With --http: maximum number of retained messages; beyond it the oldest is evicted",
            reading_or_default(unless_zero(values::count), |options: Options, count| {
                options.with_http(|http| http.keep_messages = Some(count))
            }),
        )
        .defaults_to("10000"),
    ]
}
