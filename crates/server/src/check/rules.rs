//! What a sharing service is told to serve, to check and to link to must exist and be safe: no type and no profile is left
//! out by a misspelt word.

use super::Refusal;
use crate::config::Config;
use fhir::definitions::Types;
use wire::contract::hub;

/// Each type that a service names is one of R4.
pub fn types_are_known(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for service in &config.service {
        let at = || format!("service.{}.types", service.id);
        if let Err(why) = Types::named(&service.types) {
            found.push(Refusal::ours(
                at(),
                why.to_string(),
                "write FHIR's names, and `default` for those of the information services",
            ));
        }
        if service.types.is_empty() {
            found.push(Refusal::ours(
                at(),
                "a service without types serves nothing".into(),
                "leave it out for the default ones",
            ));
        }
    }
}

/// Each profile that a service demands is carried, named once and of its type.
pub fn profiles_are_known(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for service in &config.service {
        if let Err(why) = crate::roles::demands(&service.profile) {
            found.push(Refusal::ours(
                format!("service.{}.profile", service.id),
                why.to_string(),
                "write a canonical of spec/profiles, once, and its own type or none",
            ));
        }
    }
}

/// Terms of use are a link that a person follows from the catalogue: https, and nobody's name in it.
pub fn terms_can_be_followed(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for service in &config.service {
        let safe = |url: &url::Url| {
            url.scheme() == "https" && url.username().is_empty() && url.password().is_none()
        };
        if service.terms.as_ref().is_some_and(|url| !safe(url)) {
            found.push(Refusal::ours(
                format!("service.{}.terms", service.id),
                "the catalogue lists no other links than https ones without user info".into(),
                "give an https URL, or leave it out",
            ));
        }
    }
}

/// Who assesses says who answers for it: such functions may be a medical device (Regulation (EU) 2017/745).
pub fn assessment_is_declared(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let Some(assessment) = &config.assessment else {
        return;
    };
    let stated = [
        ("manufacturer", &assessment.manufacturer),
        ("intended_purpose", &assessment.intended_purpose),
        ("udi", &assessment.udi),
    ];
    for (name, text) in stated {
        if text.trim().is_empty() {
            found.push(Refusal::ours(
                format!("assessment.{name}"),
                "assessment is on, and nobody answers for it as a medical device".into(),
                "say who the manufacturer is, what it is meant for, and its UDI; or leave [assessment] out, and nothing is assessed",
            ));
        }
    }
    let window = assessment.news2_window_minutes;
    if !(1..=24 * 60).contains(&window) {
        found.push(Refusal::ours(
            "assessment.news2_window_minutes".into(),
            format!("{window} minutes is no time in which single readings make one score"),
            "write 1 to 1440 minutes; 60 is usual",
        ));
    }
    let waits = [
        ("own_red_within_minutes", assessment.own_red_within_minutes),
        (
            "own_yellow_within_minutes",
            assessment.own_yellow_within_minutes,
        ),
        (
            "own_missing_within_minutes",
            assessment.own_missing_within_minutes,
        ),
    ];
    for (name, minutes) in waits {
        if !(1..=24 * 60).contains(&minutes) {
            found.push(Refusal::ours(
                format!("assessment.{name}"),
                format!("{minutes} minutes is no time by which somebody is to own an alert"),
                "write 1 to 1440 minutes: an alert that waits longer than a day waits for nobody",
            ));
        }
    }
}

/// A role is a few words on a line of the list.
const LONGEST_ROLE: usize = 80;

/// For whom alerts are when nobody takes them is said in words that fit on the list.
pub fn alerts_escalate_to_somebody(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let roles = config.assessment.iter().flat_map(|one| &one.escalate_to);
    for role in roles {
        let fits = (1..=LONGEST_ROLE).contains(&role.trim().chars().count());
        if !fits || role.chars().any(char::is_control) {
            found.push(Refusal::ours(
                "assessment.escalate_to".into(),
                "a role has no name, or one that does not fit on a line".into(),
                "write what your people call it in 1 to 80 characters, as \"Vakthavende lege\"",
            ));
        }
    }
}

/// With whom alerts change hands: organisations whose own service is in this file, and that say the same of this one.
pub fn alerts_change_hands_both_ways(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for service in &config.service {
        for named in &service.hand_over {
            let theirs = config.service.iter().find(|other| other.orgnr == *named);
            let fits = theirs.is_some_and(|other| {
                other.orgnr != service.orgnr
                    && other.members.is_empty()
                    && service.members.is_empty()
                    && other.hand_over.contains(&service.orgnr)
            });
            if !fits {
                found.push(Refusal::ours(
                    format!("service.{}.hand_over", service.id),
                    format!("alerts cannot change hands with {named}: no service of its own here names {} too", service.orgnr),
                    "name organisations that have services of their own in this file, each the other",
                ));
            }
        }
    }
}

/// Who subscribes is an organisation of this file, once, with addresses of its own; and what it is told is signed.
pub fn subscribers_can_be_told(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for service in &config.service {
        let mut seen = std::collections::HashSet::new();
        for one in &service.subscriber {
            let known = config.organisation.iter().any(|o| o.orgnr == one.orgnr);
            let told = !one.endpoints.is_empty() && (1..=1_000).contains(&one.most);
            if !(known && told && seen.insert(&one.orgnr)) {
                found.push(Refusal::ours(
                    format!("service.{}.subscriber", service.id),
                    format!("{} cannot subscribe: it is no organisation of this file, stands twice, has no endpoint, or `most` is not 1 to 1000", one.orgnr),
                    "name each organisation once, with the addresses that are its own",
                ));
            }
        }
        let serves = service.client_file.is_some();
        if !service.subscriber.is_empty() && !serves {
            found.push(Refusal::ours(
                format!("service.{}.client_file", service.id),
                "subscribers are told nothing that is not signed".into(),
                "give the service a client file",
            ));
        }
    }
}

/// Where what people say of alerts is filed through the hub, the service's client may send it there. A client that only the anchor's
/// register knows is not asked about.
pub fn notes_can_be_filed(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for service in &config.service {
        let Some(hub) = crate::roles::files_notes(config, service) else {
            continue;
        };
        let at = format!("{}{}", hub.as_str().trim_end_matches('/'), hub::FHIR);
        let own = config.client.iter();
        let mut own = own
            .filter(|one| one.orgnr == service.orgnr && one.use_ == "service")
            .peekable();
        let may = |one: &crate::config::Client| {
            let mut needed = hub::NOTE_SCOPE.split(' ');
            one.audiences.contains(&at)
                && needed.all(|scope| one.scopes.iter().any(|one| one == scope))
        };
        if own.peek().is_some() && !own.any(may) {
            found.push(Refusal::ours(
                format!("service.{}.client_file", service.id),
                format!("notes of alerts are to be filed at {at}, and no client of the service may: they would never stand in the record"),
                "give its [[client]] the scopes system/Composition.c and system/DetectedIssue.c and the hub's FHIR base as an audience, or take documents (IT09) out of record_system.kinds",
            ));
        }
    }
}

/// A model is named as readings name a device.
pub fn models_are_identifiers(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let models = config.hub.iter().flat_map(|hub| &hub.models);
    let whole = |text: &str| {
        text.split_once('|')
            .is_some_and(|(system, value)| !system.is_empty() && !value.is_empty())
    };
    for model in models.filter(|model| !whole(model)) {
        found.push(Refusal::ours(
            "hub.models".to_owned(),
            format!("{model:?} is no identifier of a device"),
            "write system|value, as device.identifier of the readings has them",
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn an_alert_that_nobody_takes_is_for_a_role_with_a_name() {
        let long = "å".repeat(LONGEST_ROLE + 1);
        for (role, refused) in [
            ("Vakthavende lege", false),
            (&long[2..], false),
            (&long, true),
            ("", true),
            (" ", true),
            ("Lege\nvakt", true),
        ] {
            let text = include_str!("../../../../config.default.toml");
            let section = format!(
                "{text}\n[assessment]\nmanufacturer = \"a\"\nintended_purpose = \"b\"\nudi = \"c\"\nescalate_to = [{role:?}]\n"
            );
            let config: Config = toml::from_str(&section).unwrap();
            let mut found = Vec::new();
            alerts_escalate_to_somebody(&config, "2026-11-30", &mut found);
            let found = found.into_iter().map(|one| one.setting).collect::<Vec<_>>();
            let expected = refused.then_some("assessment.escalate_to");
            assert_eq!(found, Vec::from_iter(expected), "{role:?}");
        }
    }

    #[test]
    fn assessment_needs_somebody_who_answers_for_it() {
        let text = include_str!("../../../../config.default.toml");
        let refused_all = |udi: &str, window: u32, red: u32| {
            let mut config: Config = toml::from_str(text).unwrap();
            config.assessment = Some(crate::config::Assessment {
                manufacturer: "Prøveprodusent (syntetisk)".into(),
                intended_purpose: "Sortering av hjemmemålinger".into(),
                udi: udi.into(),
                news2_window_minutes: window,
                own_red_within_minutes: red,
                own_yellow_within_minutes: 120,
                own_missing_within_minutes: 1440,
                escalate_to: Vec::new(),
            });
            let mut found = Vec::new();
            assessment_is_declared(&config, "2026-11-30", &mut found);
            found.into_iter().map(|one| one.setting).collect::<Vec<_>>()
        };
        let refused = |udi: &str, window: u32| refused_all(udi, window, 15);
        for minutes in [0, 1441] {
            let found = refused_all("SYNT-0001", 60, minutes);
            assert_eq!(found, ["assessment.own_red_within_minutes"]);
        }
        assert!(refused("SYNT-0001", 60).is_empty());
        assert_eq!(refused("  ", 60), ["assessment.udi"]);
        for window in [0, 1441] {
            let expected = ["assessment.news2_window_minutes"];
            assert_eq!(refused("SYNT-0001", window), expected);
        }
    }

    #[test]
    fn subscribers_are_known_organisations_with_addresses_of_their_own() {
        let text = include_str!("../../../../config.default.toml");
        let refused = |lines: &str, signs: bool| {
            let mut config: Config = toml::from_str(text).unwrap();
            config.service.truncate(1);
            let table: toml::Table = toml::from_str(lines).unwrap();
            config.service[0].subscriber = table["subscriber"].clone().try_into().unwrap();
            if !signs {
                config.service[0].client_file = None;
            }
            let mut found = Vec::new();
            subscribers_can_be_told(&config, "2026-11-30", &mut found);
            super::super::network::addresses(&config, "2026-11-30", &mut found);
            found.into_iter().map(|one| one.setting).collect::<Vec<_>>()
        };
        let line = |orgnr: &str, endpoint: &str, more: &str| {
            format!("[[subscriber]]\norgnr = \"{orgnr}\"\nendpoints = [\"{endpoint}\"]\n{more}\n")
        };
        let good = line("310001007", "https://epj.example/varsel", "");
        assert!(refused(&good, true).is_empty());
        let here = |name: &str| vec![format!("service.proveheim.{name}")];
        assert_eq!(refused(&good, false), here("client_file"));
        for bad in [
            line("310009999", "https://epj.example", ""),
            format!("{good}{good}"),
            line("310001007", "https://epj.example", "most = 0"),
            "[[subscriber]]\norgnr = \"310001007\"\nendpoints = []".to_owned(),
        ] {
            assert_eq!(refused(&bad, true), here("subscriber"), "{bad}");
        }
        for endpoint in [
            "http://epj.example",
            "https://kari@epj.example",
            "https://epj.example/?x=1",
        ] {
            let bad = line("310001007", endpoint, "");
            assert_eq!(
                refused(&bad, true),
                here("subscriber.endpoints"),
                "{endpoint}"
            );
        }
    }

    #[test]
    fn alerts_change_hands_with_whom_says_the_same() {
        let text = include_str!("../../../../config.default.toml");
        let refused = |first: &[usize], second: &[usize]| {
            let mut config: Config = toml::from_str(text).unwrap();
            let mut other = config.service[0].clone();
            (other.id, other.orgnr) = ("other".into(), "310001147".into());
            config.service.truncate(1);
            config.service.push(other);
            let numbers: Vec<_> = config.service.iter().map(|one| one.orgnr.clone()).collect();
            let all = |of: &[usize]| of.iter().map(|at| numbers[*at].clone()).collect();
            config.service[0].hand_over = all(first);
            config.service[1].hand_over = all(second);
            let mut found = Vec::new();
            alerts_change_hands_both_ways(&config, "2026-11-30", &mut found);
            found.len()
        };
        assert_eq!(refused(&[], &[]), 0);
        assert_eq!(refused(&[1], &[0]), 0);
        assert_eq!(refused(&[1], &[]), 1);
        assert_eq!(refused(&[0], &[0]), 2);
    }

    fn refused(lines: &str) -> Vec<String> {
        let text = include_str!("../../../../config.default.toml");
        let mut config: Config = toml::from_str(text).unwrap();
        let service = toml::to_string(&config.service[0]).unwrap();
        let before: toml::Table = toml::from_str(&service).unwrap();
        let mut table: toml::Table = toml::from_str(lines).unwrap();
        for (name, value) in before {
            table.entry(name).or_insert(value);
        }
        config.service[0] = table.try_into().unwrap();
        let mut found = Vec::new();
        types_are_known(&config, "2026-11-22", &mut found);
        profiles_are_known(&config, "2026-11-22", &mut found);
        terms_can_be_followed(&config, "2026-11-22", &mut found);
        found.into_iter().map(|one| one.setting).collect()
    }

    #[test]
    fn a_misspelt_type_or_profile_or_an_unsafe_link_does_not_start() {
        let profile = |canonical: &str, rest: &str| {
            format!("[[profile]]\ncanonical = \"{canonical}\"\n{rest}")
        };
        let basis = "http://hl7.no/fhir/StructureDefinition/no-basis-Patient";
        let good = [
            "types = [\"default\", \"ServiceRequest\"]".to_owned(),
            profile(basis, "type = \"Patient\"\nmode = \"warn\""),
            profile(basis, "mode = \"off\""),
            "terms = \"https://vilkar.example/deling#utlevering\"".to_owned(),
        ];
        for lines in good {
            assert!(refused(&lines).is_empty(), "{lines}");
        }
        for (lines, place) in [
            ("types = [\"Observasjon\"]".to_owned(), "types"),
            ("types = [\"AuditEvent\"]".to_owned(), "types"),
            ("types = []".to_owned(), "types"),
            ("terms = \"http://vilkar.example/\"".to_owned(), "terms"),
            (
                "terms = \"https://kari@vilkar.example/\"".to_owned(),
                "terms",
            ),
            (profile("http://x", "mode = \"warn\""), "profile"),
            (
                profile(basis, "type = \"Observation\"\nmode = \"warn\""),
                "profile",
            ),
        ] {
            assert_eq!(
                refused(&lines),
                [format!("service.proveheim.{place}")],
                "{lines}"
            );
        }
    }
}
