//! Reads a plan: `fhir::plan` has the limits; here it gets its time, its organisation and its route.

use fhir::plan::PlanLimits;

use super::answer::{Match, Named};
use crate::calendar::{Calendar, Moment};

/// One version of a plan.
pub struct Plan {
    /// What it says. A plan whose limits cannot be read has its words alone, and [`Plan::unreadable`] set.
    pub says: PlanLimits,
    /// The limits are there but cannot be read: the page must say so, for no limit means something else.
    pub unreadable: bool,
    /// First moment in force.
    pub from: Option<Moment>,
    /// Last moment in force.
    pub to: Option<Moment>,
    /// Whose plan it is.
    pub organisation: Option<Named>,
    /// By which services it came.
    pub routes: Vec<String>,
}

impl Plan {
    /// Whether it was in force at a time.
    pub fn in_force(&self, millis: i64) -> bool {
        self.says.status != "entered-in-error"
            && self.from.is_none_or(|from| from.millis <= millis)
            && self.to.is_none_or(|to| millis < to.millis)
    }

    /// Whether it says that the patient breathes room air.
    pub fn air(&self) -> bool {
        let zero = fhir::measurement::Decimal::ZERO;
        self.says
            .standing
            .iter()
            .any(|standing| standing.kind == "oxygen-flow" && standing.value == zero)
    }
}

/// Reads a CarePlan.
pub fn plan(found: &Match<'_>, calendar: &Calendar) -> Plan {
    let node = found.resource;
    let (says, unreadable) = match PlanLimits::read(node) {
        Ok(says) => (says, false),
        Err(issues) => {
            tracing::warn!(findings = issues.len(), "a plan's limits cannot be read");
            let text = |name: &str| node.text(name).map(|text| text.into_owned());
            let end = |name: &str| {
                node.path(&["period", name])
                    .and_then(|date| date.str())
                    .map(|date| date.into_owned())
            };
            let words = PlanLimits {
                title: text("title").unwrap_or_default(),
                description: text("description"),
                status: text("status").unwrap_or_default(),
                start: end("start"),
                end: end("end"),
                ..PlanLimits::default()
            };
            (words, true)
        }
    };
    let moment = |text: &Option<String>| text.as_deref().and_then(|text| calendar.moment(text));
    Plan {
        from: moment(&says.start),
        to: moment(&says.end),
        organisation: says.author.as_ref().map(|author| Named {
            number: author.value.clone(),
            name: author.name.clone(),
        }),
        routes: found.routes.clone(),
        unreadable,
        says,
    }
}
