//! `delt check` and `delt serve` refuse what DESIGN section 2 names, with setting, reason, rule and remedy; the manual
//! itself is allowed.

use crate::kit::process::delt;

const MANUAL: &str = include_str!("../../../../config.default.toml");

/// What is wrong, how the manual is changed to be so (text, its replacement), and words that the refusal holds.
type Row = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const REFUSED: &[Row] = &[
    (
        "a regional copy store besides the members' own records",
        &[("concept = \"own\"", "concept = \"regional-copy\"")],
        &[
            "service.proveheim.concept",
            "pasientjournalloven § 9",
            "amendment",
        ],
    ),
    (
        "a national joined store",
        &[("concept = \"own\"", "concept = \"national\"")],
        &["service.proveheim.concept", "§§ 11-13", "regulation"],
    ),
    (
        "a shared register of one member",
        &[(
            "members = [\"310001422\", \"310001562\"]",
            "members = [\"310001422\"]",
        )],
        &[
            "service.kystregionen.members",
            "pasientjournalloven § 9",
            "two member",
        ],
    ),
    (
        "a shared register whose agreement does not say what happens at exit",
        &[(
            "exit_terms = \"A leaving member takes its own entries with it\"",
            "exit_terms = \"\"",
        )],
        &[
            "service.kystregionen.collaboration.exit_terms",
            "pasientjournalloven § 9",
        ],
    ),
    (
        "a supplier without a data processing agreement",
        &[(
            "processing_agreement = { id = \"DBA-310001007-1\", date = \"2026-01-10\" }\n",
            "",
        )],
        &["service.fjellvik.processing_agreement", "art. 28"],
    ),
    (
        "a supplier without a delegation from this organisation",
        &[(
            "delegation = { id = \"DEL-310001007-1\", date = \"2026-01-10\" }\n",
            "",
        )],
        &["service.fjellvik.delegation", "art. 28"],
    ),
    (
        "a member's own record system as receiver of the same kinds",
        &[(
            "name = \"Sørlia kommune\"\nkind = \"municipality\"\n",
            "name = \"Sørlia kommune\"\nkind = \"municipality\"\nrecord_system = { base = \"https://epj.sorlia.example\" }\n",
        )],
        &[
            "organisation.310001422.record_system",
            "pasientjournalloven § 9",
        ],
    ),
    (
        "a central locator outside an agreement with named members",
        &[(
            "members = [\"310001074\", \"310001007\", \"310001147\"]",
            "members = []",
        )],
        &["locator.collaboration.members", "pasientjournalloven § 9"],
    ),
    (
        "plain http outside an allowed network",
        &[(
            "base = \"https://delt.example/hub\"",
            "base = \"http://10.0.0.7/hub\"",
        )],
        &["hub.base", "Delt's own rule", "https"],
    ),
    (
        "test tokens outside the demo",
        &[("test_tokens = false", "test_tokens = true")],
        &["anchor.test_tokens", "delt demo"],
    ),
];

#[tokio::test]
async fn the_manual_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("delt.toml");
    std::fs::write(&file, MANUAL).unwrap();
    let said = delt(&["check", "--config", file.to_str().unwrap()]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn check_and_serve_refuse_with_setting_reason_rule_and_remedy_and_start_nothing() {
    for (what, changes, words) in REFUSED {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("delt.toml");
        std::fs::write(&file, changed(changes)).unwrap();
        for command in ["check", "serve"] {
            let said = delt(&[command, "--config", file.to_str().unwrap()]).await;
            assert_eq!(
                (said.code, said.out.as_str()),
                (Some(3), ""),
                "{command}: {what}: {}",
                said.err
            );
            for word in [words, &["rule:", "remedy:"][..]].concat() {
                assert!(
                    said.err.contains(word),
                    "{command}: {what}: `{word}` is missing in\n{}",
                    said.err
                );
            }
        }
        assert!(
            !folder.path().join("data").exists(),
            "{what}: something was started"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_no_configuration_is_refused_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("delt.toml");
    for (text, word) in [
        ("", "roles"),
        ("roles = 7", "line 1"),
        (&format!("colour = \"blue\"\n{MANUAL}"), "colour"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = delt(&["check", "--config", file.to_str().unwrap()]).await;
        assert!(
            said.code == Some(1) && said.err.contains(word),
            "{:?} {}",
            said.code,
            said.err
        );
    }
}

fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(MANUAL.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the manual no longer says {from}");
        text.replacen(from, to, 1)
    })
}
