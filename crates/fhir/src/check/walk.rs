//! The structural check: a resource against the element tables, all findings at once.
//!
//! Standard: FHIR R4 JSON format (section 2.6.2) and the element rules of `definitions`. Unknown elements are
//! refused; so are modifier extensions and implicit rules, which must not be ignored and which Delt does not know.

use super::Rules;
use super::findings::Findings;
use super::invariants;
use super::primitive::{self, Unfit};
use crate::definitions::Definitions;
use crate::definitions::elements::{Element, Kind as Type, Table, Use};
use crate::definitions::values::ValueSet;
use crate::json::{Kind, Node};
use crate::outcome::IssueCode;
use crate::resource::ResourceType;
use std::borrow::Cow;

/// The most contained resources in one (`spec/threats-and-faults` section 4).
const MOST_CONTAINED: usize = 100;

/// One walk through one resource.
pub(super) struct Walk<'a, 'r> {
    pub(super) findings: Findings<'a>,
    rules: &'r Rules,
    /// The innermost resource that is not contained in another: where `#id` is looked up.
    container: Node<'a>,
    /// The resource that is walked, contained or not.
    resource: Option<(Node<'a>, &'static Table)>,
}

impl<'a, 'r> Walk<'a, 'r> {
    pub(super) fn new(base: Node<'a>, rules: &'r Rules) -> Self {
        Self {
            findings: Findings::of(base),
            rules,
            container: base,
            resource: None,
        }
    }

    /// A whole resource.
    pub(super) fn resource(&mut self, node: Node<'a>, contained: bool) {
        if node.kind() != Kind::Object {
            self.findings.at(
                node,
                IssueCode::Structure,
                "a resource (a JSON object) was expected",
            );
            return;
        }
        let Some(name) = node.get("resourceType") else {
            self.findings.below(
                node,
                "resourceType",
                IssueCode::Structure,
                "resourceType is missing",
            );
            return;
        };
        let Some(resource_type) = name.str().and_then(|name| ResourceType::parse(&name)) else {
            self.findings.at(
                name,
                IssueCode::Structure,
                "resourceType is not a type of FHIR R4",
            );
            return;
        };
        let outer = self.container;
        if contained {
            if node.get("id").is_none() {
                let words = "a contained resource needs an id, so that it can be referred to";
                self.findings.below(node, "id", IssueCode::Required, words);
            }
            if let Some(inner) = node.get("contained") {
                self.findings.at(
                    inner,
                    IssueCode::Invariant,
                    "a contained resource holds no further ones (dom-2)",
                );
            }
        } else {
            let inner = node.get("contained");
            if let Some(inner) = inner.filter(|c| c.items().nth(MOST_CONTAINED).is_some()) {
                let words = format!("more than {MOST_CONTAINED} contained resources");
                self.findings.at(inner, IssueCode::TooCostly, words);
                return;
            }
            self.container = node;
        }
        // A test proves that every type has rules.
        if let Some(table) = Definitions::get().elements(resource_type.as_str()) {
            let outer = self.resource.replace((node, table));
            self.object(node, table);
            self.resource = outer;
        }
        self.container = outer;
        if !contained {
            invariants::stray(&mut self.findings, node);
        }
    }

    /// An object whose type has a table.
    fn object(&mut self, node: Node<'a>, table: &'static Table) {
        if node.kind() != Kind::Object {
            let words = format!(
                "a JSON object ({}) was expected, {} was found",
                table.name,
                kind(node)
            );
            self.findings.at(node, IssueCode::Structure, words);
            return;
        }
        // 0: not there, 1: there, 2: more than one choice.
        let mut seen = vec![0_u8; table.elements.len()];
        let mut members = 0;
        for (name, value) in node.members() {
            if self.findings.full() {
                return;
            }
            members += 1;
            if table.resource && name == "resourceType" {
                continue;
            }
            let (stem, sibling) = name
                .strip_prefix('_')
                .map_or((name.as_ref(), false), |stem| (stem, true));
            let found = table
                .find(stem)
                .filter(|(_, _, used)| !sibling || matches!(used.kind, Type::Primitive(_)));
            let Some((at, element, used)) = found else {
                let words = format!("{} has no such element in FHIR R4", table.name);
                self.findings.at(value, IssueCode::Structure, words);
                continue;
            };
            let twin = if sibling {
                node.get(stem)
            } else {
                sibling_of(node, &name, value, used.kind)
            };
            if sibling {
                self.sibling(value, twin, element);
                // Data absent is said by an extension; but a code that we act on must be there.
                if twin.is_none() && element.binding.is_none() {
                    seen[at] = seen[at].saturating_add(1);
                }
            } else {
                seen[at] = seen[at].saturating_add(1);
                self.member(value, twin, element, used);
            }
        }
        if members == usize::from(table.resource) {
            let words = format!("an empty object: {} needs at least one element", table.name);
            self.findings.at(node, IssueCode::Structure, words);
        }
        for (element, count) in table.elements.iter().zip(&seen) {
            if *count == 0 && element.required {
                let words = format!(
                    "{} is missing in {}; 1 or more expected",
                    element.name, table.name
                );
                self.findings
                    .below(node, element.name, IssueCode::Required, words);
            }
            if *count > 1 {
                let words = format!("only one of the types of {} may be given", element.name);
                self.findings
                    .below(node, element.name, IssueCode::Structure, words);
            }
        }
        let resource = self.resource.unwrap_or((node, table));
        invariants::check(&mut self.findings, node, table, resource);
    }

    /// A member's value: alone or in an array, as the element asks.
    fn member(
        &mut self,
        value: Node<'a>,
        twin: Option<Node<'a>>,
        element: &'static Element,
        used: &'static Use,
    ) {
        match (element.many, value.kind() == Kind::Array) {
            (false, false) => self.value(value, element, used),
            (false, true) => {
                self.findings.at(
                    value,
                    IssueCode::Structure,
                    "one value was expected, an array was found",
                );
            }
            (true, false) => {
                let words = "the element repeats: an array was expected, one value was found";
                self.findings.at(value, IssueCode::Structure, words);
            }
            (true, true) => {
                let mut empty = true;
                let mut twins = twin.map(|t| t.items());
                for item in value.items() {
                    empty = false;
                    let twin = twins.as_mut().and_then(Iterator::next);
                    if self.findings.full() {
                        return;
                    }
                    // In an array of primitives null keeps the place of a value that only has an extension.
                    let placeholder = item.kind() == Kind::Null
                        && matches!(used.kind, Type::Primitive(_))
                        && twin.is_some_and(|t| t.kind() == Kind::Object);
                    if !placeholder {
                        self.value(item, element, used);
                    }
                }
                if empty {
                    self.findings.at(
                        value,
                        IssueCode::Structure,
                        "an empty array: leave the element out instead",
                    );
                }
            }
        }
    }

    fn value(&mut self, value: Node<'a>, element: &'static Element, used: &'static Use) {
        match used.kind {
            Type::Resource => self.resource(value, element.name == "contained"),
            Type::Complex(place) => {
                let table = Definitions::get().at(place);
                self.object(value, table);
                match (table.name, element.binding) {
                    ("Reference", _) => self.reference(value, used),
                    ("CodeableConcept", Some(set)) => self.concept(value, element, set),
                    _ => {}
                }
                if element.name == "modifierExtension" {
                    let words = "a modifier extension changes the meaning and must be understood; Delt knows none";
                    self.findings.at(value, IssueCode::Extension, words);
                }
            }
            Type::Primitive(primitive) => {
                match primitive.accepts(value, &self.rules.zone) {
                    Ok(()) => {}
                    Err(Unfit::Json { expected }) => {
                        let words = format!(
                            "a JSON {expected} was expected, {} was found",
                            self::kind(value)
                        );
                        self.findings.at(value, IssueCode::Structure, words);
                        return;
                    }
                    Err(Unfit::Empty) => {
                        self.findings.at(
                            value,
                            IssueCode::Value,
                            "an empty string: leave the element out instead",
                        );
                        return;
                    }
                    Err(Unfit::Form { expected, why }) => {
                        let why = why.map_or_else(String::new, |why| format!(": {why}"));
                        self.findings.at(
                            value,
                            IssueCode::Value,
                            format!("{expected} was expected{why}"),
                        );
                        return;
                    }
                }
                if let Some(set) = element.binding
                    && !value.str().is_some_and(|code| set.contains_code(&code))
                {
                    let words = format!("{} must be {}", element.name, one_of(set));
                    self.findings.at(value, IssueCode::CodeInvalid, words);
                }
                if element.name == "implicitRules" {
                    let words = "implicit rules must be understood; Delt knows none";
                    self.findings.at(value, IssueCode::NotSupported, words);
                }
            }
        }
    }

    /// `_name`: id and extensions of a primitive, or an array of such with nulls between.
    fn sibling(&mut self, value: Node<'a>, twin: Option<Node<'a>>, element: &Element) {
        let Some(table) = Definitions::get().elements("Element") else {
            return;
        };
        if !element.many {
            self.object(value, table);
            return;
        }
        if value.kind() != Kind::Array {
            let words = "the element repeats: an array was expected, one value was found";
            self.findings.at(value, IssueCode::Structure, words);
            return;
        }
        let mut empty = true;
        for item in value.items() {
            empty = false;
            if item.kind() != Kind::Null {
                self.object(item, table);
            }
        }
        if empty {
            self.findings.at(
                value,
                IssueCode::Structure,
                "an empty array: leave the element out instead",
            );
        }
        if twin
            .is_some_and(|t| t.kind() == Kind::Array && t.items().count() != value.items().count())
        {
            let words = "the array of values and the array of their extensions differ in length";
            self.findings.at(value, IssueCode::Structure, words);
        }
    }

    /// A concept that must be coded from one value set: at least one of its codings is.
    fn concept(&mut self, value: Node<'a>, element: &Element, set: &ValueSet) {
        let is_in = |coding: Node<'_>| {
            let (system, code) = (coding.text("system"), coding.text("code"));
            matches!((system, code), (Some(system), Some(code)) if set.contains(&system, &code))
        };
        let codings = value.get("coding");
        if !codings.is_some_and(|all| all.kind() == Kind::Array && all.items().any(is_in)) {
            let words = format!(
                "{} must have a coding that is {}",
                element.name,
                one_of(set)
            );
            self.findings.at(value, IssueCode::CodeInvalid, words);
        }
    }

    /// Whether a reference has a form that FHIR knows and points to a type that the element allows.
    fn reference(&mut self, node: Node<'a>, used: &Use) {
        let allowed = |name: &str| used.targets.is_empty() || used.targets.contains(&name);
        let expected = || used.targets.join(", ");
        if let Some(name) = node.get("type") {
            let target = name.str().and_then(|n| ResourceType::parse(&n));
            if let Some(target) = target.filter(|t| !allowed(t.as_str())) {
                let words = format!(
                    "{target} is no type that this may refer to; expected {}",
                    expected()
                );
                self.findings.at(name, IssueCode::Value, words);
            }
        }
        let Some((at, text)) = node.get("reference").and_then(|at| Some((at, at.str()?))) else {
            return;
        };
        match Target::of(&text) {
            Target::Contained(id) => {
                let inner = self.contained(id);
                match (inner, id.is_empty()) {
                    (None, false) => {
                        let words = "no contained resource has this id (ref-1)";
                        self.findings.at(at, IssueCode::Invariant, words);
                    }
                    (Some(name), _) if !allowed(&name) => {
                        let words = format!(
                            "the contained {name} is no type for this; expected {}",
                            expected()
                        );
                        self.findings.at(at, IssueCode::Value, words);
                    }
                    _ => {}
                }
            }
            Target::Resource(target) => {
                if !allowed(target.as_str()) {
                    let words = format!(
                        "{target} is no type that this may refer to; expected {}",
                        expected()
                    );
                    self.findings.at(at, IssueCode::Value, words);
                }
            }
            Target::Elsewhere => {}
            Target::Nothing => {
                let words = "a reference TYPE/ID, #ID, urn:uuid:… or an absolute URL was expected";
                self.findings.at(at, IssueCode::Value, words);
            }
        }
    }

    /// The type of the contained resource with this id.
    fn contained(&self, id: &str) -> Option<Cow<'a, str>> {
        let mut inner = self.container.get("contained")?.items();
        inner
            .find(|r| r.text("id").is_some_and(|own| own == id))?
            .text("resourceType")
    }
}

/// `_name` beside `name`, looked for only where it can matter: beside an array of primitives.
fn sibling_of<'a>(node: Node<'a>, name: &str, value: Node<'a>, kind: Type) -> Option<Node<'a>> {
    let matters = matches!(kind, Type::Primitive(_)) && value.kind() == Kind::Array;
    matters.then(|| node.get(&format!("_{name}"))).flatten()
}

/// Most codes that a finding names.
const NAMED: usize = 40;

/// A value set in words: its codes, or where many, its address.
fn one_of(set: &ValueSet) -> String {
    if set.all().nth(NAMED).is_some() {
        return format!("a code of {}", set.address());
    }
    let systems: Vec<&str> = set.codes.iter().map(|c| c.system).collect();
    let codes: Vec<&str> = set.all().collect();
    format!("one of {} ({})", codes.join(", "), systems.join(", "))
}

fn kind(node: Node<'_>) -> &'static str {
    match node.kind() {
        Kind::Object => "an object",
        Kind::Array => "an array",
        Kind::String => "a string",
        Kind::Number => "a number",
        Kind::Bool => "a boolean",
        Kind::Null => "null",
    }
}

/// What a literal reference points to.
enum Target<'t> {
    /// `#id`; empty: the containing resource.
    Contained(&'t str),
    /// A resource of this type, here or at an absolute URL.
    Resource(ResourceType),
    /// A URN or a URL that does not show a type.
    Elsewhere,
    /// No form that FHIR has.
    Nothing,
}

impl<'t> Target<'t> {
    fn of(text: &'t str) -> Self {
        if let Some(id) = text.strip_prefix('#') {
            return if id.is_empty() || primitive::is_id(id) {
                Self::Contained(id)
            } else {
                Self::Nothing
            };
        }
        if text.chars().any(char::is_whitespace) {
            return Self::Nothing;
        }
        let path = text.split_once("/_history/").map_or(text, |(path, _)| path);
        let mut steps = path.rsplit('/');
        let (id, name) = (
            steps.next().unwrap_or_default(),
            steps.next().unwrap_or_default(),
        );
        let target = ResourceType::parse(name).filter(|_| primitive::is_id(id));
        let absolute = text.starts_with("http://") || text.starts_with("https://");
        match target {
            Some(target) if absolute || steps.next().is_none() => Self::Resource(target),
            _ if absolute || text.starts_with("urn:") => Self::Elsewhere,
            _ => Self::Nothing,
        }
    }
}
