//! Apache Parquet: one flat table, Snappy, row groups that are written as they fill.

use std::sync::Arc;

use kernel::{Result, error::Error};
use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::types::{ColumnPath, Type, TypePtr},
};

use super::{
    Encoder,
    columns::{COLUMNS, Cell, Column, Kind, cells},
    row::Row,
};

/// Rows of one row group.
const GROUP_ROWS: usize = 8_192;
/// A row group ends with the row that brings it over this many bytes of entries, so that long ones do not fill the memory.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// A table with a row for each event.
pub struct Parquet {
    file: SerializedFileWriter<Vec<u8>>,
    values: Vec<Values>,
    rows: usize,
    bytes: usize,
}

/// The values of one column in the row group that is being filled.
enum Values {
    Int(Vec<i64>),
    Bytes(Vec<ByteArray>),
    Hash(Vec<FixedLenByteArray>),
}

impl Parquet {
    pub fn new() -> Result<Self> {
        let file = SerializedFileWriter::new(Vec::new(), schema().map_err(failed)?, Arc::new(properties()));
        let values = COLUMNS.iter().map(|column| Values::of(column.kind)).collect();
        Ok(Self { file: file.map_err(failed)?, values, rows: 0, bytes: 0 })
    }

    /// Writes the rows that are waiting as one row group.
    fn write_group(&mut self) -> Result<(), ParquetError> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let mut group = self.file.next_row_group()?;
        for values in &mut self.values {
            let Some(mut column) = group.next_column()? else { break };
            values.write(&mut column)?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Moves what has been written so far to `out`; offsets in the file are counted by its writer, not by what it holds.
    fn take(&mut self, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        self.file.flush()?;
        out.append(self.file.inner_mut());
        Ok(())
    }
}

impl Encoder for Parquet {
    fn event(&mut self, row: &Row, out: &mut Vec<u8>) -> Result<()> {
        for (values, cell) in self.values.iter_mut().zip(cells(row)) {
            values.push(cell);
        }
        self.rows += 1;
        self.bytes += row.entry.len();
        if self.rows < GROUP_ROWS && self.bytes < GROUP_BYTES {
            return Ok(());
        }
        self.write_group().and_then(|()| self.take(out)).map_err(failed)
    }

    fn is_flush(&self) -> bool {
        self.rows == 0
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.write_group().map_err(failed)?;
        self.file.finish().map_err(failed)?;
        self.take(out).map_err(failed)
    }
}

impl Values {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Int | Kind::Time => Self::Int(Vec::new()),
            Kind::Word | Kind::Text => Self::Bytes(Vec::new()),
            Kind::Hash => Self::Hash(Vec::new()),
        }
    }

    /// Adds a cell of the column's type; there are no others.
    fn push(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Int(values), Cell::Int(number)) => values.push(number),
            (Self::Int(values), Cell::Time(time)) => values.push(time.micros()),
            (Self::Bytes(values), Cell::Text(text)) => values.push(text.into_owned().into_bytes().into()),
            (Self::Hash(values), Cell::Hash(hash)) => {
                values.push(ByteArray::from(hash.as_bytes().to_vec()).into());
            }
            _ => {}
        }
    }

    /// Writes the values and forgets them.
    fn write(&mut self, column: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        match self {
            Self::Int(values) => {
                column.typed::<Int64Type>().write_batch(values, None, None)?;
                values.clear();
            }
            Self::Bytes(values) => {
                column.typed::<ByteArrayType>().write_batch(values, None, None)?;
                values.clear();
            }
            Self::Hash(values) => {
                column.typed::<FixedLenByteArrayType>().write_batch(values, None, None)?;
                values.clear();
            }
        }
        Ok(())
    }
}

/// One required leaf for each column.
fn schema() -> Result<TypePtr, ParquetError> {
    let fields: Result<_, _> = COLUMNS.iter().map(|column| leaf(column).map(Arc::new)).collect();
    Type::group_type_builder("audit_event").with_fields(fields?).build().map(Arc::new)
}

fn leaf(column: &Column) -> Result<Type, ParquetError> {
    let typed =
        |physical| Type::primitive_type_builder(column.name, physical).with_repetition(Repetition::REQUIRED);
    match column.kind {
        Kind::Int => typed(Physical::INT64),
        Kind::Time => {
            typed(Physical::INT64).with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
        }
        Kind::Word | Kind::Text => typed(Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)),
        Kind::Hash => typed(Physical::FIXED_LEN_BYTE_ARRAY).with_length(32),
    }
    .build()
}

fn properties() -> WriterProperties {
    let comments = COLUMNS.iter().map(|c| KeyValue::new(format!("comment.{}", c.name), c.comment.to_owned()));
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("Provost {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(comments.collect()));
    for column in COLUMNS.iter().filter(|c| c.kind != Kind::Word) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column.name), false);
    }
    properties.build()
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn failed(error: ParquetError) -> Error {
    Error::internal(format!("parquet: {error}"))
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::{
            metadata::RowGroupMetaData,
            reader::{FileReader as _, SerializedFileReader},
        },
        record::{Field, RowAccessor as _},
    };

    use super::*;
    use crate::export::tests::sample_row;

    fn written(rows: i64) -> (Vec<u8>, Vec<usize>) {
        let mut parquet = Parquet::new().unwrap();
        let (mut out, mut sizes) = (Vec::new(), Vec::new());
        for index in 0..rows {
            let before = out.len();
            parquet.event(&sample_row(index), &mut out).unwrap();
            if out.len() > before {
                assert!(parquet.is_flush(), "a row group was written whole");
                sizes.push(out.len() - before);
            }
        }
        parquet.end(&mut out).unwrap();
        (out, sizes)
    }

    #[test]
    fn a_file_reads_back_with_types_and_values() {
        let (bytes, _) = written(3);
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let names: Vec<_> = reader
            .metadata()
            .file_metadata()
            .schema()
            .get_fields()
            .iter()
            .map(|f| f.name().to_owned())
            .collect();
        assert_eq!(names, COLUMNS.map(|c| c.name));
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 3);
        for (index, row) in (0..).zip(&rows) {
            let expected = sample_row(index);
            let fields: Vec<_> = row.get_column_iter().map(|(_, field)| field.clone()).collect();
            assert_eq!(row.get_long(0).unwrap(), index);
            assert_eq!(row.get_string(1).unwrap(), &expected.id.to_string());
            assert_eq!(fields[2], Field::TimestampMicros(expected.time.micros()));
            assert_eq!(row.get_string(6).unwrap(), "tenants/acme/principals/maria");
            assert_eq!(row.get_string(11).unwrap(), "(sealed)");
            assert_eq!(row.get_bytes(15).unwrap().data(), expected.leaf_hash().as_bytes());
        }
        let meta = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert!(
            meta.iter()
                .any(|kv| kv.key == "comment.ip"
                    && kv.value.as_deref().is_some_and(|v| v.contains("(sealed)")))
        );
    }

    #[test]
    fn row_groups_are_written_as_they_fill() {
        let rows = i64::try_from(GROUP_ROWS * 2 + 5).unwrap();
        let (bytes, sizes) = written(rows);
        assert_eq!(sizes.len(), 2, "the third is written at the end");
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let groups: Vec<_> = reader.metadata().row_groups().iter().map(RowGroupMetaData::num_rows).collect();
        assert_eq!(groups, [8_192, 8_192, 5]);
        assert_eq!(reader.get_row_iter(None).unwrap().count(), GROUP_ROWS * 2 + 5);
    }

    #[test]
    fn long_entries_fill_a_row_group_sooner() {
        let mut parquet = Parquet::new().unwrap();
        let (mut out, mut groups) = (Vec::new(), 0);
        let long = format!("{{\"act\":\"x\",\"trace\":\"{}\"}}", "x".repeat(32_000));
        for index in 0..600 {
            let row = Row::new(index, 1, kernel::clock::Time::from_micros(1), long.clone());
            parquet.event(&row, &mut out).unwrap();
            groups += i32::from(parquet.is_flush());
        }
        assert_eq!(groups, 2);
    }

    #[test]
    fn a_file_without_events_is_a_table_without_rows() {
        let (bytes, _) = written(0);
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    }
}
