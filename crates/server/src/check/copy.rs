//! What a service promises of its copy's age must be something that a feed can keep.

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
}
