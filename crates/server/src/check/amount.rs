//! How much a record system gets of its organisation's readings, and in what form, must be said in words that mean something, and nothing
//! may be left out that nobody else has.

use super::Refusal;
use crate::config::{Amount, Config, Form};
use fhir::resource::InformationService;

/// Each rule names kinds of measurement that exist, and its organisation has a sharing service, which gets everything; notes go to a record
/// system that takes documents.
pub fn rules_can_be_met(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for one in &config.organisation {
        let rules = one.record_system.as_ref().map_or(&[][..], |to| &to.rule);
        let at = |part: &str| format!("organisation.{}.record_system.rule{part}", one.orgnr);
        let serves =
            |s: &&crate::config::Service| s.orgnr == one.orgnr || s.members.contains(&one.orgnr);
        if !rules.is_empty() && !config.service.iter().any(|s| serves(&s)) {
            found.push(Refusal::ours(
                at(""),
                "what the record system does not get, nobody would have".into(),
                "add a [[service]] for the organisation, or leave the rules out",
            ));
        }
        for (number, rule) in rules.iter().enumerate() {
            let unknown = rule
                .of
                .iter()
                .filter(|id| fhir::measurement::by_id(id).is_none());
            for id in unknown {
                found.push(Refusal::ours(
                    at(&format!("[{number}].of")),
                    format!("`{id}` is no kind of measurement"),
                    "write the id of a file in spec/measurements, for example heart-rate",
                ));
            }
            if rule.form != Form::Note {
                continue;
            }
            if rule.send == Amount::None {
                found.push(Refusal::ours(
                    at(&format!("[{number}].form")),
                    "of what is not sent there is no note".into(),
                    "leave `form` out, or send something",
                ));
            }
            let documents = InformationService::DOCUMENTS.to_string();
            let takes = |to: &crate::config::RecordSystem| to.kinds.contains(&documents);
            if !one.record_system.as_ref().is_some_and(takes) {
                found.push(Refusal::ours(
                    at(&format!("[{number}].form")),
                    format!("a note is a document, and the record system takes none ({documents} is not among its kinds)"),
                    "add the kind to `kinds`, or send each reading",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DeliveryRule;

    fn refused(of: &[&str], with_service: bool) -> Vec<String> {
        refused_of((of, Amount::Marked, Form::Reading), with_service, &["IT17"])
    }

    fn refused_of(
        (of, send, form): (&[&str], Amount, Form),
        with_service: bool,
        kinds: &[&str],
    ) -> Vec<String> {
        let mut config: Config = toml::from_str(include_str!("../../../../config.default.toml"))
            .expect("the default file parses");
        let rule = DeliveryRule {
            of: of.iter().map(|id| (*id).to_owned()).collect(),
            send,
            form,
        };
        for one in &mut config.organisation {
            if let Some(to) = &mut one.record_system {
                to.rule = vec![rule.clone()];
                to.kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            }
        }
        if !with_service {
            config.service.clear();
        }
        let mut found = Vec::new();
        rules_can_be_met(&config, "2026-11-30", &mut found);
        found.into_iter().map(|one| one.setting).collect()
    }

    #[test]
    fn rules_that_mean_something_are_taken_and_the_rest_refused_by_its_place() {
        assert!(refused(&[], true).is_empty());
        assert!(refused(&["heart-rate", "pulse"], true).is_empty());
        let place = "organisation.310001007.record_system.rule";
        assert_eq!(refused(&["puls"], true), [format!("{place}[0].of")]);
        assert_eq!(refused(&[], false), [place]);
    }
    #[test]
    fn a_note_needs_something_to_send_and_a_record_system_that_takes_documents() {
        let of = |send, form, kinds: &[&str]| refused_of((&[], send, form), true, kinds);
        let place = "organisation.310001007.record_system.rule[0].form";
        let both = ["IT17", "IT09"];
        assert!(of(Amount::NewestOfDay, Form::Reading, &["IT17"]).is_empty());
        assert!(of(Amount::NewestOfDay, Form::Note, &both).is_empty());
        assert!(of(Amount::All, Form::Note, &both).is_empty());
        assert_eq!(of(Amount::All, Form::Note, &["IT17"]), [place]);
        assert_eq!(of(Amount::None, Form::Note, &both), [place]);
    }

    #[test]
    fn the_words_of_the_manual_are_read() {
        let text = r#"
            base = "https://epj.fjellvik.example/mottak"
            kinds = ["IT17", "IT09"]
            rule = [
                { of = ["blood-pressure"], send = "newest-of-day" },
                { of = ["body-weight"], send = "newest-of-day", form = "note" },
                { send = "all", form = "note" },
            ]"#;
        let read: crate::config::RecordSystem = toml::from_str(text).expect("it is read");
        let said: Vec<_> = read
            .rule
            .iter()
            .map(|rule| (rule.send, rule.form))
            .collect();
        let expected = [
            (Amount::NewestOfDay, Form::Reading),
            (Amount::NewestOfDay, Form::Note),
            (Amount::All, Form::Note),
        ];
        assert_eq!(said, expected);
    }
}
