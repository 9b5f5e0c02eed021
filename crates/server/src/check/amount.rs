//! How much a record system gets of its organisation's readings must be said in words that mean something, and nothing may be left out
//! that nobody else has.

use super::Refusal;
use crate::config::Config;

/// Each rule names kinds of measurement that exist, and its organisation has a sharing service, which gets everything.
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Amount, DeliveryRule};

    fn refused(of: &[&str], with_service: bool) -> Vec<String> {
        let mut config: Config = toml::from_str(include_str!("../../../../config.default.toml"))
            .expect("the default file parses");
        let rule = DeliveryRule {
            of: of.iter().map(|id| (*id).to_owned()).collect(),
            send: Amount::Marked,
        };
        for one in &mut config.organisation {
            if let Some(to) = &mut one.record_system {
                to.rule = vec![rule.clone()];
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
}
