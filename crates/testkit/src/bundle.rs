//! Bundles as home systems, hubs and record systems send them (VkpObservation's PMD batch; CONTRACT section 6), and what
//! the answers say entry by entry.

use serde_json::Value;
use std::fmt::Write as _;

/// Most entries in one bundle that we send.
pub const CHUNK: usize = 100;

/// How a bundle says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleKind {
    /// As the live documentation of PMD has it: no `request`.
    Collection,
    /// As VkpObservation's PMD profile has it: `request` and `fullUrl` on each entry.
    Batch,
}

/// What the receiver said of one entry.
#[derive(Clone, PartialEq)]
pub struct EntryAnswer {
    /// HTTP status; 0 when the entry has no answer.
    pub status: u16,
    /// Logical id, from `location`.
    pub id: Option<String>,
    /// Version, from `etag` or `location`.
    pub version: Option<String>,
    /// OperationOutcome, if any.
    pub outcome: Option<Value>,
}

impl EntryAnswer {
    /// Taken in, now or earlier.
    pub fn is_accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl std::fmt::Debug for EntryAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status)
    }
}

/// A bundle of resources of one type; each item is a `urn:uuid:` for `fullUrl` and the resource's JSON, whose bytes go
/// in as they are.
pub fn write<'a>(
    kind: BundleKind,
    resource_type: &str,
    entries: impl IntoIterator<Item = (String, &'a [u8])>,
) -> Vec<u8> {
    let entries = entries.into_iter();
    write_mixed(kind, entries.map(|(url, body)| (url, resource_type, body)))
}

/// The same of resources of several types; each item names its own.
pub fn write_mixed<'a>(
    kind: BundleKind,
    entries: impl IntoIterator<Item = (String, &'a str, &'a [u8])>,
) -> Vec<u8> {
    let mut out = match kind {
        BundleKind::Collection => {
            br#"{"resourceType":"Bundle","type":"collection","entry":["#.to_vec()
        }
        BundleKind::Batch => br#"{"resourceType":"Bundle","type":"batch","entry":["#.to_vec(),
    };
    for (n, (full_url, resource_type, body)) in entries.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!(r#"{{"fullUrl":"{full_url}","resource":"#).as_bytes());
        out.extend_from_slice(body);
        if kind == BundleKind::Batch {
            let mut request = String::new();
            // Writing to a String cannot fail.
            let _ = write!(
                request,
                r#","request":{{"method":"POST","url":"{resource_type}"}}"#
            );
            out.extend_from_slice(request.as_bytes());
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}

/// Reads a `batch-response` with exactly `count` entries; `None` for any other body.
pub fn read_answers(body: &[u8], count: usize) -> Option<Vec<EntryAnswer>> {
    let bundle: Value = serde_json::from_slice(body).ok()?;
    if bundle["resourceType"] != "Bundle" || bundle["type"] != "batch-response" {
        return None;
    }
    let entries = bundle["entry"].as_array()?;
    (entries.len() == count).then(|| entries.iter().map(answer).collect())
}

fn answer(entry: &Value) -> EntryAnswer {
    let response = &entry["response"];
    let status = response["status"]
        .as_str()
        .and_then(|s| s.get(..3)?.parse().ok())
        .unwrap_or(0);
    let (id, version) = response["location"].as_str().map(place).unwrap_or_default();
    let etag = response["etag"].as_str().and_then(version_of_etag);
    EntryAnswer {
        status,
        id,
        version: etag.or(version),
        outcome: response.get("outcome").filter(|o| o.is_object()).cloned(),
    }
}

/// Id and version in `[base/]Type/id[/_history/version]`.
pub fn place(location: &str) -> (Option<String>, Option<String>) {
    let (resource, version) = match location.split_once("/_history/") {
        Some((resource, version)) => (resource, Some(version.to_owned())),
        None => (location, None),
    };
    (
        resource
            .rsplit('/')
            .next()
            .filter(|id| !id.is_empty())
            .map(str::to_owned),
        version,
    )
}

/// The version in `W/"3"`.
pub fn version_of_etag(etag: &str) -> Option<String> {
    Some(
        etag.strip_prefix("W/")
            .unwrap_or(etag)
            .strip_prefix('"')?
            .strip_suffix('"')?
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    #[test]
    fn a_written_bundle_keeps_the_bytes_of_its_entries() {
        let body: &[u8] = br#"{"resourceType":"Observation","valueQuantity":{"value":61.40}}"#;
        for kind in [BundleKind::Collection, BundleKind::Batch] {
            let bundle = write(
                kind,
                "Observation",
                [
                    ("urn:uuid:a".to_owned(), body),
                    ("urn:uuid:b".to_owned(), body),
                ],
            );
            let text = std::str::from_utf8(&bundle).unwrap();
            assert_eq!(text.matches("61.40").count(), 2);
            let json: Value = serde_json::from_str(text).unwrap();
            assert_eq!(json["entry"].as_array().unwrap().len(), 2);
            assert_eq!(
                json["entry"][0]["request"].is_object(),
                kind == BundleKind::Batch
            );
        }
    }

    #[test]
    fn answers_are_read_entry_by_entry_and_near_misses_are_none() {
        let body = br#"{"resourceType":"Bundle","type":"batch-response","entry":[
            {"response":{"status":"201 Created","location":"Observation/x/_history/1","etag":"W/\"1\""}},
            {"response":{"status":"422","outcome":{"resourceType":"OperationOutcome"}}},
            {"response":{}}]}"#;
        let answers = read_answers(body, 3).unwrap();
        assert_eq!(
            (
                answers[0].status,
                answers[0].id.as_deref(),
                answers[0].version.as_deref()
            ),
            (201, Some("x"), Some("1"))
        );
        assert!(
            answers[0].is_accepted() && !answers[1].is_accepted() && answers[1].outcome.is_some()
        );
        assert_eq!(answers[2].status, 0);
        assert!(read_answers(body, 2).is_none());
        assert!(read_answers(br#"{"resourceType":"OperationOutcome"}"#, 0).is_none());
        assert!(read_answers(b"", 0).is_none());
    }

    #[test]
    fn places_and_etags() {
        assert_eq!(
            place("http://h/a/fhir/Observation/1"),
            (Some("1".into()), None)
        );
        assert_eq!(
            place("Observation/1/_history/2"),
            (Some("1".into()), Some("2".into()))
        );
        assert_eq!(version_of_etag("W/\"7\""), Some("7".into()));
        assert_eq!(version_of_etag("7"), None);
    }
}
