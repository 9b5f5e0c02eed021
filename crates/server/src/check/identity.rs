//! Identity providers that can be used: known ways, addresses that may be spoken with, no id twice.

use super::{Refusal, network};
use crate::config::{Config, IdentityProvider};
use std::collections::HashSet;
use url::Url;

/// Each provider's settings are complete, and its issuer is https, or http in an allowed network.
pub fn providers_can_be_used(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let mut seen = HashSet::new();
    for one in &config.anchor.identity_provider {
        let at = |part: &str| format!("anchor.identity_provider.{}{part}", one.id);
        if let Err(why) = crate::roles::agreed(one) {
            found.push(Refusal::ours(
                at(""),
                format!("{why:#}"),
                "see the manual in config.default.toml",
            ));
        }
        if !seen.insert(&one.id) {
            found.push(Refusal::ours(
                at(""),
                "two providers have this id".into(),
                "give each its own id; it is part of the redirect URI",
            ));
        }
        let spoken = Url::parse(&one.issuer).is_ok_and(|url| {
            url.scheme() == "https" || url.scheme() == "http" && network::allowed(config, &url)
        });
        if !spoken {
            found.push(Refusal::ours(
                at(".issuer"),
                "the issuer is no https URL".into(),
                "write it exactly as in its discovery document",
            ));
        }
    }
}

/// Where health personnel signs in, what they are authorised as is asked of the register, or somebody said that it is not.
pub fn authorisations_are_asked_about(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let anchor = &config.anchor;
    let is_personnel = |one: &IdentityProvider| {
        crate::roles::agreed(one).is_ok_and(|agreed| agreed.is_for_personnel())
    };
    if anchor.hpr.is_none()
        && !anchor.believe_stated_authorisations
        && anchor.identity_provider.iter().any(is_personnel)
    {
        found.push(Refusal::ours(
            "anchor.hpr".into(),
            "health personnel signs in here, and nobody is asked what they are authorised as: what their own system states of it would be believed"
                .into(),
            "add [anchor.hpr]; while the register is down for long, anchor.believe_stated_authorisations = true",
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const HELSEID: &str = r#"
        id = "helseid"
        name = "HelseID"
        profile = "helseid"
        issuer = "https://helseid-sts.test.nhn.no"
        client_file = "keys/helseid.json"
    "#;

    fn refused(providers: &[String]) -> Vec<String> {
        let text = include_str!("../../../../config.default.toml");
        let mut config: Config = toml::from_str(text).unwrap();
        config.anchor.identity_provider = providers
            .iter()
            .map(|text| toml::from_str(text).unwrap())
            .collect();
        let mut found = Vec::new();
        providers_can_be_used(&config, "2026-11-30", &mut found);
        found.into_iter().map(|one| one.setting).collect()
    }

    #[test]
    fn personnel_that_signs_in_is_asked_about_or_somebody_says_that_it_is_not() {
        let text = include_str!("../../../../config.default.toml");
        let refused = |profile: &str, hpr: bool, believed: bool| {
            let mut config: Config = toml::from_str(text).unwrap();
            let provider = HELSEID.replace("profile = \"helseid\"", profile);
            config.anchor.identity_provider = vec![toml::from_str(&provider).unwrap()];
            config.anchor.believe_stated_authorisations = believed;
            config.anchor.hpr =
                hpr.then(|| toml::from_str("url = \"https://hpr.example\"").unwrap());
            let mut found = Vec::new();
            authorisations_are_asked_about(&config, "2026-11-30", &mut found);
            found.len()
        };
        assert_eq!(refused("profile = \"helseid\"", false, false), 1);
        assert_eq!(refused("profile = \"helseid\"", true, false), 0);
        assert_eq!(refused("profile = \"helseid\"", false, true), 0);
        assert_eq!(refused("profile = \"id-porten\"", false, false), 0);
    }

    #[test]
    fn each_profile_is_complete_and_an_unknown_provider_says_everything() {
        let openid = HELSEID.replace("profile = \"helseid\"", "profile = \"openid\"");
        let complete = format!(
            "people = \"citizens\"\nhigh = [\"gold\"]\n{openid}\n[claims]\npid = \"pid\"\nlevel = \"acr\""
        );
        let idporten = HELSEID.replace("profile = \"helseid\"", "profile = \"id-porten\"");
        for good in [HELSEID, &idporten, &complete] {
            assert!(refused(&[good.to_owned()]).is_empty(), "{good}");
        }
        for (wrong, place) in [
            (openid.clone(), ""),
            (complete.replace("people = \"citizens\"\n", ""), ""),
            (complete.replace("high = [\"gold\"]\n", ""), ""),
            (complete.replace("level =", "levels ="), ""),
            (complete.replace("level = \"acr\"", ""), ""),
            (format!("algorithms = [\"HS256\"]\n{HELSEID}"), ""),
            (format!("scope = \"profile\"\n{HELSEID}"), ""),
            (HELSEID.replace("https:", "http:"), ".issuer"),
            (HELSEID.replace("https://helseid-sts", "helseid"), ".issuer"),
        ] {
            assert_eq!(
                refused(std::slice::from_ref(&wrong)),
                [format!("anchor.identity_provider.helseid{place}")],
                "{wrong}"
            );
        }
        assert_eq!(refused(&[HELSEID.to_owned(), HELSEID.to_owned()]).len(), 1);
    }
}
