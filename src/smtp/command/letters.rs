//! Unicode letters (general category L), as used by go-smtp-mock's address patterns.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// True for the characters of general category L.
pub(in crate::smtp) fn is_letter(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_alphabetic(),
        false => c.general_category_group() == GeneralCategoryGroup::Letter,
    }
}

#[cfg(test)]
mod tests {
    use regex_syntax::hir::{Class, HirKind};

    use super::is_letter;

    /// The characters of a class, by another library and possibly another version of Unicode.
    fn class(pattern: &str) -> impl Fn(char) -> bool {
        let hir = regex_syntax::parse(pattern).expect("a valid pattern");
        let HirKind::Class(Class::Unicode(class)) = hir.into_kind() else {
            panic!("{pattern} is no class");
        };
        move |c| {
            class
                .ranges()
                .binary_search_by(|range| match () {
                    () if range.end() < c => std::cmp::Ordering::Less,
                    () if range.start() > c => std::cmp::Ordering::Greater,
                    () => std::cmp::Ordering::Equal,
                })
                .is_ok()
        }
    }

    #[test]
    fn letters_are_unicode_category_l() {
        let (is_expected, is_unassigned) = (class(r"\p{L}"), class(r"\p{Cn}"));
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(|c| !is_unassigned(*c)) {
            assert_eq!(is_letter(c), is_expected(c), "U+{:04X}", u32::from(c));
        }
    }
}
