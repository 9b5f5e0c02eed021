//! Sources outside the region must be reached safely and asked for what they can say.

use super::Refusal;
use crate::config::{Config, DefinitionKind, Pvk};
use std::collections::HashSet;

/// Longest that an answer of the register of health personnel may be used: access must end within 5 minutes.
const LONGEST_KEPT_SECONDS: u32 = 300;

/// What is kept of the register is short-lived.
pub fn hpr_can_be_asked(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let kept = config.anchor.hpr.as_ref().map(|hpr| hpr.keep_seconds);
    if kept.is_some_and(|seconds| seconds > LONGEST_KEPT_SECONDS) {
        found.push(Refusal::ours(
            "anchor.hpr.keep_seconds".into(),
            "a withdrawn authorisation would go on giving tokens for more than 5 minutes".into(),
            "write 300 or less",
        ));
    }
}

/// Each setting is one that closes something, named once; the copy is renewed before it is too old.
pub fn pvk_can_be_replicated(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for service in &config.service {
        if let Some(pvk) = &service.pvk {
            replicated(pvk, &format!("service.{}.pvk", service.id), found);
        }
    }
}

fn replicated(pvk: &Pvk, at: &str, found: &mut Vec<Refusal>) {
    let mut refuse = |setting: &str, reason: &str, remedy| {
        found.push(Refusal::ours(
            format!("{at}.{setting}"),
            reason.to_owned(),
            remedy,
        ));
    };
    if pvk.definition.is_empty() {
        refuse(
            "definition",
            "no setting is named, so nothing would be replicated",
            "add a [[service.pvk.definition]], or leave [service.pvk] out",
        );
    }
    if pvk.part.trim().is_empty() {
        refuse(
            "part",
            "the party code is empty",
            "write the organisation's party code",
        );
    }
    if pvk.every_seconds == 0 || u64::from(pvk.every_seconds) >= 60 * u64::from(pvk.max_age_minutes)
    {
        refuse(
            "every_seconds",
            "the copy would be too old before it is renewed",
            "write less than max_age_minutes, and more than 0",
        );
    }
    let mut seen = HashSet::new();
    for one in &pvk.definition {
        if uuid::Uuid::parse_str(&one.id).is_err() {
            refuse("definition.id", "not a GUID", "write the definition's GUID");
        }
        if !seen.insert(one.id.to_ascii_lowercase()) {
            refuse("definition.id", "a setting is named twice", "name it once");
        }
        match one.kind {
            DefinitionKind::Consent => refuse(
                "definition.kind",
                "a consent opens nothing here: what is not closed is open by law, not by consent",
                "name reservations and access limitations only",
            ),
            DefinitionKind::Reservation if !one.closes.is_empty() => refuse(
                "definition.closes",
                "a reservation closes all sharing with others, not kinds of information",
                "leave closes out, or make it an access-limitation",
            ),
            _ => {}
        }
        let unknown = |text: &&String| fhir::resource::InformationService::parse(text).is_none();
        if one.closes.iter().any(|text| unknown(&text)) {
            refuse(
                "definition.closes",
                "a kind of information is not known",
                "write IT01 to IT23",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PVK: &str = r#"
        url = "https://pvk.example"
        client_file = "keys/pvk.json"
        audience = "nhn:pvk"
        scope = "nhn:pvk/read"
        part = "fjellvik"
        [[definition]]
        id = "2c11f0ca-7270-43f1-a473-000000000001"
        kind = "access-limitation"
        closes = ["IT17"]
        [[definition]]
        id = "2c11f0ca-7270-43f1-a473-000000000002"
        kind = "reservation"
    "#;

    fn refused(from: &str, to: &str) -> Vec<String> {
        let mut found = Vec::new();
        let pvk = toml::from_str(&PVK.replacen(from, to, 1)).expect("the settings parse");
        replicated(&pvk, "pvk", &mut found);
        found.into_iter().map(|one| one.setting).collect()
    }

    #[test]
    fn what_can_be_replicated_is_taken_and_the_rest_refused_by_its_place() {
        assert!(refused("", "").is_empty());
        for (from, to, place) in [
            ("part = \"fjellvik\"", "part = \" \"", "pvk.part"),
            (
                "[[definition]]",
                "every_seconds = 0\n[[definition]]",
                "pvk.every_seconds",
            ),
            (
                "[[definition]]",
                "every_seconds = 60\nmax_age_minutes = 1\n[[definition]]",
                "pvk.every_seconds",
            ),
            ("000000000002", "000000000001", "pvk.definition.id"),
            ("000000000002", "2", "pvk.definition.id"),
            ("access-limitation", "consent", "pvk.definition.kind"),
            ("access-limitation", "reservation", "pvk.definition.closes"),
            ("IT17", "IT99", "pvk.definition.closes"),
        ] {
            assert_eq!(refused(from, to), [place], "{to}");
        }
        let mut config: Config = toml::from_str(include_str!("../../../../config.default.toml"))
            .expect("the default file parses");
        config.anchor.hpr = Some(
            toml::from_str("url = \"https://hpr.example\"\nkeep_seconds = 301")
                .expect("the settings parse"),
        );
        let mut found = Vec::new();
        hpr_can_be_asked(&config, "2026-11-30", &mut found);
        assert_eq!(found.len(), 1);
        let mut none = Vec::new();
        config.anchor.hpr.as_mut().expect("set above").keep_seconds = 300;
        hpr_can_be_asked(&config, "2026-11-30", &mut none);
        assert!(none.is_empty());
    }
}
