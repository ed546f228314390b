//! Files of users and hashes of their passwords, in the format of Apache's `htpasswd`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bcrypt::HashParts;

use super::credential::Credential;
use super::password::Password;
use super::secret::Secret;

const A_LINE: &str = "USER:HASH, like a line that htpasswd -B has written";
const A_NEW_USER: &str = "each user once";
const A_BCRYPT: &str = "a whole hash by bcrypt, of 60 characters, as htpasswd -B writes it";
const A_SHA: &str = "the base64 of a SHA-1 digest of 20 octets behind {SHA}, as htpasswd -s writes it";
const AN_SSHA: &str = "the base64 of a SHA-1 digest of 20 octets and a salt behind {SSHA}";
const A_USER: &str = "at least one line, of the form USER:HASH, like one that htpasswd -B has written";
const A_PASSWORD: &str = "a password behind the colon: no client can authenticate with an empty one";
const NO_CRYPT: &str = "a hash by bcrypt, written by htpasswd -B: these 13 characters look like one by crypt (htpasswd -d); \
                        if they are the password, {PLAIN} in front of them";
const A_VISIBLE_USER: &str = "a user without control characters: no client can send one";
const NO_NUL: &str = "a password without NUL: no client can send one";
const A_FORMAT: &str = "a hash by bcrypt ($2y$, written by htpasswd -B), {SHA}, {SSHA}, or a password, behind {PLAIN} if it begins with $ or {";

/// An invalid line of a password file.
///
/// ```
/// use smtpmock::smtp::auth::read_password_file;
///
/// let error = read_password_file("ann:secret\nbob:$apr1$xyz$abc\n").unwrap_err();
/// assert_eq!(error.line, 2);
/// assert!(error.to_string().starts_with("line 2: expected a hash by bcrypt"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordFileError {
    /// The line's number, from 1; 1 for a file without users.
    pub line: usize,
    /// What would be right, as a phrase.
    pub expected: &'static str,
}

impl fmt::Display for PasswordFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, expected } = self;
        write!(f, "line {line}: expected {expected}")
    }
}

impl std::error::Error for PasswordFileError {}

/// Reads the text of a password file: a user, a colon, and a password in each line, by bcrypt (`$2y$`, `$2a$`, `$2b$`),
/// as `{SHA}` or `{SSHA}` (RFC 2307), or in clear. Empty lines, lines that begin with `#`, and a byte order mark at the
/// start are skipped. bcrypt ignores a password after 72 octets, as with `htpasswd`.
///
/// ```
/// use smtpmock::smtp::auth::{Credential, read_password_file};
///
/// let users = read_password_file("# users\nann:secret\nbob:{PLAIN}{curly}\n").unwrap();
/// assert_eq!(users, [Credential::user("ann", "secret"), Credential::user("bob", "{curly}")]);
/// ```
///
/// # Errors
/// The first invalid line: another form (such as a hash by `htpasswd` without `-B`), an empty password, or a control
/// character; or a file without users.
pub fn read_password_file(text: &str) -> Result<Vec<Credential>, PasswordFileError> {
    let mut names = BTreeSet::new();
    let mut lines = lines_of(text).peekable();
    if lines.peek().is_none() {
        return Err(PasswordFileError { line: 1, expected: A_USER });
    }
    let users = lines.map(|(number, line)| {
        let error = |expected| PasswordFileError { line: number, expected };
        let named = line.split_once(':').filter(|(name, _)| !name.is_empty());
        let (name, password) = named.ok_or(error(A_LINE))?;
        if name.contains(char::is_control) {
            return Err(error(A_VISIBLE_USER));
        }
        if !names.insert(name) {
            return Err(error(A_NEW_USER));
        }
        Ok(Credential::with_password(name.as_bytes(), read(password).map_err(error)?))
    });
    users.collect()
}

/// The lines of users whose password takes long to check, which delays all clients that authenticate: bcrypt takes
/// about 50 ms at a cost of 10, and twice as long with each step. `expected` is the unit of the time of one check.
///
/// ```
/// use smtpmock::smtp::auth::slow_passwords;
///
/// let slow = slow_passwords("ann:$2y$15$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n");
/// assert_eq!(slow[0].to_string(), "line 1: expected a cost of bcrypt below 15: at this one a check takes seconds");
/// ```
pub fn slow_passwords(text: &str) -> Vec<PasswordFileError> {
    let slow = lines_of(text).filter_map(|(line, user)| {
        let hash = HashParts::from_str(user.split_once(':')?.1).ok()?;
        let expected = match hash.get_cost() {
            ..15 => return None,
            15..=20 => "a cost of bcrypt below 15: at this one a check takes seconds",
            21..=26 => "a cost of bcrypt below 15: at this one a check takes minutes",
            27.. => "a cost of bcrypt below 15: at this one a check takes hours",
        };
        Some(PasswordFileError { line, expected })
    });
    slow.collect()
}

/// The lines that name users, with their numbers.
fn lines_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end_matches('\r')));
    lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

fn read(password: &str) -> Result<Password, &'static str> {
    if ["$2y$", "$2a$", "$2b$"].iter().any(|prefix| password.starts_with(prefix)) {
        let is_whole = password.len() == 60 && HashParts::from_str(password).is_ok();
        return if is_whole { Ok(Password::Bcrypt(password.into())) } else { Err(A_BCRYPT) };
    }
    let digest_of = |text: &str| {
        let octets = BASE64.decode(text).ok()?;
        let (digest, salt) = octets.split_first_chunk::<20>()?;
        Some((*digest, Box::<[u8]>::from(salt)))
    };
    if let Some(text) = password.strip_prefix("{SHA}") {
        let (digest, salt) = digest_of(text).filter(|(_, salt)| salt.is_empty()).ok_or(A_SHA)?;
        return Ok(Password::Sha1 { digest, salt });
    }
    if let Some(text) = password.strip_prefix("{SSHA}") {
        let (digest, salt) = digest_of(text).filter(|(_, salt)| !salt.is_empty()).ok_or(AN_SSHA)?;
        return Ok(Password::Sha1 { digest, salt });
    }
    let clear = password.strip_prefix("{PLAIN}");
    match clear.or_else(|| (!password.starts_with(['$', '{'])).then_some(password)) {
        Some("") => Err(A_PASSWORD),
        Some(clear) if clear.contains('\0') => Err(NO_NUL),
        Some(_) if clear.is_none() && is_like_crypt(password) => Err(NO_CRYPT),
        Some(clear) => Ok(Password::Clear(Secret(clear.as_bytes().into()))),
        None => Err(A_FORMAT),
    }
}

/// Whether it looks like a DES hash of crypt(3): a salt of 2 and a digest of 11 characters.
fn is_like_crypt(password: &str) -> bool {
    let is_digit = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'/');
    password.len() == 13 && password.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::super::password::Comparison;
    use super::*;

    /// Whether a line's password is this one, after its check if there is one.
    fn takes(line: &str, password: &str) -> bool {
        let stored = read(line).expect(line);
        match stored.compare(password.as_bytes()) {
            Comparison::Same => true,
            Comparison::Different => false,
            Comparison::Pending(check) => check.run().is_right,
        }
    }

    #[test]
    fn each_format_takes_its_password_and_no_other() {
        // By crypt(3), by sha1sum, with a salt after the digest; the versions of bcrypt differ only in name.
        for line in [
            "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
            "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
            "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
            "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0",
            "secret",
            "{PLAIN}secret",
        ] {
            assert!(takes(line, "secret"), "{line}");
            for other in ["Secret", "", "secret\0", "secretsecret", "{PLAIN}secret"] {
                assert!(!takes(line, other), "{line}: {other:?}");
            }
        }
    }

    #[test]
    fn a_clear_password_in_the_form_of_a_hash_is_taken_behind_plain() {
        assert!(takes("{PLAIN}correcthorse1", "correcthorse1"));
        assert!(takes("correcthorse12", "correcthorse12") && takes("correct-horse", "correct-horse"));
    }

    #[test]
    fn other_formats_are_refused_with_the_line_and_what_is_right() {
        for (text, line, reason) in [
            ("ann:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/", 1, "$2y$"),
            ("ann:x\n\n# bob\nbob:$6$salt$hash", 4, "$2y$"),
            ("ann:{MD5}x", 1, "{SSHA}"),
            ("ann:{SHA}x", 1, "20 octets"),
            ("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQx", 1, "20 octets"),
            ("ann:{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", 1, "salt"),
            ("ann:$2y$05$short", 1, "60 characters"),
            ("ann", 1, "USER:HASH"),
            (":x", 1, "USER:HASH"),
            ("bob:secret\nann:rl.3StKT.4T8M", 2, "{PLAIN} in front"),
            ("ann:", 1, "a password behind the colon"),
            ("ann:{PLAIN}", 1, "a password behind the colon"),
            ("", 1, "at least one line"),
            ("# ann:secret\n\n", 1, "at least one line"),
            ("ann:x\r\nann:y\r\n", 2, "once"),
            ("\u{feff}ann:x\nann:y\n", 2, "once"),
            ("ann:x\nb\0b:y\n", 2, "a user without control characters"),
            ("ann:x\n\tbob:y\n", 2, "a user without control characters"),
            ("ann:x\nbob:y\0\n", 2, "a password without NUL"),
        ] {
            let error = read_password_file(text).expect_err(text);
            assert_eq!(error.line, line, "{text}");
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
    }
    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_user() {
        let users = read_password_file("\u{feff}ann:secret\n").expect("valid");
        assert_eq!(users, [Credential::user("ann", "secret")]);
        assert_eq!(read_password_file("\u{feff}# users\nann:secret\n"), Ok(users));
    }

    #[test]
    fn slow_hashes_are_named_with_their_line_and_the_unit_of_their_time() {
        let hash =
            |cost| format!("u{cost}:$2y${cost}$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n");
        let text = format!(
            "# clear\nann:secret\n{}",
            ["04", "14", "15", "20", "21", "26", "27", "31"].map(hash).concat()
        );
        let slow = slow_passwords(&text);
        let named: Vec<_> = slow
            .iter()
            .map(|slow| (slow.line, slow.expected.rsplit(' ').next().unwrap_or_default()))
            .collect();
        let expected =
            [(5, "seconds"), (6, "seconds"), (7, "minutes"), (8, "minutes"), (9, "hours"), (10, "hours")];
        assert_eq!(named, expected);
    }
}
