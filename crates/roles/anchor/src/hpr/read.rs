//! What the register answers: a searchset with one no-basis-Practitioner, or none. Read strictly: what could mean something
//! else than "authorised, from this day to that one" authorises nobody.

use fhir::bundle::entries;
use fhir::ids::{HprNumber, PersonIdentifier, PersonNumbers};
use fhir::json::{Json, Limits, Node};
use fhir::systems;
use fhir::time::{Instant, Range, Zone, parse_date};
use wire::contract::hpr::{APPROVAL, AUTHORISATION};

/// One person in the register.
pub(super) struct Entry {
    persons: Vec<PersonIdentifier>,
    /// In the register's order.
    authorisations: Vec<Authorisation>,
}

/// An approval to work as something (9060), for as long as it holds.
pub(super) struct Authorisation {
    pub(super) code: String,
    pub(super) text: String,
    period: Range,
}

impl Entry {
    /// Is it this person's?
    pub(super) fn is(&self, person: &PersonIdentifier) -> bool {
        self.persons.contains(person)
    }

    /// What holds now.
    pub(super) fn in_force(&self, now: Instant) -> Vec<&Authorisation> {
        let all = self.authorisations.iter();
        all.filter(|one| one.period.lo <= now.0 && now.0 < one.period.hi)
            .collect()
    }
}

/// The one person of that number in an answer; `None` where there is nobody.
pub(super) fn entry(
    bytes: &[u8],
    number: &HprNumber,
    zone: &Zone,
) -> Result<Option<Entry>, &'static str> {
    let json = Json::parse(bytes.to_vec(), Limits::RESOURCE).map_err(|_| "not strict JSON")?;
    let root = json.root();
    if root.text("resourceType").as_deref() != Some("Bundle")
        || root.text("type").as_deref() != Some("searchset")
    {
        return Err("expected a searchset");
    }
    if list(root, "link").any(|link| link.text("relation").as_deref() == Some("next")) {
        return Err("more than one page about one person");
    }
    let mut found = None;
    for one in entries(root) {
        let practitioner = one.resource.ok_or("an entry without a resource")?;
        match practitioner.text("resourceType").as_deref() {
            Some("Practitioner") => {}
            Some("OperationOutcome") => continue,
            _ => return Err("an entry that is no Practitioner"),
        }
        if found.replace(person(practitioner, number, zone)?).is_some() {
            return Err("more than one person of one number");
        }
    }
    Ok(found)
}

fn person(practitioner: Node<'_>, number: &HprNumber, zone: &Zone) -> Result<Entry, &'static str> {
    let mut named = false;
    let mut persons = Vec::new();
    for identifier in list(practitioner, "identifier") {
        let (Some(system), Some(value)) = (identifier.text("system"), identifier.text("value"))
        else {
            continue;
        };
        if systems::canonical(&system) == systems::HPR {
            named |= *value == *number.as_str();
        } else {
            persons.extend(PersonIdentifier::parse(
                &system,
                &value,
                PersonNumbers::Lenient,
            ));
        }
    }
    if !named {
        return Err("another person than was asked for");
    }
    // Not in use, or not said: nothing of it is in force.
    let active = practitioner.get("active").and_then(Node::bool) == Some(true);
    let qualifications = list(practitioner, "qualification").filter(|_| active);
    Ok(Entry {
        persons,
        authorisations: qualifications
            .filter_map(|one| authorisation(one, zone))
            .collect(),
    })
}

/// A qualification that is an approval of a kind of health personnel, from a day that it names.
fn authorisation(qualification: Node<'_>, zone: &Zone) -> Option<Authorisation> {
    let code = qualification.get("code")?;
    let of = |system: &str| {
        let found = list(code, "coding").find(|one| one.text("system").as_deref() == Some(system));
        let coding = found?;
        let text = coding.text("display").unwrap_or_default().into_owned();
        Some((coding.text("code")?.into_owned(), text))
    };
    let (code, text) = of(AUTHORISATION)?;
    of(APPROVAL)?;
    let period = qualification.get("period")?;
    let lo = parse_date(&period.text("start")?, zone).ok()?.lo;
    let hi = match period.get("end") {
        None => fhir::time::LATEST,
        Some(_) => parse_date(&period.text("end")?, zone).ok()?.hi,
    };
    Some(Authorisation {
        code,
        text,
        period: Range { lo, hi },
    })
}

fn list<'a>(node: Node<'a>, name: &str) -> impl Iterator<Item = Node<'a>> {
    node.get(name).into_iter().flat_map(Node::items)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;
    use serde_json::{Value, json};

    const PHYSICIAN: &str = "13888410036";

    fn answer() -> Value {
        json!({"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [{"resource": {
            "resourceType": "Practitioner", "active": true,
            "identifier": [
                {"system": systems::HPR, "value": "9144900"},
                {"system": systems::FNR, "value": PHYSICIAN},
            ],
            "qualification": [{
                "code": {"coding": [
                    {"system": AUTHORISATION, "code": "LE", "display": "Lege"},
                    {"system": APPROVAL, "code": "1"},
                ]},
                "period": {"start": "2020-01-01", "end": "2026-11-30"},
            }],
        }}]})
    }

    fn read(change: impl FnOnce(&mut Value)) -> Result<Option<Entry>, &'static str> {
        let mut answer = answer();
        change(&mut answer);
        let number = HprNumber::parse("9144900").unwrap();
        entry(answer.to_string().as_bytes(), &number, &Zone::default())
    }

    fn at(day: &str) -> Instant {
        Instant(parse_date(day, &Zone::default()).unwrap().lo)
    }

    /// The codes in force on a day in the middle.
    fn codes(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let entry = read(change).unwrap().unwrap();
        let now = at("2026-06-01");
        entry
            .in_force(now)
            .iter()
            .map(|one| one.code.clone())
            .collect()
    }

    #[test]
    fn an_authorisation_holds_from_its_first_day_to_its_last() {
        let entry = read(|_| {}).unwrap().unwrap();
        let own = PersonIdentifier::parse(systems::FNR, PHYSICIAN, PersonNumbers::Lenient).unwrap();
        assert!(entry.is(&own));
        for (moment, holds) in [
            ("2019-12-31T23:59:59+01:00", false),
            ("2020-01-01T00:00:00+01:00", true),
            ("2026-11-30T23:59:59+01:00", true),
            ("2026-12-01T00:00:00+01:00", false),
        ] {
            assert_eq!(
                entry.in_force(at(moment)).len(),
                usize::from(holds),
                "{moment}"
            );
        }
    }

    #[test]
    fn what_is_not_surely_an_approval_in_force_is_none() {
        assert_eq!(codes(|_| {}), ["LE"]);
        let first = |one: &mut Value| one["entry"][0]["resource"]["qualification"][0].take();
        let with = |change: fn(&mut Value)| {
            codes(|answer| {
                let mut one = first(answer);
                change(&mut one);
                answer["entry"][0]["resource"]["qualification"] = json!([one]);
            })
        };
        assert!(with(|one| one["period"] = json!({"start": "soon"})).is_empty());
        assert!(with(|one| one["period"] = json!({"end": "2030-01-01"})).is_empty());
        assert!(with(|one| one["period"]["end"] = json!("later")).is_empty());
        assert!(with(|one| one["period"]["end"] = json!(7)).is_empty());
        assert!(with(|one| drop(one.as_object_mut().unwrap().remove("period"))).is_empty());
        assert!(with(|one| one["code"]["coding"][1]["system"] = json!("urn:oid:1.2")).is_empty());
        assert!(with(|one| one["code"]["coding"][0]["system"] = json!("urn:oid:1.2")).is_empty());
        assert_eq!(with(|one| one["period"] = json!({"start": "2021"})), ["LE"]);
        for active in [json!(false), Value::Null, json!("yes")] {
            assert!(codes(|one| one["entry"][0]["resource"]["active"] = active).is_empty());
        }
    }

    #[test]
    fn an_answer_that_is_not_about_the_one_who_was_asked_for_is_refused() {
        assert!(read(|one| one["entry"] = json!([])).unwrap().is_none());
        assert!(
            read(|one| drop(one.as_object_mut().unwrap().remove("entry")))
                .unwrap()
                .is_none()
        );
        let resource = |one: &mut Value| one["entry"][0]["resource"].take();
        let spoilt: [fn(&mut Value); 6] = [
            |one| one["type"] = json!("collection"),
            |one| one["resourceType"] = json!("Parameters"),
            |one| one["link"] = json!([{"relation": "next", "url": "x"}]),
            |one| one["entry"][0]["resource"]["identifier"][0]["value"] = json!("9144901"),
            |one| one["entry"][0]["resource"]["resourceType"] = json!("Patient"),
            |one| {
                let twice = one["entry"][0].clone();
                one["entry"] = json!([twice, twice]);
            },
        ];
        for (at, spoil) in spoilt.into_iter().enumerate() {
            assert!(read(spoil).is_err(), "{at}");
        }
        assert!(read(|one| drop(resource(one))).is_err());
        let number = HprNumber::parse("1").unwrap();
        for garbage in ["", "[]", "{\"a\":1,\"a\":1}", "<html>"] {
            let read = entry(garbage.as_bytes(), &number, &Zone::default());
            assert!(read.is_err(), "{garbage}");
        }
    }
}
