//! The register of health personnel (Helsepersonellregisteret, HPR) as we ask it: FHIR R4 no-basis-Practitioner, found by HPR
//! number. Which API the register will offer to a trust anchor is not published; this shape is a proposal (decision 0040).

/// Where a person is looked up, under the register's base: a search by POST, so that no number stands in a URL.
pub const SEARCH: &str = "/Practitioner/_search";
/// The search parameter that names the person, as `system|value`.
pub const IDENTIFIER: &str = "identifier";
/// Scope that is asked for, unless the configuration names another.
pub const SCOPE: &str = "system/Practitioner.s";
/// Code system of authorisations (kategori helsepersonell).
pub const AUTHORISATION: &str = "urn:oid:2.16.578.1.12.4.1.1.9060";
/// Code system of approvals (type godkjenning): authorisation, licence.
pub const APPROVAL: &str = "urn:oid:2.16.578.1.12.4.1.1.7704";
