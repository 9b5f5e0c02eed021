//! A person's assessment (vurdering) of an alert as a resource of its own, where she wants others to find it: an Observation in the
//! commit of her step, which look-ups from other organisations find as they find readings, under the same rules.
//!
//! | What | Where |
//! |---|---|
//! | which it is | `identifier`, system [`ASSESSMENTS`]: the Task and the version that it was said in |
//! | that it is one | a coding `person` of [`ASSESSMENT`] in `code`: no feed may write it, and nobody changes it |
//! | who says so | `performer`: name and organisation as her token said, and the keyed name by which this service knows her again, which is nobody's number; `note.authorString` the name |
//! | her words | `note`, which is left out where a role or purpose leaves notes out |
//! | that she said it | her signature in the note, and this service's seal over the whole ([`wire::signed`]) |
//! | what it is about | `focus`: the DetectedIssue |
//! | where it is found from | `Task.output` |

use super::filing::Said;
use super::task::Task;
use crate::State;
use fhir::systems::{self, ASSESSMENT};
use serde_json::{Value, json};
use trust::keys::KeyError;
use wire::client::Party;
use wire::signed;

/// Names of people's assessments.
const ASSESSMENTS: &str = "https://delt.example/fhir/alert-assessment";
/// Names of their authors, by a key of this service.
const AUTHORS: &str = "https://delt.example/fhir/author";

/// What was said of an alert, in its Task's next version, as an Observation with its author's `signature`, sealed by `party`.
///
/// # Errors
/// When sealing fails.
pub fn shared(
    state: &State,
    party: &Party,
    task: &Task,
    said: &Said<'_>,
    signature: &str,
) -> Result<Value, KeyError> {
    let (system, value) = (said.person.system(), said.person.value().expose());
    let at = said.at.to_string();
    let author = json!({
        "type": "Practitioner",
        "identifier": {"system": AUTHORS, "value": said.by.key},
        "display": said.by.name,
    });
    let signature = signed::signature(signature, &at, &author);
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
            author,
            {
                "type": "Organization",
                "identifier": {"system": systems::ORGNR, "value": state.config.owner.to_string()},
                "display": state.config.name,
            },
        ],
        "note": [{
            "extension": [signature],
            "authorString": said.by.name,
            "time": at,
            "text": said.text,
        }],
    });
    if let Some((issue, _)) = said.issue {
        let about = format!("DetectedIssue/{issue}");
        assessment["focus"] = json!([{"reference": about}]);
    }
    signed::seal(&mut assessment, &at, |typ, bytes| {
        party.sign_detached(typ, bytes)
    })?;
    Ok(assessment)
}
