//! What an operation was asked: a Parameters resource or a form, read into one flat list of names and texts.
//!
//! Standard: FHIR R4 operations.html 3.2.0.1 and parameters.html. A parameter that an operation does not know is refused,
//! never ignored: ignoring would widen the answer (threats-and-faults.md section 4).

use crate::json::Node;
use crate::outcome::{Issue, IssueCode};

/// Most parameters of one call, as in a form (`wire::form`).
const MOST: usize = 40;

/// Names under which an operation about one patient's Observations may be given the patient.
pub const PATIENT: [&str; 4] = [
    "subject",
    "patient",
    "patient.identifier",
    "subject:identifier",
];

/// Parameters in order, as (name, text). A Coding and an Identifier are `system|code`, a Reference its `reference`; a
/// Period named `period` is two parameters, `start` and `end`.
pub type Input = Vec<(String, String)>;

/// A Parameters resource as a flat list.
///
/// # Errors
/// What is not a Parameters resource of single values, each with its place.
pub fn flat(root: Node<'_>) -> Result<Input, Vec<Issue>> {
    if root.text("resourceType").as_deref() != Some("Parameters") {
        let words = "a Parameters resource was expected";
        return Err(vec![Issue::error(
            IssueCode::Invalid,
            "resourceType",
            words,
        )]);
    }
    let mut issues = strangers(root, &["resourceType", "id", "meta", "parameter"]);
    let mut input = Input::new();
    for (i, parameter) in root
        .get("parameter")
        .into_iter()
        .flat_map(Node::items)
        .enumerate()
    {
        if i == MOST {
            let words = format!("more than {MOST} parameters");
            issues.push(Issue::error(
                IssueCode::TooCostly,
                "Parameters.parameter",
                words,
            ));
            break;
        }
        if let Err(words) = one(parameter, &mut input) {
            let place = format!("Parameters.parameter[{i}]");
            issues.push(Issue::error(IssueCode::Invalid, place, words));
        }
    }
    if issues.is_empty() {
        Ok(input)
    } else {
        Err(issues)
    }
}

fn one(parameter: Node<'_>, input: &mut Input) -> Result<(), &'static str> {
    let name = parameter
        .text("name")
        .ok_or("a parameter needs a name")?
        .into_owned();
    let mut values = parameter
        .members()
        .filter(|(member, _)| !matches!(member.as_ref(), "name" | "id"));
    let (member, value) = values.next().ok_or("a parameter needs a value")?;
    if values.next().is_some() {
        return Err("one value was expected, and nothing else");
    }
    let text = |member: &str| value.text(member).map(|text| text.into_owned());
    let coded = |code: &str| match (text("system"), text(code)) {
        (Some(system), Some(code)) => Ok(format!("{system}|{code}")),
        (None, Some(code)) => Ok(code),
        _ => Err("a value without its code or value asks for nothing"),
    };
    let value = match member.as_ref() {
        "valueString" | "valueUri" | "valueUrl" | "valueCanonical" | "valueCode" | "valueId"
        | "valueDate" | "valueDateTime" | "valueInstant" => {
            value.str().ok_or("a text was expected")?.into_owned()
        }
        "valueInteger" | "valuePositiveInt" | "valueUnsignedInt" | "valueDecimal" => {
            value.number().ok_or("a number was expected")?.to_owned()
        }
        "valueBoolean" => value
            .bool()
            .ok_or("true or false was expected")?
            .to_string(),
        "valueCoding" => coded("code")?,
        "valueIdentifier" => coded("value")?,
        "valueReference" => text("reference").ok_or("a reference was expected")?,
        "valuePeriod" if name == "period" => {
            let (start, end) = (text("start"), text("end"));
            if start.is_none() && end.is_none() {
                return Err("a period needs a start or an end");
            }
            input.extend(start.map(|start| ("start".to_owned(), start)));
            input.extend(end.map(|end| ("end".to_owned(), end)));
            return Ok(());
        }
        _ => return Err("a value of this type is not taken here"),
    };
    input.push((name, value));
    Ok(())
}

/// Findings about parameters that an operation does not know, or that stand twice where they may stand once. `known`
/// holds each name and whether it may be repeated.
pub fn unknown(input: &Input, known: &[(&str, bool)]) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (i, (name, value)) in input.iter().enumerate() {
        let issue = match known.iter().find(|(one, _)| one == name) {
            None => {
                let names: Vec<&str> = known.iter().map(|(one, _)| *one).collect();
                let words = format!(
                    "this parameter is not supported; supported: {}",
                    names.join(", ")
                );
                Issue::error(IssueCode::NotSupported, shown(name), words)
            }
            Some(_) if value.is_empty() => Issue::error(
                IssueCode::Value,
                shown(name),
                "the value is empty; an empty value never means all",
            ),
            Some((_, false)) if input[..i].iter().any(|(other, _)| other == name) => Issue::error(
                IssueCode::Value,
                shown(name),
                "the parameter is there twice",
            ),
            Some(_) => continue,
        };
        issues.push(issue);
    }
    issues
}

/// Members of `node` that nobody knows.
pub fn strangers(node: Node<'_>, known: &[&str]) -> Vec<Issue> {
    node.members()
        .filter(|(name, _)| !known.contains(&name.as_ref()))
        .map(|(_, value)| {
            let words = "this element is not known here";
            Issue::error(IssueCode::Structure, value.expression(), words)
        })
        .collect()
}

/// A parameter's name fit for an error: a client may have put anything there, also a person's number.
#[must_use]
pub fn shown(name: &str) -> String {
    let fit = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | '.' | ':');
    name.chars()
        .take(64)
        .map(|c| if fit(c) { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use crate::json::{Json, Limits};

    fn parsed(parameters: &str) -> Result<Input, Vec<Issue>> {
        let text = format!(r#"{{"resourceType":"Parameters","parameter":[{parameters}]}}"#);
        let json = Json::parse(text.into_bytes(), Limits::RESOURCE).unwrap();
        flat(json.root())
    }

    #[test]
    fn values_of_every_kind_become_texts() {
        let input = parsed(
            r#"{"name":"subject","valueUri":"Patient/1"},{"name":"code","valueString":"8867-4"},
               {"name":"coding","valueCoding":{"system":"http://loinc.org","code":"2708-6","display":"x"}},
               {"name":"duration","valueDecimal":24.50},{"name":"include","valueBoolean":false},
               {"name":"period","valuePeriod":{"start":"2026-01-01","end":"2026-02-01"}},
               {"name":"patient","valueReference":{"reference":"Patient/2"}},{"name":"max","valuePositiveInt":3}"#,
        )
        .unwrap();
        let pairs: Vec<(&str, &str)> = input
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("subject", "Patient/1"),
                ("code", "8867-4"),
                ("coding", "http://loinc.org|2708-6"),
                ("duration", "24.50"),
                ("include", "false"),
                ("start", "2026-01-01"),
                ("end", "2026-02-01"),
                ("patient", "Patient/2"),
                ("max", "3"),
            ]
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_where_it_stands() {
        for bad in [
            r#"{"valueString":"x"}"#,
            r#"{"name":"x"}"#,
            r#"{"name":"x","valueString":"a","valueCode":"b"}"#,
            r#"{"name":"x","valueString":3}"#,
            r#"{"name":"x","valueQuantity":{"value":3}}"#,
            r#"{"name":"x","part":[]}"#,
            r#"{"name":"other","valuePeriod":{"start":"2026"}}"#,
            r#"{"name":"period","valuePeriod":{}}"#,
        ] {
            let issues = parsed(bad).unwrap_err();
            assert_eq!(issues[0].expression, ["Parameters.parameter[0]"], "{bad}");
        }
        let json = Json::parse(
            &br#"{"resourceType":"Parameters","x":1}"#[..],
            Limits::RESOURCE,
        );
        assert_eq!(
            flat(json.unwrap().root()).unwrap_err()[0].expression,
            ["Parameters.x"]
        );
    }

    #[test]
    fn what_is_not_known_empty_or_there_twice_is_named_and_never_shown() {
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let known = [("code", true), ("max", false)];
        let input = vec![
            pair("code", "a"),
            pair("code", "b"),
            pair("max", "1"),
            pair("max", "2"),
            pair("code", ""),
            pair("14835210260", "x"),
        ];
        let found: Vec<_> = unknown(&input, &known)
            .into_iter()
            .map(|i| (i.code, i.expression[0].clone()))
            .collect();
        assert_eq!(
            found,
            [
                (IssueCode::Value, "max".to_owned()),
                (IssueCode::Value, "code".to_owned()),
                (IssueCode::NotSupported, "???????????".to_owned()),
            ]
        );
    }
}
