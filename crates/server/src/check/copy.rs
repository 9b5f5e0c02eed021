//! What a service promises of its copy's age must be something that a feed can keep, and whom the hub expects must be somebody who can send.

use super::Refusal;
use crate::config::Config;

/// A promise of no age at all cannot be kept, and a feed that nobody registered is never heard.
pub fn age_can_be_kept(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for service in &config.service {
        let at = |setting: &str| format!("service.{}.{setting}", service.id);
        if service.max_lag_minutes == Some(0) {
            found.push(Refusal::ours(
                at("max_lag_minutes"),
                "no copy is as new as its source at every moment".into(),
                "write 1 or more, or leave it out: then the age is told and not judged",
            ));
        }
        if service.max_lag_minutes.is_none() && !service.feeds.is_empty() {
            found.push(Refusal::ours(
                at("feeds"),
                "feeds are named, and nothing is promised that they must keep".into(),
                "add max_lag_minutes, or leave feeds out",
            ));
        }
        for one in &service.expect {
            if one.quiet_minutes == 0 {
                found.push(Refusal::ours(
                    at("expect"),
                    format!("`{}` cannot be heard at every moment", one.client),
                    "write 1 minute or more",
                ));
            }
        }
        // The list of clients stands where the anchor runs.
        let expected = service.expect.iter().map(|one| &one.client);
        let named = service.feeds.iter().chain(expected);
        for feed in named.filter(|_| config.runs("anchor")) {
            if !config.client.iter().any(|client| client.client_id == *feed) {
                found.push(Refusal::ours(
                    at("feeds"),
                    format!("`{feed}` is no registered client: it would be late for ever"),
                    "name the record system's client_id as it stands in [[client]]",
                ));
            }
        }
    }
}

/// Nobody is heard at every moment, or who is not registered to send for the organisation.
pub fn senders_can_be_heard(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let expected = config.hub.iter().flat_map(|hub| &hub.expect);
    for (number, one) in expected.enumerate() {
        let mut refuse = |part: &str, why: String, remedy| {
            let at = format!("hub.expect[{number}].{part}");
            found.push(Refusal::ours(at, why, remedy));
        };
        if one.quiet_minutes == 0 {
            let why = format!("`{}` cannot be heard at every moment", one.sender);
            refuse("quiet_minutes", why, "write 1 minute or more");
        }
        let known = config.organisation.iter().any(|org| org.orgnr == one.orgnr);
        if !known {
            let why = format!("organisation {} is not in this file", one.orgnr);
            refuse("orgnr", why, "name the organisation that it sends for");
        }
        // The list of clients stands where the anchor runs.
        let sends = |client: &crate::config::Client| {
            client.client_id == one.sender
                && client.use_ == "home-system"
                && client.orgnr == one.orgnr
        };
        if config.runs("anchor") && !config.client.iter().any(sends) {
            let why = format!(
                "`{}` is no home system registered to send for {}: it would be silent for ever",
                one.sender, one.orgnr
            );
            let remedy = "name a home system's client_id and orgnr as they stand in [[client]]";
            refuse("sender", why, remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(minutes: Option<u32>, feeds: &[&str]) -> Vec<String> {
        let mut config: Config = toml::from_str(include_str!("../../../../config.default.toml"))
            .expect("the default file parses");
        config.service[0].max_lag_minutes = minutes;
        config.service[0].feeds = feeds.iter().map(|feed| (*feed).to_owned()).collect();
        config.client = vec![crate::config::Client {
            client_id: "epj".into(),
            orgnr: "310001074".into(),
            use_: "record-system".into(),
            jwk: "{}".into(),
            scopes: Vec::new(),
            audiences: Vec::new(),
            grants: Vec::new(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
        }];
        let mut found = Vec::new();
        age_can_be_kept(&config, "2026-11-22", &mut found);
        found.into_iter().map(|one| one.setting).collect()
    }

    #[test]
    fn a_promise_that_can_be_kept_is_taken_and_the_rest_refused_by_its_place() {
        assert!(refused(None, &[]).is_empty());
        assert!(refused(Some(1), &[]).is_empty());
        assert!(refused(Some(60), &["epj"]).is_empty());
        assert_eq!(refused(Some(0), &[]), ["service.proveheim.max_lag_minutes"]);
        assert_eq!(refused(None, &["epj"]), ["service.proveheim.feeds"]);
        assert_eq!(refused(Some(60), &["epk"]), ["service.proveheim.feeds"]);
    }

    #[test]
    fn whom_the_hub_expects_can_send_and_is_given_some_time() {
        let mut config: Config = toml::from_str(include_str!("../../../../config.default.toml"))
            .expect("the default file parses");
        config.client = toml::from_str::<toml::Table>(
            r#"client = [{ client_id = "home", orgnr = "310001007", use = "home-system", jwk = "{}", scopes = [], audiences = [] }]"#,
        )
        .and_then(|table| table["client"].clone().try_into())
        .expect("a client");
        let mut refused = |sender: &str, orgnr: &str, quiet_minutes: u32| {
            let hub = config.hub.as_mut().expect("a hub");
            hub.expect = vec![crate::config::ExpectSender {
                sender: sender.into(),
                orgnr: orgnr.into(),
                name: None,
                quiet_minutes,
            }];
            let mut found = Vec::new();
            senders_can_be_heard(&config, "2026-11-22", &mut found);
            let places = found.into_iter().map(|one| one.setting);
            places.collect::<Vec<_>>()
        };
        assert!(refused("home", "310001007", 1).is_empty());
        let minutes = refused("home", "310001007", 0);
        assert_eq!(minutes, ["hub.expect[0].quiet_minutes"]);
        assert_eq!(refused("hone", "310001007", 1), ["hub.expect[0].sender"]);
        assert_eq!(refused("home", "310001074", 1), ["hub.expect[0].sender"]);
        let nowhere = refused("home", "310009999", 1);
        assert_eq!(nowhere, ["hub.expect[0].orgnr", "hub.expect[0].sender"]);
    }
}
