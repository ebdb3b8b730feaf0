//! The commercial facts of a tenant, checked whole. Stored as canonical JSON.

use std::collections::HashSet;

use iso_currency::Currency;
use jiff::civil::Date;
use kernel::{
    Error, Result,
    check::Checks,
    ids::{Slug, clip},
};
use serde::{Deserialize, Serialize};
use sqlx::{Database, Decode, Type, error::BoxDynError};

/// Most pools in a contract.
pub const MAX_POOLS: usize = 32;
/// Most seats in a pool.
pub const MAX_SEATS: i64 = 10_000_000;

/// What was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// Day of signature.
    pub signed_date: Date,
    /// First day of the term.
    pub start_date: Date,
    /// Day after the last day of the term.
    pub end_date: Date,
    /// ISO 4217 code.
    pub currency: String,
    /// Seats and their price, no pool twice.
    pub seats: Vec<ContractSeats>,
    /// What happens at the end of the term.
    pub renewal: Renewal,
}

/// The seats of one pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractSeats {
    /// Pool id.
    pub pool: Slug,
    /// Seats promised.
    pub count: i64,
    /// Price of one seat for one month in minor units of the contract's currency.
    pub monthly_price_minor: i64,
}

/// What happens at the end of a contract's term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renewal {
    /// Ends unless both renew.
    Manual,
    /// Runs on for the same term unless one side ends it.
    Automatic,
}

/// A contract as a caller wrote it.
#[derive(Clone, Debug, Default)]
pub struct NewContract {
    /// `YYYY-MM-DD`.
    pub signed_date: String,
    /// `YYYY-MM-DD`.
    pub start_date: String,
    /// `YYYY-MM-DD`.
    pub end_date: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Seats by pool.
    pub seats: Vec<NewSeats>,
    /// Required.
    pub renewal: Option<Renewal>,
}

/// The seats of one pool as a caller wrote them.
#[derive(Clone, Debug, Default)]
pub struct NewSeats {
    /// Pool id.
    pub pool: String,
    /// Seats promised.
    pub count: i64,
    /// Price of one seat for one month in minor units.
    pub monthly_price_minor: i64,
}

impl Contract {
    /// Checks everything that the caller wrote and reports all that is wrong at once.
    pub fn checked(new: NewContract) -> Result<Self> {
        let mut checks = Checks::new();
        let signed_date = date(&mut checks, "contract.signed_date", &new.signed_date);
        let start_date = date(&mut checks, "contract.start_date", &new.start_date);
        let end_date = date(&mut checks, "contract.end_date", &new.end_date);
        let ordered = start_date.zip(end_date).is_none_or(|(start, end)| start < end);
        checks.that(
            "contract.end_date",
            ordered,
            "is not later than `start_date`; it is the day after the last day",
        );
        checks.that(
            "contract.currency",
            is_currency(&new.currency),
            format!("`{}` is not a currency; use an ISO 4217 code such as `EUR`", clip(&new.currency)),
        );
        checks.that("contract.renewal", new.renewal.is_some(), "is required: MANUAL or AUTOMATIC");
        let seats = seats(&mut checks, new.seats);
        checks.done()?;
        match (signed_date, start_date, end_date, new.renewal) {
            (Some(signed_date), Some(start_date), Some(end_date), Some(renewal)) => {
                Ok(Self { signed_date, start_date, end_date, currency: new.currency, seats, renewal })
            }
            _ => Err(Error::internal("a contract without a date or renewal passed its checks")),
        }
    }

    /// Seats over all pools: at most 320 million, so the sum fits.
    pub fn seats_contracted(&self) -> i64 {
        self.seats.iter().map(|s| s.count).sum()
    }

    /// RFC 8785 canonical JSON, as stored.
    pub fn canonical(&self) -> Result<String> {
        serde_json_canonicalizer::to_string(self).map_err(Error::internal)
    }

    /// From its stored form.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Error::internal(format!("contract in the database: {e}")))
    }
}

/// A day in exactly the form `YYYY-MM-DD`; the parser alone also takes times, other calendars' years and short forms.
fn date(checks: &mut Checks, field: &str, text: &str) -> Option<Date> {
    let found = text.parse::<Date>().ok().filter(|d| d.to_string() == text);
    checks.that(field, found.is_some(), format!("`{}` is not a day; write `YYYY-MM-DD`", clip(text)));
    found
}

/// Money that a price can be in: neither metals, funds and test codes, nor what has been replaced.
fn is_currency(code: &str) -> bool {
    Currency::from_code(code)
        .is_some_and(|c| c.code() == code && !c.is_special() && !c.is_fund() && c.is_superseded().is_none())
}

fn seats(checks: &mut Checks, new: Vec<NewSeats>) -> Vec<ContractSeats> {
    let pools = new.len();
    let limit = format!("has {pools} pools; use 1 to {MAX_POOLS}");
    checks.that("contract.seats", (1..=MAX_POOLS).contains(&pools), limit);
    let mut seen = HashSet::new();
    let mut seats = Vec::with_capacity(pools.min(MAX_POOLS));
    for (i, s) in new.into_iter().take(MAX_POOLS).enumerate() {
        let field = |name: &str| format!("contract.seats[{i}].{name}");
        let counted = (1..=MAX_SEATS).contains(&s.count);
        checks.that(&field("count"), counted, format!("is {}; use 1 to {MAX_SEATS}", s.count));
        let priced = s.monthly_price_minor >= 0;
        checks.that(
            &field("monthly_price_minor"),
            priced,
            format!("is {}; use 0 or more", s.monthly_price_minor),
        );
        let pool = Slug::parse(&field("pool"), &s.pool).ok();
        let unnamed =
            format!("`{}` is not an id: use 1 to 63 of `a-z 0-9 -`, starting with a letter", clip(&s.pool));
        checks.that(&field("pool"), pool.is_some(), unnamed);
        let Some(pool) = pool else { continue };
        let new = seen.insert(pool.clone());
        checks.that(&field("pool"), new, format!("`{pool}` is listed twice; list it once"));
        seats.push(ContractSeats { pool, count: s.count, monthly_price_minor: s.monthly_price_minor });
    }
    seats
}

impl<DB: Database> Type<DB> for Contract
where
    String: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <String as Type<DB>>::type_info()
    }

    fn compatible(found: &DB::TypeInfo) -> bool {
        <String as Type<DB>>::compatible(found)
    }
}

impl<'r, DB: Database> Decode<'r, DB> for Contract
where
    String: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self::parse(&String::decode(value)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(pool: &str, count: i64, price: i64) -> NewSeats {
        NewSeats { pool: pool.to_owned(), count, monthly_price_minor: price }
    }

    fn signed() -> NewContract {
        NewContract {
            signed_date: "2026-10-01".to_owned(),
            start_date: "2026-11-01".to_owned(),
            end_date: "2027-11-01".to_owned(),
            currency: "EUR".to_owned(),
            seats: vec![pool("committed", 250, 3_900), pool("on-demand", 50, 0)],
            renewal: Some(Renewal::Manual),
        }
    }

    /// The fields that are complained about.
    fn faults(change: impl FnOnce(&mut NewContract)) -> Vec<String> {
        let mut new = signed();
        change(&mut new);
        match Contract::checked(new) {
            Err(Error::Invalid(violations)) => violations.into_iter().map(|v| v.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_good_contract_is_stored_canonically_and_reads_back() {
        let contract = Contract::checked(signed()).unwrap();
        assert_eq!(contract.seats_contracted(), 300);
        let text = contract.canonical().unwrap();
        assert!(text.starts_with(
            r#"{"currency":"EUR","end_date":"2027-11-01","renewal":"manual","seats":[{"count":250,"#
        ));
        assert_eq!(Contract::parse(&text).unwrap(), contract);
        assert!(Contract::parse("{}").is_err());
    }

    #[test]
    fn dates_are_days_in_one_form_and_the_term_has_a_length() {
        for bad in [
            "",
            "2026-02-30",
            "2026-2-3",
            "20261001",
            "2026-10-01T00:00:00",
            "01.10.2026",
            "+002026-10-01",
            "2026-10-01 ",
        ] {
            assert_eq!(faults(|c| c.signed_date = bad.to_owned()), ["contract.signed_date"], "{bad}");
        }
        for end in ["2026-11-01", "2026-10-31"] {
            assert_eq!(faults(|c| c.end_date = end.to_owned()), ["contract.end_date"]);
        }
        assert!(Contract::checked(NewContract { end_date: "2026-11-02".to_owned(), ..signed() }).is_ok());
    }

    #[test]
    fn a_currency_is_one_that_a_price_can_be_in() {
        for good in ["EUR", "USD", "JPY", "CHF", "INR"] {
            assert!(is_currency(good), "{good}");
        }
        for bad in ["", "eur", "Eur", "EU", "EURO", "ABC", "XXX", "XTS", "XAU", "€"] {
            assert_eq!(faults(|c| c.currency = bad.to_owned()), ["contract.currency"], "{bad}");
        }
    }

    #[test]
    fn pools_are_one_to_thirty_two_and_none_twice() {
        let pools = |n: usize| (0..n).map(|i| pool(&format!("p{i}"), 1, 1)).collect::<Vec<_>>();
        assert!(Contract::checked(NewContract { seats: pools(32), ..signed() }).is_ok());
        assert_eq!(faults(|c| c.seats = pools(33)), ["contract.seats"]);
        assert_eq!(faults(|c| c.seats.clear()), ["contract.seats"]);
        assert_eq!(faults(|c| c.seats.push(pool("committed", 1, 1))), ["contract.seats[2].pool"]);
        assert_eq!(faults(|c| c.seats.push(pool("Not an id", 1, 1))), ["contract.seats[2].pool"]);
    }

    #[test]
    fn counts_and_prices_have_limits() {
        for count in [0, -1, 10_000_001, i64::MIN] {
            assert_eq!(faults(|c| c.seats = vec![pool("a", count, 1)]), ["contract.seats[0].count"]);
        }
        for price in [-1, i64::MIN] {
            assert_eq!(
                faults(|c| c.seats = vec![pool("a", 1, price)]),
                ["contract.seats[0].monthly_price_minor"]
            );
        }
        let most = (0..32).map(|i| pool(&format!("p{i}"), MAX_SEATS, i64::MAX)).collect();
        assert_eq!(
            Contract::checked(NewContract { seats: most, ..signed() }).unwrap().seats_contracted(),
            320_000_000
        );
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let all = faults(|c| *c = NewContract::default());
        let wanted = ["signed_date", "start_date", "end_date", "currency", "renewal", "seats"];
        assert_eq!(all, wanted.map(|f| format!("contract.{f}")));
    }
}
