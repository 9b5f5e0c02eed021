//! Values of search parameters: tokens, dates and lists of alternatives.
//!
//! Standard: FHIR R4 search, 3.1.1.4.7 (date), 3.1.1.4.10 (token), 3.1.1.5.4 (escaping with a backslash).

use crate::index::Coding;
use crate::time::{self, Instant, Range, Zone};

/// The system part of a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenSystem {
    /// `code`: any system or none.
    Any,
    /// `|code`: no system.
    Absent,
    /// `system|code`: this system.
    Is(String),
}

/// A token: `code`, `system|code`, `|code` or `system|`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenParam {
    /// Which system.
    pub system: TokenSystem,
    /// Which code; `None` for `system|`, any code of that system.
    pub code: Option<String>,
}

/// Nothing of it: a client may have put a person's number there.
impl std::fmt::Debug for TokenParam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenParam(***)")
    }
}

impl TokenParam {
    /// Reads a token as it stands between commas (still escaped). `None` if it asks for nothing (empty, `|`) or
    /// has more than one unescaped `|`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = split(text, '|');
        let some = |text: &str| (!text.is_empty()).then(|| unescape(text));
        match parts.as_slice() {
            [code] => Some(Self {
                system: TokenSystem::Any,
                code: Some(some(code)?),
            }),
            ["", code] => Some(Self {
                system: TokenSystem::Absent,
                code: Some(some(code)?),
            }),
            [system, code] => Some(Self {
                system: TokenSystem::Is(unescape(system)),
                code: some(code),
            }),
            _ => None,
        }
    }

    /// Whether `coding` is meant. Codes are compared letter by letter.
    #[must_use]
    pub fn matches(&self, coding: &Coding) -> bool {
        let system = match &self.system {
            TokenSystem::Any => true,
            TokenSystem::Absent => coding.system.is_none(),
            TokenSystem::Is(system) => coding.system.as_deref() == Some(system),
        };
        system && self.code.as_ref().is_none_or(|code| *code == coding.code)
    }
}

/// FHIR search prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// The parameter's range contains the resource's.
    Eq,
    /// Not `Eq`.
    Ne,
    /// The resource's range reaches above the parameter's.
    Gt,
    /// The resource's range reaches below the parameter's.
    Lt,
    /// `Gt` or `Eq`.
    Ge,
    /// `Lt` or `Eq`.
    Le,
    /// The resource's range starts after the parameter's ends.
    Sa,
    /// The resource's range ends before the parameter's starts.
    Eb,
    /// The resource's range meets the parameter's, widened by a tenth: of a number, or of the time between now and a date.
    Ap,
}

impl Prefix {
    /// The two letters.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Lt => "lt",
            Self::Ge => "ge",
            Self::Le => "le",
            Self::Sa => "sa",
            Self::Eb => "eb",
            Self::Ap => "ap",
        }
    }

    const ALL: [Self; 9] = [
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Lt,
        Self::Ge,
        Self::Le,
        Self::Sa,
        Self::Eb,
        Self::Ap,
    ];

    /// The prefix that `text` starts with (`eq` without one), and the rest.
    pub(super) fn take(text: &str) -> Result<(Self, &str), String> {
        match text.get(..2) {
            Some(letters) if letters.bytes().all(|b| b.is_ascii_alphabetic()) => {
                let prefix = Self::ALL
                    .into_iter()
                    .find(|prefix| prefix.code() == letters)
                    .ok_or("unknown prefix; expected one of eq, ne, gt, lt, ge, le, sa, eb, ap");
                Ok((prefix?, &text[2..]))
            }
            _ => Ok((Self::Eq, text)),
        }
    }
}

/// A date to compare with. With `ap` it is compared as it is until [`super::Query::approximate`] has widened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DateParam {
    /// How.
    pub prefix: Prefix,
    /// With what.
    pub range: Range,
}

impl DateParam {
    /// Reads prefix and date.
    pub(super) fn parse(text: &str, zone: &Zone) -> Result<Self, String> {
        let (prefix, rest) = Prefix::take(text)?;
        let range = time::parse_search_date(rest, zone).map_err(|error| error.to_string())?;
        Ok(Self { prefix, range })
    }

    /// Whether a resource with the range `when` matches. A resource without a time matches no date; that is the
    /// caller's to see to. In terms of the stored `lo` and `hi` each is one or two comparisons.
    #[must_use]
    pub const fn matches(&self, when: &Range) -> bool {
        let equal = self.range.contains(when);
        let above = when.hi > self.range.hi;
        let below = when.lo < self.range.lo;
        match self.prefix {
            Prefix::Eq => equal,
            Prefix::Ne => !equal,
            Prefix::Gt => above,
            Prefix::Lt => below,
            Prefix::Ge => above || equal,
            Prefix::Le => below || equal,
            Prefix::Sa => when.lo >= self.range.hi,
            Prefix::Eb => when.hi <= self.range.lo,
            Prefix::Ap => when.overlaps(&self.range),
        }
    }

    /// Widens an `ap` by a tenth of the time between now and the date; others stay.
    pub(super) fn approximate(&mut self, now: Instant) {
        if self.prefix == Prefix::Ap {
            let slack = (self.range.lo.saturating_sub(now.0) / 10).saturating_abs();
            self.range.lo = self.range.lo.saturating_sub(slack);
            self.range.hi = self.range.hi.saturating_add(slack);
        }
    }
}

/// Splits at each `at` that no backslash stands before; the parts keep their escapes.
pub(super) fn split(text: &str, at: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == at {
            parts.push(&text[from..i]);
            from = i + c.len_utf8();
        }
    }
    parts.push(&text[from..]);
    parts
}

/// Takes away the backslash before `,`, `|`, `$` and `\`; other backslashes stay.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(&next @ (',' | '|' | '$' | '\\')) if c == '\\' => {
                out.push(next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}
