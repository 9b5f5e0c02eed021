//! Sources outside the region must be reached safely and asked for what they can say.

use super::Refusal;
use crate::config::Config;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_register_is_short_lived() {
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
