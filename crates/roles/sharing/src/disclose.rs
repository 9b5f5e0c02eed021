//! The last step before bytes leave: what the permit withholds is left out, what is given out is in a durable audit record, and
//! only then is it an answer.

use axum::response::Response;
use fhir::bundle::{HistoryWriter, SearchMode, SearchsetWriter, VersionEntry};
use fhir::ids::PersonIdentifier;
use fhir::json::{Json, Limits};
use fhir::resource::ResourceType;
use fhir::subset;
use http::{HeaderValue, StatusCode, header};
use store::{Receipt, Stored, Version};
use trust::Permit;
use trust::audit::Disclosed as Entry;
use wire::outcome::{Problem, fhir_response};
use wire::visit::{End, Visit};

/// How many resources an answer holds: in its extensions, for the bundle whose part it may be.
#[derive(Clone, Copy)]
pub struct Given(pub usize);

/// Resources whose disclosure is on record. Nothing else can be answered with.
pub struct Disclosed {
    resources: Vec<Stored>,
    /// How many of them are matches; the others come with them.
    matches: usize,
    _receipt: Receipt,
}

/// Leaves out of each resource what the permit withholds, and marks it. A permit withholds the same of whatever type.
///
/// # Errors
/// A bug, if what is stored does not read.
pub fn reduce<'a>(
    permit: &Permit,
    resources: impl IntoIterator<Item = &'a mut Stored>,
) -> Result<(), Problem> {
    if permit.withheld().is_empty() {
        return Ok(());
    }
    for one in resources {
        let json = Json::parse(one.body.clone(), Limits::BUNDLE)
            .map_err(|_| Problem::bug("a stored resource cannot be read"))?;
        one.body = subset::without(json.root(), one.resource_type, permit.withheld()).into();
    }
    Ok(())
}

/// Reduces `resources` to what `permit` gives, and writes the audit record of giving them out, durably.
pub async fn disclose(
    visit: &Visit<'_>,
    permit: &Permit,
    mut resources: Vec<Stored>,
) -> Result<Disclosed, End> {
    reduce(permit, &mut resources)?;
    let receipt = visit
        .write(
            visit
                .record()
                .permitted(permit)
                .disclosing(listed(&resources)),
        )
        .await?;
    Ok(Disclosed {
        matches: resources.len(),
        resources,
        _receipt: receipt,
    })
}

/// Resources as the audit record lists them.
pub fn listed(resources: &[Stored]) -> Vec<Entry> {
    let entry = |one: &Stored| Entry {
        resource: one.resource_type.as_str().to_owned(),
        id: one.id.to_string(),
        version: one.version,
    };
    resources.iter().map(entry).collect()
}

/// As [`disclose`], with what comes along with the matches.
pub async fn disclose_with(
    visit: &Visit<'_>,
    permit: &Permit,
    matches: Vec<Stored>,
    included: Vec<Stored>,
) -> Result<Disclosed, End> {
    let (count, mut resources) = (matches.len(), matches);
    resources.extend(included);
    let disclosed = disclose(visit, permit, resources).await?;
    Ok(Disclosed {
        matches: count,
        ..disclosed
    })
}

/// Versions whose disclosure is on record.
pub struct DisclosedVersions {
    resource_type: ResourceType,
    versions: Vec<Version>,
    _receipt: Receipt,
}

/// As [`disclose`], of `versions` of a type. `about` is whom they are about,
/// where the permit itself names nobody.
pub async fn disclose_versions(
    visit: &Visit<'_>,
    permit: &Permit,
    about: Option<PersonIdentifier>,
    resource_type: ResourceType,
    mut versions: Vec<Version>,
) -> Result<DisclosedVersions, End> {
    reduce(
        permit,
        versions.iter_mut().filter_map(|one| one.stored.as_mut()),
    )?;
    let given = versions
        .iter()
        .map(|version| Entry {
            resource: resource_type.as_str().to_owned(),
            id: version.id.to_string(),
            version: version.version,
        })
        .collect();
    let mut record = visit.record().permitted(permit).disclosing(given);
    if about.is_some() {
        record = record.about(about);
    }
    let receipt = visit.write(record).await?;
    Ok(DisclosedVersions {
        resource_type,
        versions,
        _receipt: receipt,
    })
}

impl DisclosedVersions {
    /// A history of them.
    pub fn history(&self, base: &str, total: Option<u64>, links: &[(&str, &str)]) -> Response {
        let mut writer = HistoryWriter::new(total, links);
        for version in &self.versions {
            let id = version.id.to_string();
            writer.entry(&VersionEntry {
                full_url: &format!("{base}/{}/{id}", self.resource_type),
                resource_type: self.resource_type.as_str(),
                id: &id,
                version: version.version,
                last_updated: version.last_updated,
                resource: version.stored.as_ref().map(|stored| stored.body.as_ref()),
            });
        }
        holding(self.versions.len(), writer.finish())
    }
}

/// An answer that holds this many resources.
fn holding(resources: usize, body: impl Into<bytes::Bytes>) -> Response {
    let mut response = fhir_response(StatusCode::OK, body);
    response.extensions_mut().insert(Given(resources));
    response
}

impl Disclosed {
    /// A searchset of them.
    pub fn searchset(&self, base: &str, total: Option<u64>, links: &[(&str, &str)]) -> Response {
        let mut writer = SearchsetWriter::new(total, links);
        // A body, its address, and the words around them.
        let size = |one: &Stored| one.body.len() + base.len() + 160;
        writer.reserve(self.resources.iter().map(size).sum());
        let mut url = String::with_capacity(base.len() + 64);
        for (at, resource) in self.resources.iter().enumerate() {
            url.clear();
            url.push_str(base);
            url.push('/');
            url.push_str(resource.resource_type.as_str());
            url.push('/');
            url.push_str(&resource.id.to_string());
            let mode = if at < self.matches {
                SearchMode::Match
            } else {
                SearchMode::Include
            };
            writer.entry(Some(&url), &resource.body, mode);
        }
        holding(self.resources.len(), writer.finish())
    }

    /// The one resource, as it rests.
    pub fn body(&self) -> Option<bytes::Bytes> {
        self.resources.first().map(|one| one.body.clone())
    }

    /// The one resource of a read; `None` when there is none.
    pub fn resource(&self) -> Option<Response> {
        let resource = self.resources.first()?;
        let mut response = holding(1, resource.body.clone());
        tag(&mut response, resource.version, resource.last_updated);
        Some(response)
    }
}

/// `ETag` and `Last-Modified` of a version (FHIR R4 http.html 3.1.0.1.2).
pub fn tag(response: &mut Response, version: u64, last_updated: fhir::time::Instant) {
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(format!("W/\"{version}\"")) {
        headers.insert(header::ETAG, etag);
    }
    if let Some(date) = http_date(last_updated) {
        headers.insert(header::LAST_MODIFIED, date);
    }
}

/// An HTTP date (RFC 9110 section 5.6.7).
pub fn http_date(instant: fhir::time::Instant) -> Option<HeaderValue> {
    let zoned = jiff::Timestamp::from_microsecond(instant.0)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC);
    HeaderValue::try_from(zoned.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
}
