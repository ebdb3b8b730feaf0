//! Checks of single fields, all found faults reported together.

use crate::{
    error::{Error, Result, Violation},
    ids::clip,
};

/// Collects violations.
#[derive(Debug, Default)]
pub struct Checks(Vec<Violation>);

impl Checks {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a violation unless `ok`.
    pub fn that(&mut self, field: &str, ok: bool, message: impl Into<String>) {
        if !ok {
            self.0.push(Violation { field: field.to_owned(), message: message.into() });
        }
    }

    /// Text of `min` to `max` characters without control characters.
    pub fn text(&mut self, field: &str, text: &str, min: usize, max: usize) {
        let count = text.chars().count();
        let length = format!("has {count} characters; use {min} to {max}");
        self.that(field, (min..=max).contains(&count), length);
        let controls = text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
        self.that(field, !controls, "holds control characters; remove them");
    }

    /// An e-mail address, or empty: one `@` with something on both sides, at most 254 characters (RFC 5321).
    pub fn email(&mut self, field: &str, text: &str) {
        let parts = text.split_once('@');
        let well = parts.is_some_and(|(l, d)| !l.is_empty() && !d.is_empty() && !d.contains('@'));
        let plain = !text.chars().any(|c| c.is_control() || c.is_whitespace());
        let ok = text.is_empty() || (well && plain && text.len() <= 254);
        self.that(field, ok, format!("`{}` is not an e-mail address", clip(text)));
    }

    /// All violations as one error.
    pub fn done(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}
