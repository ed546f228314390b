//! The control plane, as configured by flags.

use smtpmock::{Config, HttpSettings};

use super::flags::{HTTP, HttpOptions, OF_HTTP};
use super::goflags::Given;
use super::{Failure, Flag, typed_as};

/// The control plane, and the configuration of its server; without `--http`, `None` and a server that retains no
/// records.
///
/// # Errors
/// A flag has no effect without `--http`.
pub(super) fn http(
    config: Config,
    options: HttpOptions,
    given: &[Given],
    table: &[Flag],
) -> Result<(Config, Option<HttpSettings>), Failure> {
    let keep_messages = options.keep_messages();
    let HttpOptions { listen, hosts, origins, auth, token, keep_messages: _ } = options;
    let Some(listen) = listen else {
        // A file of --print-config may contain the default.
        let is_default = |flag: &Flag, given: &Given| {
            flag.asks_for_default(&given.value)
                || flag.default.as_ref().is_some_and(|default| given.value == default.as_str())
        };
        let flags = table.iter().filter(|flag| OF_HTTP.contains(&flag.kebab.as_str()));
        let set =
            |flag: &&Flag| given.iter().any(|given| given.kebab == flag.kebab && !is_default(flag, given));
        let Some(flag) = flags.into_iter().find(set) else { return Ok((config.keep_records(false), None)) };
        let typed = typed_as(&flag.kebab, given);
        return Err(Failure::Usage(format!(
            "{typed}: expected --{HTTP} beside it, without which it has no effect"
        )));
    };
    let settings = hosts.into_iter().fold(HttpSettings::at(listen), HttpSettings::allow_host);
    let settings = origins.into_iter().fold(settings, HttpSettings::allow_origin);
    let settings =
        auth.into_iter().fold(settings, |settings, (user, password)| settings.auth(user, password));
    let settings = token.into_iter().fold(settings, HttpSettings::token);
    Ok((config.keep_records(true).max_records(keep_messages), Some(settings)))
}
