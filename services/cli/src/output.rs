//! Answers as a table for people, or as JSON and YAML for programs.

mod chart;
mod table;
mod types;

use std::sync::LazyLock;

use clap::ValueEnum;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _, SerializeOptions,
};
use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
pub use chart::{bar, percent, sparkline};
pub use table::{clean, facts, figures, line, rows};
pub use types::Named;

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// Canonical protobuf JSON.
    Json,
    /// The same as YAML.
    Yaml,
}

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(proto::DESCRIPTOR_SET).ok());

/// The descriptors of the contract.
pub fn pool() -> Result<&'static DescriptorPool> {
    POOL.as_ref()
        .ok_or_else(|| Error::Local("this build holds a broken contract; install it again".to_owned()))
}

/// The descriptor of a message by its full name.
pub fn descriptor(name: &str) -> Result<MessageDescriptor> {
    pool()?.get_message_by_name(name).ok_or_else(|| {
        Error::Local(format!("this build does not know the message `{name}`; install it again"))
    })
}

/// `message` with its fields by name.
pub fn reflect<M: Named>(message: &M) -> Result<DynamicMessage> {
    let mut reflected = DynamicMessage::new(descriptor(M::NAME)?);
    reflected
        .transcode_from(message)
        .map_err(|e| Error::Local(format!("the answer is not a `{}`: {e}", M::NAME)))?;
    Ok(reflected)
}

/// What a command shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// One message, as the API answered.
    One(DynamicMessage),
    /// The items of all pages.
    All(Vec<DynamicMessage>),
}

impl Answer {
    /// The text for standard output, with its last newline.
    pub fn text(&self, format: Format) -> Result<String> {
        match (self, format) {
            (Self::One(message), Format::Table) => Ok(table::of_message(message)),
            (Self::All(items), Format::Table) => Ok(table::of_items(items)),
            (Self::One(message), _) => encode(&Shown(message), format),
            (Self::All(items), _) => encode(&items.iter().map(Shown).collect::<Vec<_>>(), format),
        }
    }

    /// Lines for people beside the table: what else the answer says.
    pub fn notes(&self, format: Format) -> Vec<String> {
        match self {
            Self::One(message) if format == Format::Table => table::notes(message),
            Self::All(items) if format == Format::Table && items.is_empty() => {
                vec!["nothing found".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// `value` as JSON or YAML; a table is not made here and reads as JSON.
pub fn encode(value: &impl Serialize, format: Format) -> Result<String> {
    match format {
        Format::Yaml => serde_norway::to_string(value).map_err(|e| failed(&e)),
        Format::Json | Format::Table => {
            serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|e| failed(&e))
        }
    }
}

fn failed(e: &dyn std::fmt::Display) -> Error {
    Error::Local(format!("the answer cannot be written: {e}"))
}

/// Protobuf JSON in which fields without presence always appear, so that a program can rely on `allowed: false`.
struct Shown<'a>(&'a DynamicMessage);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.serialize_with_options(serializer, &SerializeOptions::new().skip_default_fields(false))
    }
}

/// A message as a JSON value.
pub fn value(message: &DynamicMessage) -> Result<serde_json::Value> {
    serde_json::to_value(Shown(message)).map_err(|e| failed(&e))
}

/// A message as JSON on one line.
pub fn compact(message: &DynamicMessage) -> Result<String> {
    serde_json::to_string(&Shown(message)).map(|text| text + "\n").map_err(|e| failed(&e))
}

/// The string in field `name` of a message, or nothing.
pub fn text_field(message: &DynamicMessage, name: &str) -> String {
    message.get_field_by_name(name).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The items of a message that is a list: every message in its one repeated field.
pub fn items(message: &DynamicMessage) -> Vec<DynamicMessage> {
    let Some(field) = table::list_field(&message.descriptor()) else { return Vec::new() };
    let value = message.get_field(&field);
    value.as_list().unwrap_or_default().iter().filter_map(|v| v.as_message().cloned()).collect()
}

#[cfg(test)]
mod tests;
