//! The grammar of AIP-160, by recursive descent over tokens that know their position.

use super::{MAX_BYTES, MAX_DEPTH};
use crate::error::{Error, Result};

/// A filter as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// Every one holds.
    And(Vec<Expr>),
    /// At least one holds.
    Or(Vec<Expr>),
    /// It does not hold.
    Not(Box<Expr>),
    /// `field comparator value`.
    Compare {
        /// Field name, dotted when nested.
        field: String,
        /// How.
        op: Comparator,
        /// With what, unquoted.
        value: String,
        /// Whether the value was a quoted string, in which `*` is a wildcard only for `=` and `!=`.
        quoted: bool,
        /// Byte offset of the field.
        at: usize,
        /// Byte offset of the value.
        value_at: usize,
    },
    /// `name(argument, …)`.
    Call {
        /// Name of the function.
        name: String,
        /// What it is given.
        args: Vec<Arg>,
        /// Byte offset of the name.
        at: usize,
    },
    /// A word by itself: matches any text field that has it.
    Global {
        /// The word.
        value: String,
        /// Byte offset.
        at: usize,
    },
}

/// One argument of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The text, unquoted.
    pub value: String,
    /// Whether it was quoted.
    pub quoted: bool,
    /// Byte offset.
    pub at: usize,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `:`
    Has,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    /// Opens the arguments of a function: it stands right behind the name.
    Call,
    Close,
    Comma,
    Minus,
    And,
    Or,
    Not,
    Op(Comparator),
    Word(String),
    Text(String),
}

struct Parser<'t> {
    tokens: &'t [(usize, Token)],
    next: usize,
    end: usize,
}

/// Parses a filter; an empty one is `None`.
pub fn parse(text: &str) -> Result<Option<Expr>> {
    if text.len() > MAX_BYTES {
        return Err(fault(MAX_BYTES, format!("is longer than {MAX_BYTES} bytes; ask for less at once")));
    }
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Ok(None);
    }
    let mut parser = Parser { tokens: &tokens, next: 0, end: text.len() };
    let expr = parser.expression(0)?;
    match parser.peek() {
        None => Ok(Some(expr)),
        Some(_) => Err(fault(parser.at(), "expected `AND`, `OR` or the end".to_owned())),
    }
}

pub(super) fn fault(position: usize, message: String) -> Error {
    Error::Filter { position, message }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>> {
    let mut out = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let mut followed_by_equals = || chars.next_if(|(_, c)| *c == '=').is_some();
        let token = match c {
            c if c.is_whitespace() => continue,
            '(' if ends_name(text, at, out.last()) => Token::Call,
            '(' => Token::Open,
            ',' => Token::Comma,
            ')' => Token::Close,
            ':' => Token::Op(Comparator::Has),
            '=' => Token::Op(Comparator::Equal),
            '<' if followed_by_equals() => Token::Op(Comparator::LessEqual),
            '<' => Token::Op(Comparator::Less),
            '>' if followed_by_equals() => Token::Op(Comparator::GreaterEqual),
            '>' => Token::Op(Comparator::Greater),
            '!' if followed_by_equals() => Token::Op(Comparator::NotEqual),
            '!' => return Err(fault(at, "`!` alone means nothing; write `!=` or `NOT`".to_owned())),
            '-' if starts_term(out.last()) => Token::Minus,
            '"' | '\'' => Token::Text(quoted(c, at, &mut chars)?),
            c if is_word(c) => {
                let mut word = String::from(c);
                // a time like 2026-11-05T10:30:00Z is one word: its colons stand between digits
                while let Some((i, c)) =
                    chars.next_if(|(i, c)| is_word(*c) || (*c == ':' && inside_time(text, *i)))
                {
                    debug_assert!(i > at);
                    word.push(c);
                }
                match word.as_str() {
                    "AND" => Token::And,
                    "OR" => Token::Or,
                    "NOT" => Token::Not,
                    _ => Token::Word(word),
                }
            }
            other => {
                return Err(fault(at, format!("`{other}` is not expected here; quote text that holds it")));
            }
        };
        out.push((at, token));
    }
    Ok(out)
}

/// A `-` negates where a term begins, and belongs to a number after a comparator.
fn starts_term(before: Option<&(usize, Token)>) -> bool {
    !matches!(before, Some((_, Token::Op(_))))
}

/// Whether the last token is a word that ends right before `at`.
fn ends_name(text: &str, at: usize, before: Option<&(usize, Token)>) -> bool {
    match before {
        Some((start, Token::Word(word))) => text.get(*start..at) == Some(word),
        _ => false,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '*' | '/' | '@' | '+' | '#')
}

/// Whether the colon at `i` stands in a clock time: two digits on either side and a `T` before them.
fn inside_time(text: &str, i: usize) -> bool {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range).is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()))
    };
    let before = i.checked_sub(3).and_then(|s| text.as_bytes().get(s));
    i >= 3 && digits(i - 2..i) && digits(i + 1..i + 3) && matches!(before, Some(b'T' | b':' | b't'))
}

fn quoted(
    quote: char,
    at: usize,
    chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
) -> Result<String> {
    let mut text = String::new();
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\'' | '\\'))) => text.push(c),
                // kept, so that the next step can tell a literal star from a wildcard
                Some((_, '*')) => text.push_str("\\*"),
                _ => return Err(fault(i, "`\\` may only stand before a quote, a `\\` or a `*`".to_owned())),
            },
            c if c == quote => return Ok(text),
            c => text.push(c),
        }
    }
    Err(fault(at, "the quoted text does not end; close it".to_owned()))
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }

    /// `sequence { AND sequence }`; the AND may be left out.
    fn expression(&mut self, depth: usize) -> Result<Expr> {
        if depth > MAX_DEPTH {
            return Err(fault(self.at(), format!("is nested deeper than {MAX_DEPTH}; write it flatter")));
        }
        let mut parts = vec![self.factor(depth)?];
        loop {
            let explicit = self.take(&Token::And);
            match self.peek() {
                None | Some(Token::Close | Token::Or) if !explicit => break,
                _ => parts.push(self.factor(depth)?),
            }
        }
        Ok(one_or(parts, Expr::And))
    }

    /// `term { OR term }`
    fn factor(&mut self, depth: usize) -> Result<Expr> {
        let mut parts = vec![self.term(depth)?];
        while self.take(&Token::Or) {
            parts.push(self.term(depth)?);
        }
        Ok(one_or(parts, Expr::Or))
    }

    fn term(&mut self, depth: usize) -> Result<Expr> {
        if self.take(&Token::Not) || self.take(&Token::Minus) {
            if depth > MAX_DEPTH {
                return Err(fault(self.at(), format!("is nested deeper than {MAX_DEPTH}; write it flatter")));
            }
            return Ok(Expr::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.take(&Token::Open) {
            let inner = self.expression(depth + 1)?;
            if !self.take(&Token::Close) {
                return Err(fault(self.at(), "expected `)`".to_owned()));
            }
            return Ok(inner);
        }
        self.restriction()
    }

    fn restriction(&mut self) -> Result<Expr> {
        let at = self.at();
        let (name, quoted) = self.value("a field, `NOT` or `(`")?;
        if self.take(&Token::Call) {
            return Ok(Expr::Call { name, args: self.arguments()?, at });
        }
        let Some(Token::Op(op)) = self.peek() else { return Ok(Expr::Global { value: name, at }) };
        let op = *op;
        self.next += 1;
        if quoted {
            return Err(fault(at, "a field name is not quoted".to_owned()));
        }
        if self.peek() == Some(&Token::Open) {
            return Err(fault(
                self.at(),
                "expected a value; write `(a = 1 OR a = 2)` for several".to_owned(),
            ));
        }
        let value_at = self.at();
        let (value, quoted) = self.value("a value")?;
        Ok(Expr::Compare { field: name, op, value, quoted, at, value_at })
    }

    /// `[argument {, argument}] )`
    fn arguments(&mut self) -> Result<Vec<Arg>> {
        let mut args = Vec::new();
        if self.take(&Token::Close) {
            return Ok(args);
        }
        loop {
            let at = self.at();
            let (value, quoted) = self.value("an argument; quote text that holds more than a word")?;
            args.push(Arg { value, quoted, at });
            if self.take(&Token::Close) {
                return Ok(args);
            }
            if !self.take(&Token::Comma) {
                return Err(fault(self.at(), "expected `,` or `)`".to_owned()));
            }
        }
    }

    fn value(&mut self, expected: &str) -> Result<(String, bool)> {
        let found = match self.peek() {
            Some(Token::Word(word)) => (word.clone(), false),
            Some(Token::Text(text)) => (text.clone(), true),
            _ => return Err(fault(self.at(), format!("expected {expected}"))),
        };
        self.next += 1;
        Ok(found)
    }
}

fn one_or(mut parts: Vec<Expr>, many: fn(Vec<Expr>) -> Expr) -> Expr {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            many(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(text: &str) -> String {
        fn show(e: &Expr) -> String {
            let list = |parts: &[Expr], word: &str| {
                format!("({})", parts.iter().map(show).collect::<Vec<_>>().join(word))
            };
            match e {
                Expr::And(parts) => list(parts, " & "),
                Expr::Or(parts) => list(parts, " | "),
                Expr::Not(inner) => format!("!{}", show(inner)),
                Expr::Compare { field, op, value, .. } => format!("{field} {op:?} {value}"),
                Expr::Call { name, args, .. } => {
                    let arg = |a: &Arg| if a.quoted { format!("{:?}", a.value) } else { a.value.clone() };
                    format!("{name}({})", args.iter().map(arg).collect::<Vec<_>>().join(", "))
                }
                Expr::Global { value, .. } => format!("~{value}"),
            }
        }
        match parse(text) {
            Ok(Some(e)) => show(&e),
            Ok(None) => String::new(),
            Err(e) => format!("error {e}"),
        }
    }

    #[test]
    fn or_binds_tighter_than_and() {
        assert_eq!(shape("a=1 AND b=2 OR c=3"), "(a Equal 1 & (b Equal 2 | c Equal 3))");
        assert_eq!(shape("a=1 b=2 OR c=3"), "(a Equal 1 & (b Equal 2 | c Equal 3))");
        assert_eq!(shape("(a=1 AND b=2) OR c=3"), "((a Equal 1 & b Equal 2) | c Equal 3)");
    }

    #[test]
    fn every_comparator_negation_and_literal_is_read() {
        assert_eq!(shape("NOT a != x AND -b:\"y z\""), "(!a NotEqual x & !b Has y z)");
        assert_eq!(shape("t >= 2026-11-05T10:30:00.5Z"), "t GreaterEqual 2026-11-05T10:30:00.5Z");
        assert_eq!(shape("n < -3"), "n Less -3");
        assert_eq!(shape("banker"), "~banker");
        assert_eq!(shape("  "), "");
        assert_eq!(shape(r#"a = "say \"hi\"""#), "a Equal say \"hi\"");
    }

    #[test]
    fn a_word_right_before_a_parenthesis_is_a_function() {
        assert_eq!(shape(r#"cidr(ip, "10.0.0.0/8")"#), r#"cidr(ip, "10.0.0.0/8")"#);
        assert_eq!(shape(r#"-text("a b") OR now()"#), r#"(!text("a b") | now())"#);
        assert_eq!(shape("NOT(a = 1)"), "!a Equal 1");
        assert_eq!(shape("banker (a = 1)"), "(~banker & a Equal 1)");
        assert_eq!(shape(r#""banker"(a = 1)"#), "(~banker & a Equal 1)");
        assert_eq!(shape("f(a) b=1"), "(f(a) & b Equal 1)");
    }

    #[test]
    fn an_error_names_its_position() {
        for (text, position) in [
            ("a =", 3),
            ("a = 1 AND", 9),
            ("(a = 1", 6),
            ("a = \"x", 4),
            ("a ! 1", 2),
            ("a = 1)", 5),
            ("\"a\" = 1", 0),
            ("a = 1, b = 2", 5),
            ("f(a", 3),
            ("f(a b)", 4),
            ("f(a,)", 4),
            ("f(,)", 2),
            ("f(g(a))", 3),
            ("a = f(b)", 5),
        ] {
            match parse(text) {
                Err(Error::Filter { position: found, .. }) => assert_eq!(found, position, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn depth_and_length_are_limited() {
        assert!(parse(&format!("{}a=1{}", "(".repeat(40), ")".repeat(40))).is_err());
        assert!(parse(&"-".repeat(40)).is_err());
        assert!(parse(&"a".repeat(MAX_BYTES + 1)).is_err());
        assert!(parse(&"NOT ".repeat(500)).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn no_text_makes_it_panic(text in "[ -~é\\n]{0,80}|((a|b|NOT|AND|OR|\\(|\\)|=|!=|<|:|\"|-|1|\\*|T10:00|f\\(|,) ?){0,30}") {
            let _ = parse(&text);
        }
    }
}
