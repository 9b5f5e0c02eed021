//! The names of identifier and code systems, in one place, and the alternates that are read as them.
//!
//! Source: `spec/identifiers-and-basis-profiles` section 1 and 4 (NamingSystems of no-basis and kodeverk).
//! The OID form is what Delt writes; [`canonical`] maps the other published forms to it on input.

/// National identity number (fødselsnummer).
pub const FNR: &str = "urn:oid:2.16.578.1.12.4.1.4.1";
/// D-number (D-nummer).
pub const DNR: &str = "urn:oid:2.16.578.1.12.4.1.4.2";
/// Common help number (felles hjelpenummer).
pub const FHN: &str = "urn:oid:2.16.578.1.12.4.1.4.3";
/// HPR number of health personnel.
pub const HPR: &str = "urn:oid:2.16.578.1.12.4.1.4.4";
/// Organisation number, main unit or sub-unit.
pub const ORGNR: &str = "urn:oid:2.16.578.1.12.4.1.4.101";
/// RESH id of a unit in the specialist health service.
pub const RESH: &str = "urn:oid:2.16.578.1.12.4.1.4.102";
/// HER id of a communication party.
pub const HERID: &str = "urn:oid:2.16.578.1.12.4.1.2";
/// ISO 6523 organisation identifier as HelseID writes it: value `NO:ORGNR:<parent>:<child>`.
pub const ISO6523: &str = "urn:oid:1.0.6523";
/// Municipality number (kommunenummer), preferred form.
pub const MUNICIPALITY: &str =
    "https://register.geonorge.no/subregister/sosi-kodelister/kartverket/kommunenummer-alle";
/// URIs and UUIDs as identifiers.
pub const URI: &str = "urn:ietf:rfc:3986";

/// LOINC.
pub const LOINC: &str = "http://loinc.org";
/// SNOMED CT.
pub const SNOMED: &str = "http://snomed.info/sct";
/// Units of measure.
pub const UCUM: &str = "http://unitsofmeasure.org";
/// Norwegian laboratory codes (NLK, NPU).
pub const NLK: &str = "urn:oid:2.16.578.1.12.4.1.1.7280";
/// ATC.
pub const ATC: &str = "http://www.whocc.no/atc";
/// ATC as Norwegian registers name it (Volven 7180).
pub const ATC_OID: &str = "urn:oid:2.16.578.1.12.4.1.1.7180";
/// FEST, the Norwegian register of medicines.
pub const FEST: &str = "http://ehelse.no/fhir/CodeSystem/FEST";
/// Category of an Observation.
pub const OBSERVATION_CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
/// What a resource's tag says about it (HL7 v3 ObservationValue): `SUBSETTED`.
pub const OBSERVATION_VALUE: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
/// Purpose of use (HL7 v3 ActReason).
pub const PURPOSE_OF_USE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";

/// Our own canonicals start here (CONTRACT section 7).
pub const DELT: &str = "https://delt.example/fhir";
/// Codes of what a sharing service makes itself of the readings it holds (zones, scores, alerts). Whatever carries one is no
/// source's: no feed writes it, compares it or replaces it.
pub const ASSESSMENT: &str = "https://delt.example/fhir/CodeSystem/assessment";
/// States of a source in the completeness receipt (CONTRACT section 7).
pub const SOURCE_STATE: &str = "https://delt.example/fhir/CodeSystem/source-state";
/// The extension that repeats the request's fullUrl in a batch response (VkpObservation 0.5.2).
pub const PMD_ENTRY_ID: &str =
    "http://hl7.no/fhir/vkpobservation/StructureDefinition/PmdBundleResponseEntryIdExtension";

/// Other published names, each with the one Delt uses.
const ALTERNATES: &[(&str, &str)] = &[
    ("http://hl7.no/fhir/NamingSystem/FNR", FNR),
    ("http://hl7.no/fhir/NamingSystem/DNR", DNR),
    ("http://hl7.no/fhir/NamingSystem/FHNR", FHN),
    ("http://hl7.no/fhir/NamingSystem/HPR", HPR),
    ("http://hl7.no/fhir/NamingSystem/HERid", HERID),
    ("http://hl7.no/fhir/NamingSystem/RESHid", RESH),
    ("http://data.brreg.no/begrep/28155", ORGNR),
    (
        "http://hl7.no/fhir/NamingSystem/kommunenummer",
        MUNICIPALITY,
    ),
    ("urn:oid:2.16.578.1.12.4.1.1.3402", MUNICIPALITY),
];

/// The form of a system's name that Delt writes; a name it does not know comes back as it is.
#[must_use]
pub fn canonical(system: &str) -> &str {
    ALTERNATES
        .iter()
        .find(|(other, _)| *other == system)
        .map_or(system, |(_, ours)| ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternates_become_the_oid_and_strangers_stay() {
        assert_eq!(canonical("http://hl7.no/fhir/NamingSystem/FNR"), FNR);
        assert_eq!(canonical(FNR), FNR);
        assert_eq!(
            canonical("http://hl7.no/fhir/NamingSystem/fnr"),
            "http://hl7.no/fhir/NamingSystem/fnr"
        );
    }
}
