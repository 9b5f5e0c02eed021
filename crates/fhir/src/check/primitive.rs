//! The primitive types of FHIR R4: which JSON they are and which texts they accept.
//!
//! Standard: FHIR R4, datatypes, section 2.24.0.1. All matching is linear in the text.

use crate::json::{Kind, Node};
use crate::measurement::Decimal;
use crate::time::{self, Zone};

/// A primitive type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    /// base64Binary
    Base64Binary,
    /// boolean
    Boolean,
    /// code
    Code,
    /// date
    Date,
    /// dateTime
    DateTime,
    /// decimal
    Decimal,
    /// id
    Id,
    /// instant
    Instant,
    /// integer
    Integer,
    /// oid
    Oid,
    /// positiveInt
    PositiveInt,
    /// string, and markdown
    String,
    /// time
    Time,
    /// unsignedInt
    UnsignedInt,
    /// uri, url and canonical
    Uri,
    /// uuid
    Uuid,
    /// xhtml
    Xhtml,
}

/// Why a value is not of its primitive type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// Another JSON type, named, where `expected` should be.
    Json {
        /// `string`, `number`, `boolean`.
        expected: &'static str,
    },
    /// An empty string.
    Empty,
    /// The right JSON type, but not a value of the primitive.
    Form {
        /// What was expected, in words.
        expected: &'static str,
        /// What is wrong, when more is known.
        why: Option<String>,
    },
}

impl Primitive {
    /// The primitive with this FHIR name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "base64Binary" => Self::Base64Binary,
            "boolean" => Self::Boolean,
            "code" => Self::Code,
            "date" => Self::Date,
            "dateTime" => Self::DateTime,
            "decimal" => Self::Decimal,
            "id" => Self::Id,
            "instant" => Self::Instant,
            "integer" => Self::Integer,
            "oid" => Self::Oid,
            "positiveInt" => Self::PositiveInt,
            "string" | "markdown" => Self::String,
            "time" => Self::Time,
            "unsignedInt" => Self::UnsignedInt,
            "uri" | "url" | "canonical" => Self::Uri,
            "uuid" => Self::Uuid,
            "xhtml" => Self::Xhtml,
            _ => return None,
        })
    }

    /// Whether `node` is a value of this primitive.
    ///
    /// # Errors
    /// [`Unfit`] in words that do not repeat the value.
    pub fn accepts(self, node: Node<'_>, zone: &Zone) -> Result<(), Unfit> {
        match self {
            Self::Boolean => match node.bool() {
                Some(_) => Ok(()),
                None => Err(Unfit::Json {
                    expected: "boolean",
                }),
            },
            Self::Decimal | Self::Integer | Self::UnsignedInt | Self::PositiveInt => {
                let text = node.number().ok_or(Unfit::Json { expected: "number" })?;
                self.number(text)
            }
            _ => {
                if node.kind() != Kind::String {
                    return Err(Unfit::Json { expected: "string" });
                }
                let text = node.str().unwrap_or_default();
                if text.is_empty() {
                    Err(Unfit::Empty)
                } else {
                    self.text(&text, zone)
                }
            }
        }
    }

    fn number(self, text: &str) -> Result<(), Unfit> {
        let whole = |low: i64, expected| match text.parse::<i64>() {
            Ok(n) if (low..=i64::from(i32::MAX)).contains(&n) && text != "-0" => Ok(()),
            _ => Err(Unfit::Form {
                expected,
                why: None,
            }),
        };
        match self {
            Self::Integer => whole(
                i64::from(i32::MIN),
                "a whole number of 32 bits without fraction or exponent",
            ),
            Self::UnsignedInt => whole(0, "a whole number, 0 or more, of 31 bits"),
            Self::PositiveInt => whole(1, "a whole number, 1 or more, of 31 bits"),
            _ => match Decimal::parse(text) {
                Some(_) => Ok(()),
                None => Err(Unfit::Form {
                    expected: "a decimal of at most 30 digits and exponent 30",
                    why: None,
                }),
            },
        }
    }

    fn text(self, text: &str, zone: &Zone) -> Result<(), Unfit> {
        let form = |fits: bool, expected| {
            if fits {
                Ok(())
            } else {
                Err(Unfit::Form {
                    expected,
                    why: None,
                })
            }
        };
        let dated = |read: Result<(), time::DateError>, expected| {
            read.map_err(|e| Unfit::Form {
                expected,
                why: Some(e.to_string()),
            })
        };
        match self {
            Self::String => {
                let clean = !text
                    .chars()
                    .any(|c| c < ' ' && !matches!(c, '\t' | '\r' | '\n'));
                form(
                    clean && !text.trim().is_empty(),
                    "text with at least one visible character and no control characters",
                )
            }
            Self::Code => {
                let single = text
                    .split([' ', '\t', '\r', '\n'])
                    .all(|word| !word.is_empty());
                form(
                    single && !text.chars().any(char::is_control),
                    "a code: words parted by single spaces",
                )
            }
            Self::Id => form(is_id(text), "an id: 1 to 64 letters, digits, - and ."),
            Self::Uri => form(is_uri(text), "a URI without spaces"),
            Self::Oid => form(is_oid(text), "an OID as urn:oid:…"),
            Self::Uuid => {
                let uuid = text
                    .strip_prefix("urn:uuid:")
                    .and_then(|u| uuid::Uuid::try_parse(u).ok().map(|p| (p, u)));
                form(
                    uuid.is_some_and(|(p, u)| p.as_hyphenated().to_string() == u),
                    "a UUID as urn:uuid:… in lower case",
                )
            }
            Self::Base64Binary => form(is_base64(text), "base64"),
            Self::Date => {
                let read = if text.contains('T') {
                    Err(time::DateError::Form("YYYY, YYYY-MM or YYYY-MM-DD"))
                } else {
                    time::parse_date(text, zone).map(|_| ())
                };
                dated(read, "a date")
            }
            Self::DateTime => dated(time::parse_date(text, zone).map(|_| ()), "a dateTime"),
            Self::Instant => dated(time::parse_instant(text).map(|_| ()), "an instant"),
            Self::Time => form(is_time(text), "a time hh:mm:ss"),
            Self::Xhtml => form(
                is_narrative(text),
                "one XHTML <div> without scripts, forms, frames or objects",
            ),
            // Numbers and booleans never come here.
            Self::Boolean
            | Self::Decimal
            | Self::Integer
            | Self::PositiveInt
            | Self::UnsignedInt => Ok(()),
        }
    }
}

/// Whether it is a FHIR id.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

fn is_uri(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control())
        && text.strip_prefix("urn:oid:").is_none_or(|_| is_oid(text))
}

fn is_oid(text: &str) -> bool {
    let Some(arcs) = text.strip_prefix("urn:oid:") else {
        return false;
    };
    let arc = |a: &str| {
        !a.is_empty() && a.bytes().all(|b| b.is_ascii_digit()) && (a == "0" || !a.starts_with('0'))
    };
    matches!(arcs.as_bytes().first(), Some(b'0'..=b'2'))
        && arcs.split('.').count() > 1
        && arcs.split('.').all(arc)
}

fn is_base64(text: &str) -> bool {
    let bytes = || text.bytes().filter(|b| !b.is_ascii_whitespace());
    let (mut count, mut padding) = (0_usize, 0_usize);
    for byte in bytes() {
        count += 1;
        match byte {
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return false,
        }
    }
    count > 0 && count % 4 == 0 && padding <= 2
}

fn is_time(text: &str) -> bool {
    let two = |a: u8, b: u8, max: u8| {
        a.is_ascii_digit() && b.is_ascii_digit() && (a - b'0') * 10 + (b - b'0') <= max
    };
    match text.as_bytes() {
        [h1, h2, b':', m1, m2, b':', s1, s2, fraction @ ..] => {
            two(*h1, *h2, 23)
                && two(*m1, *m2, 59)
                && two(*s1, *s2, 59)
                && match fraction {
                    [] => true,
                    [b'.', digits @ ..] => {
                        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
                    }
                    _ => false,
                }
        }
        _ => false,
    }
}

/// Elements that FHIR forbids in a narrative, and markup declarations.
const FORBIDDEN: [&str; 12] = [
    "<!", "<?", "<script", "<iframe", "<frame", "<object", "<embed", "<form", "<base", "<link",
    "<style", "<body",
];

fn is_narrative(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    let opens = text
        .strip_prefix("<div")
        .is_some_and(|rest| rest.starts_with([' ', '>', '/', '\n', '\t', '\r']));
    opens
        && (text.ends_with("</div>") || text.ends_with("/>"))
        && !FORBIDDEN.iter().any(|tag| text.contains(tag))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::json::{Json, Limits};

    fn fits(name: &str, json: &str) -> bool {
        let json = Json::parse(json.as_bytes().to_vec(), Limits::RESOURCE).unwrap();
        Primitive::named(name)
            .unwrap()
            .accepts(json.root(), &Zone::default())
            .is_ok()
    }

    /// Type, what fits, what does not. As JSON, parted by two spaces.
    const CASES: &[(&str, &str, &str)] = &[
        ("boolean", "true  false", "\"true\"  1  null  [true]"),
        (
            "integer",
            "0  -5  2147483647  -2147483648",
            "2147483648  1.0  1e3  \"1\"  -0",
        ),
        ("unsignedInt", "0  7", "-1  1.5"),
        ("positiveInt", "1  2147483647", "0  -1"),
        (
            "decimal",
            "0  37.60  -1e3  123456789012345678",
            "\"37\"  1e400  true",
        ),
        (
            "string",
            "\"x\"  \" æ\\n\"",
            "\"\"  \" \"  \"a\\u0000b\"  5",
        ),
        ("markdown", "\"# x\"", "\"\""),
        (
            "code",
            "\"final\"  \"vital signs\"",
            "\" final\"  \"final \"  \"a\\u00a0\\n\"  \"a\\n\\nb\"",
        ),
        ("id", "\"a-1.B\"", "\"a_1\"  \"æ\"  \"a b\""),
        (
            "uri",
            "\"http://x/y\"  \"urn:oid:1.2\"  \"Thomas\"",
            "\"a b\"  \"urn:oid:1.02\"  \"urn:oid:9.1\"",
        ),
        (
            "oid",
            "\"urn:oid:2.16.578\"",
            "\"2.16.578\"  \"urn:oid:3.1\"  \"urn:oid:1\"  \"urn:oid:1..2\"",
        ),
        (
            "uuid",
            "\"urn:uuid:c757873d-ec9a-4326-a141-556f43239520\"",
            "\"c757873d-ec9a-4326-a141-556f43239520\"  \"urn:uuid:C757873D-EC9A-4326-A141-556F43239520\"",
        ),
        (
            "base64Binary",
            "\"QUJD\"  \"QQ==\"  \"QUJD QUJD\"",
            "\"QQ=\"  \"Q===\"  \"QUJ?\"  \"=QUJ\"  \" \"",
        ),
        (
            "date",
            "\"2026\"  \"2026-02\"  \"2024-02-29\"",
            "\"2026-02-29\"  \"2026-13\"  \"26-01-01\"  \"2026-01-01T00:00:00Z\"  \"2026-1-1\"",
        ),
        (
            "dateTime",
            "\"2026-03-02\"  \"2026-03-02T08:28:00+01:00\"  \"2026-03-02T08:28:00.123Z\"",
            "\"2026-03-02T08:28:00\"  \"2026-03-02T08:28Z\"  \"2026-03-02T25:00:00Z\"  \"2026-03-02 08:28:00Z\"",
        ),
        (
            "instant",
            "\"2026-03-02T08:28:00Z\"",
            "\"2026-03-02\"  \"2026-03-02T08:28:00\"",
        ),
        (
            "time",
            "\"08:30:00\"  \"23:59:59.5\"",
            "\"8:30:00\"  \"24:00:00\"  \"08:30\"  \"08:30:00.\"  \"08:30:00Z\"",
        ),
        (
            "xhtml",
            "\"<div xmlns=\\\"http://www.w3.org/1999/xhtml\\\">x</div>\"",
            "\"x\"  \"<p>x</p>\"  \"<div><SCRIPT>1</SCRIPT></div>\"  \"<!DOCTYPE x><div></div>\"  \"<divx></div>\"",
        ),
    ];

    #[test]
    fn table_of_forms() {
        for (name, good, bad) in CASES {
            for json in good.split("  ") {
                assert!(fits(name, json), "{name} refuses {json}");
            }
            for json in bad.split("  ") {
                assert!(!fits(name, json), "{name} accepts {json}");
            }
        }
    }
}
