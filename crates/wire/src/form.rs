//! Strict `application/x-www-form-urlencoded` (WHATWG URL, section 5, without its forgiveness): a broken percent escape,
//! invalid UTF-8 or too many parameters are refused aloud.

use axum::body::Body;
use fhir::outcome::IssueCode;
use http::{HeaderMap, header};

use crate::body;
use crate::outcome::Problem;

/// Largest form taken: a search (URL 8 KiB) or a token request with an assertion and a subject token.
pub const FORM_BYTES: usize = 64 * 1024;
/// Most parameters in one form.
pub const PARAMETERS: usize = 40;

/// The parameters of a form, in order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form(pub Vec<(String, String)>);

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// What is wrong with a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormFault {
    /// A `%` without two hexadecimal digits after it.
    #[error("a percent escape is broken")]
    Escape,
    /// The bytes are not UTF-8, or hold a NUL.
    #[error("not UTF-8 text")]
    Text,
    /// More than [`PARAMETERS`].
    #[error("too many parameters")]
    Many,
    /// A parameter that may stand once stands twice.
    #[error("a parameter stands twice")]
    Twice,
    /// Another media type.
    #[error("expected application/x-www-form-urlencoded")]
    MediaType,
    /// Longer than [`FORM_BYTES`].
    #[error("too long")]
    TooLong,
}

impl Form {
    /// Reads a form's bytes.
    ///
    /// # Errors
    /// [`FormFault`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormFault> {
        let mut pairs = Vec::new();
        for pair in bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == PARAMETERS {
                return Err(FormFault::Many);
            }
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self(pairs))
    }

    /// Refuses any parameter that stands twice (threats-and-faults.md section 2).
    ///
    /// # Errors
    /// [`FormFault::Twice`].
    pub fn once(self) -> Result<Self, FormFault> {
        let twice = self
            .0
            .iter()
            .enumerate()
            .any(|(i, (name, _))| self.0[..i].iter().any(|(other, _)| other == name));
        if twice {
            Err(FormFault::Twice)
        } else {
            Ok(self)
        }
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Takes every value of a parameter out of the form.
    pub fn take(&mut self, name: &str) -> Vec<String> {
        let (taken, kept) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(n, _)| n == name);
        self.0 = kept;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }
}

/// Reads a request's form: media type, size, grammar.
///
/// # Errors
/// [`FormFault`]; each endpoint says it in its own words (`Problem` or `OAuthError`).
pub async fn read(headers: &HeaderMap, request: Body) -> Result<Form, FormFault> {
    if !body::media_type_is(headers, &["application/x-www-form-urlencoded"])
        || headers.contains_key(header::CONTENT_ENCODING)
    {
        return Err(FormFault::MediaType);
    }
    let bytes = body::limited(headers, request, FORM_BYTES)
        .await
        .map_err(|_| FormFault::TooLong)?;
    Form::parse(&bytes)
}

impl From<FormFault> for Problem {
    fn from(fault: FormFault) -> Self {
        match fault {
            FormFault::MediaType => {
                Problem::unsupported_media_type("application/x-www-form-urlencoded")
            }
            FormFault::TooLong => Problem::too_large(FORM_BYTES),
            FormFault::Many => Problem::invalid(IssueCode::TooCostly, "", fault.to_string()),
            FormFault::Escape | FormFault::Text | FormFault::Twice => Problem::invalid(
                IssueCode::Invalid,
                "",
                format!("the form cannot be read: {fault}"),
            ),
        }
    }
}

fn decode(text: &[u8]) -> Result<String, FormFault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || {
                    rest.next()
                        .and_then(|b| char::from(*b).to_digit(16))
                        .ok_or(FormFault::Escape)
                };
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).map_err(|_| FormFault::Escape)?
            }
            other => *other,
        });
    }
    if bytes.contains(&0) {
        return Err(FormFault::Text);
    }
    String::from_utf8(bytes).map_err(|_| FormFault::Text)
}

/// Writes a form.
pub fn write<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        out.append_pair(name, value);
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let pairs = [
            ("code", "http://loinc.org|2708-6,a"),
            ("date", "ge2024-01-01T00:00:00+01:00"),
            ("ø", "æ å&=%"),
        ];
        let form = Form::parse(write(pairs).as_bytes()).unwrap();
        let back: Vec<(&str, &str)> = form
            .0
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(back, pairs);
    }

    #[test]
    fn broken_forms_are_refused() {
        for (bytes, fault) in [
            (&b"a=%"[..], FormFault::Escape),
            (b"a=%4", FormFault::Escape),
            (b"a=%zz", FormFault::Escape),
            (b"a=%+1", FormFault::Escape),
            (b"a=%ff", FormFault::Text),
            (b"a=%00", FormFault::Text),
        ] {
            assert_eq!(Form::parse(bytes), Err(fault));
        }
        assert_eq!(
            Form::parse("a=1&".repeat(PARAMETERS + 1).as_bytes()),
            Err(FormFault::Many)
        );
        assert!(Form::parse("a=1&".repeat(PARAMETERS).as_bytes()).is_ok());
    }

    #[test]
    fn what_may_stand_once_may_not_stand_twice() {
        assert_eq!(
            Form::parse(b"a=1&b=2&a=1").unwrap().once(),
            Err(FormFault::Twice)
        );
        let mut form = Form::parse(b"a=1&b=2&a=3").unwrap();
        assert_eq!(form.take("a"), ["1", "3"]);
        assert_eq!((form.get("b"), form.get("a")), (Some("2"), None));
    }
}
