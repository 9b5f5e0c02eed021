//! A person's assessment (vurdering) of an alert as a resource of its own, where she wants others to find it: an Observation in the
//! commit of her step, which look-ups from other organisations find as they find readings, under the same rules.
//!
//! | What | Where |
//! |---|---|
//! | which it is | `identifier`, system [`ASSESSMENTS`]: the Task and the version that it was said in |
//! | that it is one | a coding `person` of [`ASSESSMENT`] in `code`: no feed may write it, and nobody changes it |
//! | who says so | `performer`: name and organisation as her token said; `note.authorString` the same |
//! | her words | `note`, which is left out where a role or purpose leaves notes out |
//! | what it is about | `focus`: the DetectedIssue |
//! | where it is found from | `Task.output` |

use super::filing::Said;
use super::task::Task;
use crate::State;
use fhir::systems::{self, ASSESSMENT};
use serde_json::{Value, json};

/// Names of people's assessments.
const ASSESSMENTS: &str = "https://delt.example/fhir/alert-assessment";

/// What was said of an alert, in its Task's next version, as an Observation.
pub fn shared(state: &State, task: &Task, said: &Said<'_>) -> Value {
    let (system, value) = (said.person.system(), said.person.value().expose());
    let at = said.at.to_string();
    let name = format!("{}/{}", task.id, task.version.saturating_add(1));
    let mut assessment = json!({
        "resourceType": "Observation",
        "identifier": [{"system": ASSESSMENTS, "value": name}],
        "status": "final",
        "category": [{"coding": [{"system": systems::OBSERVATION_CATEGORY, "code": "exam"}]}],
        "code": {"coding": [{"system": ASSESSMENT, "code": "person"}], "text": "Vurdering av varsel"},
        "subject": {"identifier": {"system": system, "value": value}},
        "effectiveDateTime": at,
        "issued": at,
        "performer": [
            {"type": "Practitioner", "display": said.by.name},
            {
                "type": "Organization",
                "identifier": {"system": systems::ORGNR, "value": state.config.owner.to_string()},
                "display": state.config.name,
            },
        ],
        "note": [{"authorString": said.by.name, "time": at, "text": said.text}],
    });
    if let Some(issue) = said.issue {
        let about = format!("DetectedIssue/{}", issue.id);
        assessment["focus"] = json!([{"reference": about}]);
    }
    assessment
}
