//! What a correction does to figures: the sums of what it took back and of what it added, by meter.

use std::collections::BTreeMap;

use kernel::{Result, db::tx::Tx};

use super::{
    model::Effect,
    void::{Of, added_list, taken_list},
};
use crate::{event::decimal, meter::Meter, rollup::fold::Raw};

/// Events that are read at a time.
const PAGE: i64 = 20_000;

/// Events and sum, before and after.
#[derive(Debug, Default)]
struct Change {
    taken: (i64, i128),
    added: (i64, i128),
}

/// What a correction does, read in the transaction that does it.
pub async fn effects(tx: &mut Tx<'_>, of: Of) -> Result<Vec<Effect>> {
    let mut changes = BTreeMap::<&str, (&Meter, Change)>::new();
    let mut after = 0;
    loop {
        let page = taken_list(tx, of, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        add(&mut changes, &page, |change| &mut change.taken);
    }
    after = 0;
    loop {
        let page = added_list(tx, of, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        add(&mut changes, &page, |change| &mut change.added);
    }
    Ok(changes.into_values().map(|(meter, change)| effect(meter, &change)).collect())
}

fn add<'m>(
    changes: &mut BTreeMap<&'m str, (&'m Meter, Change)>,
    events: &[Raw],
    side: fn(&mut Change) -> &mut (i64, i128),
) {
    for (meter, amount) in events.iter().flat_map(Raw::amounts) {
        let (_, change) = changes.entry(meter.key).or_insert_with(|| (meter, Change::default()));
        let (events, sum) = side(change);
        *events += 1;
        *sum += i128::from(amount);
    }
}

fn effect(meter: &Meter, change: &Change) -> Effect {
    let figure = |value: i128| decimal::at(value, meter.scale);
    Effect {
        meter: meter.key.to_owned(),
        unit: meter.unit.to_owned(),
        events_taken: change.taken.0,
        value_taken: figure(change.taken.1),
        events_added: change.added.0,
        value_added: figure(change.added.1),
        value_change: figure(change.added.1 - change.taken.1),
    }
}
