//! The words of a rule behind its stage: each is named once, here.

/// An enum of words, and all of them.
macro_rules! keywords {
    ($($name:ident $word:literal,)+) => {
        /// What a term of a rule is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Keyword {
            $($name,)+
        }

        impl Keyword {
            const ALL: &[Self] = &[$(Self::$name,)+];
            pub(super) const WORDS: &[&str] = &[$($word,)+];

            /// As it is typed, with the `=` of those that have a value.
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
    Reply "reply=",
    Ehlo "ehlo=",
    Delay "delay=",
    Drop "drop=",
    Silent "silent",
    Stall "stall",
    Cut "cut=",
    Close "close",
    Accept "accept",
}

impl Keyword {
    pub(super) fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|keyword| keyword.word() == word)
    }
}
