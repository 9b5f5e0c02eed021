//! What a sharing service is told to serve and to check must exist: no type and no profile is left out by a misspelt word.

use super::Refusal;
use crate::config::Config;
use fhir::definitions::Types;

/// Each type that a service names is one of R4.
pub fn types_are_known(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for service in &config.service {
        let at = || format!("service.{}.types", service.id);
        if let Err(why) = Types::named(&service.types) {
            found.push(Refusal::ours(
                at(),
                why.to_string(),
                "write FHIR's names, and `default` for those of the information services",
            ));
        }
        if service.types.is_empty() {
            found.push(Refusal::ours(
                at(),
                "a service without types serves nothing".into(),
                "leave it out for the default ones",
            ));
        }
    }
}
