//! Conditional read (FHIR R4 http.html#cread; RFC 9110 section 13): who holds the version already is not sent it again.

use crate::disclose::{disclose, tag};
use crate::part::Part;
use axum::response::Response;
use fhir::outcome::IssueCode;
use http::{HeaderMap, StatusCode, header};
use store::Stored;
use trust::Permit;
use wire::outcome::{Problem, fhir_response};
use wire::visit::{End, Visit};

/// What the caller holds already.
pub struct Conditions {
    /// `If-None-Match`: these versions, or any (`*`).
    none_match: Option<Held>,
    /// `If-Modified-Since`, in seconds.
    since: Option<i64>,
}

enum Held {
    Any,
    Versions(Vec<String>),
}

/// Reads `If-None-Match` and `If-Modified-Since`.
///
/// # Errors
/// 400 for an entity tag that is none. A date that cannot be read is ignored, as RFC 9110 section 13.1.3 has it: the
/// answer is whole then.
pub fn read(headers: &HeaderMap) -> Result<Conditions, Problem> {
    let mut held: Option<Held> = None;
    for value in headers.get_all(header::IF_NONE_MATCH) {
        let text = value.to_str().map_err(|_| malformed())?;
        for one in text.split(',').map(str::trim) {
            held = Some(match (held, one) {
                (None, "*") => Held::Any,
                (before, tag) => {
                    let tag = tag.strip_prefix("W/").unwrap_or(tag);
                    let inner = tag
                        .strip_prefix('"')
                        .and_then(|rest| rest.strip_suffix('"'))
                        .ok_or_else(malformed)?;
                    let mut versions = match before {
                        None => Vec::new(),
                        Some(Held::Versions(versions)) => versions,
                        Some(Held::Any) => return Err(malformed()),
                    };
                    versions.push(inner.to_owned());
                    Held::Versions(versions)
                }
            });
        }
    }
    let since = headers
        .get(header::IF_MODIFIED_SINCE)
        .and_then(|value| value.to_str().ok())
        .and_then(seconds);
    Ok(Conditions {
        none_match: held,
        since,
    })
}

fn malformed() -> Problem {
    Problem::invalid(
        IssueCode::Value,
        "If-None-Match",
        "If-None-Match takes versions, for example W/\"1\", or *",
    )
}

/// Seconds since 1970 of an HTTP date in its one preferred form.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let parsed = jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S GMT", text).ok()?;
    let zoned = parsed
        .to_datetime()
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?;
    Some(zoned.timestamp().as_second())
}

impl Conditions {
    /// Whether the caller holds this version: its entity tag decides if one was sent, else the date.
    fn met(&self, stored: &Stored) -> bool {
        match (&self.none_match, self.since) {
            (Some(Held::Any), _) => true,
            (Some(Held::Versions(versions)), _) => versions.contains(&stored.version.to_string()),
            (None, Some(since)) => stored.last_updated.0.div_euclid(1_000_000) <= since,
            (None, None) => false,
        }
    }

    /// The `part` of the resource that was asked for, or 304 without it. Either way its disclosure is on record: 304 says that it is unchanged.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub async fn answer(
        &self,
        visit: &Visit<'_>,
        permit: &Permit,
        mut stored: Stored,
        part: &Part,
    ) -> Result<Response, End> {
        let (version, last_updated) = (stored.version, stored.last_updated);
        let unchanged = self.met(&stored);
        part.cut([&mut stored])?;
        let disclosed = disclose(visit, permit, vec![stored]).await?;
        if unchanged {
            let mut response = fhir_response(StatusCode::NOT_MODIFIED, "");
            response.headers_mut().remove(header::CONTENT_TYPE);
            tag(&mut response, version, last_updated);
            return Ok(response);
        }
        disclosed
            .resource()
            .ok_or_else(|| Problem::not_found().into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use crate::disclose::http_date;

    #[test]
    fn an_http_date_is_read_as_it_is_written() {
        let moment = fhir::time::Instant(1_795_251_600_000_000);
        let written = http_date(moment).unwrap();
        assert_eq!(seconds(written.to_str().unwrap()), Some(moment.seconds()));
        assert_eq!(seconds("2026-11-21"), None);
    }
}
