//! FHIRPath, the part of it that FHIR's own invariants are written in: whether one holds at an object.
//!
//! Standard: FHIRPath N1 (2.0.0) with FHIR's additions (`hasValue`, `%resource`, `%ucum`, choices by their stem).
//! Three-valued: an invariant is broken only where it says so, not where it says nothing (dates of unlike precision).

mod parse;
#[cfg(test)]
mod tests;

use crate::definitions::Definitions;
use crate::definitions::elements::{Kind as Type, Table};
use crate::json::{Kind, Node};
use crate::measurement::Decimal;
use crate::time::{self, Zone};
use parse::{Expr, Function, Operator, Typed};
use std::borrow::Cow;
use std::cmp::Ordering;

/// An expression that was understood.
#[derive(Debug)]
pub(crate) struct Path(Expr);

impl Path {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is not understood of it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse::parse(text).map(Self)
    }

    /// Where it is false: `node`, an object of `table` within `resource`, or those values of its `member`.
    pub(super) fn broken<'a>(
        &self,
        (node, table): (Node<'a>, &'static Table),
        member: Option<&str>,
        resource: (Node<'a>, &'static Table),
    ) -> Vec<Node<'a>> {
        let object = Held::object(node, table);
        let resource = Item::Node(Held::object(resource.0, resource.1));
        let mut places = Vec::new();
        match member {
            None => places.push(Item::Node(object)),
            Some(name) => object.member(name.strip_suffix("[x]").unwrap_or(name), &mut places),
        }
        let is_false = |context: Item<'a>| {
            let Item::Node(held) = context else {
                return None;
            };
            let run = Run {
                resource: resource.clone(),
                context,
            };
            (run.truth(&self.0, &run.context) == Some(false)).then_some(held.node)
        };
        places.into_iter().filter_map(is_false).collect()
    }
}

/// Something in the JSON, and what it is by the element rules.
#[derive(Clone, Copy)]
struct Held<'a> {
    node: Node<'a>,
    /// The FHIR type.
    name: &'static str,
    table: Option<&'static Table>,
    /// Whether only extensions stand where a primitive should.
    valueless: bool,
}

impl<'a> Held<'a> {
    fn object(node: Node<'a>, table: &'static Table) -> Self {
        Self {
            node,
            name: table.name,
            table: Some(table),
            valueless: false,
        }
    }

    /// What a member holds; a choice goes by its stem.
    fn member(self, name: &str, into: &mut Vec<Item<'a>>) {
        let Some(table) = self.table else { return };
        let is_choice = || {
            let stem = |e: &&&crate::definitions::elements::Element| {
                e.name.strip_suffix("[x]") == Some(name)
            };
            table.elements.iter().any(|e| stem(&e))
        };
        if table.find(name).is_some() {
            self.json_member(name, into);
        } else if is_choice() {
            for (member, _) in self.node.members() {
                let bare = member.strip_prefix('_').unwrap_or(&member);
                let rest = bare.strip_prefix(name);
                let ours =
                    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
                if ours && table.find(bare).is_some() {
                    self.json_member(bare, into);
                    return;
                }
            }
        }
    }

    fn json_member(self, name: &str, into: &mut Vec<Item<'a>>) {
        let Some((_, _, used)) = self.table.and_then(|table| table.find(name)) else {
            return;
        };
        let of = |node: Node<'a>| {
            let (name, table) = match used.kind {
                Type::Primitive(_) => (used.name, None),
                Type::Complex(place) => (used.name, Some(Definitions::get().at(place))),
                Type::Resource => {
                    let table = node
                        .text("resourceType")
                        .and_then(|name| Definitions::get().elements(&name));
                    (table.map_or(used.name, |table| table.name), table)
                }
            };
            Item::Node(Held {
                node,
                name,
                table,
                valueless: false,
            })
        };
        match self.node.get(name) {
            Some(found) if found.kind() == Kind::Array => {
                into.extend(found.items().filter(|n| n.kind() != Kind::Null).map(of));
            }
            Some(found) => into.push(of(found)),
            None if matches!(used.kind, Type::Primitive(_)) => {
                if let Some(node) = self.node.get(&format!("_{name}")) {
                    into.push(Item::Node(Held {
                        node,
                        name: used.name,
                        table: None,
                        valueless: true,
                    }));
                }
            }
            None => {}
        }
    }

    /// Everything below, each level after the one above it.
    fn descendants(self, into: &mut Vec<Item<'a>>) {
        let Some(table) = self.table else { return };
        let mut below = Vec::new();
        for (name, _) in self.node.members() {
            if table.find(&name).is_some() {
                self.json_member(&name, &mut below);
            }
        }
        into.extend(below.iter().cloned());
        for item in below {
            if let Item::Node(held) = item {
                held.descendants(into);
            }
        }
    }
}

/// One of what an expression gives.
#[derive(Clone)]
enum Item<'a> {
    Node(Held<'a>),
    Text(Cow<'a, str>),
    Number(Decimal),
    Bool(bool),
}

impl<'a> Item<'a> {
    fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Item::Node(held) => held.node.str(),
            Item::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn number(&self) -> Option<Decimal> {
        match self {
            Item::Node(held) => Decimal::parse(held.node.number()?),
            Item::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn bool(&self) -> Option<bool> {
        match self {
            Item::Node(held) => held.node.bool(),
            Item::Bool(value) => Some(*value),
            _ => None,
        }
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Item::Node(a), Item::Node(b)) => same(a.node, b.node),
            (a, b) => {
                let texts = a.text().zip(b.text()).map(|(a, b)| a == b);
                let numbers = || a.number().zip(b.number()).map(|(a, b)| a == b);
                let bools = || a.bool().zip(b.bool()).map(|(a, b)| a == b);
                texts.or_else(numbers).or_else(bools).unwrap_or(false)
            }
        }
    }

    /// The order of two numbers or two dates; `None` where there is none, or where their precisions leave it open.
    fn order(&self, other: &Self) -> Option<Ordering> {
        if let Some((a, b)) = self.number().zip(other.number()) {
            return a.partial_cmp(&b);
        }
        if let (Item::Node(a), Item::Node(b)) = (self, other)
            && let Some(order) = sizes(a.node, b.node)
        {
            return Some(order);
        }
        let (a, b) = self.text().zip(other.text())?;
        let zone = Zone::default();
        let (a, b) = (
            time::parse_date(&a, &zone).ok()?,
            time::parse_date(&b, &zone).ok()?,
        );
        if a.hi <= b.lo {
            Some(Ordering::Less)
        } else if b.hi <= a.lo {
            Some(Ordering::Greater)
        } else {
            (a == b).then_some(Ordering::Equal)
        }
    }
}

/// The order of two quantities in one unit.
fn sizes(a: Node<'_>, b: Node<'_>) -> Option<Ordering> {
    let unit = |node: Node<'_>| {
        node.text("code")
            .or_else(|| node.text("unit"))
            .map(Cow::into_owned)
    };
    let value = |node: Node<'_>| Decimal::parse(node.get("value")?.number()?);
    if unit(a) != unit(b) {
        return None;
    }
    value(a)?.partial_cmp(&value(b)?)
}

/// Whether two values say the same: members in any order, numbers by their size.
fn same(a: Node<'_>, b: Node<'_>) -> bool {
    match (a.kind(), b.kind()) {
        (Kind::Object, Kind::Object) => {
            a.members().count() == b.members().count()
                && a.members()
                    .all(|(name, value)| b.get(&name).is_some_and(|other| same(value, other)))
        }
        (Kind::Array, Kind::Array) => {
            a.items().count() == b.items().count()
                && a.items().zip(b.items()).all(|(a, b)| same(a, b))
        }
        (Kind::Number, Kind::Number) => {
            let of = |node: Node<'_>| node.number().and_then(Decimal::parse);
            of(a) == of(b)
        }
        (Kind::String, Kind::String) => a.str() == b.str(),
        _ => a.raw() == b.raw(),
    }
}

/// One evaluation.
struct Run<'a> {
    resource: Item<'a>,
    context: Item<'a>,
}

impl<'a> Run<'a> {
    /// What a collection says when asked for a truth: itself if it is one, else whether anything is there.
    fn truth(&self, expr: &Expr, here: &Item<'a>) -> Option<bool> {
        use Operator as O;
        if let Expr::Both(operator, left, right) = expr {
            let left = || self.truth(left, here);
            let right = || self.truth(right, here);
            match operator {
                O::And => {
                    return match left() {
                        Some(false) => Some(false),
                        left => match (left, right()) {
                            (_, Some(false)) => Some(false),
                            (Some(true), right) => right,
                            _ => None,
                        },
                    };
                }
                O::Or => {
                    return match left() {
                        Some(true) => Some(true),
                        left => match (left, right()) {
                            (_, Some(true)) => Some(true),
                            (Some(false), right) => right,
                            _ => None,
                        },
                    };
                }
                O::Implies => {
                    return match left() {
                        Some(false) => Some(true),
                        left => match (left, right()) {
                            (_, Some(true)) => Some(true),
                            (Some(true), right) => right,
                            _ => None,
                        },
                    };
                }
                O::Xor => return Some(left()? != right()?),
                _ => {}
            }
        }
        match self.all(expr, here).as_slice() {
            [] => None,
            [one] => Some(one.bool().unwrap_or(true)),
            _ => Some(true),
        }
    }

    fn all(&self, expr: &Expr, here: &Item<'a>) -> Vec<Item<'a>> {
        match expr {
            Expr::This => vec![here.clone()],
            Expr::Resource => vec![self.resource.clone()],
            Expr::Context => vec![self.context.clone()],
            Expr::Text(text) => vec![Item::Text(text.clone().into())],
            Expr::Number(number) => vec![Item::Number(*number)],
            Expr::Bool(value) => vec![Item::Bool(*value)],
            Expr::Member(of, name) => {
                let mut found = Vec::new();
                for item in self.all(of, here) {
                    if let Item::Node(held) = item {
                        // A path may begin with the type's own name.
                        if **of == Expr::This && held.name == name {
                            found.push(item);
                        } else {
                            held.member(name, &mut found);
                        }
                    }
                }
                found
            }
            Expr::Typed(of, typed, name) => {
                let is = |item: &Item<'_>| match item {
                    Item::Node(held) => held.name.eq_ignore_ascii_case(name),
                    Item::Text(_) => name == "string",
                    Item::Number(_) => name == "integer" || name == "decimal",
                    Item::Bool(_) => name.eq_ignore_ascii_case("boolean"),
                };
                let mut found = self.all(of, here);
                match typed {
                    Typed::As => {
                        found.retain(is);
                        found
                    }
                    Typed::Is => found
                        .first()
                        .map(|one| Item::Bool(is(one)))
                        .into_iter()
                        .collect(),
                }
            }
            Expr::Call(of, function, arguments) => self.call(of, *function, arguments, here),
            Expr::Both(operator, left, right) => self.both(*operator, expr, left, right, here),
        }
    }

    fn both(
        &self,
        operator: Operator,
        whole: &Expr,
        left: &Expr,
        right: &Expr,
        here: &Item<'a>,
    ) -> Vec<Item<'a>> {
        use Operator as O;
        let said = |value: Option<bool>| value.map(Item::Bool).into_iter().collect();
        if matches!(operator, O::And | O::Or | O::Xor | O::Implies) {
            return said(self.truth(whole, here));
        }
        let (mut left, right) = (self.all(left, here), self.all(right, here));
        let order = || left.first()?.order(right.first()?);
        match operator {
            O::Equal | O::Differs => {
                if left.is_empty() || right.is_empty() {
                    return Vec::new();
                }
                let same =
                    left.len() == right.len() && left.iter().zip(&right).all(|(a, b)| a.same(b));
                said(Some(same == (operator == O::Equal)))
            }
            O::Less => said(order().map(Ordering::is_lt)),
            O::AtMost => said(order().map(Ordering::is_le)),
            O::More => said(order().map(Ordering::is_gt)),
            O::AtLeast => said(order().map(Ordering::is_ge)),
            O::In => said(
                left.first()
                    .map(|one| right.iter().any(|other| one.same(other))),
            ),
            O::Contains => said(
                right
                    .first()
                    .map(|one| left.iter().any(|other| one.same(other))),
            ),
            O::Union => {
                left.extend(right);
                left
            }
            O::Plus => {
                let sum = left
                    .first()
                    .and_then(Item::number)
                    .zip(right.first().and_then(Item::number))
                    .and_then(|(a, b)| a.plus(b));
                sum.map(Item::Number).into_iter().collect()
            }
            O::Join => {
                let text = |all: &[Item<'a>]| all.first().and_then(Item::text).unwrap_or_default();
                vec![Item::Text(
                    format!("{}{}", text(&left), text(&right)).into(),
                )]
            }
            O::And | O::Or | O::Xor | O::Implies => Vec::new(),
        }
    }

    fn call(
        &self,
        of: &Expr,
        function: Function,
        arguments: &[Expr],
        here: &Item<'a>,
    ) -> Vec<Item<'a>> {
        use Function as F;
        let yes = |value: bool| vec![Item::Bool(value)];
        let argument = |n: usize| arguments.get(n);
        if function == F::Not {
            return self
                .truth(of, here)
                .map(|value| Item::Bool(!value))
                .into_iter()
                .collect();
        }
        let mut found = self.all(of, here);
        let holds =
            |item: &Item<'a>| argument(0).is_none_or(|one| self.truth(one, item) == Some(true));
        let other = || argument(0).map_or_else(Vec::new, |one| self.all(one, here));
        match function {
            F::Exists => yes(found.iter().any(holds)),
            F::Empty => yes(found.is_empty()),
            F::HasValue => {
                let has = |item: &Item<'_>| match item {
                    Item::Node(held) => held.table.is_none() && !held.valueless,
                    _ => true,
                };
                yes(matches!(found.as_slice(), [one] if has(one)))
            }
            F::Count => {
                let digits = found.len().to_string();
                Decimal::parse(&digits)
                    .map(Item::Number)
                    .into_iter()
                    .collect()
            }
            F::All => yes(found
                .iter()
                .all(|item| argument(0).is_none_or(|one| self.truth(one, item) != Some(false)))),
            F::Where => {
                found.retain(holds);
                found
            }
            F::Select => {
                let each = found.iter();
                each.flat_map(|item| argument(0).map_or_else(Vec::new, |one| self.all(one, item)))
                    .collect()
            }
            F::First => {
                found.truncate(1);
                found
            }
            F::IsDistinct => {
                let twice =
                    |(n, one): (usize, &Item<'a>)| found[..n].iter().any(|before| before.same(one));
                yes(!found.iter().enumerate().any(twice))
            }
            F::Contains | F::StartsWith => {
                let (text, part) = (
                    found.first().and_then(Item::text),
                    other().first().and_then(Item::text),
                );
                let said = text.zip(part).map(|(text, part)| {
                    Item::Bool(if function == F::Contains {
                        text.contains(part.as_ref())
                    } else {
                        text.starts_with(part.as_ref())
                    })
                });
                said.into_iter().collect()
            }
            F::ToText => {
                let text = |item: &Item<'a>| match item {
                    Item::Node(held) if held.node.number().is_some() => {
                        Some(Item::Text(held.node.raw().into()))
                    }
                    item => item.text().map(Item::Text),
                };
                found.first().and_then(text).into_iter().collect()
            }
            F::ToInteger => {
                let number = |item: &Item<'a>| {
                    item.number()
                        .or_else(|| Decimal::parse(&item.text()?))
                        .map(Item::Number)
                };
                found.first().and_then(number).into_iter().collect()
            }
            F::Trace => found,
            F::Intersect => {
                let others = other();
                found.retain(|one| others.iter().any(|other| one.same(other)));
                found
            }
            F::Combine => {
                found.extend(other());
                found
            }
            F::Descendants => {
                let mut below = Vec::new();
                for item in found {
                    if let Item::Node(held) = item {
                        held.descendants(&mut below);
                    }
                }
                below
            }
            F::Iif => {
                let condition = argument(0).and_then(|one| self.truth(one, here));
                let then = argument(if condition == Some(true) { 1 } else { 2 });
                then.map_or_else(Vec::new, |one| self.all(one, here))
            }
            F::Not => Vec::new(),
        }
    }
}
