//! What may be subscribed to, and which topics a written resource is about. Pure.

use fhir::json::Glance;
use fhir::resource::ResourceType;
use fhir::systems::{self, ASSESSMENT};
use serde::{Deserialize, Serialize};

/// Canonicals of topics start so.
const TOPICS: &str = "https://delt.example/fhir/SubscriptionTopic/";
/// Status of answers that somebody is still giving.
const BEGUN: &str = "in-progress";
/// VKP's codes of alerts; those that start so are about readings that did not come.
const VKP_MISSING: &str = "5.3";

/// A topic (FHIR R5 SubscriptionTopic; in R4 it is known by its canonical alone).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// A reading came, or answers to a questionnaire, or they were corrected.
    NewReading,
    /// A reading is in another zone of the patient's plan than the one before it of its kind.
    ZoneChange,
    /// An alert was raised or moved on.
    Alert,
    /// Readings that the plan expects did not come, or such an alert moved on.
    MissingReading,
    /// A plan or a goal came or changed.
    PlanChange,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Topic; 5] = [
        Topic::NewReading,
        Topic::ZoneChange,
        Topic::Alert,
        Topic::MissingReading,
        Topic::PlanChange,
    ];

    /// The last part of its canonical.
    pub fn code(self) -> &'static str {
        match self {
            Topic::NewReading => "new-reading",
            Topic::ZoneChange => "zone-change",
            Topic::Alert => "alert",
            Topic::MissingReading => "missing-reading",
            Topic::PlanChange => "plan-change",
        }
    }

    /// Its canonical.
    pub fn canonical(self) -> String {
        format!("{TOPICS}{}", self.code())
    }

    /// The topic of a canonical.
    pub fn parse(canonical: &str) -> Option<Topic> {
        let code = canonical.strip_prefix(TOPICS)?;
        Topic::ALL.into_iter().find(|one| one.code() == code)
    }

    /// The types that an event of it can be about; a filter may name one of them.
    pub fn types(self) -> &'static [ResourceType] {
        match self {
            Topic::NewReading => &[
                ResourceType::OBSERVATION,
                ResourceType::QUESTIONNAIRE_RESPONSE,
            ],
            Topic::ZoneChange => &[ResourceType::OBSERVATION],
            Topic::Alert | Topic::MissingReading => {
                &[ResourceType::TASK, ResourceType::DETECTED_ISSUE]
            }
            Topic::PlanChange => &[ResourceType::CARE_PLAN, ResourceType::GOAL],
        }
    }

    /// What a version of a resource is about, as far as it tells by itself: a zone, for one, may be the same as before.
    pub fn of(resource: ResourceType, body: Glance<'_>) -> Option<Topic> {
        if resource == ResourceType::CARE_PLAN || resource == ResourceType::GOAL {
            return Some(Topic::PlanChange);
        }
        if resource == ResourceType::QUESTIONNAIRE_RESPONSE {
            let status = body.get("status").and_then(Glance::str);
            return (status.as_deref() != Some(BEGUN)).then_some(Topic::NewReading);
        }
        let codings = codings(body);
        let ours = codings
            .iter()
            .find(|(system, _)| system == ASSESSMENT)
            .map(|(_, code)| code.as_str());
        match (resource, ours) {
            (ResourceType::OBSERVATION, None) => Some(Topic::NewReading),
            (ResourceType::OBSERVATION, Some("zone")) => Some(Topic::ZoneChange),
            (ResourceType::TASK, Some("alert-readings")) => Some(Topic::Alert),
            (ResourceType::TASK, Some("alert-missing")) => Some(Topic::MissingReading),
            // Our own stands behind a Task that tells.
            (ResourceType::DETECTED_ISSUE, None) => {
                let missing = codings
                    .iter()
                    .any(|(system, code)| system.contains("vkp") && code.starts_with(VKP_MISSING));
                Some(if missing {
                    Topic::MissingReading
                } else {
                    Topic::Alert
                })
            }
            _ => None,
        }
    }
}

fn codings(body: Glance<'_>) -> Vec<(String, String)> {
    let coding = body.get("code").and_then(|code| code.get("coding"));
    let all = coding.into_iter().flat_map(Glance::items);
    all.filter_map(|one| {
        let text = |name| Some(one.get(name)?.str()?.into_owned());
        let system = text("system")?;
        Some((systems::canonical(&system).to_owned(), text("code")?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonicals_read_again_and_strangers_do_not() {
        for topic in Topic::ALL {
            assert_eq!(Topic::parse(&topic.canonical()), Some(topic));
        }
        for text in [
            "",
            "new-reading",
            "https://delt.example/fhir/SubscriptionTopic/",
            "https://delt.example/fhir/SubscriptionTopic/new-reading/",
        ] {
            assert_eq!(Topic::parse(text), None, "{text}");
        }
    }

    #[test]
    fn each_resource_is_about_one_topic_or_none() {
        let coded = |system: &str, code: &str| {
            format!(
                r#"{{"code":{{"coding":[{{"system":"http://loinc.org","code":"1"}},{{"system":"{system}","code":"{code}"}}]}}}}"#
            )
        };
        let vkp = "http://ehelse.no/fhir/CodeSystem/vkp-alert-code-v090";
        for (resource, body, expected) in [
            (
                ResourceType::OBSERVATION,
                coded("http://snomed.info/sct", "431314004"),
                Some(Topic::NewReading),
            ),
            (
                ResourceType::OBSERVATION,
                coded(ASSESSMENT, "zone"),
                Some(Topic::ZoneChange),
            ),
            (ResourceType::OBSERVATION, coded(ASSESSMENT, "news2"), None),
            (
                ResourceType::QUESTIONNAIRE_RESPONSE,
                r#"{"status":"completed"}"#.to_owned(),
                Some(Topic::NewReading),
            ),
            (
                ResourceType::QUESTIONNAIRE_RESPONSE,
                r#"{"status":"in-progress"}"#.to_owned(),
                None,
            ),
            (
                ResourceType::TASK,
                coded(ASSESSMENT, "alert-readings"),
                Some(Topic::Alert),
            ),
            (
                ResourceType::TASK,
                coded(ASSESSMENT, "alert-missing"),
                Some(Topic::MissingReading),
            ),
            (ResourceType::TASK, coded("urn:x", "alert-missing"), None),
            (
                ResourceType::DETECTED_ISSUE,
                coded(vkp, "5.1"),
                Some(Topic::Alert),
            ),
            (
                ResourceType::DETECTED_ISSUE,
                coded(vkp, "5.3.2"),
                Some(Topic::MissingReading),
            ),
            (
                ResourceType::DETECTED_ISSUE,
                coded(ASSESSMENT, "alert-readings"),
                None,
            ),
            (
                ResourceType::CARE_PLAN,
                "{}".to_owned(),
                Some(Topic::PlanChange),
            ),
            (ResourceType::GOAL, "{}".to_owned(), Some(Topic::PlanChange)),
            (ResourceType::MEDICATION_STATEMENT, "{}".to_owned(), None),
        ] {
            let topic = Topic::of(resource, Glance::of(body.as_bytes()));
            assert_eq!(topic, expected, "{resource} {body}");
            assert!(topic.is_none_or(|topic| topic.types().contains(&resource)));
        }
    }
}
