//! Who signed in, as the anchor keeps it beside a code or a grant, and what it says of them: a completed attest, claims,
//! an ID token (OpenID Connect Core section 2, HelseID's claim names).

use crate::State;
use crate::config::{Client, DemoPerson};
use fhir::ids::{HprNumber, OrganisationNumber, PersonIdentifier, PersonSystem};
use fhir::systems;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trust::attest::{Attestation, Code, Id, Statement};
use trust::audit::Asker;
use trust::token::Kind;

/// Code system of authorisations (9060).
pub(crate) const AUTHORISATION: &str = "urn:oid:2.16.578.1.12.4.1.1.9060";
/// Level of sign-in that opens patients' data: high.
pub(crate) const HIGH: &str = "4";
/// An ID token's life, in seconds.
const ID_TOKEN_SECONDS: i64 = 300;

/// A person who signed in.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Login {
    /// National identity number.
    pub(crate) number: PersonIdentifier,
    /// As the identity provider gives it; ID-porten gives none.
    pub(crate) name: Option<String>,
    pub(crate) hpr: Option<String>,
    /// Code of 9060 with its words.
    pub(crate) authorization: Option<(String, String)>,
    pub(crate) kind: Kind,
    /// For a citizen: whose data; themselves, or a person they represent.
    pub(crate) patient: Option<PersonIdentifier>,
    /// When, Unix seconds.
    pub(crate) at: i64,
    /// Id of the sign-in, the same in every ID token of it.
    pub(crate) sid: String,
    /// Id of the identity provider at which it was made; none in the demo.
    #[serde(default)]
    pub(crate) provider: Option<String>,
}

impl Login {
    /// One of the demo's people, now; a citizen for themselves, or for a person they represent.
    pub(crate) fn of(
        state: &State,
        person: &DemoPerson,
        represented: Option<&PersonIdentifier>,
    ) -> Login {
        let practitioner = person.hpr.is_some();
        let own = || represented.unwrap_or(&person.number).clone();
        Login {
            number: person.number.clone(),
            name: Some(person.name.clone()),
            hpr: person.hpr.clone(),
            authorization: person.authorization.clone(),
            kind: if practitioner {
                Kind::Practitioner
            } else {
                Kind::Citizen
            },
            patient: (!practitioner).then(own),
            at: (state.house.clock)().seconds(),
            sid: (state.house.ids)().simple().to_string(),
            provider: None,
        }
    }

    /// An opaque subject: the same person is the same subject, and it tells nobody who.
    pub(crate) fn subject(&self, state: &State) -> String {
        subject(state, &self.number)
    }

    pub(crate) fn represents(&self) -> bool {
        self.patient.as_ref().is_some_and(|one| *one != self.number)
    }

    /// The representation in force for whom the citizen acts for; `None` for own data, and for a representation that has ended.
    pub(crate) fn representation(&self, state: &State) -> Option<trust::Representation> {
        let patient = self.patient.as_ref().filter(|_| self.represents())?;
        if let Some(demo) = &state.config.demo
            && let Some(known) = demo.representation(&self.number, patient)
        {
            return Some(known.clone());
        }
        let registered = state.acts_for(&self.number).into_iter();
        let mut theirs = registered.filter(|one| one.patient == *patient);
        theirs.next().map(|one| one.by.by)
    }

    /// Who acts for a citizen who signed in for herself.
    pub(crate) fn represented_by(&self, state: &State) -> Vec<trust::RepresentedBy> {
        if self.represents() || self.kind != Kind::Citizen {
            return Vec::new();
        }
        let demo = state.config.demo.as_ref();
        let known = demo.map(|demo| demo.represented_by(&self.number));
        let registered = state.acting_for(&self.number).into_iter();
        known
            .unwrap_or_default()
            .into_iter()
            .chain(registered.map(|one| one.by))
            .collect()
    }

    /// For the audit trail.
    pub(crate) fn asker(&self) -> Asker {
        Asker {
            practitioner: self.kind == Kind::Practitioner,
            identifier: self.number.clone(),
            name: self.name.clone(),
            hpr: self
                .hpr
                .as_deref()
                .and_then(|number| HprNumber::parse(number).ok()),
            authorization: self.authorization(),
            pseudonym: None,
            represents: self.represents(),
        }
    }

    fn authorization(&self) -> Option<Code> {
        let (code, text) = self.authorization.as_ref()?;
        Some(Code {
            code: code.clone(),
            text: Some(text.clone()),
            system: AUTHORISATION.to_owned(),
            assigner: None,
        })
    }

    /// The client's statement as an attest: the person from this login, the organisation the one in whose name the client
    /// asks, every unit one of that organisation's. Says in words for the client's developer what is wrong.
    pub(crate) fn attest(
        &self,
        state: &State,
        organisation: &OrganisationNumber,
        statement: Statement,
    ) -> Result<Attestation, String> {
        let series = self.number.series();
        if self.kind != Kind::Practitioner
            || !matches!(series, PersonSystem::Fnr | PersonSystem::Dnr)
        {
            return Err("attestation_practitioner: only health personnel with a national identity number attest".to_owned());
        }
        let id = |number: &str, name: Option<&str>, system: &str| Id {
            id: number.to_owned(),
            name: name.map(str::to_owned),
            system: system.to_owned(),
            authority: None,
        };
        let register = &state.registry.organisations;
        let own = register.main_unit(*organisation);
        let attest = statement
            .complete(
                id(
                    self.number.value().expose(),
                    self.name.as_deref(),
                    self.number.system(),
                ),
                self.hpr
                    .as_deref()
                    .map(|number| id(number, None, systems::HPR)),
                self.authorization(),
                id(own.as_str(), register.name(&own), systems::ORGNR),
            )
            .map_err(|error| error.to_string())?;
        let places = [
            &attest.practitioner.legal_entity,
            &attest.practitioner.point_of_care,
        ];
        let department = attest.practitioner.department.as_ref();
        own_places(
            state,
            organisation,
            places.into_iter().flatten(),
            department,
        )?;
        Ok(attest)
    }

    /// Claims of an ID token for a client, by the identity scopes it was granted.
    pub(crate) fn id_token(
        &self,
        state: &State,
        client: &Client,
        nonce: Option<&str>,
        scopes: &[String],
    ) -> Value {
        let now = (state.house.clock)().seconds();
        let mut claims = json!({
            "iss": state.config.issuer,
            "sub": self.subject(state),
            "aud": client.client_id,
            "iat": now,
            "exp": now + ID_TOKEN_SECONDS,
            "auth_time": self.at,
            "sid": self.sid,
            "acr": HIGH,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        // Whoever shows the person's own pages must know that the data are another's.
        if self.represents() {
            claims["represents"] = true.into();
        }
        for (scope, claim, value) in [
            ("profile", "name", self.name.as_deref()),
            (
                "helseid://scopes/identity/pid",
                "helseid://claims/identity/pid",
                Some(self.number.value().expose()),
            ),
            (
                "helseid://scopes/identity/security_level",
                "helseid://claims/identity/security_level",
                Some(HIGH),
            ),
            (
                "helseid://scopes/identity/assurance_level",
                "helseid://claims/identity/assurance_level",
                Some("high"),
            ),
            (
                "helseid://scopes/hpr/hpr_number",
                "helseid://claims/hpr/hpr_number",
                self.hpr.as_deref(),
            ),
        ] {
            if let Some(value) = value
                && scopes.iter().any(|granted| granted == scope)
            {
                claims[claim] = value.into();
            }
        }
        claims
    }
}

/// Whether every place of an attest, and its department where the register knows it, is this organisation's. Says in words what is
/// wrong.
pub(crate) fn own_places<'a>(
    state: &State,
    organisation: &OrganisationNumber,
    mut places: impl Iterator<Item = &'a Id>,
    department: Option<&Id>,
) -> Result<(), String> {
    let register = &state.registry.organisations;
    let own = register.main_unit(*organisation);
    let theirs = places.all(|place| {
        systems::canonical(&place.system) == systems::ORGNR
            && register.controller_of(&place.system, &place.id) == Some(own)
    });
    let stray = department
        .and_then(|unit| register.controller_of(&unit.system, &unit.id))
        .is_some_and(|controller| controller != own);
    match theirs && !stray {
        true => Ok(()),
        false => Err(
            "attestation_organisation: a place of the attest is not the client's organisation's"
                .to_owned(),
        ),
    }
}

/// The id of a patient in context: the same for the same person, and nobody's number; in the form of our logical ids.
pub(crate) fn patient_id(state: &State, patient: &PersonIdentifier) -> String {
    let keyed = state
        .store
        .keyed("patient", patient.value().expose().as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&keyed[..16]);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

/// The opaque subject of a person at this anchor.
pub(crate) fn subject(state: &State, number: &PersonIdentifier) -> String {
    let keyed = state
        .store
        .keyed("subject", number.value().expose().as_bytes());
    trust::encoding::base64url(&keyed)
}

/// Names of the claims that an ID token may hold, for the discovery document.
pub(crate) const CLAIMS: [&str; 15] = [
    "iss",
    "sub",
    "aud",
    "iat",
    "exp",
    "auth_time",
    "sid",
    "acr",
    "nonce",
    "represents",
    "name",
    "helseid://claims/identity/pid",
    "helseid://claims/identity/security_level",
    "helseid://claims/identity/assurance_level",
    "helseid://claims/hpr/hpr_number",
];
