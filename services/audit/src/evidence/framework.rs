//! What frameworks ask for: the tables in `policies/evidence`.

use csv::ReaderBuilder;
use kernel::{Result, clock::Time, error::Error, ids::clip};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::event::Filter;

/// Id, name and table of every framework.
const FRAMEWORKS: [(&str, &str, &str); 3] = [
    ("soc2", "SOC 2, trust services criteria", include_str!("../../../../policies/evidence/soc2.csv")),
    ("iso27001", "ISO/IEC 27001:2022, Annex A", include_str!("../../../../policies/evidence/iso27001.csv")),
    ("eu-ai-act", "Regulation (EU) 2024/1689", include_str!("../../../../policies/evidence/eu-ai-act.csv")),
];
/// The control of what a framework does not ask for.
const OUTSIDE: &str = "-";

/// One framework.
#[derive(Clone, Debug)]
pub struct Framework {
    /// Under which it is asked for.
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    /// What it asks for, in the order of its table.
    pub controls: Vec<Control>,
    /// What it does not ask for, and why.
    pub outside: Vec<Control>,
}

/// One control.
#[derive(Clone, Debug)]
pub struct Control {
    /// Id in the framework; also the name of files: letters, digits, `.` and `-`.
    pub id: String,
    /// For people.
    pub title: String,
    /// Which events answer it, as written.
    pub text: String,
    /// Which events answer it. It asks for nothing that is sealed.
    filter: Filter,
}

/// A row of a table.
#[derive(Deserialize)]
struct Line {
    control: String,
    title: String,
    filter: String,
}

impl Framework {
    /// Ids of all frameworks.
    pub fn ids() -> impl Iterator<Item = &'static str> {
        FRAMEWORKS.iter().map(|(id, ..)| *id)
    }

    /// The framework with that id.
    pub fn find(id: &str) -> Result<Self> {
        let found = FRAMEWORKS.iter().find(|(known, ..)| *known == id);
        let (id, title, table) = found.ok_or_else(|| {
            let known = Self::ids().collect::<Vec<_>>().join("`, `");
            Error::invalid("framework", format!("`{}` is none of `{known}`", clip(id)))
        })?;
        Self::parse(id, title, table)
    }

    fn parse(id: &'static str, title: &'static str, table: &str) -> Result<Self> {
        let mut framework = Self { id, title, controls: Vec::new(), outside: Vec::new() };
        let mut reader = ReaderBuilder::new().comment(Some(b'#')).from_reader(table.as_bytes());
        for line in reader.deserialize() {
            let Line { control: id, title, filter: text } = line.map_err(Error::internal)?;
            let filter = Filter::parse(&text)?;
            let control = Control { id, title, text, filter };
            if control.id == OUTSIDE {
                framework.outside.push(control);
            } else {
                framework.controls.push(control);
            }
        }
        Ok(framework)
    }

    /// Whether acts of that name, `noun.verb`, answer some control or are said to be out of scope.
    pub fn places(&self, action: &str) -> bool {
        let entry = json!({"act": action, "out": "ok"});
        let mut all = self.controls.iter().chain(&self.outside);
        all.any(|control| control.asks_for(&entry, Time::from_micros(0)))
    }
}

impl Control {
    /// Whether an event answers it.
    pub fn asks_for(&self, entry: &Value, time: Time) -> bool {
        self.filter.matches(entry, time)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_table_reads_and_its_ids_are_names_of_files() {
        for id in Framework::ids() {
            let framework = Framework::find(id).unwrap();
            let ids: BTreeSet<_> = framework.controls.iter().map(|c| c.id.as_str()).collect();
            assert_eq!(ids.len(), framework.controls.len(), "{id}: every control once");
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
            assert!(
                ids.iter().all(|id| id.starts_with(char::is_alphabetic) && id.chars().all(plain)),
                "{ids:?}"
            );
            for control in framework.controls.iter().chain(&framework.outside) {
                assert!(!control.title.is_empty() && !control.filter.is_about_people(), "{}", control.id);
            }
        }
        assert!(matches!(Framework::find("soc3"), Err(Error::Invalid(_))));
    }

    #[test]
    fn an_event_answers_the_controls_that_ask_for_it() {
        let soc2 = Framework::find("soc2").unwrap();
        let answered = |entry: &Value| -> Vec<_> {
            let asks = |c: &&Control| c.asks_for(entry, Time::from_micros(0));
            soc2.controls.iter().filter(asks).map(|c| c.id.clone()).collect()
        };
        assert_eq!(answered(&json!({"act": "role.add_member", "out": "ok"})), ["CC6.3"]);
        assert_eq!(
            answered(&json!({"act": "entitlement.create", "out": "denied"})),
            ["CC6.1", "CC6.3", "CC7.2"]
        );
        let via = json!({"act": "unit.create", "out": "ok", "via": {"partner": "partners/northwind"}});
        assert_eq!(answered(&via), ["CC8.1", "CC9.2"]);
        assert!(answered(&json!({"act": "meter.list", "out": "ok"})).is_empty() && soc2.places("meter.list"));
        assert!(!soc2.places("no.such"));
    }
}
