//! Tables and cards: plain columns that `awk` can read, without colours and without a frame.

use std::{fmt::Write as _, ops::Range};

use comfy_table::{CellAlignment, Table, presets};
use jiff::Timestamp;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};

use super::types::columns;

/// Text from elsewhere, made harmless for a terminal: control characters are written out.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    clean
}

/// A table with a heading.
pub fn rows(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    figures(heading, rows, 0..0)
}

/// A table with a heading, in which the columns `right` are numbers.
pub fn figures(heading: &[&str], rows: Vec<Vec<String>>, right: Range<usize>) -> String {
    let mut table = plain();
    table.set_header(heading.iter().map(|word| word.replace('_', " ").to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().take(right.end).skip(right.start) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    finish(table)
}

/// The field that makes a message a list: its items have columns and the message itself has none.
pub fn list_field(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    if !columns(message.full_name()).is_empty() {
        return None;
    }
    message
        .fields()
        .find(|f| f.is_list() && item(f).is_some_and(|item| !columns(item.full_name()).is_empty()))
}

/// A list as a table, anything else as a card.
pub fn of_message(message: &DynamicMessage) -> String {
    if list_field(&message.descriptor()).is_some() {
        return of_items(&super::items(message));
    }
    let mut table = plain();
    card(&mut table, "", message);
    finish(table)
}

/// Items of one kind as a table; none at all as nothing.
pub fn of_items(items: &[DynamicMessage]) -> String {
    let Some(first) = items.first() else { return String::new() };
    let descriptor = first.descriptor();
    let names = columns(descriptor.full_name()).iter().copied();
    let fields: Vec<_> = names.filter_map(|name| descriptor.get_field_by_name(name)).collect();
    let cell = |item: &DynamicMessage, field: &FieldDescriptor| {
        // a figure that there is not is no 0
        let told = !field.supports_presence() || item.has_field(field);
        if told { lines(&item.get_field(field), field).join(", ") } else { String::new() }
    };
    let used: Vec<_> =
        fields.into_iter().filter(|f| items.iter().any(|item| !cell(item, f).is_empty())).collect();
    let heading: Vec<_> = used.iter().map(FieldDescriptor::name).collect();
    let mut table = plain();
    table.set_header(heading.iter().map(|word| word.replace('_', " ").to_uppercase()));
    for item in items {
        table.add_row(used.iter().map(|field| cell(item, field)));
    }
    for (column, field) in table.column_iter_mut().zip(&used) {
        if matches!(field.kind(), Kind::Int64 | Kind::Int32) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    finish(table)
}

/// An item of a list on a line of its own, its columns two spaces apart: for lists that never end.
pub fn line(item: &DynamicMessage) -> String {
    let descriptor = item.descriptor();
    let fields = columns(descriptor.full_name()).iter().filter_map(|name| descriptor.get_field_by_name(name));
    let cells: Vec<_> = fields.map(|field| lines(&item.get_field(&field), &field).join(", ")).collect();
    let cells: Vec<_> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
    format!("{}\n", cells.join("  "))
}

/// What a list says beside its items.
pub fn notes(message: &DynamicMessage) -> Vec<String> {
    let Some(list) = list_field(&message.descriptor()) else { return Vec::new() };
    let mut notes = Vec::new();
    if super::items(message).is_empty() {
        notes.push("nothing found".to_owned());
    }
    for field in message.descriptor().fields().filter(|f| *f != list) {
        let Some(text) = lines(&message.get_field(&field), &field).pop() else { continue };
        match field.name() {
            "next_page_token" => {
                notes.push(format!("there is more: repeat with --page-token {text}, or with --all"));
            }
            // The table of a named thing says its name already to whoever asked for it.
            "name" => {}
            name => notes.push(format!("{}: {text}", name.replace('_', " "))),
        }
    }
    notes
}

/// Fields whose text has lines of its own.
const TEXTS: [&str; 2] = ["provost.audit.v1.AuditLog.checkpoint", "provost.audit.v1.Receipt.proof"];

/// What a command found out by itself, one line a fact.
pub fn facts(facts: &[(&str, String)]) -> String {
    let mut table = plain();
    for (name, value) in facts {
        table.add_row([(*name).to_owned(), clean(value)]);
    }
    finish(table)
}

/// One row a field; fields of a message inside are written `contract.currency`.
fn card(table: &mut Table, prefix: &str, message: &DynamicMessage) {
    for field in message.descriptor().fields() {
        let label = format!("{prefix}{}", field.name());
        let value = message.get_field(&field);
        if let (Value::Message(inner), false) = (&*value, is_timestamp(&field)) {
            if message.has_field(&field) {
                card(table, &format!("{label}."), inner);
            }
            continue;
        }
        let lines = match &*value {
            Value::String(text) if TEXTS.contains(&field.full_name()) => text.lines().map(clean).collect(),
            value => lines(value, &field),
        };
        if !lines.is_empty() {
            table.add_row([label, lines.join("\n")]);
        }
    }
}

/// The values of a field, one a line; none where there is nothing to say.
fn lines(value: &Value, field: &FieldDescriptor) -> Vec<String> {
    let kind = field.kind();
    match value {
        Value::List(values) => values.iter().map(|v| scalar(v, &kind)).collect(),
        one => Some(scalar(one, &kind)).filter(|text| !text.is_empty()).into_iter().collect(),
    }
}

fn scalar(value: &Value, kind: &Kind) -> String {
    match (value, kind) {
        (Value::String(text), _) => clean(text),
        (Value::Bool(yes), _) => if *yes { "yes" } else { "no" }.to_owned(),
        (Value::I32(n), _) => n.to_string(),
        (Value::I64(n), _) => n.to_string(),
        (Value::EnumNumber(n), Kind::Enum(descriptor)) => match descriptor.get_value(*n) {
            Some(_) if *n == 0 => String::new(),
            Some(value) => {
                short_enum(&descriptor.default_value().name().replace("UNSPECIFIED", ""), value.name())
            }
            None => n.to_string(),
        },
        (Value::Message(message), Kind::Message(descriptor)) => {
            if descriptor.full_name() == TIMESTAMP {
                time(message)
            } else {
                inline(message)
            }
        }
        (Value::Bytes(bytes), _) => bytes.iter().fold(String::new(), |mut text, byte| {
            // writing into a String cannot fail
            let _ = write!(text, "{byte:02x}");
            text
        }),
        // Floats and maps: the contract shows none of them.
        (other, _) => clean(&format!("{other:?}")),
    }
}

/// `LIVE` for `TENANT_STATE_LIVE`.
fn short_enum(prefix: &str, name: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

/// A message inside a list, on one line.
fn inline(message: &DynamicMessage) -> String {
    let mut words = Vec::new();
    for field in message.descriptor().fields() {
        for text in lines(&message.get_field(&field), &field) {
            words.push(format!("{}={text}", field.name()));
        }
    }
    words.join(" ")
}

const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// RFC 3339 in UTC to the second; nothing for a time that is not set.
fn time(message: &DynamicMessage) -> String {
    let seconds = message.get_field_by_name("seconds").and_then(|v| v.as_i64()).unwrap_or(0);
    if seconds == 0 {
        return String::new();
    }
    Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |t| t.to_string())
}

fn is_timestamp(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(m) if m.full_name() == TIMESTAMP)
}

fn item(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) => Some(message),
        _ => None,
    }
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn finish(mut table: Table) -> String {
    if table.is_empty() && table.header().is_none() {
        return String::new();
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}
