//! JSON documents of requests, parsed strictly: an unexpected value is refused, with its path. serde alone accepts an array for a
//! struct, with its fields in their order, and the last of two equal keys.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer as _, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use crate::http::reply::{LONGEST_PLACE, cut};

/// An error in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// `rules[1].ttl`; empty for the document itself.
    path: String,
    /// The expected value.
    pub(super) hint: String,
}

impl Misfit {
    /// The path of the error, or `body` for the whole document.
    pub(super) fn at(&self) -> String {
        let path = if self.path.is_empty() { "body" } else { &self.path };
        cut(path.to_owned().into(), LONGEST_PLACE).into_owned()
    }

    fn within(self, outer: &str) -> Self {
        let path = match self.path.as_str() {
            "" => outer.to_owned(),
            path if path.starts_with('[') => format!("{outer}{path}"),
            path => format!("{outer}.{path}"),
        };
        Self { path, ..self }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at(), self.hint)
    }
}

impl std::error::Error for Misfit {}

impl serde::de::Error for Misfit {
    fn custom<T: fmt::Display>(hint: T) -> Self {
        Self { path: String::new(), hint: hint.to_string() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("{expected}, not {}", name_of(found)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self { path: field.to_owned(), hint: format!("one of the known fields: {}", expected.join(", ")) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { path: field.to_owned(), hint: "a value: this field is missing".to_owned() }
    }
}

/// The type of a value in terms of JSON.
fn name_of(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Unit => "null".to_owned(),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        Unexpected::Str(_) => "a text".to_owned(),
        other => other.to_string(),
    }
}

/// Parses a document of this type.
///
/// # Errors
/// It is not JSON, repeats a key, or has another form.
pub(super) fn read<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Misfit> {
    let place = Place::default();
    let mut json = serde_json::Deserializer::from_slice(octets);
    let document = Tree(&place).deserialize(&mut json).and_then(|document| json.end().map(|()| document));
    let document = document.map_err(|error| {
        let path = place.path.take().into_iter().rev();
        path.fold(Misfit::custom(error), |misfit, segment| match segment {
            Segment::Key(key) => misfit.within(&key),
            Segment::Index(index) => misfit.within(&format!("[{index}]")),
        })
    })?;
    T::deserialize(Strict(document))
}

/// Parses a value in which no object repeats a key. After an error the place has the path.
struct Tree<'p>(&'p Place);

#[derive(Debug, Default)]
struct Place {
    path: RefCell<Vec<Segment>>,
    values: Cell<usize>,
}

#[derive(Debug)]
enum Segment {
    Key(String),
    Index(usize),
}

/// Largest number of values in a document, each of which takes some tens of octets: more than any list of ids, addresses or rules
/// has.
const MOST_VALUES: usize = 500_000;

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.values.set(self.0.values.get() + 1);
        if self.0.values.get() > MOST_VALUES {
            return Err(D::Error::custom(format_args!("at most {MOST_VALUES} values")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let Self(place) = self;
        let mut list = Vec::new();
        loop {
            place.path.borrow_mut().push(Segment::Index(list.len()));
            let Some(item) = items.next_element_seed(Tree(place))? else { break };
            place.path.borrow_mut().pop();
            list.push(item);
        }
        place.path.borrow_mut().pop();
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let Self(place) = self;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            place.path.borrow_mut().push(Segment::Key(key.clone()));
            if object.contains_key(&key) {
                return Err(A::Error::custom("one value: this key is given twice"));
            }
            object.insert(key, entries.next_value_seed(Tree(place))?);
            place.path.borrow_mut().pop();
        }
        Ok(object.into())
    }
}

/// A value that is deserialized only as its own JSON type.
struct Strict(Value);

impl Strict {
    fn name(&self) -> String {
        match &self.0 {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => format!("{value}"),
            Value::Number(value) => format!("{value}"),
            Value::String(_) => "a text".to_owned(),
            Value::Array(_) => "an array".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        }
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Array(list) => visitor.visit_seq(Items { index: 0, rest: list.into_iter() }),
            Value::Object(object) => visitor.visit_map(Entries { rest: object.into_iter(), value: None }),
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::String(value) => visitor.visit_string(value),
            Value::Number(value) => match (value.as_u64(), value.as_i64(), value.as_f64()) {
                (Some(value), ..) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (.., value) => visitor.visit_f64(value.unwrap_or(f64::NAN)),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            _ => Err(Misfit::custom(format_args!("an object, not {}", self.name()))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            _ => {
                let fields = fields.join(", ");
                Err(Misfit::custom(format_args!("an object of {fields}, not {}", self.name())))
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct enum identifier ignored_any
    }
}

struct Items {
    index: usize,
    rest: std::vec::IntoIter<Value>,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Misfit;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Misfit> {
        let Some(value) = self.rest.next() else { return Ok(None) };
        let item =
            seed.deserialize(Strict(value)).map_err(|misfit| misfit.within(&format!("[{}]", self.index)))?;
        self.index += 1;
        Ok(Some(item))
    }
}

struct Entries {
    rest: serde_json::map::IntoIter,
    /// The entry whose key was read last.
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Misfit;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Misfit> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some((key.clone(), value));
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Misfit> {
        let (key, value) = self.value.take().ok_or_else(|| Misfit::custom("a key"))?;
        seed.deserialize(Strict(value)).map_err(|misfit| misfit.within(&key))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        list: Vec<Inner>,
        #[serde(default)]
        count: u8,
        name: Option<String>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        chance: f64,
        is_on: bool,
    }

    #[test]
    fn a_document_is_read_by_its_names() {
        let read =
            read::<Outer>(br#" {"name": null, "list": [{"chance": 1}, {"is_on": true}], "count": 255} "#);
        let list = vec![Inner { chance: 1.0, is_on: false }, Inner { chance: 0.0, is_on: true }];
        assert_eq!(read, Ok(Outer { list, count: 255, name: None }));
    }

    #[test]
    fn what_is_something_else_is_refused_with_its_place() {
        for (text, at, hint) in [
            ("", "body", "EOF while parsing"),
            ("{", "body", "EOF while parsing"),
            ("[]", "body", "an object of list, count, name, not an array"),
            ("[[], 1, null]", "body", "not an array"),
            ("null", "body", "not null"),
            ("17", "body", "not 17"),
            ("{} {}", "body", "trailing characters"),
            ("{}", "list", "this field is missing"),
            (r#"{"list": [], "counts": 1}"#, "counts", "list, count, name"),
            (r#"{"list": [], "list": []}"#, "list", "given twice"),
            (r#"{"list": [{"chance": 1}, {"is_on": true, "is_on": true}]}"#, "list[1].is_on", "given twice"),
            (r#"{"list": [{}, [0.5, true]]}"#, "list[1]", "an object of chance, is_on, not an array"),
            (r#"{"list": [{}, {"odds": 1}]}"#, "list[1].odds", "chance, is_on"),
            (r#"{"list": {"0": {}}}"#, "list", "a sequence, not an object"),
            (r#"{"list": [], "count": 256}"#, "count", "u8"),
            (r#"{"list": [], "count": "1"}"#, "count", "not a text"),
            (r#"{"list": [{"chance": tru}]}"#, "list[0].chance", "expected"),
            (&format!(r#"{{"{}": 1}}"#, "x".repeat(300)), &format!("{}…", "x".repeat(200)), "list"),
        ] {
            let misfit = read::<Outer>(text.as_bytes()).expect_err(text);
            assert_eq!(misfit.at(), at, "{text}: {misfit}");
            assert!(misfit.hint.contains(hint), "{text}: {misfit}");
        }
        let misfit = read::<Map<String, Value>>(b"[]").expect_err("no object");
        assert_eq!(misfit.to_string(), "body: an object, not an array");
        let many = format!("[{}0]", "0,".repeat(MOST_VALUES));
        assert!(read::<Value>(many.as_bytes()).is_err_and(|misfit| misfit.hint.contains("at most")));
        let deep = "[".repeat(100_000);
        assert!(read::<Value>(deep.as_bytes()).is_err());
    }
}
