//! A sharing service's paths (CONTRACT sections 1 and 6). The service's FHIR base is its whole URL
//! (`{…}/{service-id}/fhir`), so paths here are relative to it.

/// Bundles are posted to the base itself.
pub const ROOT: &str = "/";
/// Search by POST, the only way for anything with a person's number.
pub const SEARCH: &str = "/{type}/_search";
/// Create.
pub const TYPE: &str = "/{type}";
/// Read, update (`If-Match`), withdraw.
pub const INSTANCE: &str = "/{type}/{id}";
/// The next page of a search, sealed for client, patient and service.
pub const PAGE: &str = "/_page/{sealed}";
/// The service's own trail.
pub const AUDIT_SEARCH: &str = "/AuditEvent/_search";
/// Scope with which the hub delivers.
pub const DELIVER_SCOPE: &str = "system/Observation.c";

/// The address of a search at a service.
pub fn search_url(base: &str, resource_type: &str) -> String {
    format!("{base}/{resource_type}/_search")
}
