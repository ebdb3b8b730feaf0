//! What the figures have to be: events in a map, added up one by one.

use std::collections::{BTreeMap, BTreeSet};

use kernel::clock::Time;
use proto::usage::v1::EventOutcome;
use tests::site::START;

use super::trace::{Event, Who};

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 86_400_000_000;

/// The offsets of a time zone in the weeks of the simulation, from the IANA database's sources by hand: until the first time, then
/// from it on; in minutes.
pub struct Zone {
    pub name: &'static str,
    change: &'static str,
    before: i64,
    after: i64,
}

/// Some that change within it, one that is off by quarters of an hour, and one that stands still.
pub const ZONES: [Zone; 4] = [
    Zone { name: "UTC", change: START, before: 0, after: 0 },
    Zone { name: "America/New_York", change: "2026-11-01T06:00:00Z", before: -240, after: -300 },
    Zone { name: "Asia/Kathmandu", change: START, before: 345, after: 345 },
    Zone { name: "Europe/London", change: "2026-10-25T01:00:00Z", before: 60, after: 0 },
];

fn micros(text: &str) -> i64 {
    Time::parse("time", text).unwrap().micros()
}

/// When an event happened.
pub fn time_of(event: Event) -> Time {
    Time::from_micros(micros(START) + event.minute() * MINUTE)
}

impl Zone {
    /// The start of the day that `time` is in, there.
    fn day(&self, time: i64) -> i64 {
        let change = micros(self.change);
        let offset = |at: i64| if at < change { self.before } else { self.after } * MINUTE;
        let midnight = (time + offset(time)).div_euclid(DAY) * DAY;
        // the offset at midnight, which on the day of a change is not that of the event
        let start = midnight - offset(time);
        midnight - offset(start)
    }
}

/// The events that count.
#[derive(Default)]
pub struct Oracle {
    pub events: BTreeMap<u16, (Event, Who)>,
}

impl Oracle {
    /// What a batch is answered with, item by item, when it comes in at `now`.
    pub fn take(&mut self, who: Who, events: &[Event], now: Time) -> Vec<EventOutcome> {
        let answer = |event: &Event| {
            let (time, now) = (time_of(*event).micros(), now.micros());
            if time < now - 35 * DAY || time > now + 5 * MINUTE {
                return EventOutcome::Rejected;
            }
            match self.events.get(&event.number) {
                None => {
                    self.events.insert(event.number, (*event, who));
                    EventOutcome::Accepted
                }
                Some(known) if *known == (*event, who) => EventOutcome::Duplicate,
                Some(_) => EventOutcome::Conflict,
            }
        };
        events.iter().map(answer).collect()
    }

    /// Tokens by day and model.
    pub fn by_day(&self, zone: &Zone) -> BTreeMap<(i64, String), i64> {
        let mut sums = BTreeMap::new();
        for (event, _) in self.events.values() {
            let key = (zone.day(time_of(*event).micros()), event.model().to_owned());
            *sums.entry(key).or_default() += event.tokens();
        }
        sums
    }

    /// Who was active on which day.
    pub fn active_by_day(&self, zone: &Zone) -> BTreeMap<i64, i64> {
        let mut people = BTreeMap::<_, BTreeSet<_>>::new();
        for (event, who) in self.events.values().filter(|(_, who)| *who != Who::Nobody) {
            people.entry(zone.day(time_of(*event).micros())).or_default().insert(*who);
        }
        people.into_iter().map(|(day, people)| (day, i64::try_from(people.len()).unwrap())).collect()
    }

    /// Tokens by person.
    pub fn by_person(&self) -> BTreeMap<String, i64> {
        let mut sums = BTreeMap::new();
        for (event, who) in self.events.values() {
            let name = match who {
                Who::Maria => "tenants/acme/principals/maria",
                Who::Sam => "tenants/acme/principals/sam",
                Who::Nobody => "",
            };
            *sums.entry(name.to_owned()).or_default() += event.tokens();
        }
        sums
    }
}
