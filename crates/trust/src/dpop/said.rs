//! What a proof says (RFC 9449 section 4.2), read in one pass over its bytes: the members that are looked at, borrowed
//! where they stand. As strict as [`crate::json`]: a member given twice is refused wherever it stands.

use crate::json::{JsonError, Strict};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// A member's value, as far as one is looked at.
#[derive(Debug, PartialEq)]
pub(super) enum Member<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    /// Of a type that none of the members has.
    Other,
}

impl Member<'_> {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Member::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Member::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

/// The members that are looked at.
#[derive(Default)]
pub(super) struct Said<'a> {
    pub(super) htm: Option<Member<'a>>,
    pub(super) htu: Option<Member<'a>>,
    pub(super) ath: Option<Member<'a>>,
    pub(super) iat: Option<Member<'a>>,
    pub(super) jti: Option<Member<'a>>,
    pub(super) nonce: Option<Member<'a>>,
}

impl<'a> Said<'a> {
    /// Reads a proof's payload.
    pub(super) fn read(payload: &'a [u8]) -> Result<Said<'a>, JsonError> {
        serde_json::from_slice(payload).map_err(|_| JsonError::Malformed)
    }
}

/// A member's name, borrowed where no escape stands in it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        reader.deserialize_str(Names)
    }
}

impl<'de> Deserialize<'de> for Said<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Said<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Said<'de>, A::Error> {
                let mut said = Said::default();
                let mut others = BTreeSet::new();
                while let Some(name) = members.next_key::<Name<'de>>()? {
                    let value = members.next_value::<Member<'de>>()?;
                    let place = match &*name.0 {
                        "htm" => Some(&mut said.htm),
                        "htu" => Some(&mut said.htu),
                        "ath" => Some(&mut said.ath),
                        "iat" => Some(&mut said.iat),
                        "jti" => Some(&mut said.jti),
                        "nonce" => Some(&mut said.nonce),
                        _ => None,
                    };
                    let again = match place {
                        Some(place) => place.replace(value).is_some(),
                        None => !others.insert(name),
                    };
                    if again {
                        return Err(de::Error::custom("duplicate member"));
                    }
                }
                Ok(said)
            }
        }
        reader.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Member<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Value;
        impl<'de> Visitor<'de> for Value {
            type Value = Member<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Member<'de>, E> {
                Ok(Member::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Member<'de>, E> {
                Ok(Member::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Member<'de>, E> {
                Ok(Member::Integer(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Member<'de>, E> {
                Ok(i64::try_from(number).map_or(Member::Other, Member::Integer))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Member<'de>, E> {
                Ok(Member::Other)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Member<'de>, E> {
                Ok(Member::Other)
            }
            fn visit_unit<E>(self) -> Result<Member<'de>, E> {
                Ok(Member::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Member<'de>, A::Error> {
                Strict.visit_seq(items).map(|_| Member::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Member<'de>, A::Error> {
                Strict.visit_map(members).map(|_| Member::Other)
            }
        }
        reader.deserialize_any(Value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;

    #[test]
    fn members_are_read_by_their_type() {
        let text = r#"{"htm":"POST","ht\u0075":"a\"b","iat":7,"ath":null,"jti":1.5,"nonce":{"a":[true]},"x":-1}"#;
        let said = Said::read(text.as_bytes()).unwrap();
        assert_eq!(said.htm.unwrap().text(), Some("POST"));
        assert_eq!(said.htu.unwrap().text(), Some("a\"b"));
        assert_eq!(said.iat.unwrap().integer(), Some(7));
        for other in [said.ath, said.jti, said.nonce] {
            let other = other.unwrap();
            assert_eq!((other.text(), other.integer()), (None, None));
        }
        let said = Said::read(br#"{"iat":-7}"#).unwrap();
        assert_eq!(said.iat.unwrap().integer(), Some(-7));
        let said = Said::read(br#"{"iat":18446744073709551615}"#).unwrap();
        assert_eq!(said.iat.unwrap().integer(), None);
        let said = Said::read(br#"{"iat":true}"#).unwrap();
        assert_eq!(said.iat, Some(Member::Other));
    }

    #[test]
    fn a_member_given_twice_is_refused_wherever_it_stands() {
        for bad in [
            r#"{"htm":"POST","htm":"POST"}"#,
            r#"{"htm":"POST","\u0068tm":"GET"}"#,
            r#"{"x":1,"x":1}"#,
            r#"{"x":1,"\u0078":1}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
            r#"{"htu":{"a":1,"a":2}}"#,
            "[]",
            "{}{}",
            "{",
            "",
        ] {
            assert!(Said::read(bad.as_bytes()).is_err(), "{bad}");
        }
        for name in ["htu", "ath", "iat", "jti", "nonce"] {
            let twice = format!(r#"{{"{name}":1,"{name}":1}}"#);
            assert!(Said::read(twice.as_bytes()).is_err(), "{name}");
        }
    }
}
