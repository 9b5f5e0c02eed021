//! The score that answers to a questionnaire come to (FHIR R4 QuestionnaireResponse). R4 has no place of its own for a score: it is the answer of an item,
//! which a kind's file in `spec/measurements` names, and the sum of the answers that it is made of.

use super::Decimal;
use crate::json::Glance;
use serde::Deserialize;

/// How deep items are looked for: groups of groups.
const DEEP: usize = 8;

/// A questionnaire whose answers have a score.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Questionnaire {
    /// Its canonical, without version.
    pub canonical: String,
    /// `linkId` of the item that says the score.
    pub total: String,
    /// `linkId`s of the items that it is the sum of.
    pub parts: Vec<String>,
}

impl Questionnaire {
    /// The score of a QuestionnaireResponse: what it says, unless its parts say otherwise; what they come to, if all of them are there and
    /// it says none. A part that is not answered is never assumed, and two answers to one item are none.
    #[must_use]
    pub fn score(&self, response: Glance<'_>) -> Option<Decimal> {
        let mut answers = Vec::new();
        collect(response, DEEP, &mut answers);
        let of = |link: &str| {
            let mut found = answers.iter().filter(|(id, _)| id == link);
            let first = found.next()?.1;
            found.next().is_none().then_some(first)
        };
        let said = answers.iter().any(|(id, _)| *id == self.total);
        let parts: Option<Vec<Decimal>> = self.parts.iter().map(|link| of(link)?).collect();
        let sum = parts.and_then(|parts| {
            let mut parts = parts.into_iter();
            parts.try_fold(Decimal::ZERO, Decimal::plus)
        });
        match (said, sum) {
            (false, sum) => sum,
            (true, sum) => {
                let total = of(&self.total)??;
                sum.is_none_or(|sum| sum == total).then_some(total)
            }
        }
    }
}

/// Each item's `linkId` and the number that it was answered with; none for another answer, and for several.
fn collect(of: Glance<'_>, deep: usize, found: &mut Vec<(String, Option<Decimal>)>) {
    let Some(left) = deep.checked_sub(1) else {
        return;
    };
    for item in of.get("item").into_iter().flat_map(Glance::items) {
        if let Some(link) = item.get("linkId").and_then(Glance::str) {
            let mut answers = item.get("answer").into_iter().flat_map(Glance::items);
            if let Some(first) = answers.next() {
                let number = answers.next().is_none().then(|| number(first)).flatten();
                found.push((link.into_owned(), number));
            }
        }
        collect(item, left, found);
    }
}

fn number(answer: Glance<'_>) -> Option<Decimal> {
    let value = answer
        .get("valueInteger")
        .or_else(|| answer.get("valueDecimal"))?;
    Decimal::parse(value.number()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::{by_id, of_questionnaire};
    use super::*;
    use serde_json::{Value, json};

    fn answers(parts: &[u32], total: Option<Value>) -> Value {
        let item = |(n, value): (usize, &u32)| json!({"linkId": (n + 1).to_string(), "answer": [{"valueInteger": value}]});
        let parts: Vec<_> = parts.iter().enumerate().map(item).collect();
        let mut items = vec![json!({"linkId": "group", "item": parts})];
        items.extend(total.map(|total| json!({"linkId": "score", "answer": [total]})));
        json!({"resourceType": "QuestionnaireResponse", "item": items})
    }

    #[test]
    fn a_score_is_what_its_parts_come_to_and_nothing_is_assumed() {
        let kind = of_questionnaire("https://delt.example/fhir/Questionnaire/cat|2").unwrap();
        assert_eq!(kind.id, by_id("cat-score").unwrap().id);
        assert!(of_questionnaire("https://delt.example/fhir/Questionnaire/cats").is_none());
        assert!(of_questionnaire("").is_none());
        let form = kind.questionnaire.as_ref().unwrap();
        let all = [3, 2, 5, 4, 1, 0, 2, 6];
        let score = |parts: &[u32], total: Option<Value>| {
            let text = answers(parts, total).to_string();
            form.score(Glance::of(text.as_bytes()))
                .map(|one| one.to_string())
        };
        let whole = |n: u32| Some(json!({"valueInteger": n}));
        assert_eq!(score(&all, whole(23)).as_deref(), Some("23"));
        assert_eq!(score(&all, None).as_deref(), Some("23"));
        assert_eq!(
            score(&all, Some(json!({"valueDecimal": 23.0}))).as_deref(),
            Some("23")
        );
        for wrong in [22, 24] {
            assert_eq!(score(&all, whole(wrong)), None, "{wrong}");
        }
        // Of some parts alone there is no sum; what is said stands.
        assert_eq!(score(&all[..7], None), None);
        assert_eq!(score(&all[..7], whole(18)).as_deref(), Some("18"));
        assert_eq!(score(&[], whole(18)).as_deref(), Some("18"));
        assert_eq!(score(&[], None), None);
        for unread in [
            json!({"valueString": "23"}),
            json!({"valueQuantity": {"value": 23}}),
        ] {
            assert_eq!(score(&all, Some(unread)), None);
        }
        let mut twice = answers(&all, whole(23));
        let again = twice["item"][1].clone();
        twice["item"].as_array_mut().unwrap().push(again);
        assert_eq!(form.score(Glance::of(twice.to_string().as_bytes())), None);
    }
}
