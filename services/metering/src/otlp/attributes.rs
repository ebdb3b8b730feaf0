//! What an item says: keys and values.

use std::borrow::Cow;

/// Most attributes of an item; also of a resource, where the rest is not looked at.
pub const MAX_ATTRIBUTES: usize = 128;

/// Attributes in the order in which they came, at most [`MAX_ATTRIBUTES`].
#[derive(Debug, Default)]
pub struct Attributes<'a> {
    list: Vec<(Cow<'a, str>, Value<'a>)>,
    overflow: bool,
}

impl<'a> Attributes<'a> {
    /// The value under `key`; the first one, where a client repeats itself.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.list.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// The text under `key`, if it is text and not empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.list.iter().map(|(k, v)| (k.as_ref(), v))
    }

    /// Whether there were more than [`MAX_ATTRIBUTES`].
    pub fn overflow(&self) -> bool {
        self.overflow
    }

    /// Adds one, if there is room; says whether there was.
    pub(super) fn push(&mut self, key: Cow<'a, str>, value: Value<'a>) -> bool {
        self.overflow = self.list.len() >= MAX_ATTRIBUTES;
        if !self.overflow {
            self.list.push((key, value));
        }
        !self.overflow
    }

    /// Whether one more would be too many.
    pub(super) fn full(&self) -> bool {
        self.list.len() >= MAX_ATTRIBUTES
    }

    /// Notes that there were more.
    pub(super) fn overflowed(&mut self) {
        self.overflow = true;
    }

    /// Takes the text under `key` out.
    pub(super) fn take(&mut self, key: &str) -> Cow<'a, str> {
        let found = self.list.iter_mut().find(|(k, v)| k == key && matches!(v, Value::Text(_)));
        match found.map(|(_, value)| std::mem::replace(value, Value::Empty)) {
            Some(Value::Text(text)) => text,
            _ => Cow::Borrowed(""),
        }
    }
}

/// A value. Clients disagree on types (`"true"`, `"200"`, `200`), so readers go by what it says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// A floating-point number; never used as a quantity unless it is whole.
    Double(f64),
    /// Several.
    List(Vec<Value<'a>>),
    /// Nothing, or something of a kind that is not kept (maps, bytes).
    Empty,
}

impl Value<'_> {
    /// As one line of text; empty for nothing. Lists are joined with commas.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Int(int) => Cow::Owned(int.to_string()),
            Self::Bool(bool) => Cow::Borrowed(if *bool { "true" } else { "false" }),
            Self::Double(double) => Cow::Owned(double.to_string()),
            Self::List(values) => Cow::Owned(values.iter().map(Self::to_text).collect::<Vec<_>>().join(",")),
            Self::Empty => Cow::Borrowed(""),
        }
    }
}
