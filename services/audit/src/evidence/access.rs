//! Who could use what before and after the period, and what changed in between.

use std::{cmp::Ordering, collections::VecDeque, sync::Arc};

use kernel::{Ctx, Result, error::Error, scope::Scope};
use proto::audit::v1 as pb;
use uuid::Uuid;

use super::{archive::Archive, period::Period};
use crate::{
    Sequencer,
    access::{
        self,
        list::{self, Place, Wish},
        past::Past,
    },
    export::csv,
};

/// Rows that are made at once.
const PAGE: usize = 1_000;
const COLUMNS: [&str; 5] = ["principal", "plugin", "effect", "role", "entitlement"];

/// A tenant before the period and at its end.
pub struct Access {
    start: Arc<Past>,
    end: Arc<Past>,
}

/// How many rows the files have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Who could use what before.
    pub start: u64,
    /// Who could use what after.
    pub end: u64,
    /// What is new at the end.
    pub added: u64,
    /// What is gone at the end.
    pub removed: u64,
}

impl Access {
    /// Folds the log up to both moments; none for a scope in which nobody uses anything.
    pub async fn fold(
        ctx: &Ctx,
        log: &Sequencer,
        scope: &Scope,
        period: &Period,
        size: i64,
    ) -> Result<Option<Self>> {
        let Scope::Tenant(tenant) = scope else { return Ok(None) };
        // the catalogue belongs to the platform
        let platform = log.catch_up(Uuid::nil()).await?.size;
        let past = async |moment| {
            let past = access::past(ctx.kernel(), log, tenant, moment, (size, platform)).await;
            past.map_err(|error| match error {
                Error::OutOfRange(why) => Error::out_of_range("start_time", why.message),
                other => other,
            })
        };
        Ok(Some(Self { start: past(period.before()).await?, end: past(period.last()).await? }))
    }

    /// Writes the three files; those of nobody have their headers.
    pub async fn write(of: Option<&Self>, archive: &mut Archive) -> Result<Counts> {
        let mut counts = Counts::default();
        archive.begin("access-start.csv")?;
        counts.start = list(of.map(|access| &*access.start), archive).await?;
        archive.begin("access-end.csv")?;
        counts.end = list(of.map(|access| &*access.end), archive).await?;
        archive.begin("access-changes.csv")?;
        (counts.added, counts.removed) = changes(of, archive).await?;
        Ok(counts)
    }
}

async fn list(past: Option<&Past>, archive: &mut Archive) -> Result<u64> {
    let mut text = Vec::new();
    csv::texts(&mut text, COLUMNS)?;
    let (mut rows, mut count) = (Rows::of(past), 0);
    while let Some(row) = rows.next().await? {
        csv::texts(&mut text, cells(&row))?;
        count += 1;
        flush(&mut text, PAGE, archive).await?;
    }
    flush(&mut text, 0, archive).await?;
    Ok(count)
}

/// What was added and removed; what stands with another effect or through another rule is both.
async fn changes(of: Option<&Access>, archive: &mut Archive) -> Result<(u64, u64)> {
    let mut text = Vec::new();
    csv::texts(&mut text, ["change"].into_iter().chain(COLUMNS))?;
    let (mut old, mut new) = (Rows::of(of.map(|a| &*a.start)), Rows::of(of.map(|a| &*a.end)));
    let (mut before, mut after) = (old.next().await?, new.next().await?);
    let (mut added, mut removed) = (0, 0);
    loop {
        let order = match (&before, &after) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(b), Some(a)) => cells(b).cmp(&cells(a)),
        };
        if order.is_lt()
            && let Some(row) = &before
        {
            csv::texts(&mut text, ["removed"].into_iter().chain(cells(row)))?;
            removed += 1;
        }
        if order.is_gt()
            && let Some(row) = &after
        {
            csv::texts(&mut text, ["added"].into_iter().chain(cells(row)))?;
            added += 1;
        }
        if order.is_le() {
            before = old.next().await?;
        }
        if order.is_ge() {
            after = new.next().await?;
        }
        flush(&mut text, PAGE, archive).await?;
    }
    flush(&mut text, 0, archive).await?;
    Ok((added, removed))
}

/// Hands on what was written once it is over `bytes`.
async fn flush(text: &mut Vec<u8>, bytes: usize, archive: &mut Archive) -> Result<()> {
    if text.len() > bytes {
        archive.write(text).await?;
        text.clear();
    }
    Ok(())
}

fn cells(row: &pb::Access) -> [&str; COLUMNS.len()] {
    [&row.principal, &row.plugin, &row.effect, &row.role, &row.entitlement]
}

/// The rows of a past, by principal and plugin.
struct Rows<'p> {
    past: Option<&'p Past>,
    wish: Wish,
    after: Option<Place>,
    ready: VecDeque<pb::Access>,
}

impl<'p> Rows<'p> {
    fn of(past: Option<&'p Past>) -> Self {
        Self { past, wish: Wish::default(), after: None, ready: VecDeque::new() }
    }

    async fn next(&mut self) -> Result<Option<pb::Access>> {
        if self.ready.is_empty()
            && let Some(past) = self.past
        {
            let (rows, last) = list::page(past, &self.wish, self.after.as_ref(), PAGE).await?;
            self.ready = rows.into();
            self.past = last.is_some().then_some(past);
            self.after = last;
        }
        Ok(self.ready.pop_front())
    }
}
