//! FHIRPath, the part of it that FHIR's own invariants are written in: text to tree.
//!
//! Standard: FHIRPath N1 (2.0.0), the grammar's precedence. What is not understood is an error, never left out.

use crate::measurement::Decimal;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    /// What is looked at: `$this`, and where a path begins.
    This,
    /// `%resource`, `%rootResource`: the resource that is checked.
    Resource,
    /// `%context`: where the invariant stands.
    Context,
    Text(String),
    Number(Decimal),
    Bool(bool),
    Member(Box<Expr>, String),
    Call(Box<Expr>, Function, Vec<Expr>),
    /// `is(T)`, `as(T)`, `ofType(T)` and the operators.
    Typed(Box<Expr>, Typed, String),
    Both(Operator, Box<Expr>, Box<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typed {
    Is,
    As,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    And,
    Or,
    Xor,
    Implies,
    Equal,
    Differs,
    Less,
    AtMost,
    More,
    AtLeast,
    In,
    Contains,
    Union,
    Plus,
    Join,
}

/// Declares the functions with their names and how many arguments each takes.
macro_rules! functions {
    ($($variant:ident = $name:literal $from:literal..=$to:literal),+ $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Function { $($variant),+ }

        impl Function {
            fn named(name: &str, arguments: usize) -> Option<Self> {
                match name {
                    $($name if ($from..=$to).contains(&arguments) => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}
functions! {
    Exists = "exists" 0..=1,
    Empty = "empty" 0..=0,
    Not = "not" 0..=0,
    HasValue = "hasValue" 0..=0,
    Count = "count" 0..=0,
    All = "all" 1..=1,
    Where = "where" 1..=1,
    Select = "select" 1..=1,
    First = "first" 0..=0,
    IsDistinct = "isDistinct" 0..=0,
    Contains = "contains" 1..=1,
    StartsWith = "startsWith" 1..=1,
    ToText = "toString" 0..=0,
    ToInteger = "toInteger" 0..=0,
    Trace = "trace" 1..=2,
    Intersect = "intersect" 1..=1,
    Combine = "combine" 1..=1,
    Descendants = "descendants" 0..=0,
    Iif = "iif" 2..=3,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(String),
    /// `$this`, `%resource`.
    Variable(String),
    Sign(&'static str),
}

const SIGNS: [&str; 16] = [
    "<=", ">=", "!=", "(", ")", ".", ",", "|", "=", "<", ">", "+", "&", "{", "}", "-",
];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |text: &str| {
            text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(text.len())
        };
        let (token, length) = if first == '\'' {
            let inside = &rest[1..];
            let end = inside.find('\'').ok_or("a text has no end")?;
            if inside[..end].contains('\\') {
                return Err("a text with an escape".to_owned());
            }
            (Token::Text(inside[..end].to_owned()), end + 2)
        } else if first.is_ascii_digit() {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            (Token::Number(rest[..end].to_owned()), end)
        } else if first == '$' || first == '%' {
            let end = 1 + word(&rest[1..]);
            (Token::Variable(rest[..end].to_owned()), end)
        } else if first.is_ascii_alphabetic() {
            let end = word(rest);
            (Token::Name(rest[..end].to_owned()), end)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("{first} is not understood"))?;
            (Token::Sign(sign), sign.len())
        };
        found.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Expr, String> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
    };
    let expr = parser.binary(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => Err(format!("{token:?} was not expected")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token.ok_or_else(|| "the expression breaks off".to_owned())
    }

    fn takes(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(format!("{sign} was expected")),
        }
    }

    /// The operator that comes, and how strongly it binds.
    fn operator(&self) -> Option<(u8, Result<Operator, Typed>)> {
        use Operator as O;
        let (power, operator) = match self.peek()? {
            Token::Name(name) => match name.as_str() {
                "implies" => (1, O::Implies),
                "or" => (2, O::Or),
                "xor" => (2, O::Xor),
                "and" => (3, O::And),
                "in" => (4, O::In),
                "contains" => (4, O::Contains),
                "is" => return Some((8, Err(Typed::Is))),
                "as" => return Some((8, Err(Typed::As))),
                _ => return None,
            },
            Token::Sign(sign) => match *sign {
                "=" => (5, O::Equal),
                "!=" => (5, O::Differs),
                "<" => (6, O::Less),
                "<=" => (6, O::AtMost),
                ">" => (6, O::More),
                ">=" => (6, O::AtLeast),
                "|" => (7, O::Union),
                "+" => (9, O::Plus),
                "&" => (9, O::Join),
                _ => return None,
            },
            _ => return None,
        };
        Some((power, Ok(operator)))
    }

    fn binary(&mut self, least: u8) -> Result<Expr, String> {
        let mut left = self.path()?;
        while let Some((power, operator)) = self.operator().filter(|(power, _)| *power > least) {
            self.at += 1;
            left = match operator {
                Ok(operator) => Expr::Both(operator, Box::new(left), Box::new(self.binary(power)?)),
                Err(typed) => {
                    let Token::Name(name) = self.next()? else {
                        return Err("a type was expected".to_owned());
                    };
                    Expr::Typed(Box::new(left), typed, name)
                }
            };
        }
        Ok(left)
    }

    fn path(&mut self) -> Result<Expr, String> {
        let mut here = match self.next()? {
            Token::Sign("(") => {
                let inside = self.binary(0)?;
                self.expect(")")?;
                inside
            }
            Token::Text(text) => Expr::Text(text),
            Token::Number(digits) => Expr::Number(Decimal::parse(&digits).ok_or("a number")?),
            Token::Variable(name) => match name.as_str() {
                "$this" => Expr::This,
                "%resource" | "%rootResource" => Expr::Resource,
                "%context" => Expr::Context,
                "%ucum" => Expr::Text(crate::systems::UCUM.to_owned()),
                _ => return Err(format!("{name} is not understood")),
            },
            Token::Name(name) => match name.as_str() {
                "true" => Expr::Bool(true),
                "false" => Expr::Bool(false),
                _ => self.step(Expr::This, name)?,
            },
            token => return Err(format!("{token:?} was not expected")),
        };
        while self.takes(".") {
            let Token::Name(name) = self.next()? else {
                return Err("a name was expected".to_owned());
            };
            here = self.step(here, name)?;
        }
        Ok(here)
    }

    /// A member, or a function where a parenthesis follows.
    fn step(&mut self, here: Expr, name: String) -> Result<Expr, String> {
        if !self.takes("(") {
            return Ok(Expr::Member(Box::new(here), name));
        }
        let typed = match name.as_str() {
            "is" => Some(Typed::Is),
            "as" | "ofType" => Some(Typed::As),
            _ => None,
        };
        if let Some(typed) = typed {
            let Token::Name(of) = self.next()? else {
                return Err("a type was expected".to_owned());
            };
            self.expect(")")?;
            return Ok(Expr::Typed(Box::new(here), typed, of));
        }
        let mut arguments = Vec::new();
        while !self.takes(")") {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            arguments.push(self.binary(0)?);
        }
        let function = Function::named(&name, arguments.len())
            .ok_or_else(|| format!("the function {name} is not understood"))?;
        Ok(Expr::Call(Box::new(here), function, arguments))
    }
}
