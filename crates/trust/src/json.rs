//! JSON read without forgiveness: duplicate members are refused at every level (RFC 8259 leaves them undefined, and
//! two parsers that choose differently are an attack).

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Why a text was not accepted as JSON. Holds no part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, a duplicate member, too deep, or text after the value.
    #[error("not strict JSON (malformed, or a member given twice)")]
    Malformed,
    /// JSON, but not of the expected shape.
    #[error("JSON of another shape than expected")]
    Shape,
}

/// Reads one JSON value strictly. Depth is bounded (128) by the parser underneath.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict
        .deserialize(&mut reader)
        .map_err(|_| JsonError::Malformed)?;
    reader.end().map_err(|_| JsonError::Malformed)?;
    Ok(value)
}

/// Reads strictly, then into a type (which should carry `deny_unknown_fields` where the sender must not say more).
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    serde_json::from_value(parse(bytes)?).map_err(|_| JsonError::Shape)
}

/// Reads strictly and requires an object.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    match parse(bytes)? {
        Value::Object(members) => Ok(members),
        _ => Err(JsonError::Shape),
    }
}

/// Reads any value, and refuses a member given twice.
pub(crate) struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Strict)?;
            if out.insert(name, value).is_some() {
                return Err(de::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;

    #[test]
    fn refuses_duplicates_at_every_level() {
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"[{"a":1,"a":2}]"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":1} "#.trim_end_matches(' ').trim_end_matches('}'),
            r#"{"a":1}{}"#,
            "",
            "\u{feff}{}",
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(JsonError::Malformed), "{bad}");
        }
        assert_eq!(parse(br#"{"a":[1,{"a":null}]}"#).unwrap()["a"][0], 1);
        assert_eq!(object(b"[]"), Err(JsonError::Shape));
    }

    #[test]
    fn every_value_is_what_it_says() {
        let text =
            r#"{"a":[null,true,false,-1,18446744073709551615,1.5,"b","c\n",[],{}],"b":{"c":"d"}}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse(text.as_bytes()).unwrap(), expected);
        assert_eq!(Value::Object(object(text.as_bytes()).unwrap()), expected);
    }

    #[test]
    fn a_type_is_read_as_strictly() {
        assert_eq!(read::<Vec<u8>>(b"[1,2]"), Ok(vec![1, 2]));
        assert_eq!(read::<Vec<u8>>(b"[1,300]"), Err(JsonError::Shape));
        assert_eq!(
            read::<Map<String, Value>>(br#"{"a":1,"a":1}"#),
            Err(JsonError::Malformed)
        );
    }
}
