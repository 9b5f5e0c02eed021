//! Bundles: reading the entries of one, and writing searchsets and batch responses as bytes.
//!
//! Standard: FHIR R4 Bundle; response extension of VkpObservation 0.5.2 (pmd-Bundle-Response); CONTRACT
//! section 6. Resources go in and out as bytes: nothing is parsed again to be written.

mod history;
mod links;

pub use history::{HistoryWriter, VersionEntry};
pub use links::{Link, Role, links, relink};

use crate::json::{self, Kind, Node};
use crate::outcome::{Issue, IssueCode, OperationOutcome, codes};
use crate::systems;
use crate::time::Instant;
use std::borrow::Cow;

codes! {
    /// FHIR `bundle-type`, whole.
    BundleType {
        /// A document: a Composition and what it refers to.
        Document = "document",
        /// A message.
        Message = "message",
        /// All or nothing.
        Transaction = "transaction",
        /// Answer to a transaction.
        TransactionResponse = "transaction-response",
        /// Each entry alone.
        Batch = "batch",
        /// Answer to a batch.
        BatchResponse = "batch-response",
        /// Versions.
        History = "history",
        /// What a search found.
        Searchset = "searchset",
        /// Things put together for some reason.
        Collection = "collection",
    }
}

impl BundleType {
    /// The type of a Bundle.
    ///
    /// # Errors
    /// An issue when `node` is no Bundle or its `type` is missing or unknown.
    pub fn of(node: Node<'_>) -> Result<Self, Issue> {
        if node.text("resourceType").as_deref() != Some("Bundle") {
            return Err(Issue::error(
                IssueCode::Structure,
                "resourceType",
                "a Bundle was expected",
            ));
        }
        let Some(code) = node.text("type") else {
            return Err(Issue::error(
                IssueCode::Required,
                "Bundle.type",
                "Bundle.type is missing",
            ));
        };
        Self::parse(&code).ok_or_else(|| {
            Issue::error(
                IssueCode::CodeInvalid,
                "Bundle.type",
                "Bundle.type is not a code of bundle-type",
            )
        })
    }
}

/// One entry of a Bundle, as sent.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its place, from 0.
    pub index: usize,
    /// The entry itself (normally an object; whatever the sender put there).
    pub node: Node<'a>,
    /// `request`, if there.
    pub request: Option<Node<'a>>,
    /// `resource`, if there.
    pub resource: Option<Node<'a>>,
    /// `response`, if there.
    pub response: Option<Node<'a>>,
}

impl<'a> Entry<'a> {
    /// `Bundle.entry[3]`.
    #[must_use]
    pub fn expression(&self) -> String {
        format!("Bundle.entry[{}]", self.index)
    }

    /// `fullUrl`, if it is a string.
    #[must_use]
    pub fn full_url(&self) -> Option<Cow<'a, str>> {
        self.node.text("fullUrl")
    }

    /// `request.method`.
    #[must_use]
    pub fn method(&self) -> Option<Cow<'a, str>> {
        self.request?.text("method")
    }

    /// `request.url`.
    #[must_use]
    pub fn url(&self) -> Option<Cow<'a, str>> {
        self.request?.text("url")
    }

    /// `search.mode`.
    #[must_use]
    pub fn search_mode(&self) -> Option<SearchMode> {
        SearchMode::parse(&self.node.path(&["search", "mode"])?.str()?)
    }

    /// The number at the beginning of `response.status`: `201 Created` gives 201.
    #[must_use]
    pub fn response_status(&self) -> Option<u16> {
        let status = self.response?.text("status")?;
        let digits = status.get(..3)?;
        if status.len() > 3 && !status[3..].starts_with(' ') {
            return None;
        }
        digits
            .parse()
            .ok()
            .filter(|status| (100..600).contains(status))
    }

    /// `response.outcome`, read as an OperationOutcome.
    #[must_use]
    pub fn response_outcome(&self) -> Option<OperationOutcome> {
        OperationOutcome::read(self.response?.get("outcome")?)
    }
}

/// The entries of a Bundle in the order sent; none if `entry` is missing or no array.
pub fn entries<'a>(bundle: Node<'a>) -> impl Iterator<Item = Entry<'a>> + 'a {
    bundle
        .get("entry")
        .into_iter()
        .flat_map(|list| list.items().enumerate())
        .map(|(index, node)| Entry {
            index,
            node,
            request: node.get("request"),
            resource: node
                .get("resource")
                .filter(|resource| resource.kind() == Kind::Object),
            response: node.get("response"),
        })
}

/// The URL of the Bundle's link with this relation.
#[must_use]
pub fn link<'a>(bundle: Node<'a>, relation: &str) -> Option<Cow<'a, str>> {
    let links = bundle.get("link")?;
    links
        .items()
        .find(|link| link.text("relation").is_some_and(|r| r == relation))?
        .text("url")
}

codes! {
    /// FHIR `search-entry-mode`.
    SearchMode {
        /// It matched.
        Match = "match",
        /// It came along.
        Include = "include",
        /// It is about the search itself.
        Outcome = "outcome",
    }
}

/// The beginning of a Bundle, up to its entries.
fn opening(bundle_type: &str, total: Option<u64>, links: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(b"{\"resourceType\":\"Bundle\",\"type\":");
    json::write_string(&mut out, bundle_type);
    if let Some(total) = total {
        out.extend_from_slice(format!(",\"total\":{total}").as_bytes());
    }
    for (i, (relation, url)) in links.iter().enumerate() {
        out.extend_from_slice(if i == 0 {
            &b",\"link\":[{\"relation\":"[..]
        } else {
            b",{\"relation\":"
        });
        json::write_string(&mut out, relation);
        out.extend_from_slice(b",\"url\":");
        json::write_string(&mut out, url);
        out.extend_from_slice(if i + 1 == links.len() {
            &b"}]"[..]
        } else {
            b"}"
        });
    }
    out
}

/// Writes a searchset Bundle straight to bytes.
#[derive(Debug)]
pub struct SearchsetWriter {
    out: Vec<u8>,
    empty: bool,
}

impl SearchsetWriter {
    /// Begins a searchset. `links` are (relation, url), `self` first by custom; `total` is the number of
    /// matches in all, left out where it is not known.
    #[must_use]
    pub fn new(total: Option<u64>, links: &[(&str, &str)]) -> Self {
        Self {
            out: opening("searchset", total, links),
            empty: true,
        }
    }

    /// Makes room for so many bytes more at once.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Adds an entry. `resource` must be the JSON of one resource; its bytes go in as they are.
    pub fn entry(&mut self, full_url: Option<&str>, resource: &[u8], mode: SearchMode) {
        self.extended_entry(None, full_url, resource, mode);
    }

    /// As [`Self::entry`], with extensions on the entry: `extensions` must be a JSON array of them, not empty.
    pub fn extended_entry(
        &mut self,
        extensions: Option<&[u8]>,
        full_url: Option<&str>,
        resource: &[u8],
        mode: SearchMode,
    ) {
        self.out
            .extend_from_slice(if self.empty { b",\"entry\":[{" } else { b",{" });
        self.empty = false;
        if let Some(extensions) = extensions {
            self.out.extend_from_slice(b"\"extension\":");
            self.out.extend_from_slice(extensions);
            self.out.push(b',');
        }
        if let Some(full_url) = full_url {
            self.out.extend_from_slice(b"\"fullUrl\":");
            json::write_string(&mut self.out, full_url);
            self.out.push(b',');
        }
        self.out.extend_from_slice(b"\"resource\":");
        self.out.extend_from_slice(resource);
        self.out.extend_from_slice(b",\"search\":{\"mode\":");
        json::write_string(&mut self.out, mode.code());
        self.out.extend_from_slice(b"}}");
    }

    /// Adds an entry about the search itself.
    pub fn outcome(&mut self, outcome: &OperationOutcome) {
        self.entry(None, &outcome.to_json(), SearchMode::Outcome);
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether no entry has been added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// The Bundle's bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.out
            .extend_from_slice(if self.empty { b"}" } else { b"]}" });
        self.out
    }
}

/// The answer to one entry of a batch.
#[derive(Debug, Clone, Default)]
pub struct EntryResponse<'a> {
    /// The request entry's fullUrl, if it had one: repeated, also in the PMD extension.
    pub full_url: Option<&'a str>,
    /// HTTP status with reason, `201 Created`.
    pub status: &'a str,
    /// `Observation/{id}/_history/{version}`.
    pub location: Option<&'a str>,
    /// `W/"1"`.
    pub etag: Option<&'a str>,
    /// When the version was committed.
    pub last_modified: Option<Instant>,
    /// The resource that was written or read, as JSON; its bytes go in as they are.
    pub resource: Option<&'a [u8]>,
    /// What was found.
    pub outcome: Option<&'a OperationOutcome>,
}

/// Writes a batch-response (or transaction-response) Bundle straight to bytes.
#[derive(Debug)]
pub struct BatchResponseWriter {
    out: Vec<u8>,
    empty: bool,
}

impl Default for BatchResponseWriter {
    fn default() -> Self {
        Self::new(BundleType::BatchResponse)
    }
}

impl BatchResponseWriter {
    /// Begins a response Bundle of this type.
    #[must_use]
    pub fn new(bundle_type: BundleType) -> Self {
        Self::profiled(bundle_type, None)
    }

    /// As [`Self::new`], for a Bundle that says in `meta.profile` that it follows `profile`.
    #[must_use]
    pub fn profiled(bundle_type: BundleType, profile: Option<&str>) -> Self {
        let mut out = Vec::with_capacity(2048);
        out.extend_from_slice(b"{\"resourceType\":\"Bundle\",");
        if let Some(profile) = profile {
            out.extend_from_slice(b"\"meta\":{\"profile\":[");
            json::write_string(&mut out, profile);
            out.extend_from_slice(b"]},");
        }
        out.extend_from_slice(b"\"type\":");
        json::write_string(&mut out, bundle_type.code());
        Self { out, empty: true }
    }

    /// Adds the answer to the next entry; the order is the request's.
    pub fn entry(&mut self, response: &EntryResponse<'_>) {
        let out = &mut self.out;
        out.extend_from_slice(if self.empty { b",\"entry\":[{" } else { b",{" });
        self.empty = false;
        let member = |out: &mut Vec<u8>, name: &str, value: &str| {
            out.extend_from_slice(name.as_bytes());
            json::write_string(out, value);
        };
        if let Some(full_url) = response.full_url {
            member(out, "\"fullUrl\":", full_url);
            out.push(b',');
        }
        if let Some(resource) = response.resource {
            out.extend_from_slice(b"\"resource\":");
            out.extend_from_slice(resource);
            out.push(b',');
        }
        out.extend_from_slice(b"\"response\":{");
        if let Some(full_url) = response.full_url {
            member(out, "\"extension\":[{\"url\":", systems::PMD_ENTRY_ID);
            member(out, ",\"valueUri\":", full_url);
            out.extend_from_slice(b"}],");
        }
        member(out, "\"status\":", response.status);
        if let Some(location) = response.location {
            member(out, ",\"location\":", location);
        }
        if let Some(etag) = response.etag {
            member(out, ",\"etag\":", etag);
        }
        if let Some(last_modified) = response.last_modified {
            member(out, ",\"lastModified\":", &last_modified.to_string());
        }
        if let Some(outcome) = response.outcome {
            out.extend_from_slice(b",\"outcome\":");
            outcome.write(out);
        }
        out.extend_from_slice(b"}}");
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
    use crate::json::{Json, Limits};

    fn read(bytes: Vec<u8>) -> Json {
        Json::parse(bytes, Limits::BUNDLE).unwrap()
    }

    #[test]
    fn a_searchset_is_read_as_it_was_written() {
        let mut writer = SearchsetWriter::new(
            Some(1),
            &[("self", "http://x/?a=\"b\""), ("next", "http://x/n")],
        );
        assert!(writer.is_empty());
        let resource = br#"{"resourceType":"Observation","valueQuantity":{"value":37.00}}"#;
        writer.entry(Some("http://x/Observation/1"), resource, SearchMode::Match);
        writer.outcome(&OperationOutcome::new(vec![Issue::warning(
            IssueCode::Incomplete,
            "",
            "one source is late",
        )]));
        let json = read(writer.finish());
        assert_eq!(BundleType::of(json.root()), Ok(BundleType::Searchset));
        assert_eq!(json.root().get("total").unwrap().number(), Some("1"));
        assert_eq!(link(json.root(), "next").as_deref(), Some("http://x/n"));
        assert_eq!(
            link(json.root(), "self").as_deref(),
            Some("http://x/?a=\"b\"")
        );
        let entries: Vec<_> = entries(json.root()).collect();
        assert_eq!(entries[0].resource.unwrap().raw().as_bytes(), resource);
        assert_eq!(
            entries[0].full_url().as_deref(),
            Some("http://x/Observation/1")
        );
        assert_eq!(entries[0].search_mode(), Some(SearchMode::Match));
        assert_eq!(entries[1].search_mode(), Some(SearchMode::Outcome));
        assert_eq!(entries[1].expression(), "Bundle.entry[1]");
    }

    #[test]
    fn an_entry_may_carry_extensions() {
        let mut writer = SearchsetWriter::new(None, &[]);
        let extensions = br#"[{"url":"http://x/route","valueString":"1"}]"#;
        writer.extended_entry(Some(extensions), None, b"{}", SearchMode::Match);
        let json = read(writer.finish());
        let entry = entries(json.root()).next().unwrap();
        let raw = entry.node.get("extension").unwrap().raw();
        assert_eq!(raw.as_bytes(), extensions);
        assert_eq!(entry.search_mode(), Some(SearchMode::Match));
    }

    #[test]
    fn an_empty_searchset_has_no_entry_member() {
        let bytes = SearchsetWriter::new(Some(0), &[]).finish();
        assert_eq!(
            bytes,
            br#"{"resourceType":"Bundle","type":"searchset","total":0}"#
        );
    }

    #[test]
    fn a_batch_response_repeats_the_full_url() {
        let outcome = OperationOutcome::new(vec![Issue::error(
            IssueCode::Required,
            "Observation.code",
            "missing",
        )]);
        let mut writer = BatchResponseWriter::default();
        writer.entry(&EntryResponse {
            full_url: Some("urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e"),
            status: "201 Created",
            location: Some("Observation/1/_history/1"),
            etag: Some("W/\"1\""),
            last_modified: Some(Instant(0)),
            resource: Some(br#"{"resourceType":"Observation","id":"1"}"#),
            outcome: None,
        });
        writer.entry(&EntryResponse {
            status: "422 Unprocessable Entity",
            outcome: Some(&outcome),
            ..Default::default()
        });
        let json = read(writer.finish());
        let entries: Vec<_> = entries(json.root()).collect();
        assert_eq!(entries[0].response_status(), Some(201));
        assert_eq!(
            entries[0].resource.unwrap().text("id").as_deref(),
            Some("1")
        );
        let extension = entries[0]
            .response
            .unwrap()
            .get("extension")
            .unwrap()
            .items()
            .next()
            .unwrap();
        assert_eq!(
            extension.text("url").as_deref(),
            Some(systems::PMD_ENTRY_ID)
        );
        assert_eq!(extension.text("valueUri"), entries[0].full_url());
        assert_eq!(
            entries[0].response.unwrap().text("etag").as_deref(),
            Some("W/\"1\"")
        );
        assert_eq!(entries[1].response_status(), Some(422));
        assert_eq!(entries[1].full_url(), None);
        assert_eq!(entries[1].response_outcome(), Some(outcome));
    }

    #[test]
    fn strange_bundles_are_read_without_harm() {
        for (body, count) in [
            (r#"{"resourceType":"Bundle","type":"batch"}"#, 0),
            (r#"{"resourceType":"Bundle","type":"batch","entry":{}}"#, 0),
            (
                r#"{"resourceType":"Bundle","type":"batch","entry":[1,null,{"resource":[]}]}"#,
                3,
            ),
        ] {
            let json = read(body.into());
            assert_eq!(entries(json.root()).count(), count);
            assert!(entries(json.root()).all(|e| e.resource.is_none() && e.full_url().is_none()));
        }
        for (body, at) in [
            (r#"{"resourceType":"Patient"}"#, "resourceType"),
            (r#"{"resourceType":"Bundle"}"#, "Bundle.type"),
            (r#"{"resourceType":"Bundle","type":"Batch"}"#, "Bundle.type"),
        ] {
            assert_eq!(
                BundleType::of(read(body.into()).root())
                    .unwrap_err()
                    .expression,
                [at]
            );
        }
        for (status, number) in [
            ("200", Some(200)),
            ("200 OK", Some(200)),
            ("2000", None),
            ("20", None),
            ("abc", None),
            ("999", None),
        ] {
            let json =
                read(format!(r#"{{"entry":[{{"response":{{"status":"{status}"}}}}]}}"#).into());
            assert_eq!(
                entries(json.root()).next().unwrap().response_status(),
                number,
                "{status}"
            );
        }
    }
}
