//! All meters of a tenant: the built-in ones and every version of its own.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use super::{METERS, Meter, ValuePath};
use crate::event::{
    decimal::Decimal,
    model::{Code, Rejection, UsageEvent, quantity_field},
};

/// All meters of a tenant, as of one revision of its own.
#[derive(Debug)]
pub struct Meters {
    revision: i64,
    /// By their numbers.
    all: Vec<Arc<Meter>>,
    /// The tenant's own, by the type of event that they count.
    by_type: HashMap<String, Vec<Arc<Meter>>>,
}

static BUILT_IN: LazyLock<Arc<Meters>> = LazyLock::new(|| Arc::new(Meters::new(0, Vec::new())));

impl Meters {
    /// Those of a tenant that has none of its own.
    pub fn built_in() -> Arc<Self> {
        Arc::clone(&BUILT_IN)
    }

    /// With a tenant's own, which are numbered from the last built-in one on without a gap.
    pub fn new(revision: i64, own: Vec<Meter>) -> Self {
        let own: Vec<_> = own.into_iter().map(Arc::new).collect();
        let mut by_type = HashMap::<String, Vec<_>>::new();
        for meter in &own {
            if let Some(of) = &meter.event_type {
                by_type.entry(of.clone()).or_default().push(Arc::clone(meter));
            }
        }
        let all = METERS.iter().cloned().map(Arc::new).chain(own).collect();
        Self { revision, all, by_type }
    }

    /// The number in memory of the version that the store has under `number`.
    pub fn number(number: i64) -> u32 {
        let before = u32::try_from(METERS.len()).unwrap_or(u32::MAX);
        // the store counts from 1
        u32::try_from(number - 1).map_or(u32::MAX, |own| before.saturating_add(own))
    }

    /// The number in the store of what has `number` in memory.
    pub fn stored_number(number: u32) -> i64 {
        i64::from(number) - i64::try_from(METERS.len()).unwrap_or(i64::MAX) + 1
    }

    /// Which revision of the tenant's own they are.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Whether the tenant has any of its own.
    pub fn has_own(&self) -> bool {
        !self.by_type.is_empty()
    }

    /// Every version of every meter.
    pub fn all(&self) -> &[Arc<Meter>] {
        &self.all
    }

    /// The one with this number.
    pub fn get(&self, number: u32) -> Option<&Arc<Meter>> {
        self.all.get(usize::try_from(number).ok()?)
    }

    /// That version of a meter.
    pub fn version(&self, key: &str, version: i64) -> Option<&Arc<Meter>> {
        self.all.iter().find(|m| m.key == key && m.version == version)
    }

    /// The tenant's own that count an event of this type in this place.
    pub fn of_event(&self, event_type: &str, seq: i64) -> impl Iterator<Item = &Arc<Meter>> {
        self.by_type.get(event_type).into_iter().flatten().filter(move |m| m.takes(event_type, seq))
    }

    /// Refuses an event that one of the meters cannot count, which is decided by those in force: they count what comes next.
    pub fn check(&self, event: &UsageEvent) -> Result<(), Rejection> {
        let below = event.values.iter().any(|(_, value)| value.is_negative());
        if !below && !self.has_own() {
            return Ok(());
        }
        let mut allowed = Vec::new();
        for meter in self.of_event(&event.event_type, i64::MAX - 1) {
            let ValuePath::Quantity(name) = &meter.value else { continue };
            let Some((_, value)) = event.values.iter().find(|(other, _)| other == name) else { continue };
            fits(meter, name, *value)?;
            allowed.push(name);
        }
        let negative =
            event.values.iter().find(|(name, value)| value.is_negative() && !allowed.contains(&name));
        match negative {
            Some((name, _)) => Err(Rejection::of(Code::Negative, quantity_field(name), "is negative")),
            None => Ok(()),
        }
    }
}

/// Refuses what a meter cannot count exactly.
fn fits(meter: &Meter, name: &str, value: Decimal) -> Result<(), Rejection> {
    if value.is_negative() && !meter.negative {
        let message = format!("is negative, which the meter `{}` does not allow", meter.key);
        return Err(Rejection::of(Code::Negative, quantity_field(name), message));
    }
    if value.at_scale(meter.scale).is_some() {
        return Ok(());
    }
    let (code, message) = if value.scale() > meter.scale {
        let digits = meter.scale;
        (
            Code::NotExact,
            format!("is not exact with the {digits} digits after the point of the meter `{}`", meter.key),
        )
    } else {
        (Code::TooLarge, format!("does not fit 64 bits at the scale of the meter `{}`", meter.key))
    };
    Err(Rejection::of(code, quantity_field(name), message))
}
