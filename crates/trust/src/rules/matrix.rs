//! The access matrix: every kind of caller, every party, every interaction, printed. What is not `yes` is refused.

use super::people::{Case, FJELLVIK, PROVEHEIM, refused_by};
use crate::caller::ClientUse;
use crate::decide::Party;
use crate::interaction::Interaction;
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
    let callers: [Row; 9] = [
        ("practitioner of another organisation", Case::practitioner),
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
