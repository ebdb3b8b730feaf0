//! How far those have come who may use plugins: entitled by the decision engine, installed by what assistants tell, used by the rollups.

use std::collections::{BTreeMap, HashMap};

use ::decision::Target;
use entitlement::decision::live::Loaded;
use kernel::{Result, clock::Time, db::Executor};
use roaring::RoaringBitmap;

use super::{
    model::count,
    since::Grounds,
    store::{self, Person, Sighted},
};
use crate::{
    meter::Meter,
    query::{collect::Place, store::event_list_by_time, window::Span},
    rollup::{
        self,
        book::Book,
        fold::{DAY, Level, Raw},
    },
};

/// Days of a week of use, today included.
pub const WEEK: i64 = 7;
/// Days without use after which somebody is dormant, today included.
pub const DORMANT: i64 = 28;
/// Days of rollups that are read at a time.
const CHUNK: i64 = 28;
/// Events of the tail that are read at a time.
const PAGE: i64 = 20_000;

/// Days of UTC since 1970, and who was there on each.
pub type Days = BTreeMap<i64, RoaringBitmap>;

/// Who used which plugin on which day. Events name plugins without their marketplace.
#[derive(Debug, Default)]
pub struct Uses {
    by_plugin: HashMap<String, Days>,
    /// Events that were read beside the rollups.
    pub read: u64,
}

impl Uses {
    /// Reads them: numbers of `book`, which must have all series of the meter and all members.
    pub async fn load(
        db: &mut impl Executor,
        meter: &Meter,
        place: &Place<'_>,
        book: &mut Book,
        now: Time,
    ) -> Result<Self> {
        let mut uses = Self::default();
        if let Some(first) = store::rollup_first_day(db, place.tenant, &meter.key).await? {
            let (mut from, end) = (first.micros(), now.micros() + CHUNK * DAY);
            while from < end {
                let until = from + CHUNK * DAY;
                let span = (Time::from_micros(from), Time::from_micros(until));
                for row in rollup::store::rollup_list(db, place.tenant, meter, Level::Day, span, None).await?
                {
                    if place.stale.contains(&row.bucket) {
                        continue;
                    }
                    if let Some(plugin) = book.get(row.series_id).and_then(|s| s.dims.get("plugin")) {
                        uses.put(plugin, row.bucket, &row.cell()?.members);
                    }
                }
                from = until;
            }
        }
        uses.stale(db, meter, place, book).await?;
        uses.tail(db, meter, place, book).await?;
        Ok(uses)
    }

    /// Days that a correction touched, from their events.
    async fn stale(
        &mut self,
        db: &mut impl Executor,
        meter: &Meter,
        place: &Place<'_>,
        book: &mut Book,
    ) -> Result<()> {
        for start in &place.stale {
            let span = Span { start: *start, end: Time::from_micros(start.micros() + DAY) };
            let mut after = (i64::MIN, 0);
            loop {
                let (tenant, below) = (place.tenant, place.mark.members_seq);
                let events = event_list_by_time(db, tenant, false, span, below, after, PAGE).await?;
                let Some(last) = events.last() else { break };
                after = (last.time.micros(), last.seq);
                self.add(meter, &events, book);
            }
        }
        Ok(())
    }

    async fn tail(
        &mut self,
        db: &mut impl Executor,
        meter: &Meter,
        place: &Place<'_>,
        book: &mut Book,
    ) -> Result<()> {
        let mut from = place.mark.members_seq;
        while from < place.head {
            let until = place.head.min(from + PAGE);
            let events = rollup::store::raw_list(db, place.tenant, false, (from, until)).await?;
            self.add(meter, &events, book);
            from = until;
        }
        Ok(())
    }

    fn add(&mut self, meter: &Meter, events: &[Raw], book: &mut Book) {
        self.read += events.len() as u64;
        for event in events {
            let Some(principal) = event.principal_id else { continue };
            let (series, member) = (book.series(meter, event, &event.dims()), book.member(principal));
            if let Some(plugin) = book.get(series).and_then(|s| s.dims.get("plugin")) {
                self.put(plugin, event.time, &RoaringBitmap::from_iter([member]));
            }
        }
    }

    fn put(&mut self, plugin: &str, time: Time, members: &RoaringBitmap) {
        if !self.by_plugin.contains_key(plugin) {
            self.by_plugin.insert(plugin.to_owned(), Days::new());
        }
        if let Some(days) = self.by_plugin.get_mut(plugin) {
            *days.entry(day(time)).or_default() |= members;
        }
    }
}

/// The day of UTC.
pub fn day(time: Time) -> i64 {
    time.micros().div_euclid(DAY)
}

/// One plugin, and who of [`Activation::people`] stands how to it, by position there.
#[derive(Debug)]
pub struct Standing {
    /// `marketplaces/{marketplace}/plugins/{plugin}`.
    pub name: String,
    /// Who may use it.
    pub entitled: RoaringBitmap,
    /// With whom it was seen, since when.
    pub seen: HashMap<u32, Time>,
    /// Who of the entitled used it when.
    pub used: Days,
}

impl Standing {
    /// Who of the entitled used it on `from` or later.
    fn used_since(&self, from: i64) -> RoaringBitmap {
        self.used.range(from..).fold(RoaringBitmap::new(), |all, (_, members)| all | members)
    }

    /// Who may use it and did not lately.
    pub fn dormant(&self, today: i64) -> RoaringBitmap {
        &self.entitled - self.used_since(today + 1 - DORMANT)
    }

    /// The day on which somebody last used it.
    pub fn last_use(&self, who: u32) -> Option<i64> {
        self.used.iter().rev().find(|(_, members)| members.contains(who)).map(|(day, _)| *day)
    }
}

/// Where the people of a tenant stand.
#[derive(Debug)]
pub struct Activation {
    /// Everybody, by name.
    pub people: Vec<Person>,
    /// By name.
    pub plugins: Vec<Standing>,
    /// The present day.
    pub today: i64,
}

/// How many came how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Funnel {
    /// May use something.
    pub entitled: i64,
    /// Have some of that.
    pub installed: i64,
    /// Ever used some of that.
    pub first_use: i64,
    /// Did this week.
    pub weekly_use: i64,
}

/// How long it took, in days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstUse {
    /// Of how many.
    pub principals: i64,
    /// Half took at most so long.
    pub p50: i64,
    /// Nine of ten took at most so long.
    pub p90: i64,
}

impl Activation {
    /// Puts together who may use what by `loaded`, with whom it was seen, and who used it.
    pub fn new(
        people: Vec<Person>,
        loaded: &Loaded,
        sighted: &[Sighted],
        uses: &Uses,
        book: &Book,
        now: Time,
    ) -> Self {
        let positions = || (0_u32..).zip(&people);
        let by_slug: HashMap<&str, u32> = positions().map(|(at, p)| (p.slug.as_str(), at)).collect();
        let by_id: HashMap<_, u32> = positions().map(|(at, p)| (p.id, at)).collect();
        // somebody without a number never used anything
        let by_number: HashMap<u32, u32> =
            positions().filter_map(|(at, p)| Some((book.number(p.id)?, at))).collect();
        let mut ids: Vec<&str> = loaded.snapshot.plugin_ids().collect();
        ids.sort_unstable();
        let standing = |id: &str| {
            let (marketplace, plugin) = id.split_once('/').unwrap_or(("", id));
            let able = loaded.snapshot.principals(Target::Plugin(id), now.micros());
            let entitled: RoaringBitmap = able.iter().filter_map(|who| by_slug.get(who)).copied().collect();
            let here = |s: &&Sighted| s.marketplace == marketplace && s.plugin == plugin;
            let seen = sighted.iter().filter(here);
            let seen = seen.filter_map(|s| Some((*by_id.get(&s.principal_id)?, s.first_time))).collect();
            let own = |members: &RoaringBitmap| {
                members.iter().filter_map(|n| by_number.get(&n)).copied().collect::<RoaringBitmap>()
                    & &entitled
            };
            let days = uses.by_plugin.get(plugin).into_iter().flatten();
            let used = days.map(|(day, members)| (*day, own(members))).collect();
            Standing { name: format!("marketplaces/{marketplace}/plugins/{plugin}"), entitled, seen, used }
        };
        let plugins = ids.into_iter().map(standing).collect();
        Self { plugins, today: day(now), people }
    }

    /// How many came how far. A use shows that a plugin is there, whether or not an assistant told so.
    pub fn funnel(&self) -> Funnel {
        let mut all: [RoaringBitmap; 4] = Default::default();
        for plugin in &self.plugins {
            let ever = plugin.used_since(i64::MIN);
            let seen: RoaringBitmap = plugin.seen.keys().copied().collect();
            let week = plugin.used_since(self.today + 1 - WEEK);
            let parts = [plugin.entitled.clone(), (seen & &plugin.entitled) | &ever, ever, week];
            all.iter_mut().zip(parts).for_each(|(all, part)| *all |= part);
        }
        let [entitled, installed, first_use, weekly_use] = all.map(|members| count(&members));
        Funnel { entitled, installed, first_use, weekly_use }
    }

    /// How many pairs of principal and plugin are dormant.
    pub fn dormant(&self) -> i64 {
        self.plugins.iter().map(|plugin| count(&plugin.dormant(self.today))).sum()
    }

    /// How many days it took from being entitled to the first use.
    pub fn first_use(&self, grounds: &Grounds) -> FirstUse {
        let since = grounds.since(&self.people);
        let entitled = |who: u32| {
            let person = self.people.get(usize::try_from(who).ok()?)?;
            since.get(&person.id).map(|time| day(*time))
        };
        let first = self.first_days();
        let took = first.into_iter().filter_map(|(who, day)| Some((day - entitled(who)?).max(0)));
        let mut took: Vec<i64> = took.collect();
        took.sort_unstable();
        FirstUse {
            principals: i64::try_from(took.len()).unwrap_or(i64::MAX),
            p50: nearest_rank(&took, 50),
            p90: nearest_rank(&took, 90),
        }
    }

    /// The first day on which each of those who used something they may use did.
    fn first_days(&self) -> HashMap<u32, i64> {
        let mut first: HashMap<u32, i64> = HashMap::new();
        for plugin in &self.plugins {
            let mut known = RoaringBitmap::new();
            for (day, members) in &plugin.used {
                for who in members - &known {
                    let earliest = first.entry(who).or_insert(*day);
                    *earliest = (*earliest).min(*day);
                }
                known |= members;
            }
        }
        first
    }
}

/// The smallest of sorted `values` that `percent` of them do not exceed; 0 of none.
fn nearest_rank(values: &[i64], percent: usize) -> i64 {
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let ten: Vec<i64> = (1..=10).collect();
        assert_eq!((nearest_rank(&ten, 50), nearest_rank(&ten, 90)), (5, 9));
        assert_eq!((nearest_rank(&[7], 50), nearest_rank(&[7], 90), nearest_rank(&[], 50)), (7, 7, 0));
        assert_eq!(nearest_rank(&[1, 2, 3], 50), 2);
    }

    fn set(members: &[u32]) -> RoaringBitmap {
        members.iter().copied().collect()
    }

    fn standing(entitled: &[u32], seen: &[u32], used: &[(i64, &[u32])]) -> Standing {
        Standing {
            name: String::new(),
            entitled: set(entitled),
            seen: seen.iter().map(|who| (*who, Time::from_micros(0))).collect(),
            used: used.iter().map(|(day, who)| (*day, set(who))).collect(),
        }
    }

    #[test]
    fn every_stage_of_the_funnel_is_a_part_of_the_one_before() {
        let plugins = vec![
            // 5 was seen with it and may not use it; 3 uses it though nobody told of it
            standing(&[1, 2, 3, 4], &[2, 5], &[(60, &[3]), (93, &[3])]),
            standing(&[4], &[], &[(94, &[4])]),
        ];
        let activation = Activation { people: Vec::new(), plugins, today: 100 };
        let funnel = activation.funnel();
        assert_eq!(funnel, Funnel { entitled: 4, installed: 3, first_use: 2, weekly_use: 1 });
    }

    #[test]
    fn dormant_is_whoever_did_not_use_it_for_28_days() {
        let plugin = standing(&[1, 2, 3], &[], &[(72, &[1]), (73, &[2])]);
        assert_eq!(plugin.dormant(100), set(&[1, 3]));
        assert_eq!((plugin.last_use(1), plugin.last_use(3)), (Some(72), None));
        let activation = Activation { people: Vec::new(), plugins: vec![plugin], today: 100 };
        assert_eq!(activation.dormant(), 2);
        assert_eq!(activation.first_days(), HashMap::from([(1, 72), (2, 73)]));
    }
}
