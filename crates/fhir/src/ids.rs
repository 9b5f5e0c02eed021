//! Identifiers as types that parse or fail: people, organisations, health personnel, resources.
//!
//! Source: `spec/identifiers-and-basis-profiles` section 3 (control digits, synthetic markings). A person's
//! number never shows in `Debug` or `Display`; [`NationalIdentityNumber::expose`] is the one way to read it.

use crate::json::Node;
use crate::systems;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// How strictly people's numbers are read. A setting, because published examples carry invalid numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonNumbers {
    /// Eleven digits, both control digits, and a possible day and month where the number carries a date.
    #[default]
    Strict,
    /// One to eleven digits, as published examples have them. For examples and test systems only.
    Lenient,
}

/// Why an identifier was refused. Never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a number of the right length.
    #[error("{what} must be {expected}")]
    Form {
        /// The kind of identifier.
        what: &'static str,
        /// The form that was expected.
        expected: &'static str,
    },
    /// The control digits do not fit the rest.
    #[error("the control digits of the {0} are wrong")]
    Control(&'static str),
    /// The number's date part names no possible day.
    #[error("the national identity number starts with an impossible day or month")]
    Date,
    /// The system is not one for people.
    #[error(
        "the identifier's system is not one of fødselsnummer, D-nummer and felles hjelpenummer"
    )]
    System,
}

/// The weighted sum of a number's digits modulo 11 (0 for a number whose control digit fits).
fn mod11(digits: &[u8], weights: &[u32]) -> u32 {
    digits
        .iter()
        .zip(weights)
        .map(|(d, w)| u32::from(d - b'0') * w)
        .sum::<u32>()
        % 11
}

/// The digits of `text` without spaces, if it has exactly `N` and nothing else.
fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [b'0'; N];
    let mut n = 0;
    for byte in text.bytes().filter(|b| *b != b' ') {
        if !byte.is_ascii_digit() || n == N {
            return None;
        }
        out[n] = byte;
        n += 1;
    }
    (n == N).then_some(out)
}

/// A Norwegian person's number: fødselsnummer, D-nummer or felles hjelpenummer; eleven digits.
///
/// Says nothing of birth date, sex or century; those are not to be read out of the number (from 2032 it does
/// not tell them).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NationalIdentityNumber(Digits);

/// Up to eleven digits in place.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Digits {
    bytes: [u8; 11],
    len: u8,
}

impl Digits {
    fn read(text: &str) -> Option<Self> {
        let mut digits = Self {
            bytes: [b'0'; 11],
            len: 0,
        };
        for byte in text.bytes().filter(|byte| *byte != b' ') {
            *digits.bytes.get_mut(usize::from(digits.len))? = byte;
            digits.len += 1;
        }
        let sound = digits.len > 0 && digits.as_bytes().iter().all(u8::is_ascii_digit);
        sound.then_some(digits)
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The number if it is whole.
    fn whole(&self) -> Option<&[u8; 11]> {
        (self.len == 11).then_some(&self.bytes)
    }
}

impl NationalIdentityNumber {
    /// Reads a number (spaces are taken away), with the checks that `numbers` asks for.
    ///
    /// # Errors
    /// [`IdError`] that says which check failed.
    pub fn parse(text: &str, numbers: PersonNumbers) -> Result<Self, IdError> {
        let form = IdError::Form {
            what: "a person's number",
            expected: "11 digits",
        };
        let digits = Digits::read(text).ok_or(form)?;
        if numbers == PersonNumbers::Strict {
            let number = digits.whole().ok_or(form)?;
            let fits = mod11(number, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]) == 0
                && mod11(number, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]) == 0;
            if !fits {
                return Err(IdError::Control("national identity number"));
            }
            // A felles hjelpenummer (8 or 9 first) carries no date.
            if number[0] < b'8' && !possible_date(number) {
                return Err(IdError::Date);
            }
        }
        Ok(Self(digits))
    }

    /// The digits. Only for what must carry them: the body of a request, a keyed hash, a token claim.
    #[must_use]
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }

    /// Whether the number is marked synthetic: 40, 65 or 80 added to its month (Dolly, NHN, Tenor).
    #[must_use]
    pub fn is_synthetic(&self) -> bool {
        self.0.whole().is_some_and(|number| {
            number[0] < b'8' && matches!(two(&number[2..4]), 41..=52 | 66..=77 | 81..=92)
        })
    }

    /// Whether it has a D-number's form: 40 added to the day.
    #[must_use]
    pub fn is_d_number(&self) -> bool {
        self.0
            .whole()
            .is_some_and(|number| matches!(number[0], b'4'..=b'7'))
    }
}

fn two(digits: &[u8]) -> u8 {
    digits.iter().fold(0, |n, d| n * 10 + (d - b'0'))
}

fn possible_date(number: &[u8; 11]) -> bool {
    let day = two(&number[0..2]);
    let month = two(&number[2..4]);
    matches!(day, 1..=31 | 41..=71) && matches!(month, 1..=12 | 41..=52 | 66..=77 | 81..=92)
}

impl fmt::Debug for NationalIdentityNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NationalIdentityNumber(***)")
    }
}

impl fmt::Display for NationalIdentityNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Which series a person's number belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PersonSystem {
    /// Fødselsnummer.
    Fnr,
    /// D-nummer.
    Dnr,
    /// Felles hjelpenummer.
    Fhn,
}

impl PersonSystem {
    /// The FHIR system.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Fnr => systems::FNR,
            Self::Dnr => systems::DNR,
            Self::Fhn => systems::FHN,
        }
    }

    /// The series that a FHIR system (OID form or a published alternate) names.
    #[must_use]
    pub fn parse(system: &str) -> Option<Self> {
        match systems::canonical(system) {
            systems::FNR => Some(Self::Fnr),
            systems::DNR => Some(Self::Dnr),
            systems::FHN => Some(Self::Fhn),
            _ => None,
        }
    }
}

/// A person by number: series and number. `Debug` shows the series alone.
///
/// As JSON: `{"system":"urn:oid:…","value":"…"}`. Reading it back checks form only (`Lenient`): the strictness
/// of a deployment is applied where data comes in.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonIdentifier {
    system: PersonSystem,
    value: NationalIdentityNumber,
}

impl PersonIdentifier {
    /// A person's identifier from its two parts.
    #[must_use]
    pub const fn new(system: PersonSystem, value: NationalIdentityNumber) -> Self {
        Self { system, value }
    }

    /// Reads a FHIR identifier's system and value. An empty system is guessed as by [`Self::guess`].
    ///
    /// # Errors
    /// [`IdError::System`] for a system that is not for people, else why the number was refused.
    pub fn parse(system: &str, value: &str, numbers: PersonNumbers) -> Result<Self, IdError> {
        if system.is_empty() {
            return Self::guess(value, numbers);
        }
        let system = PersonSystem::parse(system).ok_or(IdError::System)?;
        Ok(Self {
            system,
            value: NationalIdentityNumber::parse(value, numbers)?,
        })
    }

    /// Reads a bare number, eleven digits in both modes: its first digit tells D-number (4–7) and felles hjelpenummer (8, 9) from
    /// fødselsnummer.
    ///
    /// # Errors
    /// Why the number was refused.
    pub fn guess(value: &str, numbers: PersonNumbers) -> Result<Self, IdError> {
        let value = NationalIdentityNumber::parse(value, numbers)?;
        let number = value.0.whole().ok_or(IdError::Form {
            what: "a person's number without a system",
            expected: "11 digits",
        })?;
        let system = match number[0] {
            b'0'..=b'3' => PersonSystem::Fnr,
            b'4'..=b'7' => PersonSystem::Dnr,
            _ => PersonSystem::Fhn,
        };
        Ok(Self { system, value })
    }

    /// Whom a FHIR Identifier means, read as [`Self::parse`] reads its parts; `None` for one without a value, of another
    /// system, or with a number that is none.
    #[must_use]
    pub fn read(identifier: Node<'_>, numbers: PersonNumbers) -> Option<Self> {
        let (system, value) = (identifier.text("system"), identifier.text("value"));
        Self::of(system.as_deref(), value.as_deref(), numbers)
    }

    /// As [`Self::read`], of an Identifier's two members.
    #[must_use]
    pub fn of(system: Option<&str>, value: Option<&str>, numbers: PersonNumbers) -> Option<Self> {
        Self::parse(system.unwrap_or_default(), value?, numbers).ok()
    }

    /// The FHIR system, OID form.
    #[must_use]
    pub const fn system(&self) -> &'static str {
        self.system.uri()
    }

    /// Which series it is.
    #[must_use]
    pub const fn series(&self) -> PersonSystem {
        self.system
    }

    /// The number.
    #[must_use]
    pub const fn value(&self) -> &NationalIdentityNumber {
        &self.value
    }

    /// Whether the number is marked synthetic.
    #[must_use]
    pub fn is_synthetic(&self) -> bool {
        self.value.is_synthetic()
    }
}

impl fmt::Debug for PersonIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PersonIdentifier({:?}, ***)", self.system)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonIdentifierJson {
    system: String,
    value: String,
}

impl Serialize for PersonIdentifier {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PersonIdentifierJson {
            system: self.system().to_owned(),
            value: self.value.expose().to_owned(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PersonIdentifier {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = PersonIdentifierJson::deserialize(deserializer)?;
        Self::parse(&json.system, &json.value, PersonNumbers::Lenient)
            .map_err(serde::de::Error::custom)
    }
}

/// An organisation number (organisasjonsnummer), main unit or sub-unit: nine digits, the last a control digit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganisationNumber([u8; 9]);

impl OrganisationNumber {
    /// Reads nine digits (spaces are taken away) and checks the control digit (weights 3 2 7 6 5 4 3 2).
    ///
    /// # Errors
    /// [`IdError`] that says which check failed.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let number = digits::<9>(text).ok_or(IdError::Form {
            what: "an organisation number",
            expected: "9 digits",
        })?;
        if mod11(&number, &[3, 2, 7, 6, 5, 4, 3, 2, 1]) != 0 {
            return Err(IdError::Control("organisation number"));
        }
        Ok(Self(number))
    }

    /// The nine digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for OrganisationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for OrganisationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrganisationNumber({self})")
    }
}

/// Declares an identifier of digits only, without control digit.
macro_rules! digit_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Reads the number as it is written (surrounding spaces are taken away).
            ///
            /// # Errors
            /// [`IdError::Form`] when it is not digits of a fitting length.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let text = text.trim_matches(' ');
                if text.is_empty() || text.len() > $max || !text.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(IdError::Form { what: $what, expected: $expected });
                }
                Ok(Self(text.to_owned()))
            }

            /// The digits.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

digit_id!(
    /// HPR number of health personnel; 1 to 9 digits, no control digit is published. `Debug` hides it.
    HprNumber, "an HPR number", 9, "1 to 9 digits"
);
digit_id!(
    /// RESH id of a unit in the specialist health service.
    ReshId, "a RESH id", 12, "1 to 12 digits"
);
digit_id!(
    /// HER id of a communication party in the address registry.
    HerId, "a HER id", 12, "1 to 12 digits"
);

impl fmt::Debug for HprNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HprNumber(***)")
    }
}

/// `Debug` in full, for numbers that name no person.
macro_rules! shown {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )+};
}
shown!(ReshId, HerId);

/// A resource's logical id in a store of ours: a random UUID, written in lower case (CONTRACT section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogicalId(pub Uuid);

impl LogicalId {
    /// Reads the one form Delt writes: lower-case, hyphenated.
    ///
    /// # Errors
    /// [`IdError::Form`] for everything else; FHIR ids are case-sensitive.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let error = IdError::Form {
            what: "a logical id",
            expected: "a lower-case UUID",
        };
        let uuid = Uuid::try_parse(text).map_err(|_| error)?;
        if uuid.as_hyphenated().to_string() != text {
            return Err(error);
        }
        Ok(Self(uuid))
    }

    /// The UUID.
    #[must_use]
    pub const fn uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for LogicalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl From<Uuid> for LogicalId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

/// `FromStr` and serde (as a JSON string) for the identifiers whose text is no secret.
macro_rules! text_form {
    ($($name:ident),+) => {$(
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )+};
}
text_form!(OrganisationNumber, HprNumber, ReshId, HerId, LogicalId);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    const STRICT: PersonNumbers = PersonNumbers::Strict;
    /// The story's patient, PMD's published test person.
    const GOOD: [&str; 2] = ["14835210260", "13717404089"];

    #[test]
    fn published_numbers_pass_and_their_near_misses_do_not() {
        for good in GOOD {
            let number = NationalIdentityNumber::parse(good, STRICT).unwrap();
            assert!(number.is_synthetic());
            assert_eq!(number.expose(), good);
            // Any single wrong digit must be caught by one of the two control digits.
            for at in 0..11 {
                for digit in b'0'..=b'9' {
                    let mut miss = good.as_bytes().to_vec();
                    if miss[at] == digit {
                        continue;
                    }
                    miss[at] = digit;
                    let miss = String::from_utf8(miss).unwrap();
                    assert!(
                        NationalIdentityNumber::parse(&miss, STRICT).is_err(),
                        "position {at}"
                    );
                    assert!(NationalIdentityNumber::parse(&miss, PersonNumbers::Lenient).is_ok());
                }
            }
        }
    }

    #[test]
    fn published_examples_with_wrong_control_digits_need_lenience() {
        for number in ["05076600324", "13057444850"] {
            assert_eq!(
                NationalIdentityNumber::parse(number, STRICT),
                Err(IdError::Control("national identity number"))
            );
            assert!(NationalIdentityNumber::parse(number, PersonNumbers::Lenient).is_ok());
        }
    }

    #[test]
    fn all_zeroes_fit_the_control_digits_but_name_no_day() {
        assert_eq!(
            NationalIdentityNumber::parse("00000000000", STRICT),
            Err(IdError::Date)
        );
    }

    #[test]
    fn form_is_checked_in_both_modes() {
        for bad in [
            "",
            " ",
            "148352102600",
            "1483521026a",
            "１４８３５２１０２６０",
            "-4835210260",
        ] {
            for numbers in [STRICT, PersonNumbers::Lenient] {
                assert!(
                    NationalIdentityNumber::parse(bad, numbers).is_err(),
                    "{bad}"
                );
            }
        }
        // VkpObservation's examples have short numbers; only with a system, and never as synthetic.
        for short in ["1000807", "103", "1483521026"] {
            assert!(
                NationalIdentityNumber::parse(short, STRICT).is_err(),
                "{short}"
            );
            let number = NationalIdentityNumber::parse(short, PersonNumbers::Lenient).unwrap();
            assert_eq!(number.expose(), short);
            assert!(!number.is_synthetic());
            assert!(PersonIdentifier::guess(short, PersonNumbers::Lenient).is_err());
        }
        let spaced = NationalIdentityNumber::parse("148352 10260", STRICT).unwrap();
        assert_eq!(spaced.expose(), GOOD[0]);
    }

    #[test]
    fn synthetic_is_month_plus_40_65_or_80_with_both_neighbours() {
        for (month, synthetic) in [
            (12, false),
            (40, false),
            (41, true),
            (52, true),
            (53, false),
            (65, false),
            (66, true),
            (77, true),
            (78, false),
            (80, false),
            (81, true),
            (92, true),
            (93, false),
        ] {
            let number =
                NationalIdentityNumber::parse(&format!("01{month}0000000"), PersonNumbers::Lenient)
                    .unwrap();
            assert_eq!(number.is_synthetic(), synthetic, "month {month}");
        }
    }

    #[test]
    fn a_number_never_shows() {
        let person = PersonIdentifier::guess(GOOD[0], STRICT).unwrap();
        let shown = format!("{person:?} {:?} {}", person.value(), person.value());
        assert!(!shown.contains("1483"), "{shown}");
    }

    #[test]
    fn an_identifier_means_a_person_or_nobody() {
        let number = Some(GOOD[0]);
        for (system, value, whom) in [
            (Some(systems::FNR), number, true),
            (None, number, true),
            (Some(""), number, true),
            (Some(systems::HPR), number, false),
            (Some(systems::FNR), Some("1"), false),
            (Some(systems::FNR), None, false),
            (None, None, false),
        ] {
            let read = PersonIdentifier::of(system, value, STRICT);
            assert_eq!(read.is_some(), whom, "{system:?}");
            let member = |name: &str, text: Option<&str>| {
                text.map(|text| {
                    format!("{}:{}", crate::json::quote(name), crate::json::quote(text))
                })
            };
            let members = [member("system", system), member("value", value)];
            let text = format!(
                "{{{}}}",
                members.into_iter().flatten().collect::<Vec<_>>().join(",")
            );
            let json = crate::json::Json::parse(text, crate::json::Limits::RESOURCE).unwrap();
            assert_eq!(PersonIdentifier::read(json.root(), STRICT), read);
        }
    }

    #[test]
    fn a_bare_number_finds_its_series() {
        for (number, system) in [
            ("14835210260", systems::FNR),
            ("41010000000", systems::DNR),
            ("71010000000", systems::DNR),
            ("80000000000", systems::FHN),
        ] {
            assert_eq!(
                PersonIdentifier::guess(number, PersonNumbers::Lenient)
                    .unwrap()
                    .system(),
                system
            );
        }
        assert_eq!(
            PersonIdentifier::parse(systems::HPR, GOOD[0], STRICT),
            Err(IdError::System)
        );
        let alternate =
            PersonIdentifier::parse("http://hl7.no/fhir/NamingSystem/FNR", GOOD[0], STRICT)
                .unwrap();
        assert_eq!(alternate.system(), systems::FNR);
    }

    #[test]
    fn organisation_numbers_of_the_story_and_of_the_world() {
        for good in [
            "310001074",
            "310001007",
            "310001287",
            "310001147",
            "310001708",
            "310001422",
            "310001562",
            "310001775",
            "310001635",
            "310001848",
            "993467049",
            "874716782",
            "994598759",
            "997506499",
        ] {
            assert_eq!(OrganisationNumber::parse(good).unwrap().to_string(), good);
        }
        // VKP's sample, and neighbours of a good one.
        for bad in [
            "314159265",
            "310001073",
            "310001075",
            "31000107",
            "3100010744",
            "31000107x",
            "",
        ] {
            assert!(OrganisationNumber::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn logical_ids_have_one_form() {
        let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert_eq!(LogicalId::parse(text).unwrap().to_string(), text);
        for bad in [
            "0F8FAD5B-D9CB-469F-A165-70867728950E",
            "0f8fad5bd9cb469fa16570867728950e",
            "{0f8fad5b-d9cb-469f-a165-70867728950e}",
            "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e",
            "1",
            "",
        ] {
            assert!(LogicalId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_numbers_are_digits_of_a_bounded_length() {
        assert!(HprNumber::parse("9144900").is_ok());
        assert!(HprNumber::parse("222200068").is_ok());
        for bad in ["", "2222000681", "91a", "-1", "9144 900"] {
            assert!(HprNumber::parse(bad).is_err(), "{bad}");
        }
        assert!(ReshId::parse("705592").is_ok());
    }

    #[test]
    fn json_form_of_a_person() {
        let person = PersonIdentifier::guess(GOOD[0], STRICT).unwrap();
        let json = serde_json::to_string(&person).unwrap();
        assert_eq!(
            json,
            r#"{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}"#
        );
        assert_eq!(
            serde_json::from_str::<PersonIdentifier>(&json).unwrap(),
            person
        );
        assert!(
            serde_json::from_str::<PersonIdentifier>(r#"{"system":"x","value":"14835210260"}"#)
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in "\\PC*") {
            let _ = NationalIdentityNumber::parse(&text, STRICT);
            let _ = OrganisationNumber::parse(&text);
            let _ = LogicalId::parse(&text);
        }
    }
}
