//! Writing a history Bundle as bytes (FHIR R4 http.html#history, Bundle invariants bdl-3 and bdl-4: each entry has its
//! request and its response).

use crate::json;
use crate::time::Instant;

/// One version of a resource in a history.
#[derive(Debug, Clone, Copy)]
pub struct VersionEntry<'a> {
    /// The resource's own address, without version.
    pub full_url: &'a str,
    /// Resource type.
    pub resource_type: &'a str,
    /// Logical id.
    pub id: &'a str,
    /// Version, from 1.
    pub version: u64,
    /// When it was committed.
    pub last_updated: Instant,
    /// The resource's JSON; `None`: this version is its deletion.
    pub resource: Option<&'a [u8]>,
}

/// Writes a history Bundle straight to bytes.
#[derive(Debug)]
pub struct HistoryWriter {
    out: Vec<u8>,
    empty: bool,
}

impl HistoryWriter {
    /// Begins a history; `links` and `total` as in a searchset.
    #[must_use]
    pub fn new(total: Option<u64>, links: &[(&str, &str)]) -> Self {
        Self {
            out: super::opening("history", total, links),
            empty: true,
        }
    }

    /// Adds a version. Its first was a POST, later ones a PUT, and its end a DELETE.
    pub fn entry(&mut self, entry: &VersionEntry<'_>) {
        let out = &mut self.out;
        out.extend_from_slice(if self.empty { b",\"entry\":[{" } else { b",{" });
        self.empty = false;
        let mut member = |name: &str, value: &str| {
            out.extend_from_slice(name.as_bytes());
            json::write_string(out, value);
        };
        member("\"fullUrl\":", entry.full_url);
        let address = format!("{}/{}", entry.resource_type, entry.id);
        let (method, url, status) = match (entry.resource, entry.version) {
            (None, _) => ("DELETE", address.as_str(), "204"),
            (Some(_), 1) => ("POST", entry.resource_type, "201"),
            (Some(_), _) => ("PUT", address.as_str(), "200"),
        };
        member(",\"request\":{\"method\":", method);
        member(",\"url\":", url);
        member("},\"response\":{\"status\":", status);
        member(",\"etag\":", &format!("W/\"{}\"", entry.version));
        member(",\"lastModified\":", &entry.last_updated.to_string());
        out.push(b'}');
        if let Some(resource) = entry.resource {
            out.extend_from_slice(b",\"resource\":");
            out.extend_from_slice(resource);
        }
        out.push(b'}');
    }

    /// The Bundle's bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.out
            .extend_from_slice(if self.empty { b"}" } else { b"]}" });
        self.out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::bundle::{BundleType, entries, link};
    use crate::json::{Json, Limits};

    #[test]
    fn every_version_has_its_request_and_response() {
        let mut writer =
            HistoryWriter::new(Some(3), &[("self", "http://x/Observation/1/_history")]);
        for version in [3, 2, 1] {
            writer.entry(&VersionEntry {
                full_url: "http://x/Observation/1",
                resource_type: "Observation",
                id: "1",
                version,
                last_updated: Instant(0),
                resource: (version < 3).then_some(br#"{"resourceType":"Observation"}"#),
            });
        }
        let json = Json::parse(writer.finish(), Limits::BUNDLE).unwrap();
        assert_eq!(BundleType::of(json.root()), Ok(BundleType::History));
        assert!(link(json.root(), "self").is_some());
        let told: Vec<_> = entries(json.root())
            .map(|entry| {
                format!(
                    "{} {} {} {}",
                    entry.method().unwrap(),
                    entry.url().unwrap(),
                    entry.response_status().unwrap(),
                    entry.resource.is_some()
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "DELETE Observation/1 204 false",
                "PUT Observation/1 200 true",
                "POST Observation 201 true"
            ]
        );
    }
}
