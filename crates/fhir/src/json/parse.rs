//! The strict pass: grammar, UTF-8, duplicate members and limits, each place written to the tape.
//!
//! Standard: RFC 8259 section 2 to 7; RFC 7493 section 2.1 (no lone surrogates) and 2.3 (no duplicate names).
//! No recursion: depth costs heap, and only as much as the limit allows.

use super::{Fault, Json, Limits, Node, Slot, presentable, root_name, unescape};
use crate::outcome::IssueCode;
use bytes::Bytes;
use std::collections::HashSet;

/// Most values and member names in one body. Far above any real Bundle of 10 MiB; keeps the tape below 48 MiB.
const MOST_VALUES: usize = 4_000_000;
/// Longest number in characters.
const LONGEST_NUMBER: usize = 64;
/// Up to this many members, names are compared each with each; above, by a set.
const FEW_MEMBERS: usize = 16;

pub(super) fn parse(bytes: Bytes, limits: Limits) -> Result<Json, Fault> {
    let early = |code, at, message: String| Fault {
        code,
        expression: String::new(),
        at,
        message,
    };
    // Places are 32 bits wide.
    let most = limits.bytes.min(u32::MAX as usize);
    if bytes.len() > most {
        return Err(early(
            IssueCode::TooLong,
            most,
            format!("the body is longer than {most} bytes"),
        ));
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(early(
            IssueCode::Structure,
            0,
            "the body starts with a byte order mark".to_owned(),
        ));
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.into(),
        Err(error) => {
            return Err(early(
                IssueCode::Structure,
                error.valid_up_to(),
                "the body is not UTF-8".to_owned(),
            ));
        }
    };
    let tape = Vec::with_capacity(bytes.len() / 16 + 4);
    let mut parser = Parser {
        json: Json { bytes, text, tape },
        at: 0,
        open: Vec::new(),
        limits,
    };
    match parser.run() {
        Ok(()) => Ok(parser.json),
        Err(error) => Err(parser.fault(error)),
    }
}

/// A fault before its expression is known.
struct Stop {
    code: IssueCode,
    at: usize,
    message: String,
}

type Step<T> = Result<T, Stop>;

struct Parser {
    json: Json,
    /// Next byte to read.
    at: usize,
    /// Tape indexes of the objects and arrays not yet closed.
    open: Vec<u32>,
    limits: Limits,
}

impl Parser {
    fn run(&mut self) -> Step<()> {
        self.space();
        self.value()?;
        while let Some(&container) = self.open.last() {
            let first = self.json.tape.len() == container as usize + 1;
            let is_object =
                self.json.bytes[self.json.tape[container as usize].start as usize] == b'{';
            let close = if is_object { b'}' } else { b']' };
            self.space();
            match self.peek() {
                Some(byte) if byte == close => {
                    self.at += 1;
                    self.close(container, is_object)?;
                    continue;
                }
                Some(b',') if !first => {
                    self.at += 1;
                    self.space();
                }
                _ if first => {}
                _ => {
                    return Err(self.wrong(if is_object {
                        "',' or '}'"
                    } else {
                        "',' or ']'"
                    }));
                }
            }
            if is_object {
                self.name()?;
            }
            self.value()?;
        }
        self.space();
        if self.at < self.json.bytes.len() {
            return Err(self.wrong("the end of the body"));
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.json.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn wrong(&self, expected: &str) -> Stop {
        let message = match self.peek() {
            None => format!("the body ends where {expected} was expected"),
            Some(_) => format!("not JSON: {expected} was expected here"),
        };
        Stop {
            code: IssueCode::Structure,
            at: self.at,
            message,
        }
    }

    fn push(&mut self, start: usize, end: usize) -> Step<()> {
        if self.json.tape.len() >= MOST_VALUES {
            let message = format!("the body holds more than {MOST_VALUES} values");
            return Err(Stop {
                code: IssueCode::TooCostly,
                at: start,
                message,
            });
        }
        // Both fit: the body is at most u32::MAX bytes and the tape at most MOST_VALUES long.
        let next = self.json.tape.len() as u32 + 1;
        self.json.tape.push(Slot {
            start: start as u32,
            end: end as u32,
            next,
        });
        Ok(())
    }

    fn name(&mut self) -> Step<()> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a member name in quotes"));
        }
        self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.wrong("':'"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn value(&mut self) -> Step<()> {
        match self.peek() {
            Some(b'{' | b'[') => {
                if self.open.len() >= self.limits.depth {
                    let message = format!("nested deeper than {} levels", self.limits.depth);
                    return Err(Stop {
                        code: IssueCode::TooCostly,
                        at: self.at,
                        message,
                    });
                }
                self.open.push(self.json.tape.len() as u32);
                self.push(self.at, self.at)?;
                self.at += 1;
                Ok(())
            }
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.wrong("a value")),
        }
    }

    fn word(&mut self, word: &str) -> Step<()> {
        let end = self.at + word.len();
        if self.json.bytes.get(self.at..end) != Some(word.as_bytes()) {
            return Err(self.wrong("a value"));
        }
        self.push(self.at, end)?;
        self.at = end;
        Ok(())
    }

    fn digits(&mut self) -> Step<()> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == from {
            Err(self.wrong("a digit"))
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Step<()> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        if self.at - start > LONGEST_NUMBER {
            let message = format!("a number is longer than {LONGEST_NUMBER} characters");
            return Err(Stop {
                code: IssueCode::Structure,
                at: start,
                message,
            });
        }
        self.push(start, self.at)
    }

    fn string(&mut self) -> Step<()> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(self.wrong("the end of a string")),
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..=0x1F) => {
                    let message = "a control character stands unescaped in a string".to_owned();
                    return Err(Stop {
                        code: IssueCode::Structure,
                        at: self.at,
                        message,
                    });
                }
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        self.push(start, self.at)
    }

    fn escape(&mut self) -> Step<()> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                let unit = self.hex4()?;
                let lone = Stop {
                    code: IssueCode::Structure,
                    at: start,
                    message: "a lone surrogate in a string".to_owned(),
                };
                match unit {
                    0xDC00..=0xDFFF => Err(lone),
                    0xD800..=0xDBFF => {
                        if self.json.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
                            return Err(lone);
                        }
                        self.at += 2;
                        if matches!(self.hex4()?, 0xDC00..=0xDFFF) {
                            Ok(())
                        } else {
                            Err(lone)
                        }
                    }
                    _ => Ok(()),
                }
            }
            _ => Err(self.wrong("one of \" \\ / b f n r t u after a backslash")),
        }
    }

    fn hex4(&mut self) -> Step<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|b| char::from(b).to_digit(16)) else {
                return Err(self.wrong("four hexadecimal digits"));
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }

    fn close(&mut self, container: u32, is_object: bool) -> Step<()> {
        let next = self.json.tape.len() as u32;
        let slot = &mut self.json.tape[container as usize];
        slot.end = self.at as u32;
        slot.next = next;
        if is_object {
            self.refuse_duplicates(container)?;
        }
        self.open.pop();
        Ok(())
    }

    fn refuse_duplicates(&self, container: u32) -> Step<()> {
        let object = Node {
            json: &self.json,
            at: container,
        };
        let twice = |at: u32| {
            let name = Node {
                json: &self.json,
                at,
            };
            let message = format!(
                "the member '{}' is there twice",
                presentable(&unescape(name.raw()))
            );
            Err(Stop {
                code: IssueCode::Structure,
                at: name.span().start,
                message,
            })
        };
        // Names stand one before their values on the tape.
        if object.members().nth(FEW_MEMBERS).is_none() {
            let mut members = object.members();
            while let Some((name, _)) = members.next() {
                if let Some((_, again)) = members.clone().find(|(other, _)| *other == name) {
                    return twice(again.at - 1);
                }
            }
            return Ok(());
        }
        let mut seen = HashSet::new();
        for (name, value) in object.members() {
            if !seen.insert(name) {
                return twice(value.at - 1);
            }
        }
        Ok(())
    }

    /// Adds the path of the innermost value that has begun. Containers still open have no end on the tape yet,
    /// so the way is found from the open ones and what has been read in each.
    fn fault(&self, stop: Stop) -> Fault {
        let tape = &self.json.tape;
        let mut path = String::new();
        for (level, &container) in self.open.iter().enumerate() {
            let inner = self.open.get(level + 1).copied();
            let is_object = self.json.bytes[tape[container as usize].start as usize] == b'{';
            let mut at = container + 1;
            let mut count = 0_usize;
            let mut last_name = None;
            let mut resource_type = None;
            // Walk the children up to the one that is open, or to the end of the tape.
            while (at as usize) < tape.len() {
                let mut value = at;
                if is_object {
                    last_name = Some(unescape(
                        Node {
                            json: &self.json,
                            at,
                        }
                        .raw(),
                    ));
                    value += 1;
                    if value as usize >= tape.len() {
                        break;
                    }
                    if level == 0 && last_name.as_deref() == Some("resourceType") {
                        resource_type = Node {
                            json: &self.json,
                            at: value,
                        }
                        .str();
                    }
                }
                if Some(value) == inner {
                    break;
                }
                at = tape[value as usize].next;
                count += 1;
            }
            if level == 0 {
                path.push_str(root_name(resource_type));
            }
            if is_object {
                if let Some(name) = last_name {
                    path.push('.');
                    path.push_str(presentable(&name));
                }
            } else {
                path.push_str(&format!(
                    "[{}]",
                    if inner.is_some() {
                        count
                    } else {
                        count.saturating_sub(1)
                    }
                ));
            }
        }
        Fault {
            code: stop.code,
            expression: path,
            at: stop.at,
            message: stop.message,
        }
    }
}
