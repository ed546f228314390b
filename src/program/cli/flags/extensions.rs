//! The flags for Extended SMTP, and for authentication.

use smtpmock::Config;
use smtpmock::smtp::auth::{Credential, Mechanism};
use smtpmock::smtp::rules::Offer;

use super::{AUTH, AUTH_FILE, AUTH_TOKEN, Options};
use crate::program::cli::flag::{Arity, Flag, reading, reading_or_default};
use crate::program::cli::values::{self, Expected};

pub(super) fn extensions() -> Vec<Flag> {
    vec![
        Flag::switch(
            "esmtp",
            "Speak Extended SMTP: offer PIPELINING, SIZE, 8BITMIME, SMTPUTF8, DSN, ENHANCEDSTATUSCODES, CHUNKING and \
             BINARYMIME to EHLO, and LIMITS if limits are set",
            |options, on| options.with(|config| if on { config.esmtp() } else { config }),
        ),
        Flag::new(
            "extensions",
            "EXTENSIONS",
            "Offer only these, separated by commas; with a leading - all except these; or none. Turns on \
             --esmtp",
            reading_or_default(values::parsed, |options: Options, offer: Offer| {
                options.with(|config| config.extensions(offer))
            }),
        )
        .listing()
        .checked_as("extensions"),
        Flag {
            arity: Arity::Repeated,
            ..Flag::new(
                "ehloLine",
                "LINE",
                "Add a line to the reply to EHLO, supported or not, like 'XCLIENT NAME ADDR'; may be repeated. Turns on \
                 --esmtp",
                reading(values::ehlo_lines, |options, lines: Vec<String>| {
                    options.with(|config| lines.into_iter().fold(config, Config::ehlo_line))
                }),
            )
        }
        .checked_as("ehlo_line"),
    ]
}

pub(super) fn authentication() -> Vec<Flag> {
    vec![
        Flag {
            arity: Arity::Repeated,
            refuses_empty: true,
            ..Flag::new(
                AUTH,
                "USER:PASSWORD",
                "Offer AUTH, and let this user authenticate, or with the word any: any user; may be repeated. Turns on \
                 --esmtp",
                reading(values::credentials, |options, credentials: Vec<Credential>| {
                    options.with(|config| config.auth_users(credentials))
                }),
            )
        }
        .checked_as("auth"),
        Flag::new(
            AUTH_FILE,
            "PATH",
            "Offer AUTH to the users of this file, in the format of htpasswd: bcrypt ($2y$), {SHA}, {SSHA} or clear passwords",
            reading(values::path, |options, path| Options { auth_file: Some(path), ..options }),
        ),
        Flag {
            arity: Arity::Repeated,
            refuses_empty: true,
            ..Flag::new(
                AUTH_TOKEN,
                "TOKEN",
                "Offer AUTH with XOAUTH2 and OAUTHBEARER, and accept this token; may be repeated",
                reading(values::tokens, |options, tokens: Vec<Credential>| {
                    options.with(|config| config.auth_users(tokens))
                }),
            )
        }
        .checked_as("auth"),
        Flag::new(
            "authMechanisms",
            "MECHANISMS",
            "Offer these mechanisms, separated by commas: PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1, SCRAM-SHA-256, XOAUTH2, \
             OAUTHBEARER, EXTERNAL (to clients with a certificate, see --tls-client-ca), ANONYMOUS. Default: those that the \
             users, tokens and certificates can complete, without ANONYMOUS",
            reading_or_default(
                |raw| {
                    let mechanisms = values::names(raw)?;
                    let mechanisms = mechanisms.iter().map(|name| name.parse().map_err(Expected::from));
                    Ok(Some(mechanisms.collect::<Result<Vec<Mechanism>, _>>()?).filter(|list| !list.is_empty()))
                },
                |options: Options, mechanisms| options.with(|config| config.auth_mechanisms(mechanisms)),
            ),
        )
        .listing()
        .checked_as("auth_mechanisms"),
        Flag::switch(
            "authRequired",
            "Refuse MAIL with 530 in sessions that have not authenticated",
            |options, on| options.with(|config| if on { config.auth_required(true) } else { config }),
        )
        .checked_as("auth_required"),
    ]
}
