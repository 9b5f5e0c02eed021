//! The gateway's words: paths, the parameter that chooses organisations, and the urls of the completeness receipt
//! (CONTRACT section 7; the receipt itself is `wire::receipt`).

/// The FHIR base under the gateway; its audience is `{gateway}/fhir`.
pub const FHIR: &str = "/fhir";
/// Look-up over every holder.
pub const SEARCH: &str = "/fhir/{type}/_search";
/// The next page of a look-up, sealed.
pub const PAGE: &str = "/fhir/_page/{sealed}";
/// What has changed since an earlier answer, sealed.
pub const CHANGES: &str = "/fhir/_changes/{sealed}";
/// One resource by its full address, from the holder that is named with it.
pub const READ: &str = "/fhir/$read";
/// Who may look at what is held about the patient, at every holder (`wire::may_look`).
pub const MAY_LOOK: &str = "/fhir/$may-look";
/// Why an earlier request was refused, or what was left out, at every holder (`wire::explained`).
pub const EXPLAIN: &str = "/fhir/$explain-access";
/// The key that signs receipts, as a key set; public.
pub const KEYS: &str = "/jwks";
/// A receipt again, by its id.
pub const RECEIPT: &str = "/fhir/OperationOutcome/{id}";
/// Extra form parameter: organisation numbers chosen from the catalogue, separated by commas.
pub const ORGANIZATION: &str = "organization";
/// Resource types that can be looked up.
pub const TYPES: [&str; 7] = [
    "Observation",
    "CarePlan",
    "MedicationStatement",
    "QuestionnaireResponse",
    "DetectedIssue",
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
/// Extension on a merged entry: another entry is the same thing and says otherwise.
pub const DISAGREES_EXTENSION: &str = "https://delt.example/fhir/StructureDefinition/disagrees";
/// Extension on a line of a medication list: the `line`s of other organisations with the same `code` (ATC), and whether the
/// `dose` is the `same`, `differs`, or is `unknown`.
pub const SUBSTANCE_EXTENSION: &str =
    "https://delt.example/fhir/StructureDefinition/same-substance";
/// Extension on an entry of an answer about changes: `first-answer`, `new`, `corrected` or `withdrawn`.
pub const CHANGE_EXTENSION: &str = "https://delt.example/fhir/StructureDefinition/change";
/// Relation of the link, on the first page of a search, to what will have changed since.
pub const CHANGES_RELATION: &str = "https://delt.example/fhir/link/changes";
