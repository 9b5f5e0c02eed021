//! Reading a plan out of a CarePlan; the form is described in the parent module.

use super::{
    Action, Author, BASELINE, BASELINE_DELTA, Baseline, Criterion, MISSING, Missing, NEWS2_SCALE,
    PAUSE, Pause, PlanLimits, REPEATED, Repeated, Scale, Scheduled, Standing, VERSION, ZONE, Zone,
};
use crate::ids::{PersonIdentifier, PersonNumbers};
use crate::json::Node;
use crate::measurement::{self, Component, Decimal, Identified, Kind, Unit, ValueForm};
use crate::outcome::{Issue, IssueCode};
use std::borrow::Cow;
use std::cmp::Ordering;

/// Longest time in which readings are counted together, in minutes: a week. Whoever judges looks so far back from each reading.
const LONGEST_WITHIN: u32 = 7 * 24 * 60;

impl PlanLimits {
    /// Reads a CarePlan that has passed [`crate::check::check`]. A plan without limits gives an empty `criteria`;
    /// goals, activities and extensions of other kinds are passed over.
    ///
    /// # Errors
    /// Every finding in what claims to be a limit, an action, a schedule or a standing value: a limit that cannot
    /// be read must not be taken for no limit.
    pub fn read(node: Node<'_>) -> Result<Self, Vec<Issue>> {
        let mut reader = Reader {
            base: node,
            issues: Vec::new(),
        };
        if node.text("resourceType").is_none_or(|t| t != "CarePlan") {
            reader.issue(node, "", IssueCode::Structure, "a CarePlan was expected");
            return Err(reader.issues);
        }
        let text = |name: &str| node.text(name).map(|t| t.into_owned());
        let period = |end: &str| {
            node.path(&["period", end])
                .and_then(|n| n.str())
                .map(|t| t.into_owned())
        };
        let mut plan = Self {
            title: text("title").unwrap_or_default(),
            description: text("description"),
            version: extension(node, VERSION)
                .and_then(|e| e.text("valueString"))
                .map(|v| v.into_owned()),
            status: text("status").unwrap_or_default(),
            identifier: node
                .get("identifier")
                .and_then(|i| i.items().next())
                .and_then(identifier),
            replaces: node
                .get("replaces")
                .and_then(|r| r.items().next())
                .and_then(|r| identifier(r.get("identifier")?)),
            start: period("start"),
            end: period("end"),
            patient: node.path(&["subject", "identifier"]).and_then(patient),
            author: node.get("author").and_then(author),
            ..Self::default()
        };
        for contained in node.get("contained").into_iter().flat_map(Node::items) {
            match contained.text("resourceType").as_deref() {
                Some("Goal") => {
                    for target in contained.get("target").into_iter().flat_map(Node::items) {
                        plan.criteria.extend(reader.criterion(target));
                    }
                }
                Some("Observation") if is_supporting(node, contained) => {
                    plan.standing.extend(reader.standing(contained));
                }
                _ => {}
            }
        }
        for detail in node.all(&["activity", "detail"]) {
            if let Some(zone) = extension(detail, ZONE) {
                let zone = reader.zone(zone);
                let text = reader.required_text(detail, "description");
                plan.actions
                    .extend(zone.zip(text).map(|(zone, text)| Action { zone, text }));
            } else if detail.get("scheduledTiming").is_some() {
                plan.schedule.extend(reader.scheduled(detail));
            }
        }
        plan.missing = extension(node, MISSING).and_then(|e| reader.missing(e));
        plan.news2 = extension(node, NEWS2_SCALE).and_then(|e| reader.scale(e));
        for pause in node.get("extension").into_iter().flat_map(Node::items) {
            if pause.text("url").is_some_and(|url| url == PAUSE) {
                plan.pauses.extend(reader.pause(pause));
            }
        }
        if reader.issues.is_empty() {
            Ok(plan)
        } else {
            Err(reader.issues)
        }
    }
}

/// The extension with this url.
fn extension<'a>(node: Node<'a>, url: &str) -> Option<Node<'a>> {
    node.get("extension")?
        .items()
        .find(|e| e.text("url").is_some_and(|u| u == url))
}

fn identifier(node: Node<'_>) -> Option<(String, String)> {
    Some((
        node.text("system")?.into_owned(),
        node.text("value")?.into_owned(),
    ))
}

fn patient(node: Node<'_>) -> Option<PersonIdentifier> {
    // The number has been checked as strictly as the deployment asks when the plan came in.
    PersonIdentifier::read(node, PersonNumbers::Lenient)
}

fn author(node: Node<'_>) -> Option<Author> {
    let (system, value) = identifier(node.get("identifier")?)?;
    Some(Author {
        system,
        value,
        name: node.text("display").map(|n| n.into_owned()),
    })
}

fn is_supporting(plan: Node<'_>, contained: Node<'_>) -> bool {
    let Some(id) = contained.text("id") else {
        return false;
    };
    let references = plan.all(&["supportingInfo", "reference"]);
    references
        .iter()
        .any(|r| r.str().is_some_and(|r| r.strip_prefix('#') == Some(&id)))
}

/// The codings of a CodeableConcept.
fn codes<'a>(owner: Node<'a>, member: &str) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let codings = owner
        .path(&[member, "coding"])
        .into_iter()
        .flat_map(Node::items);
    codings
        .filter_map(|c| Some((c.text("system")?, c.text("code")?)))
        .collect()
}

fn pairs<'p>(
    codes: &'p [(Cow<'_, str>, Cow<'_, str>)],
) -> impl Iterator<Item = (&'p str, &'p str)> + Clone {
    codes.iter().map(|(s, c)| (s.as_ref(), c.as_ref()))
}

fn identify(owner: Node<'_>, member: &str) -> Identified {
    measurement::identify(pairs(&codes(owner, member)))
}

struct Reader<'a> {
    base: Node<'a>,
    issues: Vec<Issue>,
}

impl<'a> Reader<'a> {
    fn issue(&mut self, node: Node<'a>, member: &str, code: IssueCode, words: &str) {
        let mut place = node.expression_from(self.base);
        if !member.is_empty() {
            place.push('.');
            place.push_str(member);
        }
        self.issues.push(Issue::error(code, place, words));
    }

    fn required_text(&mut self, node: Node<'a>, name: &str) -> Option<String> {
        let text = node.text(name).filter(|t| !t.is_empty());
        if text.is_none() {
            self.issue(node, name, IssueCode::Required, "a text was expected");
        }
        text.map(|t| t.into_owned())
    }

    fn zone(&mut self, extension: Node<'a>) -> Option<Zone> {
        let code = extension
            .path(&["valueCoding", "code"])
            .and_then(|c| c.str());
        let zone = code.and_then(|c| Zone::parse(&c));
        if zone.is_none() {
            let words = "a zone was expected: valueCoding with the code green, yellow or red";
            self.issue(extension, "valueCoding", IssueCode::CodeInvalid, words);
        }
        zone
    }

    fn kind(&mut self, owner: Node<'a>, member: &str) -> Option<&'static Kind> {
        match identify(owner, member) {
            Identified::Kind(kind) => Some(kind),
            Identified::Unknown | Identified::Contradiction => {
                let words = "the code of one known kind of measurement was expected";
                self.issue(owner, member, IssueCode::CodeInvalid, words);
                None
            }
        }
    }

    /// What a limit is about: a kind, or the part of one whose value is in its parts.
    fn measure(&mut self, target: Node<'a>) -> Option<(&'static Kind, Option<&'static Component>)> {
        if let Some((kind, part)) = measurement::part_of(pairs(&codes(target, "measure"))) {
            return Some((kind, Some(part)));
        }
        let kind = self.kind(target, "measure")?;
        if kind.quantity == ValueForm::None {
            let parts: Vec<_> = kind.components.iter().map(|c| c.en.as_str()).collect();
            let words = format!(
                "a limit of {} is about one of its parts, by that part's code: {}",
                kind.en,
                parts.join(", ")
            );
            self.issue(target, "measure", IssueCode::CodeInvalid, &words);
            return None;
        }
        Some((kind, None))
    }

    /// A Quantity in one of these units.
    fn quantity(&mut self, quantity: Node<'a>, units: &[Unit]) -> Option<(Decimal, String)> {
        let value = quantity
            .get("value")
            .and_then(|v| v.number())
            .and_then(Decimal::parse);
        if value.is_none() {
            self.issue(
                quantity,
                "value",
                IssueCode::Required,
                "a number was expected",
            );
        }
        let unit = quantity
            .text("code")
            .filter(|code| units.iter().any(|unit| unit.code == *code));
        if unit.is_none() {
            let words = "a unit in which the kind is measured was expected";
            self.issue(quantity, "code", IssueCode::CodeInvalid, words);
        }
        value.zip(unit.map(|u| u.into_owned()))
    }

    /// A Goal's target; `None` also for one that is no limit of ours.
    fn criterion(&mut self, target: Node<'a>) -> Option<Criterion> {
        let zone = self.zone(extension(target, ZONE)?);
        let (kind, part) = self.measure(target)?;
        let units = part.map_or(&kind.units, |part| &part.units);
        let range = target.get("detailRange");
        let (low, high) = (
            range.and_then(|r| r.get("low")),
            range.and_then(|r| r.get("high")),
        );
        let delta = extension(target, BASELINE_DELTA);
        if low.is_none() && high.is_none() && delta.is_none() {
            let words = "a limit needs low or high";
            self.issue(target, "detailRange", IssueCode::Required, words);
            return None;
        }
        let mut side = |side: Option<Node<'a>>| side.map(|q| self.quantity(q, units));
        let (low, high) = (side(low), side(high));
        let mut of = |e: Node<'a>| match e.get("valueQuantity") {
            Some(quantity) => self.quantity(quantity, units),
            None => {
                let words = "a quantity was expected";
                self.issue(e, "valueQuantity", IssueCode::Required, words);
                None
            }
        };
        let baseline = extension(target, BASELINE).map(&mut of);
        let delta = delta.map(&mut of);
        let repeated = extension(target, REPEATED).map(|e| self.repeated(e));
        // A side that is there but could not be read has its finding; nothing is built on half a limit.
        let (low, high, baseline, delta, repeated) = (
            all_or_nothing(low)?,
            all_or_nothing(high)?,
            all_or_nothing(baseline)?,
            all_or_nothing(delta)?,
            all_or_nothing(repeated)?,
        );
        let units: Vec<_> = [&low, &high, &baseline, &delta]
            .into_iter()
            .flatten()
            .map(|(_, unit)| unit)
            .collect();
        let unit = (*units.first()?).clone();
        if units.iter().any(|u| **u != unit) {
            self.issue(
                target,
                "detailRange",
                IssueCode::Value,
                "one unit was expected throughout a limit",
            );
            return None;
        }
        let value = |side: Option<(Decimal, String)>| side.map(|(value, _)| value);
        let (mut low, mut high, delta) = (value(low), value(high), value(delta));
        let baseline = value(baseline).map(|value| Baseline { value, delta });
        if let Some(delta) = delta {
            let limit = baseline.and_then(|baseline| baseline.value.plus(delta));
            let side = match delta.cmp(&Decimal::ZERO) {
                Ordering::Greater => Some(&mut low),
                Ordering::Less => Some(&mut high),
                Ordering::Equal => None,
            };
            let Some((limit, side)) = limit.zip(side) else {
                let words = "a delta needs a baseline, and is above it or below it";
                self.issue(target, "", IssueCode::Value, words);
                return None;
            };
            if side.is_some_and(|said| said != limit) {
                let words = format!(
                    "the limit is said to be another than the baseline and its delta give, which is {limit}"
                );
                self.issue(target, "detailRange", IssueCode::Value, &words);
                return None;
            }
            *side = Some(limit);
        }
        if low.zip(high).is_some_and(|(low, high)| low > high) {
            self.issue(target, "detailRange", IssueCode::Value, "low is above high");
            return None;
        }
        Some(Criterion {
            kind: kind.id.clone(),
            part: part.map(|part| part.id.clone()),
            zone: zone?,
            low,
            high,
            unit,
            repeated,
            baseline,
        })
    }

    fn repeated(&mut self, node: Node<'a>) -> Option<Repeated> {
        let count = extension(node, "count")
            .and_then(|e| e.get("valuePositiveInt")?.number()?.parse().ok());
        let within = extension(node, "within").and_then(|e| e.get("valueDuration"));
        let minutes = within.and_then(|duration| {
            let value: u32 = duration.get("value")?.number()?.parse().ok()?;
            match duration.text("code").as_deref()? {
                "min" => Some(value),
                "h" => value.checked_mul(60),
                "d" => value.checked_mul(24 * 60),
                _ => None,
            }
        });
        let rule = count
            .filter(|c| *c >= 2)
            .zip(minutes.filter(|m| (1..=LONGEST_WITHIN).contains(m)));
        if rule.is_none() {
            let words = "count (2 or more) and within (a whole Duration in min, h or d, at most 7 days) were expected";
            self.issue(node, "", IssueCode::Value, words);
        }
        rule.map(|(count, within_minutes)| Repeated {
            count,
            within_minutes,
        })
    }

    fn standing(&mut self, observation: Node<'a>) -> Option<Standing> {
        let kind = self.kind(observation, "code")?;
        let Some(quantity) = observation.get("valueQuantity") else {
            let words = "a standing value is given as valueQuantity";
            self.issue(observation, "valueQuantity", IssueCode::Required, words);
            return None;
        };
        let (value, unit) = self.quantity(quantity, &kind.units)?;
        let text = observation
            .path(&["code", "text"])
            .and_then(|t| t.str())
            .map(|t| t.into_owned());
        Some(Standing {
            kind: kind.id.clone(),
            value,
            unit,
            text,
        })
    }

    fn scheduled(&mut self, detail: Node<'a>) -> Option<Scheduled> {
        let kind = self.kind(detail, "code")?;
        let list = |name: &str| -> Vec<String> {
            let items = detail
                .path(&["scheduledTiming", "repeat", name])
                .into_iter()
                .flat_map(Node::items);
            items
                .filter_map(|i| i.str().map(|s| s.into_owned()))
                .collect()
        };
        let bound = |end: &str| {
            detail
                .path(&["scheduledTiming", "repeat", "boundsPeriod", end])
                .and_then(|n| n.str())
                .map(|t| t.into_owned())
        };
        Some(Scheduled {
            kind: kind.id.clone(),
            days: list("dayOfWeek"),
            times: list("timeOfDay"),
            from: bound("start"),
            through: bound("end"),
        })
    }

    fn scale(&mut self, node: Node<'a>) -> Option<Scale> {
        let number = node
            .get("valuePositiveInt")
            .and_then(|n| n.number()?.parse().ok());
        let scale = number.and_then(Scale::numbered);
        if scale.is_none() {
            let words = "valuePositiveInt 1 or 2 was expected: the scale of NEWS2";
            self.issue(node, "valuePositiveInt", IssueCode::Value, words);
        }
        scale
    }

    fn pause(&mut self, node: Node<'a>) -> Option<Pause> {
        let period = extension(node, "period").and_then(|e| e.get("valuePeriod"));
        let text = extension(node, "text").and_then(|e| e.text("valueString"));
        let Some((period, text)) = period.zip(text) else {
            let words = "period (Period) and text (string) were expected";
            self.issue(node, "", IssueCode::Required, words);
            return None;
        };
        let end = |name: &str| period.text(name).map(|t| t.into_owned());
        let (from, until) = (end("start"), end("end"));
        if from.is_none() && until.is_none() {
            let words = "a pause needs a start or an end";
            self.issue(node, "", IssueCode::Required, words);
            return None;
        }
        Some(Pause {
            from,
            until,
            text: text.into_owned(),
        })
    }

    fn missing(&mut self, node: Node<'a>) -> Option<Missing> {
        let in_a_row: Option<u32> = extension(node, "in-a-row")
            .and_then(|e| e.get("valuePositiveInt")?.number()?.parse().ok());
        let text = |url: &str, member: &str| {
            extension(node, url)
                .and_then(|e| e.text(member))
                .map(|t| t.into_owned())
        };
        let missing = in_a_row
            .filter(|n| *n > 0)
            .zip(text("by", "valueTime"))
            .zip(text("text", "valueString"));
        if missing.is_none() {
            let words = "in-a-row (positiveInt), by (time) and text (string) were expected";
            self.issue(node, "", IssueCode::Required, words);
        }
        missing.map(|((in_a_row, by), text)| Missing { in_a_row, by, text })
    }
}

/// `None` when something was there and could not be read.
fn all_or_nothing<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(some) => Some(some),
    }
}
