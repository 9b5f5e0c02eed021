//! The rules of law that a refusal names: versioned data in `spec/law/references.toml`, chosen by date; and what each refusal
//! would need to be allowed (`spec/law/needs.toml`), which `docs/law-needs.md` tells.

use serde::Deserialize;
use std::sync::LazyLock;

/// One rule of law, in force from a day and perhaps to one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Stable name that our rules use.
    pub id: String,
    /// Where it stands: act and section.
    pub source: String,
    /// First day in force, `yyyy-mm-dd`.
    pub from: String,
    /// First day no longer in force, if it was replaced.
    pub to: Option<String>,
    /// What it says, in our own words.
    pub says: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    reference: Vec<Reference>,
}

static ALL: LazyLock<Vec<Reference>> = LazyLock::new(|| {
    let text = include_str!("../../../../spec/law/references.toml");
    let file: File = toml::from_str(text).expect("spec/law/references.toml is checked by a test");
    file.reference
});

/// The rule `id` as it stands on `day` (`yyyy-mm-dd`; such dates compare as text).
pub fn on(id: &str, day: &str) -> Option<&'static Reference> {
    ALL.iter()
        .find(|r| r.id == id && r.from.as_str() <= day && r.to.as_deref().is_none_or(|to| day < to))
}

/// One refusal, and what would allow it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// Stable name that our rules use.
    pub id: String,
    /// The [`Reference`] that refuses.
    pub rule: String,
    /// What is refused, in a sentence; `docs/law-needs.md` tells it.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the page is written by its test")
    )]
    pub refused: String,
    /// What makes it right under the law as it is.
    pub remedy: String,
    /// The change of law that would allow it as it was; empty where the remedy is all it takes.
    pub change: String,
}

impl Need {
    /// Remedy and change of law in one sentence.
    pub fn remedy(&self) -> String {
        if self.change.is_empty() {
            self.remedy.clone()
        } else {
            format!(
                "{}; as it stands it would need {}",
                self.remedy, self.change
            )
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NeedFile {
    need: Vec<Need>,
}

static NEEDS: LazyLock<Vec<Need>> = LazyLock::new(|| {
    let text = include_str!("../../../../spec/law/needs.toml");
    let file: NeedFile = toml::from_str(text).expect("spec/law/needs.toml is checked by a test");
    file.need
});

/// The refusal `id`.
pub fn need(id: &str) -> Option<&'static Need> {
    NEEDS.iter().find(|need| need.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::path::Path;

    /// The page for whoever makes the law, and whoever asks why Delt says no.
    fn page(day: &str) -> String {
        let mut page = String::from(
            "# What the law refuses, and what would change it\n\n\
             Written from `spec/law/needs.toml`, `spec/law/references.toml` and the access rules by `cargo xtask law-needs`; a test fails when the page\n\
             is stale. The law's own text is authoritative; a lawyer is to read this through before operation.\n\n\
             ## Refused before a service starts (`delt check`)\n\n\
             | Refused | Rule | What makes it right today | Change of law that would allow it |\n| --- | --- | --- | --- |\n",
        );
        for need in NEEDS.iter() {
            let rule = on(&need.rule, day).map_or("", |rule| &rule.source);
            let change = if need.change.is_empty() {
                "none is needed"
            } else {
                &need.change
            };
            let _ = writeln!(
                page,
                "| {} | {rule} | {} | {change} |",
                need.refused, need.remedy
            );
        }
        page.push_str(
            "\n## Refused at a request\n\n\
             The rules in the order they are asked, each with its refusals as the one who asked and the patient are told them (`$explain-access`).\n",
        );
        for rule in trust::rules::LIST {
            let one = requests().into_iter().find(|one| one.rule == rule.name);
            let one = one.unwrap_or_else(|| panic!("requests.toml has no row for {}", rule.name));
            let change = match one.change.as_str() {
                "" => "none is waited for",
                change => change,
            };
            let _ = writeln!(
                page,
                "\n### `{}`, version {}\n\n{}.\n\n\
                 * What makes it right today: {}.\n* Change of law that would allow more: {change}.\n",
                rule.name, rule.version, rule.source, one.remedy
            );
            let codes = codes(rule.name);
            if codes.is_empty() {
                page.push_str("It refuses nothing, and leaves out what is not needed.\n");
                continue;
            }
            page.push_str("| Refusal | In words |\n| --- | --- |\n");
            for code in codes {
                let words = trust::explain::of(&code);
                assert_eq!(words.code, code, "a refusal without words");
                let _ = writeln!(page, "| `{code}` | {} |", words.en);
            }
        }
        page
    }

    /// What a rule needs to say yes.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct AtRequest {
        rule: String,
        remedy: String,
        change: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct RequestFile {
        request: Vec<AtRequest>,
    }

    fn requests() -> Vec<AtRequest> {
        let text = include_str!("../../../../spec/law/requests.toml");
        let file: RequestFile = toml::from_str(text).expect("spec/law/requests.toml reads");
        file.request
    }

    /// The codes of a rule's refusals, once each, as its source has them.
    fn codes(rule: &str) -> Vec<String> {
        let place = format!("../trust/src/rules/{rule}.rs");
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
        let source = std::fs::read_to_string(place).expect("a rule has a file of its name");
        let body = source.split("#[cfg(test)]").next().unwrap_or_default();
        let mut codes: Vec<String> = Vec::new();
        for call in ["deny(", "refusal("] {
            for after in body.split(call).skip(1) {
                let texts: Vec<&str> = after.split('"').collect();
                // `"rule", "code", …` right after the bracket.
                let is_call = texts.first().is_some_and(|first| first.trim().is_empty());
                let code = texts
                    .get(3)
                    .filter(|_| is_call)
                    .map(|code| (*code).to_owned());
                codes.extend(code.filter(|code| !codes.contains(code)));
            }
        }
        codes
    }

    #[test]
    fn every_rule_has_one_row_that_says_what_it_takes() {
        let all = requests();
        assert_eq!(all.len(), trust::rules::LIST.len());
        for rule in trust::rules::LIST {
            let rows: Vec<_> = all.iter().filter(|one| one.rule == rule.name).collect();
            assert_eq!(rows.len(), 1, "{}", rule.name);
            assert!(!rows[0].remedy.is_empty(), "{}", rule.name);
        }
        let refusing = trust::rules::LIST
            .iter()
            .filter(|rule| !codes(rule.name).is_empty());
        assert!(refusing.count() > 14);
        let block = ["blocked", "practitioner_blocked"];
        assert!(
            block
                .iter()
                .all(|code| codes("block").contains(&(*code).to_owned()))
        );
    }

    #[test]
    fn the_page_of_needs_is_as_the_rules_are() {
        let told = page("2026-11-22");
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/law-needs.md");
        if std::env::var("DELT_LAW_NEEDS").is_ok_and(|asked| asked == "write") {
            std::fs::write(&place, &told).expect("the page can be written");
        }
        let stands = std::fs::read_to_string(&place).unwrap_or_default();
        assert!(
            told == stands,
            "docs/law-needs.md is stale; `cargo xtask law-needs` writes it anew"
        );
    }

    #[test]
    fn every_need_has_its_rule_and_is_used_by_a_check() {
        let checks = concat!(include_str!("concept.rs"), include_str!("publish.rs"));
        for need in NEEDS.iter() {
            assert!(ALL.iter().any(|rule| rule.id == need.rule), "{}", need.id);
            assert!(
                checks.contains(&format!("\"{}\"", need.id)),
                "{} is refused nowhere",
                need.id
            );
            assert!(!need.refused.is_empty() && !need.remedy.is_empty());
        }
    }

    #[test]
    fn every_reference_is_dated_and_found_from_its_first_day() {
        for r in ALL.iter() {
            assert_eq!(r.from.len(), 10, "{}", r.id);
            assert_eq!(on(&r.id, &r.from).map(|f| &f.source), Some(&r.source));
        }
        assert!(on("shared-register", "2014-12-31").is_none());
    }
}
