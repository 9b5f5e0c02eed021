//! Fuzz targets of what comes in before it has a meaning: forms, and the list of a bundle's entries. Made and run as
//! those of `fhir` (crates/fhir/tests/fuzz).

use fhir::json::{Json, Limits};
use wire::bundle::{MAX_ENTRIES, sent};
use wire::form::{self, Form, PARAMETERS};

/// Random inputs in a run of `cargo test`, besides the corpus.
const RANDOM: usize = 500;

/// What is read is what the forgiving reader of the `url` crate reads, and what is written reads back.
#[test]
fn a_form() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let Ok(form) = Form::parse(input) else {
                return;
            };
            assert!(form.0.len() <= PARAMETERS);
            assert!(
                form.0
                    .iter()
                    .all(|(n, v)| !n.contains('\0') && !v.contains('\0'))
            );
            let theirs: Vec<(String, String)> =
                url::form_urlencoded::parse(input).into_owned().collect();
            assert_eq!(form.0, theirs);
            let pairs = form.0.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            let again = Form::parse(form::write(pairs).as_bytes()).unwrap();
            // A pair of nothing and nothing is written as `=`, which says as much.
            assert_eq!(again, form);
            let mut names: Vec<&String> = form.0.iter().map(|(name, _)| name).collect();
            names.sort();
            let twice = names.windows(2).any(|two| two[0] == two[1]);
            assert_eq!(form.clone().once().is_err(), twice);
            let shown = format!("{form:?}");
            let plain = |value: &str| value.len() > 8 && value.bytes().all(|b| b.is_ascii_digit());
            for (_, value) in form.0.iter().filter(|(_, value)| plain(value)) {
                let named = form.0.iter().any(|(name, _)| name.contains(value.as_str()));
                assert!(
                    named || !shown.contains(value.as_str()),
                    "a value in a Debug print"
                );
            }
        });
}

/// A bundle's entries are counted, and none is passed over.
#[test]
fn a_bundle() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let Ok(json) = Json::parse(input.to_vec(), Limits::BUNDLE) else {
                return;
            };
            if let Ok(entries) = sent(json.root()) {
                assert!((1..=MAX_ENTRIES).contains(&entries.len()));
                assert_eq!(
                    entries.len(),
                    json.root().get("entry").unwrap().items().count()
                );
            }
        });
}
