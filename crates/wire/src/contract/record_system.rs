//! A record system (EPJ) as receiver of what the hub delivers: the same shape as at a sharing service (CONTRACT
//! section 6), posted to `{base}/fhir`.

/// The FHIR base under the record system's base, and its audience `{base}/fhir`: Bundles of type `batch` are posted here.
pub const FHIR: &str = "/fhir";
/// Scope with which a gateway files documents, and the hub delivers them: a Bundle of type `document`, posted to the same address.
pub const DOCUMENT_SCOPE: &str = "system/Bundle.c";
/// Scope with which the hub delivers.
pub const DELIVER_SCOPE: &str = "system/Observation.c";
