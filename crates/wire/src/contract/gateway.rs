//! The gateway's words: paths, the parameter that chooses organisations, and the urls of the completeness receipt
//! (CONTRACT section 7; the receipt itself is `wire::receipt`).

/// The FHIR base under the gateway; its audience is `{gateway}/fhir`.
pub const FHIR: &str = "/fhir";
/// Look-up over every holder.
pub const SEARCH: &str = "/fhir/{type}/_search";
/// The next page of a look-up, sealed.
pub const PAGE: &str = "/fhir/_page/{sealed}";
/// Extra form parameter: organisation numbers chosen from the catalogue, separated by commas.
pub const ORGANIZATION: &str = "organization";
/// Resource types that can be looked up.
pub const TYPES: [&str; 5] = [
    "Observation",
    "CarePlan",
    "MedicationStatement",
    "Patient",
    "AuditEvent",
];

/// Coding system of a source's state.
pub const SOURCE_STATE_SYSTEM: &str = "https://delt.example/fhir/CodeSystem/source-state";
/// Extension on an issue that says which source it is about.
pub const SOURCE_EXTENSION: &str = "https://delt.example/fhir/StructureDefinition/source";
/// Extension on the OperationOutcome with the gateway's detached JWS.
pub const SIGNATURE_EXTENSION: &str =
    "https://delt.example/fhir/StructureDefinition/receipt-signature";
/// Extension on a merged entry with the sources (organisation numbers) by which it came.
pub const ROUTE_EXTENSION: &str = "https://delt.example/fhir/StructureDefinition/route";
