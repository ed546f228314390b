//! The flags for Extended SMTP.

use smtpmock::Config;
use smtpmock::smtp::rules::Offer;

use super::Options;
use crate::program::cli::flag::{Arity, Flag, reading, reading_or_default};
use crate::program::cli::values;

pub(super) fn extensions() -> Vec<Flag> {
    vec![
        Flag::switch(
            "esmtp",
            "Speak Extended SMTP: offer PIPELINING, SIZE, 8BITMIME, SMTPUTF8, DSN and ENHANCEDSTATUSCODES to EHLO, \
             and LIMITS where there are limits",
            |options, on| options.with(|config| if on { config.esmtp() } else { config }),
        ),
        Flag::new(
            "extensions",
            "EXTENSIONS",
            "Offer these and no others, separated by commas, or with - in front all but these, or none. Turns on \
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
                "Add a line to the reply to EHLO, true or not, like 'XCLIENT NAME ADDR'; may be repeated. Turns on \
                 --esmtp",
                reading(values::texts, |options, lines: Vec<String>| {
                    options.with(|config| lines.into_iter().fold(config, Config::ehlo_line))
                }),
            )
        }
        .checked_as("ehlo_line"),
    ]
}
