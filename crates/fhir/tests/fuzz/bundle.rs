//! Bundles: what a sender may put into one, entry by entry.

use crate::spell::{RANDOM, spell};
use fhir::bundle::{BundleType, entries, link};
use fhir::check::{Rules, check, fate};
use fhir::json::{Json, Kind, Limits};
use fhir::outcome::OperationOutcome;

const WORDS: &[&str] = &[
    r#"{"resourceType":"Bundle","type":"batch","entry":["#,
    r#"{"resourceType":"Bundle","type":"transaction","entry":["#,
    r#"{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next","url":"x"}],"entry":["#,
    r#"{"fullUrl":"urn:uuid:a","#,
    r#""request":{"method":"POST","url":"Observation"},"#,
    r#""resource":{"resourceType":"Observation","#,
    r#""resource":"#,
    r#""response":{"status":"201 Created","outcome":"#,
    r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value"}]}"#,
    r#""search":{"mode":"match"}"#,
    r#""status":"final""#,
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "1",
    r#""æ""#,
    "]}",
    "}}",
    r#""entry":"#,
];

#[test]
fn entry() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let text = spell(input, WORDS);
            let Ok(json) = Json::parse(text, Limits::BUNDLE) else {
                return;
            };
            let root = json.root();
            if let Err(issue) = BundleType::of(root) {
                assert!(issue.expression.iter().any(|at| !at.is_empty()));
            }
            for relation in ["self", "next"] {
                if let Some(url) = link(root, relation) {
                    let mut links = root.get("link").unwrap().items();
                    assert!(links.any(|one| one.text("url").as_ref() == Some(&url)));
                }
            }
            let listed = root.get("entry").map_or(0, |list| list.items().count());
            assert_eq!(entries(root).count(), listed, "no entry is passed over");
            for (n, entry) in entries(root).enumerate() {
                assert_eq!(entry.index, n);
                assert!(
                    entry
                        .response_status()
                        .is_none_or(|s| (100..600).contains(&s))
                );
                let _ = (
                    entry.full_url(),
                    entry.method(),
                    entry.url(),
                    entry.search_mode(),
                );
                if let Some(outcome) = entry.response_outcome() {
                    let written = outcome.to_json();
                    let json = Json::parse(written.clone(), Limits::BUNDLE).unwrap();
                    let again = OperationOutcome::read(json.root()).unwrap();
                    assert_eq!(again.to_json(), written, "written and read");
                }
                let Some(resource) = entry.resource else {
                    continue;
                };
                assert_eq!(resource.kind(), Kind::Object);
                let Err(issues) = check(&json, resource, &Rules::default()) else {
                    continue;
                };
                let _ = fate(&issues);
                let place = format!("{}.resource", entry.expression());
                for issue in issues {
                    let at = issue.within(&place).expression;
                    assert!(
                        at.iter().all(|at| at.starts_with(&place)),
                        "{at:?} is in {place}"
                    );
                }
            }
        });
}
