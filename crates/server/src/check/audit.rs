//! The heads of audit trails: signed often enough to show a cut, not so often that nothing else is done.

use super::Refusal;
use crate::config::Config;

/// Between ten seconds and a day.
pub fn heads_are_signed_at_intervals(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let Some(audit) = &config.audit else { return };
    if !(10..=86_400).contains(&audit.every_seconds) {
        found.push(Refusal::ours(
            "audit.every_seconds".into(),
            format!(
                "the heads of audit trails are to be signed every {} seconds",
                audit.every_seconds
            ),
            "between 10 and 86400; what is cut within one interval no head can show",
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn an_interval_is_between_ten_seconds_and_a_day() {
        let text = include_str!("../../../../config.default.toml");
        for (seconds, refused) in [(9, 1), (10, 0), (86_400, 0), (86_401, 1)] {
            let mut config: Config = toml::from_str(text).unwrap();
            config.audit = toml::from_str(&format!("every_seconds = {seconds}")).unwrap();
            let mut found = Vec::new();
            heads_are_signed_at_intervals(&config, "2026-11-22", &mut found);
            assert_eq!(found.len(), refused, "{seconds}");
        }
    }
}
