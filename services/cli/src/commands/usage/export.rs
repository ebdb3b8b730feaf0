//! Figures as a file: CSV for spreadsheets, Parquet for warehouses. Numbers are exact: whole base units, and the figure with its point
//! as text; nothing passes through a float.

use std::{borrow::Cow, fs, path::Path, sync::Arc};

use clap::ValueEnum;
use jiff::{Timestamp, tz::TimeZone};
use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{ByteArray, ByteArrayType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};
use proto::usage::v1::{QueryUsageRequest, QueryUsageResponse, UsageDimension, UsageRow};

use crate::error::{Error, Result};

/// What a text may not begin with in a cell of a spreadsheet, which would take it for a formula (OWASP, "CSV injection"). `'` is one of
/// them, so that taking one leading `'` away from a text cell that has one gives back what was said.
const RISKY: [char; 12] = ['=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠'];

/// What the writer of Parquet files answers.
type Parquet<T> = std::result::Result<T, ParquetError>;

/// How figures are written into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// RFC 4180, UTF-8, with a heading; times in the query's time zone, with their offset.
    Csv,
    /// Apache Parquet; times are instants.
    Parquet,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell<'r> {
    Time(Option<Timestamp>),
    Text(Cow<'r, str>),
    Int(i64),
}

/// Name and values of a column.
struct Column<'r> {
    name: String,
    cells: Vec<Cell<'r>>,
}

/// Writes the figures of an answer into `out`, whole or not at all.
pub(super) fn write(
    format: FileFormat,
    out: &Path,
    asked: &QueryUsageRequest,
    answer: &QueryUsageResponse,
) -> Result<()> {
    let columns = columns(asked, &answer.rows)?;
    let bytes = match format {
        FileFormat::Csv => csv(&columns, answer.rows.len(), &asked.time_zone)?,
        FileFormat::Parquet => parquet(&columns, asked)
            .map_err(|e| Error::Local(format!("the figures cannot be written: {e}")))?,
    };
    let mut part = out.as_os_str().to_owned();
    part.push(".part");
    fs::write(&part, bytes)
        .and_then(|()| fs::rename(&part, out))
        .map_err(|e| Error::Local(format!("`{}` cannot be written: {e}", out.display())))
}

/// Window and meter, what was grouped by, and the figure.
fn columns<'r>(asked: &QueryUsageRequest, rows: &'r [UsageRow]) -> Result<Vec<Column<'r>>> {
    let mut columns = Vec::new();
    let mut put = |name: &str, cells: Vec<Cell<'r>>| columns.push(Column { name: name.to_owned(), cells });
    let times = |of: fn(&UsageRow) -> Option<prost_types::Timestamp>| {
        rows.iter().map(|row| instant(of(row)).map(Cell::Time)).collect::<Result<Vec<_>>>()
    };
    let texts = |of: fn(&UsageRow) -> &str| rows.iter().map(|row| Cell::Text(of(row).into())).collect();
    put("start_time", times(|row| row.start_time)?);
    put("end_time", times(|row| row.end_time)?);
    put("meter", texts(|row| &row.meter));
    for dimension in &asked.group_by {
        match UsageDimension::try_from(*dimension) {
            Ok(UsageDimension::Role) => put("role", texts(|row| &row.role)),
            Ok(UsageDimension::Unit) => put("unit_name", texts(|row| &row.unit_name)),
            Ok(UsageDimension::Principal) => put("principal", texts(|row| &row.principal)),
            Ok(UsageDimension::Client) => put("client", texts(|row| &row.client)),
            _ => {}
        }
    }
    for dim in &asked.group_by_dims {
        let value = |row: &'r UsageRow| row.dims.iter().find(|d| d.key == *dim).map_or("", |d| &d.value);
        put(&format!("dim_{dim}"), rows.iter().map(|row| Cell::Text(value(row).into())).collect());
    }
    put("decimal_value", texts(|row| &row.decimal_value));
    put("unit", texts(|row| &row.unit));
    put("value", rows.iter().map(|row| Cell::Int(row.value)).collect());
    put("events", rows.iter().map(|row| Cell::Int(row.events)).collect());
    Ok(columns)
}

fn instant(time: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>> {
    let read = |t: prost_types::Timestamp| Timestamp::new(t.seconds, t.nanos);
    time.map(read).transpose().map_err(|e| Error::Local(format!("the answer has a time that is none: {e}")))
}

fn csv(columns: &[Column<'_>], rows: usize, zone: &str) -> Result<Vec<u8>> {
    let zone = if zone.is_empty() {
        None
    } else {
        let unknown = |e| Error::Local(format!("this machine does not know the time zone `{zone}`: {e}"));
        Some(TimeZone::get(zone).map_err(unknown)?)
    };
    let failed = |e: csv::Error| Error::Local(format!("the figures cannot be written: {e}"));
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(columns.iter().map(|c| safe(&c.name).into_owned())).map_err(failed)?;
    for n in 0..rows {
        let cells = columns.iter().filter_map(|c| c.cells.get(n));
        writer.write_record(cells.map(|cell| shown(cell, zone.as_ref()))).map_err(failed)?;
    }
    writer.into_inner().map_err(|e| Error::Local(format!("the figures cannot be written: {e}")))
}

fn shown(cell: &Cell<'_>, zone: Option<&TimeZone>) -> String {
    match (cell, zone) {
        (Cell::Time(None), _) => String::new(),
        (Cell::Time(Some(time)), None) => time.to_string(),
        (Cell::Time(Some(time)), Some(zone)) => time.display_with_offset(zone.to_offset(*time)).to_string(),
        (Cell::Text(text), _) => safe(text).into_owned(),
        (Cell::Int(number), _) => number.to_string(),
    }
}

/// A text that no spreadsheet takes for a formula.
fn safe(text: &str) -> Cow<'_, str> {
    if text.starts_with(RISKY) { format!("'{text}").into() } else { text.into() }
}

fn parquet(columns: &[Column<'_>], asked: &QueryUsageRequest) -> Parquet<Vec<u8>> {
    let zone = if asked.time_zone.is_empty() { "UTC" } else { &asked.time_zone };
    let said = [("tenant", asked.parent.as_str()), ("time_zone", zone), ("filter", &asked.filter)];
    let said = said.map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned()));
    let properties = WriterProperties::builder()
        .set_created_by(format!("Provost {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(said.to_vec()))
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema(columns)?, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for column in columns {
        values(&mut group, column)?;
    }
    group.close()?;
    file.into_inner()
}

fn schema(columns: &[Column<'_>]) -> Parquet<TypePtr> {
    let leaf = |column: &Column<'_>| {
        let typed = |physical| Type::primitive_type_builder(&column.name, physical);
        let time = LogicalType::timestamp(true, TimeUnit::MICROS);
        // the two times come first, and a column without rows has no cell to tell it by
        let built = match column.name.as_str() {
            "start_time" | "end_time" => {
                typed(Physical::INT64).with_repetition(Repetition::OPTIONAL).with_logical_type(Some(time))
            }
            "value" | "events" => typed(Physical::INT64).with_repetition(Repetition::REQUIRED),
            _ => typed(Physical::BYTE_ARRAY)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(LogicalType::String)),
        };
        built.build().map(Arc::new)
    };
    let leaves = columns.iter().map(leaf).collect::<Parquet<_>>()?;
    Type::group_type_builder("usage").with_fields(leaves).build().map(Arc::new)
}

/// Writes one column.
fn values(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, column: &Column<'_>) -> Parquet<()> {
    let Some(mut writer) = group.next_column()? else { return Ok(()) };
    match column.name.as_str() {
        "start_time" | "end_time" => {
            let times: Vec<_> = column
                .cells
                .iter()
                .map(|cell| match cell {
                    Cell::Time(time) => time.map(Timestamp::as_microsecond),
                    _ => None,
                })
                .collect();
            let levels: Vec<_> = times.iter().map(|time| i16::from(time.is_some())).collect();
            let set: Vec<_> = times.into_iter().flatten().collect();
            writer.typed::<Int64Type>().write_batch(&set, Some(&levels), None)?;
        }
        "value" | "events" => {
            let numbers: Vec<_> = column
                .cells
                .iter()
                .filter_map(|cell| if let Cell::Int(number) = cell { Some(*number) } else { None })
                .collect();
            writer.typed::<Int64Type>().write_batch(&numbers, None, None)?;
        }
        _ => {
            let text = |cell: &Cell<'_>| match cell {
                Cell::Text(text) => Some(ByteArray::from(text.as_bytes().to_vec())),
                _ => None,
            };
            let texts: Vec<_> = column.cells.iter().filter_map(text).collect();
            writer.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
        }
    }
    writer.close()
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::reader::{FileReader as _, SerializedFileReader},
        record::Field,
    };
    use proto::usage::v1::Dim;

    use super::*;

    fn stamp(text: &str) -> prost_types::Timestamp {
        let time: Timestamp = text.parse().unwrap();
        prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
    }

    fn asked(zone: &str) -> QueryUsageRequest {
        QueryUsageRequest {
            group_by: vec![UsageDimension::Client.into()],
            group_by_dims: vec!["plugin".to_owned()],
            time_zone: zone.to_owned(),
            ..QueryUsageRequest::default()
        }
    }

    fn row(plugin: &str, value: i64, decimal: &str) -> UsageRow {
        UsageRow {
            meter: "m".to_owned(),
            unit: "u".to_owned(),
            value,
            decimal_value: decimal.to_owned(),
            client: "codex".to_owned(),
            dims: vec![Dim { key: "plugin".to_owned(), value: plugin.to_owned() }],
            start_time: Some(stamp("2026-10-24T22:00:00Z")),
            end_time: Some(stamp("2026-10-25T23:00:00Z")),
            events: 3,
            ..UsageRow::default()
        }
    }

    fn rows() -> Vec<UsageRow> {
        let open = UsageRow { start_time: None, end_time: None, ..row("=1+1", -7, "-0.07") };
        vec![row("a,\"b\"\nc", i64::MAX, "92233720368547758.07"), open, row("'quoted", 0, "0.00")]
    }

    #[test]
    fn a_csv_reads_back_and_nothing_in_it_is_a_formula() {
        let rows = rows();
        let bytes =
            csv(&columns(&asked("Europe/Berlin"), &rows).unwrap(), rows.len(), "Europe/Berlin").unwrap();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
        let read: Vec<Vec<String>> =
            reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
        let heading = [
            "start_time",
            "end_time",
            "meter",
            "client",
            "dim_plugin",
            "decimal_value",
            "unit",
            "value",
            "events",
        ];
        assert_eq!(read[0], heading);
        // the day on which the clocks go back
        let first = [
            "2026-10-25T00:00:00+02:00",
            "2026-10-26T00:00:00+01:00",
            "m",
            "codex",
            "a,\"b\"\nc",
            "92233720368547758.07",
            "u",
            "9223372036854775807",
            "3",
        ];
        assert_eq!(read[1], first);
        assert_eq!(read[2][..5], ["", "", "m", "codex", "'=1+1"]);
        assert_eq!((read[2][7].as_str(), read[3][4].as_str()), ("-7", "''quoted"));
        let utc = csv(&columns(&asked(""), &rows).unwrap(), rows.len(), "").unwrap();
        assert!(String::from_utf8(utc).unwrap().contains("\r\n2026-10-24T22:00:00Z,2026-10-25T23:00:00Z,m,"));
    }

    #[test]
    fn a_parquet_file_reads_back_with_types_and_exact_values() {
        let rows = rows();
        for rows in [&rows[..], &[]] {
            let bytes =
                parquet(&columns(&asked("Europe/Berlin"), rows).unwrap(), &asked("Europe/Berlin")).unwrap();
            let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
            let read: Vec<Vec<Field>> = reader
                .get_row_iter(None)
                .unwrap()
                .map(|row| row.unwrap().get_column_iter().map(|(_, field)| field.clone()).collect())
                .collect();
            assert_eq!(read.len(), rows.len());
            for (fields, row) in read.iter().zip(rows) {
                let start =
                    row.start_time.map_or(Field::Null, |t| Field::TimestampMicros(t.seconds * 1_000_000));
                assert_eq!(fields[0], start);
                assert_eq!(fields[4], Field::Str(row.dims[0].value.clone()), "texts are as they are");
                assert_eq!(fields[5], Field::Str(row.decimal_value.clone()));
                assert_eq!((&fields[7], &fields[8]), (&Field::Long(row.value), &Field::Long(3)));
            }
        }
    }
}
