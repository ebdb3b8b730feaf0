//! The numbers under which a tenant's series and members are known.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
};

use uuid::Uuid;

use super::fold::Raw;
use crate::meter::Meter;

/// Most values of one dimension of a meter that are told apart.
pub const MAX_DIM_VALUES: usize = 1_000;
/// Most series of a meter.
pub const MAX_SERIES: usize = 20_000;
/// What stands for the values beyond a limit.
pub const OTHER: &str = "__other__";

/// What figures of a meter are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    /// The meter and its version, by number.
    pub meter: u32,
    /// The assistant.
    pub client: String,
    /// The role.
    pub role: Option<Uuid>,
    /// The unit.
    pub unit: Option<Uuid>,
    /// The meter's dimensions that the events have.
    pub dims: BTreeMap<String, String>,
}

/// Series and members of a tenant, and which of them are new.
#[derive(Debug, Default)]
pub struct Book {
    series: HashMap<Series, i64>,
    by_id: HashMap<i64, Series>,
    /// The highest number so far: a book may have a part of the series only.
    highest: i64,
    /// Values seen of every dimension of every meter.
    values: HashMap<(u32, usize), HashSet<String>>,
    per_meter: HashMap<u32, usize>,
    members: HashMap<Uuid, u32>,
    new_series: Vec<(i64, Series)>,
    new_members: Vec<(u32, Uuid)>,
}

/// What a book has and the store has not.
#[derive(Debug, Default)]
pub struct New {
    /// Series by number.
    pub series: Vec<(i64, Series)>,
    /// Members by number.
    pub members: Vec<(u32, Uuid)>,
}

impl Book {
    /// Takes a number that nobody else gets.
    pub fn taken(&mut self, id: i64) {
        self.highest = self.highest.max(id);
    }

    /// Enters what is stored of a meter.
    pub fn enter(&mut self, meter: &Meter, id: i64, series: Series) {
        for (at, dim) in meter.dims.iter().enumerate() {
            if let Some(value) = series.dims.get(&**dim) {
                self.values.entry((meter.number, at)).or_default().insert(value.clone());
            }
        }
        *self.per_meter.entry(series.meter).or_default() += 1;
        self.taken(id);
        self.by_id.insert(id, series.clone());
        self.series.insert(series, id);
    }

    /// Enters a member that is stored.
    pub fn enter_member(&mut self, id: u32, member: Uuid) {
        self.members.insert(member, id);
    }

    /// The series of an event in a meter's figures; a new one gets the next number. Values of a dimension beyond the limit are one,
    /// and so are series beyond theirs: the figures stay exact, only their origin is lost.
    pub fn series(&mut self, meter: &Meter, event: &Raw, dims: &HashMap<Cow<'_, str>, Cow<'_, str>>) -> i64 {
        let mut series = Series {
            meter: meter.number,
            client: event.client.clone(),
            role: event.role_id,
            unit: event.unit_id,
            dims: BTreeMap::new(),
        };
        for (at, dim) in meter.dims.iter().enumerate() {
            if let Some(value) = dims.get(&**dim) {
                series.dims.insert(dim.clone().into_owned(), self.admitted(meter.number, at, value));
            }
        }
        if let Some(id) = self.series.get(&series) {
            return *id;
        }
        if self.per_meter.get(&meter.number).is_some_and(|count| *count >= MAX_SERIES) {
            series.dims.values_mut().for_each(|value| OTHER.clone_into(value));
            series.client = if series.dims.is_empty() { OTHER.to_owned() } else { series.client };
            if let Some(id) = self.series.get(&series) {
                return *id;
            }
        }
        let id = self.highest.saturating_add(1);
        self.enter(meter, id, series.clone());
        self.new_series.push((id, series));
        id
    }

    fn admitted(&self, meter: u32, dim: usize, value: &str) -> String {
        let full = self
            .values
            .get(&(meter, dim))
            .is_some_and(|seen| seen.len() >= MAX_DIM_VALUES && !seen.contains(value));
        if full { OTHER.to_owned() } else { value.to_owned() }
    }

    /// The number of a member; a new one gets the next.
    pub fn member(&mut self, member: Uuid) -> u32 {
        let next = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        *self.members.entry(member).or_insert_with(|| {
            self.new_members.push((next, member));
            next
        })
    }

    /// The number of a member that has one.
    pub fn number(&self, member: Uuid) -> Option<u32> {
        self.members.get(&member).copied()
    }

    /// What a number stands for.
    pub fn get(&self, id: i64) -> Option<&Series> {
        self.by_id.get(&id)
    }

    /// What has been entered since the last time and is not stored.
    pub fn take_new(&mut self) -> New {
        New { series: std::mem::take(&mut self.new_series), members: std::mem::take(&mut self.new_members) }
    }
}

#[cfg(test)]
mod tests {
    use kernel::clock::Time;

    use super::*;
    use crate::meter;

    fn event(client: &str) -> Raw {
        Raw {
            seq: 1,
            event_type: String::new(),
            client: client.to_owned(),
            principal_id: None,
            role_id: None,
            unit_id: None,
            time: Time::from_micros(0),
            dims: "{}".to_owned(),
            amounts: "{}".to_owned(),
        }
    }

    #[test]
    fn a_book_with_a_part_of_the_series_gives_no_number_twice() {
        let tokens = meter::find(meter::TOKENS_INPUT).unwrap();
        let stored = Series {
            meter: tokens.number,
            client: "codex".to_owned(),
            role: None,
            unit: None,
            dims: BTreeMap::new(),
        };
        let mut book = Book::default();
        // others have the numbers 1 and 3
        book.enter(tokens, 2, stored.clone());
        book.enter(tokens, 4, Series { client: "claude-code".to_owned(), ..stored });
        let new = book.series(tokens, &event("other"), &HashMap::new());
        assert_eq!((new, book.series(tokens, &event("codex"), &HashMap::new())), (5, 2));
        assert_eq!(book.get(2).map(|s| s.client.as_str()), Some("codex"));
        assert_eq!(book.take_new().series.len(), 1);
    }

    #[test]
    fn values_beyond_the_limit_are_one_and_known_ones_stay_apart() {
        let skills = meter::find(meter::SKILL_INVOCATIONS).unwrap();
        let mut book = Book::default();
        let mut series = |plugin: &str| {
            let dims = HashMap::from([(Cow::Borrowed("plugin"), Cow::Owned(plugin.to_owned()))]);
            let id = book.series(skills, &event("codex"), &dims);
            book.get(id).unwrap().dims["plugin"].clone()
        };
        for n in 0..MAX_DIM_VALUES {
            assert_eq!(series(&n.to_string()), n.to_string());
        }
        assert_eq!(
            (series("one more"), series("another"), series("7")),
            (OTHER.into(), OTHER.into(), "7".into())
        );
    }
}
