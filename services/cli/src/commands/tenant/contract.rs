//! A contract from a file or from flags.

use std::path::PathBuf;

use clap::Args;
use prost_reflect::DynamicMessage;
use proto::tenant::v1::{Contract, ContractSeats};

use crate::{
    app::App,
    args::choice,
    error::{Error, Result},
    output::{Named as _, descriptor},
};

/// What was signed.
#[derive(Args, Debug)]
pub struct ContractArgs {
    /// YAML or JSON file with the fields of a contract; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["signed_date", "start_date", "end_date", "currency", "seats", "renewal"],
        required_unless_present_all = ["signed_date", "start_date", "end_date", "currency", "seats", "renewal"])]
    file: Option<PathBuf>,
    /// Day of signature
    #[arg(long, value_name = "YYYY-MM-DD")]
    signed_date: Option<String>,
    /// First day of the term
    #[arg(long, value_name = "YYYY-MM-DD")]
    start_date: Option<String>,
    /// Day after the last day of the term
    #[arg(long, value_name = "YYYY-MM-DD")]
    end_date: Option<String>,
    /// ISO 4217 code, for example EUR
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// Seats of a pool at a price a month in minor units (cents), for example `standard=100@3000`; repeatable
    #[arg(long, value_name = "POOL=COUNT@PRICE", value_parser = seats)]
    seats: Vec<ContractSeats>,
    /// What happens at the end of the term
    #[arg(long, value_parser = choice("provost.tenant.v1.Renewal"))]
    renewal: Option<i32>,
}

impl ContractArgs {
    /// The contract.
    pub fn read(self, app: &mut App<'_, '_>) -> Result<Contract> {
        if let Some(path) = &self.file {
            let text = app.read_file(path)?;
            return parse(&text)
                .map_err(|e| Error::Local(format!("`{}` is not a contract: {e}", path.display())));
        }
        Ok(Contract {
            signed_date: self.signed_date.unwrap_or_default(),
            start_date: self.start_date.unwrap_or_default(),
            end_date: self.end_date.unwrap_or_default(),
            currency: self.currency.unwrap_or_default(),
            seats: self.seats,
            renewal: self.renewal.unwrap_or_default(),
        })
    }
}

/// Protobuf JSON, written as YAML (of which JSON is a part): field names in either spelling, unknown ones refused.
fn parse(text: &str) -> std::result::Result<Contract, String> {
    let descriptor =
        descriptor(Contract::NAME).map_err(|_| "this build does not know contracts".to_owned())?;
    let document = serde_norway::Deserializer::from_str(text);
    let message = DynamicMessage::deserialize(descriptor, document).map_err(|e| e.to_string())?;
    message.transcode_to().map_err(|e| e.to_string())
}

fn seats(text: &str) -> std::result::Result<ContractSeats, String> {
    let parts = || {
        let (pool, rest) = text.split_once('=')?;
        let (count, price) = rest.split_once('@')?;
        Some((pool, count.parse().ok()?, price.parse().ok()?))
    };
    match parts() {
        Some((pool, count, monthly_price_minor)) if !pool.is_empty() => {
            Ok(ContractSeats { pool: pool.to_owned(), count, monthly_price_minor })
        }
        _ => Err("write POOL=COUNT@PRICE, for example `standard=100@3000`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proto::tenant::v1::Renewal;

    use super::*;

    #[test]
    fn a_contract_is_read_from_yaml_and_from_json() {
        let yaml = "signed_date: 2026-11-01\nstart_date: 2026-12-01\nend_date: 2027-12-01\ncurrency: EUR\n\
                    renewal: RENEWAL_AUTOMATIC\nseats:\n  - pool: standard\n    count: 100\n    monthly_price_minor: 3000\n";
        let json = r#"{"signedDate": "2026-11-01", "startDate": "2026-12-01", "endDate": "2027-12-01", "currency": "EUR",
            "renewal": "RENEWAL_AUTOMATIC", "seats": [{"pool": "standard", "count": "100", "monthlyPriceMinor": "3000"}]}"#;
        let contract = parse(yaml).unwrap();
        assert_eq!(parse(json).unwrap(), contract);
        assert_eq!(contract.signed_date, "2026-11-01");
        assert_eq!(contract.renewal(), Renewal::Automatic);
        assert_eq!(contract.seats, [seats("standard=100@3000").unwrap()]);
    }

    #[test]
    fn a_contract_with_unknown_fields_is_refused() {
        for text in ["signed: 2026-11-01", "seats: 5", "renewal: SOMETIMES", "- a", "{", "\u{0}"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seats_are_pool_count_and_price() {
        for bad in ["", "standard", "standard=100", "=1@1", "standard=x@1", "standard=1@1.5"] {
            assert!(seats(bad).is_err(), "{bad}");
        }
    }
}
