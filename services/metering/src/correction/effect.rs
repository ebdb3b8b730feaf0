//! What a correction does to figures: the sums of what it took back and of what it added, by meter.

use std::collections::BTreeMap;

use kernel::{Result, db::tx::Tx};

use super::{
    model::Effect,
    void::{Of, added_list, taken_list},
};
use crate::{
    event::{decimal, store::head_get},
    meter::{Aggregation, Meter, Meters, store::meters_of},
    rollup::fold::{Raw, Share},
};

/// Events that are read at a time.
const PAGE: i64 = 20_000;

/// Events and sum, before and after.
#[derive(Debug, Default)]
struct Change {
    taken: (i64, i128),
    added: (i64, i128),
}

/// By meter: its key and version.
type Changes<'m> = BTreeMap<(&'m str, i64), (&'m Meter, Change)>;

/// What a correction does, read in the transaction that does it.
/// Figures of meters that sum; what the others say then, only the figures themselves tell.
pub async fn effects(tx: &mut Tx<'_>, of: Of) -> Result<Vec<Effect>> {
    let revision = head_get(tx, of.0).await?.meters;
    let meters = meters_of(tx, of.0, revision).await?;
    let mut changes = Changes::new();
    let mut after = 0;
    loop {
        let page = taken_list(tx, of, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        add(&mut changes, &meters, &page, |change| &mut change.taken);
    }
    after = 0;
    loop {
        let page = added_list(tx, of, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        add(&mut changes, &meters, &page, |change| &mut change.added);
    }
    Ok(changes.into_values().map(|(meter, change)| effect(meter, &change)).collect())
}

fn add<'m>(
    changes: &mut Changes<'m>,
    meters: &'m Meters,
    events: &[Raw],
    side: fn(&mut Change) -> &mut (i64, i128),
) {
    let sums = events.iter().flat_map(|event| event.shares(meters));
    for (meter, share) in sums.filter(|(meter, _)| meter.aggregation == Aggregation::Sum) {
        let Share::Amount(amount) = share else { continue };
        let key = (&*meter.key, meter.version);
        let (_, change) = changes.entry(key).or_insert_with(|| (meter, Change::default()));
        let (events, sum) = side(change);
        *events += 1;
        *sum += i128::from(amount);
    }
}

fn effect(meter: &Meter, change: &Change) -> Effect {
    let figure = |value: i128| decimal::at(value, meter.scale);
    Effect {
        meter: meter.name(),
        unit: meter.unit.to_string(),
        events_taken: change.taken.0,
        value_taken: figure(change.taken.1),
        events_added: change.added.0,
        value_added: figure(change.added.1),
        value_change: figure(change.added.1 - change.taken.1),
    }
}
