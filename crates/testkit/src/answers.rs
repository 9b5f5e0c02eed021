//! Builds the answers to a questionnaire as a home system sends them: a QuestionnaireResponse with an item for each question and one for the score, which is
//! their sum. The wording of the questions is somebody's property: they are told by number.

use crate::calendar::fhir_time;
use crate::dice::Dice;
use crate::kinds::Kind;
use crate::observation::{Reading, identifier, subject};
use fhir::measurement;
use serde_json::{Value, json};

/// VKP's profile of answers; its name is misspelt where it is published.
const PROFILE: &str = "http://ehelse.no/fhir/StructureDefinition/vkp-QuestionnaireReponse-v090";
/// Most points of one answer.
const MOST: i64 = 5;

/// Whether a kind is the score of a questionnaire, and sent as answers to it.
pub fn is_score(kind: Kind) -> bool {
    known(kind).is_some()
}

fn known(kind: Kind) -> Option<&'static measurement::Questionnaire> {
    let kind = measurement::by_id(kind.codes().local?)?;
    kind.questionnaire.as_ref()
}

/// The answers that come to the reading's value. `null` for a kind that is no score.
pub fn answers(reading: &Reading<'_>) -> Value {
    let (Some(form), Ok(score)) = (known(reading.kind), reading.value.parse::<i64>()) else {
        return Value::Null;
    };
    let (system, value) = identifier(reading.key);
    let answer = |link: &str, text: String, points: i64| json!({"linkId": link, "text": text, "answer": [{"valueInteger": points}]});
    let mut dice = Dice::named(&format!("{}/answers", reading.key));
    let mut left = score;
    let mut items = Vec::new();
    for (n, link) in form.parts.iter().enumerate() {
        let after = i64::try_from(form.parts.len() - n - 1).unwrap_or_default() * MOST;
        // No fewer than the rest can make up for, no more than there is.
        let points = dice.between((left - after).max(0), left.min(MOST));
        left -= points;
        items.push(answer(link, format!("Spørsmål {}", n + 1), points));
    }
    items.push(answer(&form.total, "Poengsum".into(), score));
    json!({
        "resourceType": "QuestionnaireResponse",
        "meta": {"profile": [PROFILE]},
        "identifier": {"system": system, "value": value},
        "questionnaire": form.canonical,
        "status": "completed",
        "subject": subject(reading.patient),
        "authored": fhir_time(reading.taken),
        "author": subject(reading.patient),
        "source": subject(reading.patient),
        "item": items,
    })
}
