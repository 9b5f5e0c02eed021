//! What an organisation says it publishes must be something that can be published: nothing is held back, or let out, by a
//! misspelt word.

use super::Refusal;
use crate::config::Config;

/// Status codes of the types that are shared (FHIR R4 ObservationStatus, RequestStatus and their kin).
const STATUS: &[&str] = &[
    "registered",
    "preliminary",
    "final",
    "amended",
    "corrected",
    "cancelled",
    "entered-in-error",
    "unknown",
    "draft",
    "active",
    "on-hold",
    "revoked",
    "completed",
    "intended",
    "stopped",
    "not-taken",
    "inactive",
    "proposed",
    "planned",
    "accepted",
    "rejected",
    "in-progress",
    "aborted",
    "finished",
    "current",
    "superseded",
    "partial",
    "appended",
    "requested",
    "received",
    "ready",
    "preparation",
    "not-done",
    "available",
    "unavailable",
    "unsatisfactory",
];

/// Each part of a policy names kinds and status codes that exist, and says something.
pub fn policy_can_be_met(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for service in &config.service {
        for (number, share) in service.publish.iter().enumerate() {
            let at = |part: &str| format!("service.{}.publish[{number}].{part}", service.id);
            for kind in share.kinds.iter().flatten() {
                if store::Published::parse(kind).is_none() {
                    found.push(Refusal::ours(
                        at("kinds"),
                        format!("`{kind}` is neither an information service, a resource type nor a measurement kind"),
                        "write for example IT17, CarePlan or oxygen-saturation",
                    ));
                }
            }
            for status in share.status.iter().flatten() {
                if !STATUS.contains(&status.as_str()) {
                    found.push(Refusal::ours(
                        at("status"),
                        format!("`{status}` is not a status code"),
                        "write the codes of FHIR, for example final, amended, corrected",
                    ));
                }
            }
            let empty = |list: &Option<Vec<String>>| list.as_ref().is_some_and(Vec::is_empty);
            for (part, is_empty) in [
                ("kinds", empty(&share.kinds)),
                ("status", empty(&share.status)),
            ] {
                if is_empty {
                    found.push(Refusal::ours(
                        at(part),
                        "an empty list could be read as nothing or as everything".into(),
                        "leave it out for everything; leave out the whole part to publish nothing by it",
                    ));
                }
            }
            if share.days == Some(0) {
                found.push(Refusal::ours(
                    at("days"),
                    "no day back publishes nothing".into(),
                    "write 1 or more, or leave it out for all time",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Publish;

    fn refused(publish: Publish) -> Vec<String> {
        let mut config: Config = toml::from_str(include_str!("../../../../config.default.toml"))
            .expect("the default file parses");
        config.service[0].publish = vec![publish];
        let mut found = Vec::new();
        policy_can_be_met(&config, "2026-11-21", &mut found);
        found.into_iter().map(|one| one.setting).collect()
    }

    fn part(kinds: Option<&[&str]>, days: Option<u32>, status: Option<&[&str]>) -> Publish {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Publish {
            kinds: kinds.map(list),
            days,
            status: status.map(list),
        }
    }

    #[test]
    fn what_can_be_met_is_taken_and_the_rest_refused_by_its_place() {
        let kinds: &[&str] = &["IT17", "CarePlan", "oxygen-saturation"];
        assert!(
            refused(part(
                Some(kinds),
                Some(365),
                Some(&["final", "entered-in-error"])
            ))
            .is_empty()
        );
        assert!(refused(part(None, None, None)).is_empty());
        let of = |name: &str| vec![format!("service.proveheim.publish[0].{name}")];
        assert_eq!(refused(part(Some(&["IT99"]), None, None)), of("kinds"));
        assert_eq!(refused(part(Some(&[]), None, None)), of("kinds"));
        assert_eq!(refused(part(None, Some(0), None)), of("days"));
        assert_eq!(refused(part(None, None, Some(&["finale"]))), of("status"));
    }
}
