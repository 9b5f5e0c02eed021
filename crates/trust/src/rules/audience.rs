//! Audience (tenant): a token opens the one service it names.
//!
//! Source: RFC 8707 section 2; threats-and-faults section 4 ("the tenant in the route and in the token must agree").
//! Example: a token for Fjellvik's service, presented at Prøvebakken's on the same host, is refused.

use super::{Answer, Question, Rule, deny};

pub(super) const RULE: Rule = Rule {
    name: "audience",
    version: 1,
    source: "RFC 8707; threats-and-faults section 4",
    check,
};

fn check(question: &Question<'_>) -> Answer {
    if question.caller.audience == *question.facts.audience {
        Answer::NotMine
    } else {
        deny(
            "audience",
            "access_denied",
            "the token is for another service",
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::people::{Case, refused_by};

    #[test]
    fn another_tenant_is_refused() {
        let mut case = Case::practitioner();
        assert_eq!(refused_by(&case), None);
        case.caller.audience.push('x');
        assert_eq!(refused_by(&case), Some(("audience", "access_denied")));
        case.caller.audience = case.caller.audience.trim_end_matches("x").to_uppercase();
        assert_eq!(refused_by(&case), Some(("audience", "access_denied")));
    }
}
