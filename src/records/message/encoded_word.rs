//! Encoded words (RFC 2047): non-ASCII text in header fields.

use memchr::{memchr, memmem};

use super::charset::{Charset, Quoted, from_base64, unquoted};

struct Word {
    charset: Charset,
    octets: Vec<u8>,
    /// Its length in the field.
    length: usize,
}

/// Replaces the encoded words in the unfolded value of a field. Adjacent words are decoded together: some senders split
/// within a character.
pub(super) fn decode(value: &[u8]) -> String {
    let mut decoded = String::with_capacity(value.len());
    let mut run: Option<Word> = None;
    let (mut rest, mut searched) = (value, 0);
    while let Some(at) = memmem::find(&rest[searched..], b"=?") {
        let (between, from_word) = rest.split_at(searched + at);
        let Some(word) = word(from_word) else {
            searched = between.len() + 2;
            continue;
        };
        // White space between two words is not part of the text (section 6.2).
        if run.is_none() || !between.trim_ascii().is_empty() {
            run.take().inspect(|run| run.charset.decode(&run.octets, &mut decoded));
            decoded.push_str(&String::from_utf8_lossy(between));
        }
        (rest, searched) = (&from_word[word.length..], 0);
        match &mut run {
            Some(run) if run.charset == word.charset => run.octets.extend_from_slice(&word.octets),
            _ => {
                run.replace(word).inspect(|run| run.charset.decode(&run.octets, &mut decoded));
            }
        }
    }
    run.inspect(|run| run.charset.decode(&run.octets, &mut decoded));
    decoded.push_str(&String::from_utf8_lossy(rest));
    decoded
}

/// Parses `=?charset?encoding?text?=` at the start; `None` if invalid or in an unknown charset.
fn word(field: &[u8]) -> Option<Word> {
    let (charset, behind) = up_to_question_mark(field.get(2..)?)?;
    let (encoding, behind) = up_to_question_mark(behind)?;
    let (text, behind) = up_to_question_mark(behind)?;
    let behind = behind.strip_prefix(b"=")?;
    let octets = match encoding {
        b"q" | b"Q" => unquoted(text, Quoted::Word),
        b"b" | b"B" => from_base64(text)?,
        _ => return None,
    };
    // RFC 2231 section 5 allows a language after it. A word in an unknown charset is left unchanged, as RFC 2047
    // section 6.2 allows.
    let charset = Charset::named(charset.split(|octet| *octet == b'*').next()?)?;
    Some(Word { charset, octets, length: field.len() - behind.len() })
}

fn up_to_question_mark(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr(b'?', octets)?;
    Some((&octets[..at], &octets[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::decode;
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use proptest::prelude::*;

    /// The first nine are from RFC 2047 section 8.
    const WORDS: &[(&str, &str)] = &[
        ("=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        ("=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>", "André Pirard <PIRARD@vm1.ulg.ac.be>"),
        ("=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=", "If you can read this yo"),
        ("(=?ISO-8859-1?Q?a?=)", "(a)"),
        ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        ("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
        ("(=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=)", "(ab)"),
        ("(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
        ("(=?ISO-8859-1?Q?a?= =?UTF-8?Q?_b?=)", "(a b)"),
        ("=?utf-8*de?q?Gr=c3=b6=C3=9fe?=", "Größe"),
        ("=?utf-8?B?R3LDtsOfZQ?=", "Größe"),
        ("=?utf-8?Q?one?= =?utf-8?B?cuE?=", "oner\u{fffd}"),
        ("=?utf-8?Q?cut =C3?= =?utf-8?Q?=B6_here?=", "cut ö here"),
        ("=?windows-1252?Q?100_=80_=96_ok?=", "100 € – ok"),
        ("\"=?utf-8?Q?quoted=20too?=\" <a@example.com>", "\"quoted too\" <a@example.com>"),
        // Invalid and unsupported words are unchanged.
        ("=?iso-2022-jp?B?GyRCJDMkcyRLJEEkTxsoQg==?=", "=?iso-2022-jp?B?GyRCJDMkcyRLJEEkTxsoQg==?="),
        ("=?utf-8?X?a?= =?utf-8?B?!?= =?utf-8?Q?a?", "=?utf-8?X?a?= =?utf-8?B?!?= =?utf-8?Q?a?"),
        ("=?=?=?utf-8?Q?a?=?=", "=?=?a?="),
        ("=?utf-8?Q?100=?= =?utf-8?Q?=zz?=", "100==zz"),
        ("=?utf-8?Q??= 1 =? 2", " 1 =? 2"),
        ("Größe, as it is", "Größe, as it is"),
        ("", ""),
    ];

    #[test]
    fn encoded_words_are_decoded_and_nothing_else_is_touched() {
        for (value, expected) in WORDS {
            assert_eq!(decode(value.as_bytes()), *expected, "{value}");
        }
        assert_eq!(decode(b"\xff =?utf-8?Q?=ff?="), "\u{fffd} \u{fffd}");
    }

    proptest! {
        #[test]
        fn any_text_survives_both_encodings(words in prop::collection::vec(".{1,20}", 1..6), cut in any::<bool>()) {
            let base64 = |octets: &[u8]| format!("=?utf-8?B?{}?=", BASE64_STANDARD.encode(octets));
            let quoted = |octets: &[u8]| {
                let octets: String = octets.iter().map(|octet| format!("={octet:02X}")).collect();
                format!("=?UTF-8?q?{octets}?=")
            };
            let mut encoded = Vec::new();
            for word in &words {
                let (front, back) = word.as_bytes().split_at(if cut { word.len() / 2 } else { word.len() });
                encoded.extend([base64(front), quoted(back)]);
            }
            prop_assert_eq!(decode(encoded.join(" ").as_bytes()), words.concat());
        }

        #[test]
        fn any_value_may_come(value in prop::collection::vec(prop::sample::select(b"=?utf-8QB_c3 \xc3".to_vec()), 0..80)) {
            decode(&value);
        }
    }
}
