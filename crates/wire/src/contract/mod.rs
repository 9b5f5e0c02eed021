//! What parties say to each other: paths, request and response types, names. No behaviour beyond reading and writing
//! these shapes. The words are those of `CONTRACT.md`; one file a party.

pub mod alert;
pub mod anchor;
pub mod catalogue;
pub mod demo;
pub mod gateway;
pub mod hpr;
pub mod hub;
pub mod launch;
pub mod locator;
pub mod operate;
pub mod pvk;
pub mod record_system;
pub mod register;
pub mod sharing;
pub mod statement;
pub mod witness;
pub mod work_list;

use serde::{Deserialize, Serialize};

/// Our canonical URLs start so (CONTRACT section 7).
pub const CANONICAL: &str = "https://delt.example/fhir";
/// Coding system of information services (IT01 … IT23), used in payload types, pointers and receipts.
pub const INFORMATION_SERVICE_SYSTEM: &str =
    "https://delt.example/fhir/CodeSystem/information-service";
/// Naming system of service ids such as `fjellvik`.
pub const SERVICE_ID_SYSTEM: &str = "https://delt.example/fhir/NamingSystem/service-id";
/// Identifier system of organisation numbers (identifiers-and-basis-profiles.md section 1).
pub const ORGANISATION_NUMBER_SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.4.101";
/// Header in which one request id travels to every party (CONTRACT section 7). A UUID when we make it.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// The media type of every FHIR body we send.
pub const FHIR_JSON: &str = "application/fhir+json;charset=utf-8";
/// Path of the FHIR capability statement under a FHIR base.
pub const METADATA: &str = "/metadata";
/// Path of the description of routes that are not FHIR (CONTRACT section 1).
pub const OPENAPI: &str = "/openapi.json";

/// Text that must travel but never be printed: a person's number, a name, a token, a key. Serialises as the plain
/// value; `Debug` shows only that something is there.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl Hidden {
    /// The value itself; the caller takes care not to print it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl From<String> for Hidden {
    fn from(value: String) -> Self {
        Hidden(value)
    }
}

impl From<&str> for Hidden {
    fn from(value: &str) -> Self {
        Hidden(value.to_owned())
    }
}

/// A shape that did not hold what the contract says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{document}: {fault}")]
pub struct ContractError {
    /// Which document or resource, for example `Endpoint`.
    pub document: &'static str,
    /// What was expected and missing, naming the element, never its value.
    pub fault: &'static str,
}
