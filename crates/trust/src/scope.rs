//! SMART App Launch v2 scopes (section "Scopes for requesting FHIR Resources"): `user/Observation.rs`.
//!
//! Written `context/Type.rights` with context `user`, `system` or `patient`, type a resource type or `*`, rights a
//! non-empty part of `cruds` in that order. Delt adds the type `Pointer` for the locator. Query parts (`?…`) and
//! everything else that is not understood are refused, so that no scope ever means more than was read.

use std::fmt;

/// Whose right a scope speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// A practitioner (or citizen) who is logged in.
    User,
    /// A client on its own.
    System,
    /// One patient's own data.
    Patient,
}

impl Context {
    fn name(self) -> &'static str {
        match self {
            Context::User => "user",
            Context::System => "system",
            Context::Patient => "patient",
        }
    }
}

/// One right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// c
    Create,
    /// r
    Read,
    /// u
    Update,
    /// d
    Delete,
    /// s
    Search,
}

impl Access {
    fn bit(self) -> u8 {
        match self {
            Access::Create => 1,
            Access::Read => 2,
            Access::Update => 4,
            Access::Delete => 8,
            Access::Search => 16,
        }
    }
}

/// The letters in the order they must be written.
const LETTERS: [(char, Access); 5] = [
    ('c', Access::Create),
    ('r', Access::Read),
    ('u', Access::Update),
    ('d', Access::Delete),
    ('s', Access::Search),
];

/// One scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    context: Context,
    /// `None` is `*`.
    resource: Option<String>,
    rights: u8,
}

/// A scope text that is not understood. Holds no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is not of the form context/Type.cruds")]
pub struct ScopeError;

impl Scope {
    /// Reads one scope, or refuses it.
    pub fn parse(text: &str) -> Result<Scope, ScopeError> {
        let (context, rest) = text.split_once('/').ok_or(ScopeError)?;
        let (resource, letters) = rest.split_once('.').ok_or(ScopeError)?;
        let context = [Context::User, Context::System, Context::Patient]
            .into_iter()
            .find(|one| one.name() == context)
            .ok_or(ScopeError)?;
        let named = resource.len() <= 64
            && resource.starts_with(|c: char| c.is_ascii_uppercase())
            && resource.bytes().all(|b| b.is_ascii_alphanumeric());
        if resource != "*" && !named {
            return Err(ScopeError);
        }
        let mut rights = 0;
        let mut known = LETTERS.iter();
        for letter in letters.chars() {
            // `known` moves forward only, so letters out of order or twice are not found.
            rights |= known
                .find(|(one, _)| *one == letter)
                .ok_or(ScopeError)?
                .1
                .bit();
        }
        if rights == 0 {
            return Err(ScopeError);
        }
        Ok(Scope {
            context,
            resource: (resource != "*").then(|| resource.to_owned()),
            rights,
        })
    }

    /// Whose right it is.
    pub fn context(&self) -> Context {
        self.context
    }

    /// The same right in another context.
    pub fn in_context(&self, context: Context) -> Scope {
        Scope {
            context,
            ..self.clone()
        }
    }

    /// Does it give this right, on whatever type it names?
    pub fn gives(&self, access: Access) -> bool {
        self.rights & access.bit() != 0
    }

    fn meet(&self, other: &Scope) -> Option<Scope> {
        let resource = match (&self.resource, &other.resource) {
            (None, one) | (one, None) => one.clone(),
            (Some(one), Some(other)) if one == other => Some(one.clone()),
            _ => return None,
        };
        let rights = self.rights & other.rights;
        (self.context == other.context && rights != 0).then_some(Scope {
            context: self.context,
            resource,
            rights,
        })
    }

    fn within(&self, other: &Scope) -> bool {
        self.meet(other).as_ref() == Some(self)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}.",
            self.context.name(),
            self.resource.as_deref().unwrap_or("*")
        )?;
        LETTERS
            .iter()
            .filter(|(_, access)| self.rights & access.bit() != 0)
            .try_for_each(|(c, _)| write!(f, "{c}"))
    }
}

/// The scopes of a token, a request or a registration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(Vec<Scope>);

/// More scopes than this in one text are refused.
const MOST: usize = 64;

impl From<Vec<Scope>> for Scopes {
    fn from(scopes: Vec<Scope>) -> Scopes {
        Scopes(scopes)
    }
}

impl Scopes {
    /// Reads scopes divided by single spaces (RFC 6749 section 3.3); empty gives none, anything strange is refused.
    pub fn parse(text: &str) -> Result<Scopes, ScopeError> {
        if text.is_empty() {
            return Ok(Scopes::default());
        }
        let scopes = text
            .split(' ')
            .take(MOST + 1)
            .map(Scope::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if scopes.len() > MOST {
            Err(ScopeError)
        } else {
            Ok(Scopes(scopes))
        }
    }

    /// From a list such as a registration holds.
    pub fn of(texts: &[String]) -> Result<Scopes, ScopeError> {
        texts
            .iter()
            .map(|text| Scope::parse(text))
            .collect::<Result<Vec<_>, _>>()
            .map(Scopes)
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each scope.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Do these scopes give this right on this resource type, in this context?
    pub fn covers(&self, context: Context, resource: &str, access: Access) -> bool {
        self.0.iter().any(|one| {
            one.context == context
                && one.rights & access.bit() != 0
                && one
                    .resource
                    .as_deref()
                    .is_none_or(|named| named == resource)
        })
    }

    /// What of `self` lies within `limit`: pairwise meets, so the result is never wider than either.
    pub fn narrow(&self, limit: &Scopes) -> Scopes {
        let mut out: Vec<Scope> = Vec::new();
        for meet in self
            .0
            .iter()
            .flat_map(|one| limit.0.iter().filter_map(|other| one.meet(other)))
        {
            if !out.iter().any(|had| meet.within(had)) {
                out.retain(|had| !had.within(&meet));
                out.push(meet);
            }
        }
        Scopes(out)
    }

    /// Is every scope of `self` within one of `limit`?
    pub fn within(&self, limit: &Scopes) -> bool {
        self.0
            .iter()
            .all(|one| limit.0.iter().any(|other| one.within(other)))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{scope}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;

    #[test]
    fn reads_what_smart_v2_says_and_nothing_else() {
        for good in [
            "user/*.rs",
            "system/Observation.c",
            "patient/AuditEvent.rs",
            "user/Pointer.r",
            "system/*.cruds",
        ] {
            assert_eq!(Scope::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "user",
            "user/",
            "user/*",
            "user/.r",
            "user/*.",
            "user/*.sr",
            "user/*.rr",
            "user/*.x",
            "user/*.read",
            "User/*.r",
            "user/observation.r",
            "user/Obs*.r",
            "user/Observation.rs?category=x",
            "admin/*.r",
            "user/*.r ",
            "openid",
        ] {
            assert_eq!(Scope::parse(bad), Err(ScopeError), "{bad}");
        }
        let of = |length: usize| Scope::parse(&format!("user/{}.r", "A".repeat(length)));
        assert!(of(64).is_ok() && of(65).is_err());
        assert!(Scopes::parse("user/*.r  user/*.s").is_err());
        assert!(Scopes::parse(&vec!["user/*.r"; MOST + 1].join(" ")).is_err());
    }

    #[test]
    fn a_registrations_list_says_the_same_as_a_text() {
        let list = ["user/*.r".to_owned(), "user/*.s".to_owned()];
        let scopes = Scopes::of(&list).unwrap();
        assert_eq!(scopes, Scopes::parse("user/*.r user/*.s").unwrap());
        assert!(!scopes.is_empty() && Scopes::default().is_empty());
        assert!(Scopes::of(&["everything".to_owned()]).is_err());
        assert!(Scopes::parse(&vec!["user/*.r"; MOST].join(" ")).is_ok());
    }

    #[test]
    fn the_same_right_in_another_context() {
        let own = Scope::parse("user/Observation.rs").unwrap();
        let moved = own.in_context(Context::Patient);
        assert_eq!(moved.context(), Context::Patient);
        assert_eq!(moved.to_string(), "patient/Observation.rs");
    }

    #[test]
    fn covers_by_context_type_and_right() {
        let scopes = Scopes::parse("user/Observation.rs system/*.c").unwrap();
        assert!(scopes.covers(Context::User, "Observation", Access::Search));
        assert!(!scopes.covers(Context::User, "CarePlan", Access::Search));
        assert!(!scopes.covers(Context::User, "Observation", Access::Create));
        assert!(!scopes.covers(Context::System, "Observation", Access::Search));
        assert!(scopes.covers(Context::System, "CarePlan", Access::Create));
    }

    #[test]
    fn narrowing_never_widens() {
        let narrow = |asked: &str, limit: &str| {
            Scopes::parse(asked)
                .unwrap()
                .narrow(&Scopes::parse(limit).unwrap())
                .to_string()
        };
        assert_eq!(
            narrow("user/*.cruds", "user/Observation.rs user/CarePlan.r"),
            "user/Observation.rs user/CarePlan.r"
        );
        assert_eq!(
            narrow("user/Observation.rs", "user/*.rs"),
            "user/Observation.rs"
        );
        assert_eq!(narrow("user/Observation.rs", "system/*.rs"), "");
        assert_eq!(narrow("user/Observation.c", "user/*.rs"), "");
        assert_eq!(
            narrow("user/Observation.r user/Observation.rs", "user/*.rs"),
            "user/Observation.rs"
        );
        let wide = Scopes::parse("user/*.rs").unwrap();
        assert!(Scopes::parse("user/Observation.s").unwrap().within(&wide));
        assert!(
            !Scopes::parse("user/Observation.s user/Observation.c")
                .unwrap()
                .within(&wide)
        );
    }
}
