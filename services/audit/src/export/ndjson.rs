//! Newline-delimited JSON: the recorded bytes of each event with its index and leaf hash.

use std::io::Write as _;

use kernel::{Result, error::Error};

use super::{Encoder, row::Row};

/// `{"index":0,"leaf_hash":"<base64>","entry":{…}}` and a line feed for each event.
pub struct Ndjson;

impl Encoder for Ndjson {
    fn event(&mut self, row: &Row, out: &mut Vec<u8>) -> Result<()> {
        // canonical JSON has no line breaks, so the entry stands in its line byte for byte
        writeln!(
            out,
            "{{\"index\":{},\"leaf_hash\":\"{}\",\"entry\":{}}}",
            row.idx,
            row.leaf_hash(),
            row.entry
        )
        .map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use kernel::clock::Time;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_line_holds_the_recorded_bytes() {
        let row = Row::new(7, 1, Time::from_micros(1), "{\"a\":\"b\\n\",\"v\":1}".to_owned());
        let mut out = Vec::new();
        Ndjson.event(&row, &mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(
            line,
            "{\"index\":7,\"leaf_hash\":\"8QaoBhloQg6rMKNOqG1lDjrC/3qyU8kIc/bGY4jz3xs=\",\"entry\":{\"a\":\"b\\n\",\"v\":1}}\n"
        );
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["entry"].to_string(), row.entry);
    }
}
