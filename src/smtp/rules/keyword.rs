//! The keywords of a rule after its stage. Each is defined only here.

/// Defines an enum of keywords and the list of all of them.
macro_rules! keywords {
    ($($(#[$doc:meta])* $name:ident $word:literal,)+) => {
        /// The keyword of a term of a rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Keyword {
            $($(#[$doc])* $name,)+
        }

        impl Keyword {
            const ALL: &[Self] = &[$(Self::$name,)+];
            pub(super) const WORDS: &[&str] = &[$($word,)+];

            /// The text of the keyword, with a `=` if it has a value.
            pub(super) fn word(self) -> &'static str {
                Self::WORDS[self as usize]
            }
        }
    };
}

keywords! {
    Id "id=",
    From "from=",
    To "to=",
    Helo "helo=",
    Ip "ip=",
    User "user=",
    Mechanism "mechanism=",
    Sni "sni=",
    Inbox "inbox=",
    Session "session=",
    Nth "nth=",
    Every "every=",
    Odds "odds=",
    Times "times=",
    Per "per=",
    After "after=",
    Until "until=",
    Period "period=",
    Size "size>=",
    /// NAME is a placeholder for any name.
    Parameter "param.NAME=",
    Reply "reply=",
    Ehlo "ehlo=",
    Delay "delay=",
    Drop "drop=",
    Certificate "certificate=",
    Version "version=",
    Alert "alert=",
    Garbage "garbage",
    Silent "silent",
    Stall "stall",
    Cut "cut=",
    Close "close",
    Accept "accept",
}

impl Keyword {
    /// The name of the parameter, if the word is such a condition.
    pub(super) fn parameter_in(word: &str) -> Option<&str> {
        word.strip_prefix("param.")?.strip_suffix('=')
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        if Self::parameter_in(word).is_some() {
            return Some(Self::Parameter);
        }
        // The name of the flag and the setter.
        let word = if word == "extensions=" { Self::Ehlo.word() } else { word };
        Self::ALL.iter().copied().find(|keyword| keyword.word() == word)
    }
}
