//! `delt check --advise`: what is allowed, and would still be better otherwise. Advice refuses nothing.

use crate::config::{Config, PersonNumbers, UnknownPatients};
use std::fmt;

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The setting, as a path in the file.
    pub setting: String,
    /// What is seen.
    pub seen: String,
    /// What would be better, and why.
    pub better: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}\n    better: {}",
            self.setting, self.seen, self.better
        )
    }
}

/// Days before the end of a paper at which one should be renewing it.
const SOON: i64 = 60;

/// All advice about `config` on `day` (`yyyy-mm-dd`), in the order of the file.
pub fn advice(config: &Config, day: &str) -> Vec<Advice> {
    let mut list = Vec::new();
    let mut say = |setting: String, seen: String, better: &str| {
        list.push(Advice {
            setting,
            seen,
            better: better.to_owned(),
        });
    };
    if matches!(config.person_numbers, PersonNumbers::Lenient) {
        say(
            "person_numbers".into(),
            "person numbers with wrong control digits are taken".into(),
            "`strict`: a mistyped number is another patient's data under a wrong name",
        );
    }
    for s in &config.service {
        let at = |part: &str| format!("service.{}.{part}", s.id);
        if s.max_lag_minutes.is_none() {
            say(
                at("max_lag_minutes"),
                "nobody is told when the shared copy falls behind its source".into(),
                "set how old the copy may be, so that receipts say `stale` and an alarm is raised",
            );
        }
        if s.telephone.is_none() {
            say(
                at("telephone"),
                "a clinician who finds a gap has nobody to ring".into(),
                "give the follow-up service's telephone; the catalogue shows it",
            );
        }
        if !s.if_match_optional.is_empty() {
            say(
                at("if_match_optional"),
                format!(
                    "{} client(s) may update without saying which version they saw",
                    s.if_match_optional.len()
                ),
                "have the supplier send If-Match: two writers can overwrite each other until then",
            );
        }
        if s.publish.is_empty() {
            say(
                at("publish"),
                "everything is shown to whoever the rules let in".into(),
                "publish the kinds and the period that others need (tilpasse datamengde); pasientjournalloven § 19 and GDPR art. 5 ask for no more",
            );
        }
        if matches!(s.unknown_patients, UnknownPatients::Enrol) {
            say(
                at("unknown_patients"),
                "a reading about an unknown number makes a patient".into(),
                "`quarantine` where the record system knows all who are followed up: a wrong number is found instead of enrolled",
            );
        }
    }
    for a in &config.agreement {
        if let Some(to) = &a.to {
            ending(format!("agreement.{}.to", a.id), to, day, &mut list);
        }
    }
    for d in &config.delegation {
        if let Some(to) = &d.to_day {
            ending(format!("delegation.{}.to_day", d.id), to, day, &mut list);
        }
    }
    list
}

/// A paper that has ended or soon will.
fn ending(setting: String, to: &str, day: &str, list: &mut Vec<Advice>) {
    let dates = to
        .parse::<jiff::civil::Date>()
        .and_then(|to| Ok((to, day.parse::<jiff::civil::Date>()?)));
    let Ok((to, today)) = dates else {
        return;
    };
    let left = i64::from(today.until(to).map_or(0, |span| span.get_days()));
    let (seen, better) = if left < 0 {
        (
            format!("it ended on {to}"),
            "renew it, or take it out: look-ups under it are refused",
        )
    } else if left <= SOON {
        (
            format!("it ends in {left} days"),
            "renew it now: look-ups under it are refused from the day after",
        )
    } else {
        return;
    };
    list.push(Advice {
        setting,
        seen,
        better: better.to_owned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region() -> Config {
        toml::from_str(include_str!("../../../../config.default.toml"))
            .expect("the default file parses")
    }

    fn settings(config: &Config) -> Vec<String> {
        advice(config, "2026-11-22")
            .into_iter()
            .map(|one| one.setting)
            .collect()
    }

    #[test]
    fn what_was_put_right_is_advised_no_more() {
        let mut config = region();
        config.person_numbers = PersonNumbers::Lenient;
        for s in &mut config.service {
            s.max_lag_minutes = None;
            s.telephone = None;
            s.unknown_patients = UnknownPatients::Enrol;
        }
        let before = settings(&config);
        for setting in [
            "person_numbers",
            "service.proveheim.max_lag_minutes",
            "service.proveheim.telephone",
            "service.proveheim.unknown_patients",
        ] {
            assert!(
                before.iter().any(|one| one == setting),
                "{setting}: {before:?}"
            );
        }
        config.person_numbers = PersonNumbers::Strict;
        for s in &mut config.service {
            s.max_lag_minutes = Some(60);
            s.telephone = Some("+47 00 00 00 00".into());
            s.unknown_patients = UnknownPatients::Quarantine;
            s.if_match_optional.clear();
            s.publish = vec![crate::config::Publish {
                kinds: None,
                days: Some(365),
                status: None,
            }];
        }
        config.agreement.clear();
        config.delegation.clear();
        assert_eq!(settings(&config), Vec::<String>::new());
    }

    #[test]
    fn papers_are_renewed_in_time() {
        for (to, seen) in [
            ("2026-11-21", Some("it ended on 2026-11-21")),
            ("2026-11-22", Some("it ends in 0 days")),
            ("2027-01-21", Some("it ends in 60 days")),
            ("2027-01-22", None),
        ] {
            let mut list = Vec::new();
            ending("agreement.a.to".into(), to, "2026-11-22", &mut list);
            assert_eq!(list.first().map(|one| one.seen.as_str()), seen, "{to}");
        }
    }
}
