//! From the tree to SQL that holds no user input: every value is a bind parameter.

use uuid::Uuid;

use super::parse::{Comparator, Expr, fault, parse};
use crate::{clock::Time, error::Result, ids::clip};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text: `=`, `!=` (with `*` as a wildcard at either end), `<`…, `:` for "contains".
    Text,
    /// One of a few words, stored in lower case; accepted in any case.
    Enum(&'static [&'static str]),
    /// An RFC 3339 time.
    Time,
    /// A whole number.
    Int,
    /// Text that is stored in lower case: like [`Kind::Text`], in any case.
    Folded,
    /// A set of words, stored in lower case and each between line breaks: `=`, `!=` (with `*` as a wildcard at either end)
    /// for one of them, `:` for a part of one, in any case.
    Set,
    /// A member of this name in an object of texts, stored as JSON without spaces: `=` and `!=`; absent is the empty text.
    Member(&'static str),
}

/// A field that can be filtered and, perhaps, ordered by.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As the caller writes it.
    pub name: &'static str,
    /// As SQL writes it; an expression is allowed.
    pub column: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it can be ordered by; then it must never be NULL.
    pub sortable: bool,
}

impl Field {
    /// A text field.
    pub const fn text(name: &'static str, column: &'static str) -> Self {
        Self { name, column, kind: Kind::Text, sortable: true }
    }

    /// A time field.
    pub const fn time(name: &'static str, column: &'static str) -> Self {
        Self { name, column, kind: Kind::Time, sortable: true }
    }

    /// A field of a few words.
    pub const fn words(name: &'static str, column: &'static str, words: &'static [&'static str]) -> Self {
        Self { name, column, kind: Kind::Enum(words), sortable: false }
    }

    /// A field that is stored in lower case.
    pub const fn folded(name: &'static str, column: &'static str) -> Self {
        Self { name, column, kind: Kind::Folded, sortable: false }
    }

    /// A field that is a set of words.
    pub const fn set(name: &'static str, column: &'static str) -> Self {
        Self { name, column, kind: Kind::Set, sortable: false }
    }

    /// A field that is a member of a stored JSON object, under its own name.
    pub const fn member(name: &'static str, column: &'static str) -> Self {
        Self { name, column, kind: Kind::Member(name), sortable: false }
    }

    /// The same, not to be ordered by: because it may be NULL, or has no index.
    #[must_use]
    pub const fn unsorted(self) -> Self {
        Self { sortable: false, ..self }
    }
}

/// A bind parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// TEXT.
    Text(String),
    /// BIGINT.
    Int(i64),
    /// UUID or BLOB.
    Id(Uuid),
}

/// SQL text under construction, with its parameters.
#[derive(Debug, Default)]
pub struct Sql {
    /// The text, with `$1`, `$2`, ….
    pub text: String,
    /// The parameters, in order.
    pub values: Vec<Value>,
}

impl Sql {
    /// Adds SQL of ours.
    pub fn push(&mut self, sql: &str) {
        self.text.push_str(sql);
    }

    /// Adds a parameter and its placeholder.
    pub fn bind(&mut self, value: Value) {
        self.values.push(value);
        self.text.push_str(&format!("${}", self.values.len()));
    }

    /// Adds ` AND (<filter>)`; nothing for an empty filter.
    pub fn and_filter(&mut self, filter: &str, fields: &[Field]) -> Result<()> {
        let Some(expr) = parse(filter)? else { return Ok(()) };
        self.push(" AND ");
        self.expr(&expr, fields)
    }

    fn expr(&mut self, expr: &Expr, fields: &[Field]) -> Result<()> {
        match expr {
            Expr::And(parts) => self.joined(parts, " AND ", fields),
            Expr::Or(parts) => self.joined(parts, " OR ", fields),
            Expr::Not(inner) => {
                self.push("NOT (");
                self.expr(inner, fields)?;
                self.push(")");
                Ok(())
            }
            Expr::Global { value, .. } => {
                self.global(value, fields);
                Ok(())
            }
            Expr::Call { name, at, .. } => {
                Err(fault(*at, format!("`{}` is not a function here; compare a field", clip(name))))
            }
            Expr::Compare { field, op, value, quoted, at, value_at } => {
                let known = fields.iter().find(|f| f.name == field).ok_or_else(|| {
                    let names: Vec<_> = fields.iter().map(|f| format!("`{}`", f.name)).collect();
                    fault(*at, format!("unknown field `{}`; known are {}", clip(field), names.join(", ")))
                })?;
                self.compare(known, *op, value, *quoted, *value_at)
            }
        }
    }

    fn joined(&mut self, parts: &[Expr], word: &str, fields: &[Field]) -> Result<()> {
        self.push("(");
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                self.push(word);
            }
            self.expr(part, fields)?;
        }
        self.push(")");
        Ok(())
    }

    /// A word by itself: some text field contains it.
    fn global(&mut self, word: &str, fields: &[Field]) {
        self.push("(1 = 0");
        for field in fields.iter().filter(|f| f.kind == Kind::Text) {
            self.push(" OR ");
            self.contains(field.column, &word.replace("\\*", "*"));
        }
        self.push(")");
    }

    fn compare(&mut self, field: &Field, op: Comparator, value: &str, quoted: bool, at: usize) -> Result<()> {
        let literal = match field.kind {
            Kind::Text => {
                self.text_compare(field.column, op, value, quoted);
                return Ok(());
            }
            Kind::Folded => {
                self.text_compare(field.column, op, &value.to_lowercase(), quoted);
                return Ok(());
            }
            Kind::Set => return self.set_compare(field, op, &value.to_lowercase(), quoted, at),
            Kind::Member(member) => return self.member_compare(field, member, op, value, at),
            Kind::Enum(words) => {
                let word = value.to_ascii_lowercase();
                if !words.contains(&word.as_str()) {
                    let list = words.join("`, `");
                    return Err(fault(at, format!("`{}` is none of `{list}`", clip(value))));
                }
                if !matches!(op, Comparator::Equal | Comparator::NotEqual | Comparator::Has) {
                    return Err(fault(at, format!("`{}` has no order; use `=` or `!=`", field.name)));
                }
                Value::Text(word)
            }
            Kind::Time => Value::Int(
                Time::parse("filter", value)
                    .map_err(|_| {
                        fault(
                            at,
                            format!(
                                "`{}` is not a time; write RFC 3339, for example `\"2026-11-05T10:30:00Z\"`",
                                clip(value)
                            ),
                        )
                    })?
                    .micros(),
            ),
            Kind::Int => Value::Int(
                value.parse().map_err(|_| fault(at, format!("`{}` is not a whole number", clip(value))))?,
            ),
        };
        self.simple(field.column, op, literal);
        Ok(())
    }

    /// NULL compares like the empty text, so that `NOT` and `!=` mean the same on every row.
    fn text_compare(&mut self, column: &str, op: Comparator, value: &str, quoted: bool) {
        let column = format!("COALESCE({column}, '')");
        let wild = matches!(op, Comparator::Equal | Comparator::NotEqual) && value.contains('*');
        if op == Comparator::Has {
            if value == "*" && !quoted {
                self.push(&format!("{column} <> ''"));
            } else {
                self.contains(&column, &value.replace("\\*", "*"));
            }
        } else if wild {
            if op == Comparator::NotEqual {
                self.push("NOT ");
            }
            self.wildcard(&column, value);
        } else {
            self.simple(&column, op, Value::Text(value.to_owned()));
        }
    }

    fn set_compare(
        &mut self,
        field: &Field,
        op: Comparator,
        value: &str,
        quoted: bool,
        at: usize,
    ) -> Result<()> {
        match op {
            Comparator::Has => self.text_compare(field.column, op, value, quoted),
            Comparator::Equal | Comparator::NotEqual => {
                if op == Comparator::NotEqual {
                    self.push("NOT ");
                }
                let open_start = value.starts_with('*');
                let open_end = value.ends_with('*') && !value.ends_with("\\*") && value.len() > 1;
                let middle = value.strip_prefix('*').unwrap_or(value);
                let middle = if open_end { middle.strip_suffix('*').unwrap_or(middle) } else { middle };
                let (from, to) = (if open_start { "" } else { "\n" }, if open_end { "" } else { "\n" });
                self.contains(field.column, &format!("{from}{}{to}", middle.replace("\\*", "*")));
            }
            _ => {
                let message = format!("`{}` has no order; use `=` for one of it, `:` for a part", field.name);
                return Err(fault(at, message));
            }
        }
        Ok(())
    }

    /// Quotes inside of texts are escaped, so what stands between quotes and colon is a member and nothing else.
    fn member_compare(
        &mut self,
        field: &Field,
        member: &str,
        op: Comparator,
        value: &str,
        at: usize,
    ) -> Result<()> {
        let absent = value.is_empty();
        let not = match op {
            Comparator::Equal => absent,
            Comparator::NotEqual => !absent,
            _ => return Err(fault(at, format!("`{}` is compared as a whole; use `=` or `!=`", field.name))),
        };
        if not {
            self.push("NOT ");
        }
        let text = serde_json::Value::from(value).to_string();
        let part = if absent { format!("\"{member}\":") } else { format!("\"{member}\":{text}") };
        self.contains(field.column, &part);
        Ok(())
    }

    fn simple(&mut self, column: &str, op: Comparator, value: Value) {
        let sign = match op {
            Comparator::Equal | Comparator::Has => " = ",
            Comparator::NotEqual => " <> ",
            Comparator::Less => " < ",
            Comparator::LessEqual => " <= ",
            Comparator::Greater => " > ",
            Comparator::GreaterEqual => " >= ",
        };
        self.push(column);
        self.push(sign);
        self.bind(value);
    }

    /// LIKE folds case in SQLite and does not in PostgreSQL; REPLACE and SUBSTR mean the same in both.
    fn contains(&mut self, column: &str, part: &str) {
        if part.is_empty() {
            return self.push("1 = 1");
        }
        self.push(&format!("REPLACE(COALESCE({column}, ''), "));
        self.bind(Value::Text(part.to_owned()));
        self.push(&format!(", '') <> COALESCE({column}, '')"));
    }

    /// `*` at the start, at the end, or both; a star elsewhere, or written `\*`, is itself.
    fn wildcard(&mut self, column: &str, pattern: &str) {
        let open_end = pattern.ends_with('*') && !pattern.ends_with("\\*");
        let open_start = pattern.starts_with('*');
        let middle = pattern.strip_prefix('*').unwrap_or(pattern);
        let middle = if open_end { middle.strip_suffix('*').unwrap_or(middle) } else { middle };
        let middle = middle.replace("\\*", "*");
        let length = i64::try_from(middle.chars().count()).unwrap_or(i64::MAX);
        match (open_start, open_end) {
            (true, true) => self.contains(column, &middle),
            (false, true) => {
                self.push(&format!("SUBSTR({column}, 1, {length}) = "));
                self.bind(Value::Text(middle));
            }
            (true, false) => {
                self.push(&format!(
                    "(LENGTH({column}) >= {length} AND SUBSTR({column}, LENGTH({column}) - {length} + 1) = "
                ));
                self.bind(Value::Text(middle));
                self.push(")");
            }
            (false, false) => self.simple(column, Comparator::Equal, Value::Text(middle)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use proptest::prelude::*;

    const FIELDS: [Field; 6] = [
        Field::member("plugin", "dims"),
        Field::text("role_id", "slug"),
        Field::words("state", "state", &["live", "closed"]),
        Field::time("create_time", "create_time"),
        Field::folded("text", "search_text"),
        Field::set("skill", "skills"),
    ];

    fn sql(filter: &str) -> Result<Sql> {
        let mut sql = Sql::default();
        sql.and_filter(filter, &FIELDS)?;
        Ok(sql)
    }

    #[test]
    fn values_are_parameters_and_never_text() {
        let made = sql(r#"role_id = "x'; DROP TABLE role; --" AND state = LIVE"#).unwrap();
        assert_eq!(made.text, " AND (COALESCE(slug, '') = $1 AND state = $2)");
        assert_eq!(
            made.values,
            [Value::Text("x'; DROP TABLE role; --".to_owned()), Value::Text("live".to_owned())]
        );
    }

    #[test]
    fn a_member_of_an_object_is_compared_as_a_whole() {
        let asked = |filter: &str| sql(filter).map(|made| (made.text, made.values));
        let (text, values) = asked("plugin = \"a\\\"b\"").unwrap();
        assert_eq!(text, " AND REPLACE(COALESCE(dims, ''), $1, '') <> COALESCE(dims, '')");
        assert_eq!(values, [Value::Text("\"plugin\":\"a\\\"b\"".to_owned())]);
        let (text, values) = asked("plugin = \"\"").unwrap();
        assert!(text.contains("NOT REPLACE"), "{text}");
        assert_eq!(values, [Value::Text("\"plugin\":".to_owned())]);
        assert!(asked("plugin != kit").unwrap().0.contains("NOT REPLACE"));
        assert!(asked("plugin : kit").is_err() && asked("plugin > kit").is_err());
    }

    #[test]
    fn folded_text_and_sets_are_asked_for_in_lower_case_and_words_of_a_set_whole() {
        let asked = |filter: &str| sql(filter).unwrap().values.remove(0);
        for (filter, value) in [
            ("text : \"FactSet Ü\"", "factset ü"),
            ("skill = Draft", "\ndraft\n"),
            ("skill != Draft", "\ndraft\n"),
            ("skill = \"Dr*\"", "\ndr"),
            ("skill = \"*Ft\"", "ft\n"),
            ("skill = \"*RA*\"", "ra"),
            ("skill : RA", "ra"),
        ] {
            assert_eq!(asked(filter), Value::Text(value.to_owned()), "{filter}");
        }
        assert_eq!(sql("skill : *").unwrap().text, " AND COALESCE(skills, '') <> ''");
        assert_eq!(sql("skill = \"*\"").unwrap().values, [Value::Text("\n".to_owned())], "any word ends");
        assert!(sql("skill != a").unwrap().text.starts_with(" AND NOT REPLACE("));
        assert!(sql("skill > a").is_err());
    }

    #[test]
    fn unknown_fields_and_bad_literals_name_their_position() {
        for (filter, position) in [
            ("colour = 1", 0),
            ("state = open", 8),
            ("create_time > tomorrow", 14),
            ("state > live", 8),
            ("state = live AND text(\"x\")", 17),
        ] {
            match sql(filter) {
                Err(Error::Filter { position: found, .. }) => assert_eq!(found, position, "{filter}"),
                other => panic!("{filter}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn user_text_never_reaches_the_sql(word in "[a-zA-Z';%_-]{1,12}") {
            let marker = format!("zq{word}zq");
            let made = sql(&format!("role_id = \"{marker}*\" OR role_id : \"{marker}\" OR NOT \"{marker}\"")).unwrap();
            prop_assert!(!made.text.contains("zq"), "{}", made.text);
        }
    }
}
