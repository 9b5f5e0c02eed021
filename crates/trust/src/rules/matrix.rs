//! The access matrix, printed for review: every kind of caller at every party for every interaction; and what each kind of
//! health personnel opens, by purpose and by what the patient has closed.

use super::people::{Case, FJELLVIK, PROVEHEIM, org, refused_by, service};
use crate::attest::{Code, Purpose};
use crate::caller::{ClientUse, Person};
use crate::decide::{Party, decide};
use crate::detail::Detail;
use crate::interaction::Interaction;
use crate::wish::{Closed, Named};
use std::fmt::Write as _;

type Row = (&'static str, fn() -> Case);

#[test]
fn access_matrix() {
    let mut text = String::from("order: ");
    text.push_str(
        &super::LIST
            .iter()
            .map(|rule| rule.name)
            .collect::<Vec<_>>()
            .join(" > "),
    );
    let callers: [Row; 10] = [
        ("practitioner of another organisation", Case::practitioner),
        ("own nurse whose token names no patient", || {
            let mut case = super::work_list::tests::nurse();
            case.ask.patient = Some(super::people::person(super::people::PATIENT));
            case
        }),
        ("citizen", Case::citizen),
        ("own record system", || {
            Case::system(ClientUse::RecordSystem, FJELLVIK)
        }),
        ("other's record system", || {
            Case::system(ClientUse::RecordSystem, PROVEHEIM)
        }),
        ("hub with delegation", || {
            let mut case = Case::system(ClientUse::Hub, PROVEHEIM);
            case.delegate(FJELLVIK);
            case
        }),
        ("hub without delegation", || {
            Case::system(ClientUse::Hub, PROVEHEIM)
        }),
        ("home system", || {
            Case::system(ClientUse::HomeSystem, FJELLVIK)
        }),
        ("sharing service", || {
            Case::system(ClientUse::Service, FJELLVIK)
        }),
        ("gateway or portal on its own", || {
            Case::system(ClientUse::Gateway, FJELLVIK)
        }),
    ];
    for party in [
        Party::Sharing,
        Party::Gateway,
        Party::Locator,
        Party::Hub,
        Party::Catalogue,
    ] {
        let _ = write!(text, "\n\n{party:?}");
        for (name, make) in callers {
            let allowed: Vec<String> = Interaction::all()
                .filter(|interaction| {
                    let mut case = make();
                    case.facts.party = party;
                    case.ask.interaction = *interaction;
                    refused_by(&case).is_none()
                })
                .map(|interaction| format!("{interaction:?}"))
                .collect();
            let _ = write!(
                text,
                "\n  {name}: {}",
                if allowed.is_empty() {
                    "-".to_owned()
                } else {
                    allowed.join(" ")
                }
            );
        }
    }
    insta::assert_snapshot!(text);
}

/// A physician of another organisation with an agreement for everything, changed to be somebody authorised as `code`.
fn personnel(code: Option<&str>) -> Case {
    let mut case = Case::practitioner();
    let all: Vec<String> = fhir::resource::InformationService::ALL
        .iter()
        .map(ToString::to_string)
        .collect();
    case.agreement(&all.iter().map(String::as_str).collect::<Vec<_>>());
    case.attest(|attest| {
        attest.practitioner.authorization = code.map(|code| Code {
            code: code.into(),
            text: None,
            system: "urn:oid:2.16.578.1.12.4.1.1.9060".into(),
            assigner: None,
        });
        if code.is_none() {
            attest.practitioner.hpr_nr = None;
        }
    });
    if let Person::Practitioner { hpr, pseudonym, .. } = &mut case.caller.person {
        *pseudonym = Some("the-neighbour".into());
        if code.is_none() {
            *hpr = None;
        }
    }
    case
}

/// What a case opens, in one line.
fn opened(case: &Case) -> String {
    match decide(&case.ask, &case.caller, &case.facts).permit() {
        Err(refusal) => format!("no: {} {}", refusal.rule, refusal.code),
        Ok(permit) => {
            let services: Vec<_> = permit.services().iter().map(ToString::to_string).collect();
            let all = services.len() == fhir::resource::InformationService::ALL.len();
            let mut text = if all {
                "all".to_owned()
            } else {
                services.join(" ")
            };
            if permit.period().is_some() {
                text.push_str(", some time only");
            }
            let without: Vec<_> = Detail::ALL
                .into_iter()
                .filter(|one| permit.reduced().iter().any(|(_, out)| out.contains(one)))
                .map(Detail::code)
                .collect();
            if !without.is_empty() {
                text.push_str(&format!(", without {}", without.join(" ")));
            }
            if !permit.broken().is_empty() {
                text.push_str(", glass broken");
            }
            text
        }
    }
}

#[test]
fn need_and_wish_matrix() {
    let wishes: [(&str, Option<Closed>); 6] = [
        ("nothing closed", None),
        (
            "plans and medicines closed",
            Some(Closed::Services {
                services: vec![service("IT03"), service("IT08")],
            }),
        ),
        ("everything closed", Some(Closed::Everything)),
        (
            "the organisation closed",
            Some(Closed::Organisation {
                organisation: org(PROVEHEIM),
            }),
        ),
        (
            "this practitioner closed",
            Some(Closed::Practitioner {
                who: Named {
                    pseudonym: Some("the-neighbour".into()),
                    hpr: None,
                    number: None,
                },
            }),
        ),
        ("reserved against sharing", Some(Closed::Sharing)),
    ];
    let mut text = String::new();
    for (who, code, own) in [
        ("physician elsewhere", Some("LE"), false),
        ("nurse elsewhere", Some("SP"), false),
        ("helsesekretær elsewhere", Some("HE"), false),
        ("helsefagarbeider elsewhere", Some("HF"), false),
        ("personnel without HPR elsewhere", None, false),
        ("own nurse", Some("SP"), true),
        ("own personnel without HPR", None, true),
    ] {
        let _ = writeln!(text, "{who}");
        for (closed, wish) in &wishes {
            let _ = writeln!(text, "  {closed}");
            for purpose in Purpose::ALL {
                let mut case = personnel(code);
                if own {
                    case.from(FJELLVIK);
                }
                if let Some(wish) = wish {
                    case.wish(wish.clone());
                }
                case.purpose(purpose.code(), Some("unconscious"));
                let _ = writeln!(text, "    {}: {}", purpose.code(), opened(&case));
            }
        }
    }
    insta::assert_snapshot!(text);
}
