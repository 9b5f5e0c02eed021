//! The part of FHIRPath that search parameters are written in, as a tree.
//!
//! Standard: FHIRPath N1 as FHIR R4 search parameters use it: member steps, `|`, `as`, `ofType`, `where(field = 'x')`,
//! `where(resolve() is X)`, an index, `extension('url')`, `exists() and … != false`, `%resource`.

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Where the expression starts: the context.
    Here,
    /// `%resource`
    Whole,
    /// `base.name`
    Member(Box<Expression>, String),
    /// `base as Type`, `base.as(Type)`, `base.ofType(Type)`
    As(Box<Expression>, String),
    /// `base.where(field = 'value')`
    Where(Box<Expression>, String, String),
    /// `base.where(resolve() is Type)`
    Refers(Box<Expression>, String),
    /// `base[n]`
    At(Box<Expression>, u32),
    /// `a | b`
    Union(Vec<Expression>),
    /// `a.exists() and a != false`
    Present(Box<Expression>),
}

/// Reads a whole expression.
///
/// # Errors
/// The words say what cannot be read.
pub fn parse(text: &str) -> Result<Expression, String> {
    let mut reader = Reader {
        tokens: tokens(text)?,
        at: 0,
    };
    let found = reader.whole()?;
    match reader.peek() {
        None => Ok(found),
        Some(token) => Err(format!("`{token}` is not understood here")),
    }
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            'a'..='z' | 'A'..='Z' | '%' | '_' | '0'..='9' => {
                let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
                1 + rest[1..].find(|c| !inside(c)).unwrap_or(rest.len() - 1)
            }
            '\'' => rest[1..].find('\'').ok_or("a text without end")? + 2,
            '!' if rest.starts_with("!=") => 2,
            '.' | '|' | '(' | ')' | '[' | ']' | '=' => 1,
            other => return Err(format!("`{other}` is not understood")),
        };
        found.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

struct Reader {
    tokens: Vec<String>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) {
            return Ok(());
        }
        Err(format!(
            "`{token}` was expected before `{}`",
            self.peek().unwrap_or("the end")
        ))
    }

    fn name(&mut self) -> Result<String, String> {
        match self.peek() {
            Some(t) if t.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let name = t.to_owned();
                self.at += 1;
                Ok(name)
            }
            other => Err(format!(
                "a name was expected at `{}`",
                other.unwrap_or("the end")
            )),
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        match self.peek().and_then(|t| t.strip_prefix('\'')) {
            Some(t) => {
                let text = t.trim_end_matches('\'').to_owned();
                self.at += 1;
                Ok(text)
            }
            None => Err("a quoted text was expected".to_owned()),
        }
    }

    /// `union`, or the one form with `and` that the standard uses.
    fn whole(&mut self) -> Result<Expression, String> {
        let first = self.union()?;
        if !self.take("and") {
            return Ok(first);
        }
        let words = "`and` is understood in `X.exists() and X != false` alone";
        let second = self.union()?;
        self.need("!=").map_err(|_| words)?;
        self.need("false").map_err(|_| words)?;
        match first {
            Expression::Present(inner) if *inner == second => Ok(Expression::Present(inner)),
            _ => Err(words.to_owned()),
        }
    }

    fn union(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.typed()?];
        while self.take("|") {
            all.push(self.typed()?);
        }
        Ok(if all.len() == 1 {
            all.remove(0)
        } else {
            Expression::Union(all)
        })
    }

    fn typed(&mut self) -> Result<Expression, String> {
        let base = self.path()?;
        if self.take("as") {
            return Ok(Expression::As(Box::new(base), self.name()?));
        }
        Ok(base)
    }

    fn path(&mut self) -> Result<Expression, String> {
        let mut base = if self.take("(") {
            let inner = self.whole()?;
            self.need(")")?;
            inner
        } else if self.take("%resource") {
            Expression::Whole
        } else {
            let name = self.name()?;
            self.step(Expression::Here, name)?
        };
        loop {
            if self.take(".") {
                let name = self.name()?;
                base = self.step(base, name)?;
            } else if self.take("[") {
                let index = self.peek().and_then(|t| t.parse().ok());
                self.at += 1;
                base = Expression::At(Box::new(base), index.ok_or("a number was expected in []")?);
                self.need("]")?;
            } else {
                return Ok(base);
            }
        }
    }

    /// A member or a function after its base.
    fn step(&mut self, base: Expression, name: String) -> Result<Expression, String> {
        if !self.take("(") {
            return Ok(Expression::Member(Box::new(base), name));
        }
        let base = Box::new(base);
        let found = match name.as_str() {
            "as" | "ofType" => Expression::As(base, self.name()?),
            "exists" => Expression::Present(base),
            "extension" => {
                let extension = Box::new(Expression::Member(base, "extension".to_owned()));
                Expression::Where(extension, "url".to_owned(), self.quoted()?)
            }
            "where" => {
                let field = self.name()?;
                if field == "resolve" {
                    self.need("(")?;
                    self.need(")")?;
                    self.need("is")?;
                    Expression::Refers(base, self.name()?)
                } else {
                    self.need("=")?;
                    Expression::Where(base, field, self.quoted()?)
                }
            }
            other => return Err(format!("the function {other}() is not understood")),
        };
        self.need(")")?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(names: &[&str]) -> Box<Expression> {
        Box::new(names.iter().fold(Expression::Here, |base, name| {
            Expression::Member(Box::new(base), (*name).to_owned())
        }))
    }

    #[test]
    fn reads_every_form_that_the_standard_uses() {
        assert_eq!(
            parse("(A.b as Period) | A.c.where(x='y').d"),
            Ok(Expression::Union(vec![
                Expression::As(path(&["A", "b"]), "Period".into()),
                Expression::Member(
                    Box::new(Expression::Where(path(&["A", "c"]), "x".into(), "y".into())),
                    "d".into()
                ),
            ]))
        );
        assert_eq!(
            parse("A.b.as(Period)"),
            Ok(Expression::As(path(&["A", "b"]), "Period".into()))
        );
        assert_eq!(
            parse("A.b.where(resolve() is Patient)"),
            Ok(Expression::Refers(path(&["A", "b"]), "Patient".into()))
        );
        assert_eq!(
            parse("A.b.exists() and A.b != false"),
            Ok(Expression::Present(path(&["A", "b"])))
        );
        assert_eq!(
            parse("A.extension('http://x.y/z').value"),
            Ok(Expression::Member(
                Box::new(Expression::Where(
                    path(&["A", "extension"]),
                    "url".into(),
                    "http://x.y/z".into()
                )),
                "value".into()
            ))
        );
        assert_eq!(
            parse("%resource.b[0]"),
            Ok(Expression::At(
                Box::new(Expression::Member(Box::new(Expression::Whole), "b".into())),
                0
            ))
        );
    }

    #[test]
    fn says_what_it_cannot_read() {
        for (text, word) in [
            ("A.b.first()", "first()"),
            ("A.b + A.c", "`+`"),
            ("A.b and A.c", "`and`"),
            ("A.b.exists() and A.c != false", "`and`"),
            ("A.where(b > 'c')", "`>`"),
            ("A.b)", "`)`"),
            ("(A.b", "expected"),
            ("A.'x'", "a name"),
            ("A.where(b='c)", "without end"),
            ("", "a name"),
        ] {
            let why = parse(text).err().unwrap_or_default();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
