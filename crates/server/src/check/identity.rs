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

/// Another issuer's people: whether the authorisation that their clients state is believed is said, and the services that take
/// its tokens are ones where such a token leads somewhere.
pub fn another_issuer_is_believed_in_words(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let Some(issuer) = &config.issuer else {
        return;
    };
    let is_for_people = |meant: &Vec<String>| meant.iter().any(|one| one.starts_with("user/"));
    if issuer.believe_stated_authorisations.is_none() && issuer.scopes.values().any(is_for_people) {
        found.push(Refusal::ours(
            "issuer.believe_stated_authorisations".into(),
            "people come with this issuer's tokens, and the authorisation in their attest is what their own system states: the issuer does not fill it in"
                .into(),
            "say false (it is left out, and they see what every registered person's work takes) or true (you believe those systems)",
        ));
    }
    let gateways = config
        .gateways()
        .map(|base| format!("{}/fhir", crate::roles::plain(base)));
    let locator = config
        .locator
        .as_ref()
        .map(|one| crate::roles::plain(&one.base));
    for audience in gateways.chain(locator) {
        if issuer.audiences.contains_key(&audience) {
            found.push(Refusal::ours(
                format!("issuer.audiences.{audience}"),
                "a look-up in the region needs a token for each source, which the anchor gives for its own tokens alone: with this issuer's it would end there"
                    .into(),
                "name the sharing services, the hub or the catalogue here; who looks up in the region signs in at the anchor, with this issuer as [[anchor.identity_provider]]",
            ));
        }
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
    fn another_issuers_people_and_places_are_named_in_words() {
        let refused = |change: fn(&mut crate::config::Issuer)| {
            let text = include_str!("../../../../config.default.toml");
            let mut config: Config = toml::from_str(text).unwrap();
            let mut issuer = toml::from_str(
                r#"
                profile = "helseid"
                issuer = "https://helseid-sts.test.nhn.no"
                [audiences]
                "https://delt.example/fjellvik/fhir" = "nhn:delt-fjellvik"
                [scopes]
                "nhn:delt-fjellvik/read" = ["user/*.rs"]
                "#,
            )
            .unwrap();
            change(&mut issuer);
            config.other_gateway = vec![crate::config::OtherGateway {
                orgnr: "310001007".into(),
                base: "https://gateway.fjellvik.example".parse().unwrap(),
            }];
            config.issuer = Some(issuer);
            let found = super::super::refusals(&config, "2026-11-30");
            found.into_iter().map(|one| one.setting).collect::<Vec<_>>()
        };
        const SAID: &str = "issuer.believe_stated_authorisations";
        assert_eq!(refused(|_| {}), [SAID]);
        assert!(refused(|one| one.believe_stated_authorisations = Some(false)).is_empty());
        assert!(refused(|one| one.believe_stated_authorisations = Some(true)).is_empty());
        // Where only systems come nothing needs to be said.
        assert!(
            refused(|one| one.scopes = [("x".into(), vec!["system/*.rs".into()])].into())
                .is_empty()
        );
        assert_eq!(
            refused(|one| {
                one.scopes = [("x".into(), vec!["system/*.c".into(), "user/*.r".into()])].into();
            }),
            [SAID]
        );
        for (base, place) in [
            ("https://delt.example/gateway/fhir", "gateway"),
            ("https://gateway.fjellvik.example/fhir", "another's gateway"),
            ("https://delt.example/locator", "locator"),
        ] {
            let found = refused(|one| {
                one.believe_stated_authorisations = Some(false);
                for base in [
                    "https://delt.example/gateway/fhir",
                    "https://gateway.fjellvik.example/fhir",
                    "https://delt.example/locator",
                ] {
                    one.audiences.insert(base.into(), "nhn:delt".into());
                }
            });
            assert!(
                found.contains(&format!("issuer.audiences.{base}")),
                "{place}: {found:?}"
            );
            assert_eq!(found.len(), 3);
        }
        // The hub and the catalogue take them.
        assert!(
            refused(|one| {
                one.believe_stated_authorisations = Some(false);
                one.audiences
                    .insert("https://delt.example/hub/fhir".into(), "nhn:hub".into());
            })
            .is_empty()
        );
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
