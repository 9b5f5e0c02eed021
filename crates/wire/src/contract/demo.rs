//! The demo's words: the ready line and the client file (CONTRACT section 2), the test-token request and answer
//! (section 3) and the fault switch. Requests refuse unknown members.

use serde::{Deserialize, Serialize};

use super::Hidden;

/// What the `kid` of every key starts with that the demo makes; outside the demo such a key is refused.
pub const KEY_MARK: &str = "demo-";

/// `x` of keys whose private part is printed in RFC 7515 appendix A.3 and RFC 7517 appendix A.2.
const PRINTED: [&str; 2] = [
    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
];

/// Is it a key of the demo, or one printed in a standard? Others have its private part.
pub fn is_sample(key: &trust::keys::PublicKey) -> bool {
    let jwk = key.to_jwk();
    let printed = |x: &&str| jwk["x"] == **x;
    key.kid().is_some_and(|kid| kid.starts_with(KEY_MARK)) || PRINTED.iter().any(printed)
}

/// Path of the test-token route under the issuer (demo mode only).
pub const TEST_TOKEN: &str = "/test-token";
/// Path of the fault switch under the control URL (demo mode only).
pub const FAULTS: &str = "/demo/faults";
/// Path of the clock of a demo that is told from another day (`--from-day`), under the control URL.
pub const CLOCK: &str = "/demo/clock";
/// The client that a test token names.
pub const TEST_CLIENT: &str = "delt-test";
/// The port nobody needs to name.
pub const DEFAULT_PORT: u16 = 7070;
/// Longest life of a test token, in seconds.
pub const TEST_TOKEN_MAX_SECONDS: u32 = 300;

/// The one line that `delt demo --json` prints when everything is delivered and searchable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoReady {
    /// Always true.
    pub ready: bool,
    /// The portal's address; no URL here ends in a slash.
    pub portal: String,
    /// The anchor's issuer.
    pub issuer: String,
    /// Base to which `/fhir` is appended.
    pub catalogue: String,
    /// The locator's base and audience.
    pub locator: String,
    /// Base to which `/fhir` is appended.
    pub hub: String,
    /// Base to which `/fhir` is appended.
    pub gateway: String,
    /// Every sharing service.
    pub services: Vec<DemoService>,
    /// Client files a tester may use.
    pub clients: Vec<DemoClient>,
    /// Base of the control listener, a port of its own.
    pub control: String,
    /// The story's patient first.
    pub patients: Vec<DemoPatient>,
    /// The hospital physician of the story first.
    pub practitioners: Vec<DemoPractitioner>,
}

/// A moment of the story that the clock is to be put to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockRequest {
    /// The story's day; 0 is the plan's Monday.
    pub day: i32,
    /// `HH:MM`, Europe/Oslo.
    pub time: String,
}

/// How an organisation's sharing service is realised (DESIGN section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concept {
    /// The organisation runs its own service.
    Own,
    /// A data processor runs it for the organisation.
    Supplier,
    /// Organisations keep one shared register (pasientjournalloven § 9).
    Shared,
    /// Such a register run by a supplier.
    SharedSupplier,
}

impl Concept {
    /// The word as it travels.
    pub fn as_str(self) -> &'static str {
        match self {
            Concept::Own => "own",
            Concept::Supplier => "supplier",
            Concept::Shared => "shared",
            Concept::SharedSupplier => "shared-supplier",
        }
    }

    /// Whether this is a register of two or more members.
    pub fn is_shared(self) -> bool {
        matches!(self, Concept::Shared | Concept::SharedSupplier)
    }

    /// Whether a supplier (data processor) runs it.
    pub fn has_supplier(self) -> bool {
        matches!(self, Concept::Supplier | Concept::SharedSupplier)
    }
}

/// One sharing service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoService {
    /// The service id, for example `fjellvik`.
    pub id: String,
    /// The responsible organisation's number.
    pub orgnr: String,
    /// The responsible organisation's name.
    pub name: String,
    /// How it is realised.
    pub concept: Concept,
    /// The supplier's organisation number, for the concepts with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplier: Option<String>,
    /// Two or more for the shared concepts, else empty and not written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// The whole FHIR base and audience.
    pub fhir: String,
}

/// What a client is registered for: `home-system`, `record-system`, `gateway` are listed by the demo.
pub use trust::ClientUse;

/// Where one client's file lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoClient {
    /// OAuth client id.
    pub client_id: String,
    /// The organisation it belongs to, or is registered to send for.
    pub orgnr: String,
    /// What for.
    #[serde(rename = "use")]
    pub use_: ClientUse,
    /// Absolute path of the client file.
    pub file: String,
}

/// One synthetic patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoPatient {
    /// National identity number.
    pub fnr: Hidden,
    /// Name.
    pub name: Hidden,
    /// `orgnr`s of the services that hold data about this patient.
    pub holders: Vec<String>,
}

/// One synthetic practitioner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoPractitioner {
    /// National identity number.
    pub fnr: Hidden,
    /// HPR number.
    pub hpr: Hidden,
    /// Name.
    pub name: Hidden,
    /// The organisation they work for.
    pub orgnr: String,
    /// In plain words, for example `lungelege`.
    pub role: String,
}

/// A client file (mode 0600), holding a private key: all that a client needs to get tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientFile {
    /// OAuth client id.
    pub client_id: String,
    /// The organisation it belongs to, or is registered to send for.
    pub orgnr: String,
    /// What for.
    #[serde(rename = "use")]
    pub use_: ClientUse,
    /// The anchor's issuer: the audience of client assertions.
    pub issuer: String,
    /// Where tokens are got.
    pub token_endpoint: String,
    /// Private P-256 key with `kid` and `alg`.
    pub jwk: PrivateJwk,
    /// What the client is registered for.
    pub scopes: Vec<String>,
    /// Audiences it may ask tokens for.
    pub audiences: Vec<String>,
}

/// A private JWK as JSON; never printed.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateJwk(pub serde_json::Value);

impl std::fmt::Debug for PrivateJwk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[private key]")
    }
}

/// Who a test token speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum As {
    /// Health personnel.
    Practitioner,
    /// The patient, or someone who represents the patient.
    Citizen,
}

/// Purpose of use (trust.md section 2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Direct, non-acute care.
    #[default]
    #[serde(rename = "TREAT")]
    Treat,
    /// The acute chain.
    #[serde(rename = "ETREAT")]
    Etreat,
    /// Coordination.
    #[serde(rename = "COC")]
    Coc,
    /// Break the glass.
    #[serde(rename = "BTG")]
    Btg,
}

impl Purpose {
    /// The code of v3-PurposeOfUse as it travels.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Treat => "TREAT",
            Purpose::Etreat => "ETREAT",
            Purpose::Coc => "COC",
            Purpose::Btg => "BTG",
        }
    }
}

/// What a test token may have wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the contract's own and say it")]
pub enum Defect {
    Expired,
    NotYetValid,
    WrongIssuer,
    WrongAudience,
    WrongSignature,
    WrongTyp,
    NoCnf,
    NoAttest,
    StaleAttest,
    OtherPractitioner,
    NoPatient,
    NoPurpose,
    NoDecisionRef,
}

/// `POST {issuer}/test-token`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestTokenRequest {
    /// Practitioner or citizen.
    #[serde(rename = "as")]
    pub as_: As,
    /// The person's national identity number.
    pub fnr: Hidden,
    /// HPR number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpr: Option<Hidden>,
    /// The practitioner's organisation; required for practitioners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orgnr: Option<String>,
    /// The patient's bare national identity number. None: a practitioner's token for the list of her own organisation's patients
    /// (scope `user/Task.s` alone), which opens nobody's data but through that list (decision 0053).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<Hidden>,
    /// Purpose of use.
    #[serde(default)]
    pub purpose: Purpose,
    /// Written reason, for BTG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Organisation number of the point of care; default `orgnr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_of_care: Option<String>,
    /// Organisation number or RESH id of the department.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Code of the health-care service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcare_service: Option<String>,
    /// Code of the purpose in detail. One of this and `healthcare_service` is filled by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose_details: Option<String>,
    /// Id of the decision behind the access; default a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_ref: Option<String>,
    /// One of CONTRACT section 1.
    pub audience: String,
    /// SMART v2, for example `user/*.rs`.
    pub scope: String,
    /// RFC 7638 thumbprint of the caller's DPoP key.
    pub jkt: String,
    /// 1–300 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
    /// What is wrong with the token on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defect: Option<Defect>,
}

/// The answer of the test-token route; the same shape as a token answer's first members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestTokenAnswer {
    /// The compact JWS.
    pub access_token: Hidden,
    /// Always `DPoP`.
    pub token_type: String,
    /// Seconds.
    pub expires_in: u32,
}

/// `POST {control}/demo/faults`, answered 204.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRequest {
    /// The service id.
    pub service: String,
    /// What goes wrong with it.
    pub fault: Fault,
    /// Delay in milliseconds, for `slow`; seconds of skew times 1000 for `skewed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}

/// What may go wrong with a service in a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Answers late.
    Slow,
    /// Does not answer: connections are dropped.
    Dead,
    /// Answers 503.
    Refusing,
    /// Answers about another patient or with a broken body.
    Lying,
    /// Its clock is wrong.
    Skewed,
    /// Healthy again.
    None,
}

/// One line of `DIR/import-report.ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportReportLine {
    /// File name as given.
    pub file: String,
    /// Index of the entry in the file (line or Bundle entry), from 0.
    pub entry: u64,
    /// HTTP status that the hub gave the entry.
    pub status: u16,
    /// The entry's business identifier, `system|value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// The OperationOutcome, when there was something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    #[test]
    fn a_test_token_request_is_read_word_for_word() {
        let request: TestTokenRequest = serde_json::from_str(
            r#"{"as":"practitioner","fnr":"1","hpr":"2","orgnr":"310001074","patient":"3","purpose":"BTG",
                "reason":"r","audience":"https://a.example","scope":"user/*.rs","jkt":"k","expires_in":60,
                "defect":"stale_attest"}"#,
        )
        .unwrap();
        assert_eq!(request.purpose, Purpose::Btg);
        assert_eq!(request.defect, Some(Defect::StaleAttest));
    }

    #[test]
    fn unknown_members_values_and_missing_required_ones_are_refused() {
        let plain = r#""fnr":"1","patient":"3","audience":"a","scope":"s","jkt":"k""#;
        let parse = |text: String| serde_json::from_str::<TestTokenRequest>(&text);
        assert!(parse(format!(r#"{{"as":"citizen",{plain}}}"#)).is_ok());
        assert!(parse(format!(r#"{{"as":"citizen",{plain},"extra":1}}"#)).is_err());
        assert!(parse(format!(r#"{{"as":"nurse",{plain}}}"#)).is_err());
        assert!(parse(format!(r#"{{"as":"citizen",{plain},"as":"citizen"}}"#)).is_err());
        assert!(
            parse(r#"{"as":"citizen","fnr":"1","patient":"3","audience":"a","scope":"s"}"#.into())
                .is_err()
        );
        assert!(
            serde_json::from_str::<FaultRequest>(r#"{"service":"a","fault":"sleepy"}"#).is_err()
        );
    }

    #[test]
    fn debug_shows_no_person_and_no_key() {
        let patient = DemoPatient {
            fnr: "14835210260".into(),
            name: "Ragnhild".into(),
            holders: vec![],
        };
        let shown = format!(
            "{patient:?} {:?}",
            PrivateJwk(serde_json::json!({"d": "secret"}))
        );
        assert!(
            !shown.contains("148") && !shown.contains("Ragn") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
