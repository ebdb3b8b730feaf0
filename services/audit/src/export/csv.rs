//! CSV (RFC 4180, UTF-8, CRLF), safe to open in a spreadsheet.
//!
//! A spreadsheet runs a cell that begins like a formula. So a text that begins with one of [`RISKY`] is written with a
//! `'` before it (OWASP, "CSV injection"). `'` itself is one of them: taking one leading `'` away from every text cell that
//! has one gives back exactly what was recorded. Numbers, times (RFC 3339) and the leaf hash (hex) never begin like that.

use std::borrow::Cow;

use csv::{Terminator, WriterBuilder};
use kernel::{Result, error::Error};

use super::{
    Encoder,
    columns::{COLUMNS, Cell, cells},
    row::Row,
};

/// What a text may not begin with in a cell.
const RISKY: [char; 12] = ['=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠'];

/// Bytes set aside for one record; a longer one goes out in pieces.
const RECORD_BYTES: usize = 1_024;

/// A header, and a record for each event.
#[derive(Default)]
pub struct Csv {
    begun: bool,
}

impl Encoder for Csv {
    fn event(&mut self, row: &Row, out: &mut Vec<u8>) -> Result<()> {
        self.begin(out)?;
        record(out, cells(row).into_iter().map(shown))
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.begin(out)
    }
}

impl Csv {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        record(out, COLUMNS.iter().map(|column| column.name.into()))
    }
}

/// One record of texts.
pub fn texts<'a>(out: &mut Vec<u8>, fields: impl IntoIterator<Item = &'a str>) -> Result<()> {
    record(out, fields.into_iter().map(|text| safe(text.into())))
}

fn record<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = Cow<'a, str>>) -> Result<()> {
    let mut writer =
        WriterBuilder::new().terminator(Terminator::CRLF).buffer_capacity(RECORD_BYTES).from_writer(out);
    for field in fields {
        writer.write_field(field.as_bytes()).map_err(Error::internal)?;
    }
    writer.write_record(None::<&[u8]>).map_err(Error::internal)?;
    writer.flush().map_err(Error::internal)
}

fn shown(cell: Cell<'_>) -> Cow<'_, str> {
    match cell {
        Cell::Int(number) => number.to_string().into(),
        Cell::Time(time) => time.to_string().into(),
        Cell::Text(text) => safe(text),
        Cell::Hash(hash) => hash.to_hex().into(),
    }
}

/// A text that no spreadsheet takes for a formula.
fn safe(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.starts_with(RISKY) { format!("'{text}").into() } else { text }
}

#[cfg(test)]
mod tests {
    use kernel::clock::Time;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::export::{row::SEALED, tests::sample_row};

    /// The records of a file, the header first.
    fn read(bytes: &[u8]) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
        reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    /// What was recorded behind a text cell.
    fn recorded(cell: &str) -> &str {
        cell.strip_prefix('\'').unwrap_or(cell)
    }

    #[test]
    fn an_event_is_one_record_below_a_header() {
        let mut out = Vec::new();
        let mut csv = Csv::default();
        csv.event(&sample_row(3), &mut out).unwrap();
        csv.end(&mut out).unwrap();
        let expected = "index,id,time,action,outcome,event_class,actor,partner,targets,request_id,trace_id,ip,user_agent,count,changes,leaf_hash\r\n\
            3,00000000-0000-0000-0000-000000000003,2026-11-23T12:00:00.000003Z,role.update,ok,admin_write,\
            tenants/acme/principals/maria,partners/northwind,tenants/acme/roles/banker tenants/acme/roles/clerk,r-1,t-1,\
            (sealed),(sealed),1,\"[{\"\"f\"\":\"\"/display_name\"\",\"\"n\"\":\"\"Banker, \\\"\"senior\\\"\"\"\",\"\"o\"\":\"\"(sealed)\"\"}]\",\
            c1e8d4a1\r\n";
        let text = String::from_utf8(out).unwrap();
        let hash = sample_row(3).leaf_hash().to_hex();
        assert_eq!(text, expected.replace("c1e8d4a1", &hash));
        assert_eq!(read(text.as_bytes())[1][12], SEALED);
    }

    #[test]
    fn a_file_without_events_has_its_header() {
        let mut out = Vec::new();
        Csv::default().end(&mut out).unwrap();
        assert_eq!(read(&out), [COLUMNS.map(|c| c.name.to_owned())]);
    }

    proptest! {
        #[test]
        fn no_cell_begins_like_a_formula_and_every_text_reads_back(
            texts in prop::array::uniform5("(=|\\+|-|@|\t|\r|\n|'|＝|＋|－|＠|\"|,|;)?[\\PC\r\n\t\"',=]{0,12}")
        ) {
            let [act, actor, partner, target, trace] = &texts;
            let entry = json!({
                "act": act, "actor": {"p": actor}, "via": {"partner": partner}, "tgt": [{"k": "role", "id": target}],
                "trace": trace, "chg": [{"f": "/x", "o": act, "n": actor}],
            });
            let row = Row::new(1, 1, Time::from_micros(1), entry.to_string());
            let mut out = Vec::new();
            Csv::default().event(&row, &mut out).unwrap();
            let records = read(&out);
            prop_assert_eq!(records.len(), 2, "a line break stays inside its cell");
            for cell in &records[1] {
                prop_assert!(!cell.starts_with(RISKY) || cell.starts_with('\''), "{:?}", cell);
            }
            for (place, text) in [(3, act), (6, actor), (7, partner), (8, target), (10, trace)] {
                prop_assert_eq!(recorded(&records[1][place]), text);
            }
            prop_assert_eq!(records[1][14].parse::<serde_json::Value>().unwrap(), entry["chg"].clone());
        }
    }
}
