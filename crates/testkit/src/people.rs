//! The demo's synthetic organisations and people, read from `scenarios/organisations.toml` and `scenarios/people.toml`
//! (STORY.md). Nobody here exists: numbers are marked synthetic (month + 80) and pass their control digits
//! (identifiers-and-basis-profiles.md section 3).

use crate::dice::Dice;
use fhir::ids::{HprNumber, NationalIdentityNumber, OrganisationNumber, PersonNumbers};
use fhir::resource::InformationService;
use serde::Deserialize;
use std::collections::HashSet;
use std::sync::OnceLock;
use wire::contract::demo::{Concept, DemoPatient, DemoPractitioner, DemoService};

const ORGANISATIONS: &str = include_str!("../../../scenarios/organisations.toml");
const PEOPLE: &str = include_str!("../../../scenarios/people.toml");

/// Why scenario data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file is not the TOML that this room reads.
    #[error("{file}: {message}")]
    File {
        /// Which file.
        file: String,
        /// What is wrong, and where.
        message: String,
    },
    /// A value in a file does not say what it must.
    #[error("{0}")]
    Value(String),
}

/// An organisation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// Short id, for example `fjellvik`.
    pub id: String,
    /// Organisation number.
    pub orgnr: String,
    /// Name.
    pub name: String,
    /// What it is.
    pub kind: OrganisationKind,
    /// Sub-units (underenheter), for which it is the controller.
    #[serde(default, rename = "unit")]
    pub units: Vec<Unit>,
}

/// What an organisation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrganisationKind {
    /// A hospital (sykehus).
    Hospital,
    /// A municipality (kommune).
    Municipality,
    /// A GP office (legesenter).
    Gp,
    /// Municipalities that keep one shared register.
    Region,
    /// A supplier (leverandør), data processor for others.
    Supplier,
}

/// A sub-unit (underenhet).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its own organisation number.
    pub orgnr: String,
    /// RESH id, in the specialist service.
    #[serde(default)]
    pub resh: Option<String>,
    /// Name.
    pub name: String,
}

/// How an organisation's sharing service is realised (DESIGN section 2).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Service id: its place in its address.
    pub id: String,
    /// Id of the responsible organisation.
    pub organisation: String,
    /// The concept.
    pub concept: Concept,
    /// Id of the supplier.
    #[serde(default)]
    pub supplier: Option<String>,
    /// Ids of the members of a shared register.
    #[serde(default)]
    pub members: Vec<String>,
}

/// A synthetic patient.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patient {
    /// Short id.
    pub id: String,
    /// National identity number.
    pub number: String,
    /// Name.
    pub name: String,
    /// Service ids that hold data.
    pub holders: Vec<String>,
}

/// A synthetic practitioner.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Practitioner {
    /// Short id.
    pub id: String,
    /// National identity number.
    pub number: String,
    /// HPR number.
    pub hpr: String,
    /// Name.
    pub name: String,
    /// Organisation id.
    pub organisation: String,
    /// Organisation number of the sub-unit.
    pub unit: String,
    /// In plain words.
    pub role: String,
    /// Code of OID 2.16.578.1.12.4.1.1.9060.
    pub authorization: String,
}

/// A relative with a power of attorney (fullmakt).
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relative {
    /// Short id.
    pub id: String,
    /// National identity number.
    pub number: String,
    /// Name.
    pub name: String,
    /// The patient's short id.
    pub of: String,
    /// What the power covers.
    pub scope: Vec<String>,
}

impl Relative {
    /// The information services that the scope's words stand for; a word that stands for none covers nothing.
    pub fn services(&self) -> Vec<InformationService> {
        let service = |word: &String| match word.as_str() {
            "plan" => Some(InformationService::PLANS),
            "curves" => Some(InformationService::MEASUREMENTS),
            "medicines" => Some(InformationService::MEDICATION),
            _ => None,
        };
        self.scope.iter().filter_map(service).collect()
    }
}

/// Debug of a person says the short id alone.
macro_rules! redacted {
    ($($kind:ident),*) => {$(
        impl std::fmt::Debug for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($kind), self.id)
            }
        }
    )*};
}
redacted!(Patient, Practitioner, Relative);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrganisationFile {
    organisation: Vec<Organisation>,
    service: Vec<Service>,
    locator_agreement: LocatorAgreement,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LocatorAgreement {
    members: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeopleFile {
    patient: Vec<Patient>,
    practitioner: Vec<Practitioner>,
    relative: Vec<Relative>,
}

/// Everybody in the demo.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Organisations, members and suppliers among them.
    pub organisations: Vec<Organisation>,
    /// Sharing services.
    pub services: Vec<Service>,
    /// Ids of the organisations that the § 9 agreement for the locator binds.
    pub locator_members: Vec<String>,
    /// Patients, the story's first.
    pub patients: Vec<Patient>,
    /// Practitioners, the hospital physician of the story first.
    pub practitioners: Vec<Practitioner>,
    /// Relatives.
    pub relatives: Vec<Relative>,
}

impl Directory {
    /// The demo's directory, from the data compiled into the program.
    pub fn demo() -> &'static Self {
        static DEMO: OnceLock<Directory> = OnceLock::new();
        DEMO.get_or_init(|| {
            Self::read(ORGANISATIONS, PEOPLE)
                .expect("the compiled-in data is read and checked by this crate's tests")
        })
    }

    /// Reads and checks a directory.
    ///
    /// # Errors
    /// Malformed TOML, a number that fails its control digits or is not synthetic, a name that points nowhere.
    pub fn read(organisations: &str, people: &str) -> Result<Self, ScenarioError> {
        let o: OrganisationFile = from_toml("organisations.toml", organisations)?;
        let p: PeopleFile = from_toml("people.toml", people)?;
        let directory = Self {
            organisations: o.organisation,
            services: o.service,
            locator_members: o.locator_agreement.members,
            patients: p.patient,
            practitioners: p.practitioner,
            relatives: p.relative,
        };
        directory.check()?;
        Ok(directory)
    }

    /// The demo's directory with `count` more generated patients (`delt demo --people N`), always the same ones.
    pub fn with_more_people(count: usize) -> Self {
        let mut directory = Self::demo().clone();
        let mut dice = Dice::named("more people");
        let services: Vec<String> = directory.services.iter().map(|s| s.id.clone()).collect();
        let mut taken: HashSet<String> = directory.everyones_numbers().map(str::to_owned).collect();
        for n in 1..=count {
            let number = new_number(&mut dice, &mut taken);
            let mut holders = services.clone();
            dice.shuffle(&mut holders);
            holders.truncate(usize::try_from(dice.between(1, 3)).unwrap_or(1));
            directory.patients.push(Patient {
                id: format!("generated-{n}"),
                number,
                name: format!("Syntetisk Testperson {n:04}"),
                holders,
            });
        }
        directory
    }

    /// The demo's directory with as many services as `count`, each more one an own service of a hospital of its own (`delt
    /// bench gateway`).
    pub fn with_more_sources(count: usize) -> Self {
        let mut directory = Self::demo().clone();
        let numbers = (31_001_000_u32..).filter_map(with_organisation_digit);
        for orgnr in numbers {
            if directory.services.len() >= count {
                break;
            }
            let id = format!("kilde-{}", directory.services.len() + 1);
            directory.organisations.push(Organisation {
                id: id.clone(),
                orgnr,
                name: format!("Syntetisk kilde {id}"),
                kind: OrganisationKind::Hospital,
                units: Vec::new(),
            });
            directory.services.push(Service {
                id: id.clone(),
                organisation: id,
                concept: Concept::Own,
                supplier: None,
                members: Vec::new(),
            });
        }
        directory
    }

    /// An organisation by short id.
    pub fn organisation(&self, id: &str) -> Option<&Organisation> {
        self.organisations.iter().find(|o| o.id == id)
    }

    /// An organisation number by short id; empty when there is no such organisation, which `read` rules out.
    pub fn orgnr(&self, id: &str) -> &str {
        self.organisation(id).map_or("", |o| o.orgnr.as_str())
    }

    /// The service where an organisation's data rests: its own, or the register that it is a member of.
    pub fn service_of(&self, organisation: &str) -> Option<&Service> {
        self.services
            .iter()
            .find(|s| s.organisation == organisation || s.members.iter().any(|m| m == organisation))
    }

    /// A service by its id.
    pub fn service(&self, id: &str) -> Option<&Service> {
        self.services.iter().find(|s| s.id == id)
    }

    /// A patient by short id.
    pub fn patient(&self, id: &str) -> Option<&Patient> {
        self.patients.iter().find(|p| p.id == id)
    }

    /// A practitioner by short id.
    pub fn practitioner(&self, id: &str) -> Option<&Practitioner> {
        self.practitioners.iter().find(|p| p.id == id)
    }

    /// The story's patient.
    pub fn story_patient(&self) -> &Patient {
        &self.patients[0]
    }

    /// `services` of the ready line; `fhir_base` gives a service id's FHIR base.
    pub fn demo_services(&self, fhir_base: impl Fn(&str) -> String) -> Vec<DemoService> {
        let service = |s: &Service| DemoService {
            id: s.id.clone(),
            orgnr: self.orgnr(&s.organisation).to_owned(),
            name: self
                .organisation(&s.organisation)
                .map_or_else(String::new, |o| o.name.clone()),
            concept: s.concept,
            supplier: s.supplier.as_deref().map(|id| self.orgnr(id).to_owned()),
            members: s
                .members
                .iter()
                .map(|id| self.orgnr(id).to_owned())
                .collect(),
            fhir: fhir_base(&s.id),
        };
        self.services.iter().map(service).collect()
    }

    /// `patients` of the ready line.
    pub fn demo_patients(&self) -> Vec<DemoPatient> {
        let holder = |id: &String| {
            self.service(id)
                .map(|s| self.orgnr(&s.organisation).to_owned())
        };
        let patient = |p: &Patient| DemoPatient {
            fnr: p.number.as_str().into(),
            name: p.name.as_str().into(),
            holders: p.holders.iter().filter_map(holder).collect(),
        };
        self.patients.iter().map(patient).collect()
    }

    /// `practitioners` of the ready line.
    pub fn demo_practitioners(&self) -> Vec<DemoPractitioner> {
        let practitioner = |p: &Practitioner| DemoPractitioner {
            fnr: p.number.as_str().into(),
            hpr: p.hpr.as_str().into(),
            name: p.name.as_str().into(),
            orgnr: self.orgnr(&p.organisation).to_owned(),
            role: p.role.clone(),
        };
        self.practitioners.iter().map(practitioner).collect()
    }

    /// Every person's number.
    /// The numbers of patients, practitioners and relatives.
    pub fn everyones_numbers(&self) -> impl Iterator<Item = &str> {
        let patients = self.patients.iter().map(|p| p.number.as_str());
        let practitioners = self.practitioners.iter().map(|p| p.number.as_str());
        patients
            .chain(practitioners)
            .chain(self.relatives.iter().map(|r| r.number.as_str()))
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let bad = |what: &str, which: &str| Err(ScenarioError::Value(format!("{what}: {which}")));
        let mut numbers = HashSet::new();
        for number in self.everyones_numbers() {
            match NationalIdentityNumber::parse(number, PersonNumbers::Strict) {
                Ok(parsed) if parsed.is_synthetic() && numbers.insert(number) => {}
                _ => {
                    return bad(
                        "a person's number is wrong, not synthetic or used twice",
                        "people.toml",
                    );
                }
            }
        }
        for o in &self.organisations {
            for orgnr in std::iter::once(&o.orgnr).chain(o.units.iter().map(|u| &u.orgnr)) {
                if OrganisationNumber::parse(orgnr).is_err() || !numbers.insert(orgnr) {
                    return bad("an organisation number is wrong or used twice", orgnr);
                }
            }
        }
        for s in &self.services {
            let named = std::iter::once(&s.organisation)
                .chain(&s.members)
                .chain(&s.supplier);
            if let Some(missing) = named.into_iter().find(|id| self.organisation(id).is_none()) {
                return bad("no such organisation", missing);
            }
            if s.concept.is_shared() != (s.members.len() >= 2)
                || s.concept.has_supplier() != s.supplier.is_some()
            {
                return bad(
                    "a service's concept does not fit its members and supplier",
                    &s.id,
                );
            }
        }
        if let Some(missing) = self
            .locator_members
            .iter()
            .find(|id| self.organisation(id).is_none())
        {
            return bad("no such organisation", missing);
        }
        for p in &self.patients {
            if p.holders.is_empty() || p.holders.iter().any(|h| self.service(h).is_none()) {
                return bad("a patient's holders are not services", &p.id);
            }
        }
        for p in &self.practitioners {
            let at_home = self
                .organisation(&p.organisation)
                .is_some_and(|o| o.orgnr == p.unit || o.units.iter().any(|u| u.orgnr == p.unit));
            if !at_home || HprNumber::parse(&p.hpr).is_err() {
                return bad("a practitioner's unit or HPR number is wrong", &p.id);
            }
        }
        match self
            .relatives
            .iter()
            .find(|r| self.patient(&r.of).is_none())
        {
            Some(r) => bad("a relative of nobody", &r.id),
            None if self.patients.is_empty() => bad("nobody", "people.toml"),
            None => Ok(()),
        }
    }
}

/// Reads TOML, naming the file in an error.
pub(crate) fn from_toml<T: serde::de::DeserializeOwned>(
    file: &str,
    text: &str,
) -> Result<T, ScenarioError> {
    toml::from_str(text).map_err(|e| ScenarioError::File {
        file: file.to_owned(),
        message: e.to_string(),
    })
}

/// A synthetic national identity number of someone born 1930 to 1999: month + 80, both control digits right.
pub fn synthetic_number(dice: &mut Dice) -> String {
    loop {
        let (day, month) = (dice.between(1, 28), dice.between(1, 12) + 80);
        let (year, individual) = (dice.between(30, 99), dice.between(0, 499));
        if let Some(number) =
            with_control_digits(&format!("{day:02}{month:02}{year:02}{individual:03}"))
        {
            return number;
        }
    }
}

/// The next synthetic number that is not `taken`, which it then is.
pub fn new_number(dice: &mut Dice, taken: &mut HashSet<String>) -> String {
    loop {
        let number = synthetic_number(dice);
        if taken.insert(number.clone()) {
            return number;
        }
    }
}

/// Appends the control digit of an organisation number (modulo 11) to eight digits; `None` where it would be 10.
fn with_organisation_digit(eight: u32) -> Option<String> {
    let text = eight.to_string();
    let weights = [3, 2, 7, 6, 5, 4, 3, 2];
    let digits = text.chars().filter_map(|c| c.to_digit(10));
    let sum: u32 = digits
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum();
    match 11 - sum % 11 {
        11 => Some(format!("{text}0")),
        10 => None,
        control => Some(format!("{text}{control}")),
    }
}

/// Appends both control digits to nine digits; `None` where a control digit would be 10.
fn with_control_digits(nine: &str) -> Option<String> {
    let mut number = nine.to_owned();
    for weights in [
        &[3, 7, 6, 1, 8, 9, 4, 5, 2][..],
        &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2],
    ] {
        let sum: u32 = number
            .bytes()
            .zip(weights)
            .map(|(digit, weight)| u32::from(digit - b'0') * weight)
            .sum();
        match (11 - sum % 11) % 11 {
            10 => return None,
            control => number.push(char::from_digit(control, 10)?),
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    #[test]
    fn the_demo_has_the_storys_organisations_and_people() {
        let demo = Directory::read(ORGANISATIONS, PEOPLE).unwrap();
        assert_eq!(demo.story_patient().number, "14835210260");
        assert!(demo.story_patient().holders.len() >= 3);
        assert!(demo.patients.len() >= 8);
        let used: std::collections::HashSet<_> = demo
            .patients
            .iter()
            .skip(1)
            .flat_map(|p| &p.holders)
            .collect();
        assert_eq!(used.len(), 5, "the other patients use all five services");
        let combinations: std::collections::HashSet<_> =
            demo.patients.iter().map(|p| &p.holders).collect();
        assert_eq!(
            combinations.len(),
            demo.patients.len(),
            "each patient has other holders"
        );
        let first = &demo.practitioners[0];
        assert_eq!(
            (first.organisation.as_str(), first.authorization.as_str()),
            ("proveheim", "LE")
        );
        assert_eq!(demo.orgnr(&first.organisation), "310001074");
        let suppliers: Vec<_> = demo
            .services
            .iter()
            .filter_map(|s| s.supplier.as_deref())
            .collect();
        assert_eq!(suppliers, ["norddrift"; 3]);
        assert_eq!(demo.service_of("havnes").unwrap().id, "fjordregionen");
    }

    #[test]
    fn more_people_are_always_the_same_valid_and_synthetic() {
        let more = Directory::with_more_people(200);
        more.check().unwrap();
        assert_eq!(more.patients.len(), Directory::demo().patients.len() + 200);
        let again = Directory::with_more_people(200);
        assert!(
            more.patients
                .iter()
                .zip(&again.patients)
                .all(|(a, b)| a.number == b.number && a.holders == b.holders)
        );
    }

    #[test]
    fn a_wrong_digit_a_real_month_and_an_unknown_holder_are_refused() {
        for (from, to) in [
            ("14835210260", "14835210261"),
            ("14835210260", "01010050053"),
            (r#"holders = ["fjordregionen"]"#, r#"holders = ["nowhere"]"#),
            (r#"unit = "310001929""#, r#"unit = "310001902""#),
        ] {
            assert!(PEOPLE.contains(from));
            assert!(
                Directory::read(ORGANISATIONS, &PEOPLE.replace(from, to)).is_err(),
                "{to}"
            );
        }
        let broken = ORGANISATIONS.replace(r#"orgnr = "310001007""#, r#"orgnr = "310001008""#);
        assert!(Directory::read(&broken, PEOPLE).is_err());
        let lonely = ORGANISATIONS.replace(
            r#"members = ["sorlia", "asdal"]"#,
            r#"members = ["sorlia"]"#,
        );
        assert!(Directory::read(&lonely, PEOPLE).is_err());
    }

    #[test]
    fn debug_names_nobody() {
        let shown = format!("{:?}", Directory::demo());
        assert!(!shown.contains("Testmo") && !shown.contains("14835210260"));
    }
}
