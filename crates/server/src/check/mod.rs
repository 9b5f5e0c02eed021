//! `delt check`: is this configuration one that today's law and our own safety rules allow?
//!
//! `delt serve` asks the same before it starts. Each refusal says what stands in the file, why it is refused, which
//! rule says so, and what would have to change for it to be allowed. The rules stand in one table, one function each.

mod advice;
mod amount;
mod audit;
mod concept;
mod copy;
mod identity;
mod law;
mod network;
mod outside;
mod publish;
mod registered;
mod rules;

pub use advice::advice;
pub use registered::with_registered;

use crate::config::Config;
use std::fmt;

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The setting at fault, as a path in the file: `service.fjellvik.delegation`.
    pub setting: String,
    /// What is wrong, in words.
    pub reason: String,
    /// The rule: law by act and section, or Delt's own.
    pub reference: String,
    /// What would make it right, or which change of law would allow it.
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}\n    rule:   {}\n    remedy: {}",
            self.setting, self.reason, self.reference, self.remedy
        )
    }
}

impl Refusal {
    /// The refusal `id` of `spec/law/needs.toml`, under its rule of law as it stands on `day`.
    fn by_law(day: &str, id: &str, setting: String, reason: String) -> Refusal {
        let need = law::need(id);
        let rule = need.map_or(id, |need| &need.rule);
        let reference = law::on(rule, day)
            .map(|r| format!("{} ({})", r.source, r.says))
            .unwrap_or_else(|| format!("{rule}, not in force on {day}"));
        Refusal {
            setting,
            reason,
            reference,
            remedy: need.map(law::Need::remedy).unwrap_or_default(),
        }
    }

    /// A refusal under a rule of our own.
    fn ours(setting: String, reason: String, remedy: &str) -> Refusal {
        Refusal {
            setting,
            reason,
            reference: "Delt's own rule: a safe start".into(),
            remedy: remedy.to_owned(),
        }
    }
}

/// One rule over a configuration on a day (`yyyy-mm-dd`).
type Rule = fn(&Config, &str, &mut Vec<Refusal>);

/// Every rule, in the order its refusals are shown.
const RULES: &[Rule] = &[
    concept::known_in_law,
    concept::shared_has_members_and_agreement,
    concept::supplied_has_agreement_and_delegation,
    concept::member_receives_no_second_copy,
    concept::locator_within_collaboration,
    concept::told_of_to_members,
    network::addresses,
    network::proxies,
    network::names_are_known,
    network::gateways_are_told_apart,
    network::no_test_tokens,
    identity::providers_can_be_used,
    identity::authorisations_are_asked_about,
    identity::another_issuer_is_believed_in_words,
    publish::policy_can_be_met,
    copy::age_can_be_kept,
    copy::senders_can_be_heard,
    amount::rules_can_be_met,
    audit::heads_are_signed_at_intervals,
    outside::hpr_can_be_asked,
    outside::pvk_can_be_replicated,
    rules::types_are_known,
    rules::profiles_are_known,
    rules::terms_can_be_followed,
    rules::assessment_is_declared,
    rules::alerts_escalate_to_somebody,
    rules::alerts_change_hands_both_ways,
    rules::subscribers_can_be_told,
    rules::notes_can_be_filed,
    rules::models_are_identifiers,
];

/// All refusals of `config` on `day`; empty means that it may start.
pub fn refusals(config: &Config, day: &str) -> Vec<Refusal> {
    let mut found = Vec::new();
    for rule in RULES {
        rule(config, day, &mut found);
    }
    found
}

#[cfg(test)]
mod tests;
