//! The stream: pages of events in, chunks of a file out.

use std::{collections::VecDeque, sync::Arc};

use kernel::{Ctx, Result, db::Executor, error::Error};
use proto::audit::v1 as pb;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Encoder, row::Row, store};
use crate::{
    event::{Filter, open},
    sequencer::LogHead,
};

/// Largest chunk, bytes.
const MAX_CHUNK: usize = 256 * 1024;
/// A chunk is sent once it is over this: the longest event of a text format still fits below [`MAX_CHUNK`].
const FULL_CHUNK: usize = 128 * 1024;
/// After so many pages without a full chunk the caller hears how far we are.
const QUIET_PAGES: u32 = 4;

/// The events of an export: indexes `from` to below `below`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first index.
    pub from: i64,
    /// The index after the last.
    pub below: i64,
}

impl Span {
    /// What a caller asks for, where the log has it. Index 0 stands for the first event that retention has left.
    pub fn choose(head: &LogHead, from_index: i64, as_of_size: i64) -> Result<Self> {
        let LogHead { size, minimum_index: least, .. } = head;
        let below = if as_of_size == 0 { *size } else { as_of_size };
        let from = if from_index == 0 { *least } else { from_index };
        if !(0..=*size).contains(&below) {
            let message = format!("`{as_of_size}` is not a size of this log; use 0 to {size}");
            return Err(Error::out_of_range("as_of_size", message));
        }
        if !(*least..=below).contains(&from) {
            let message = format!(
                "`{from_index}` is not in the export: events below {least} were pruned and it ends below {below}; use 0 or an index between"
            );
            return Err(Error::out_of_range("from_index", message));
        }
        Ok(Self { from, below })
    }
}

/// One file on its way to a caller.
pub struct Export {
    ctx: Arc<Ctx>,
    log: Uuid,
    span: Span,
    filter: Option<Filter>,
    encoder: Box<dyn Encoder>,
    /// The next index to consider.
    next: i64,
    /// Bytes of the file that have not been sent.
    out: Vec<u8>,
    ready: VecDeque<pb::ExportAuditEventsResponse>,
    /// Pages since the last message.
    quiet_pages: u32,
    sha256: Sha256,
    /// What the last message says; none once it has been made.
    manifest: Option<pb::ExportManifest>,
}

impl Export {
    /// An export of `span` of a log. `manifest` has what is known before the first event.
    pub fn new(
        ctx: Arc<Ctx>,
        log: Uuid,
        span: Span,
        filter: Option<Filter>,
        encoder: Box<dyn Encoder>,
        manifest: pb::ExportManifest,
    ) -> Self {
        let manifest = pb::ExportManifest { count: 0, first_index: -1, last_index: -1, ..manifest };
        Self {
            ctx,
            log,
            span,
            filter,
            encoder,
            next: span.from,
            out: Vec::new(),
            ready: VecDeque::new(),
            quiet_pages: 0,
            sha256: Sha256::new(),
            manifest: Some(manifest),
        }
    }

    #[cfg(test)]
    pub fn ctx(&self) -> Arc<Ctx> {
        Arc::clone(&self.ctx)
    }

    /// The next message; none after the manifest.
    pub async fn next_message(&mut self) -> Result<Option<pb::ExportAuditEventsResponse>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            if self.next < self.span.below {
                self.page().await?;
            } else if let Some(manifest) = self.manifest.take() {
                self.end(manifest)?;
            } else {
                return Ok(None);
            }
        }
    }

    /// Considers one page of events.
    async fn page(&mut self) -> Result<()> {
        let mut reader = self.ctx.read().await?;
        let page = store::event_page(&mut reader, self.log, self.next, self.span.below).await?;
        if page.is_empty() {
            return Err(gone(self.next));
        }
        for row in page {
            if row.idx != self.next {
                return Err(gone(self.next));
            }
            // a page is some milliseconds of work: others get their turn in between
            tokio::task::consume_budget().await;
            if takes(self.filter.as_ref(), &self.ctx, &mut reader, &row).await? {
                self.add(&row)?;
            }
            self.next = row.idx.saturating_add(1);
            if self.out.len() >= FULL_CHUNK {
                self.send();
            }
        }
        self.quiet_pages += 1;
        if self.quiet_pages >= QUIET_PAGES && self.encoder.is_flush() {
            self.send();
        }
        Ok(())
    }

    fn add(&mut self, row: &Row) -> Result<()> {
        self.encoder.event(row, &mut self.out)?;
        if let Some(manifest) = &mut self.manifest {
            manifest.count += 1;
            if manifest.first_index < 0 {
                manifest.first_index = row.idx;
            }
            manifest.last_index = row.idx;
        }
        Ok(())
    }

    /// Sends what has been written, also when it is nothing: the caller then hears how far we are.
    fn send(&mut self) {
        self.quiet_pages = 0;
        let mut rest = std::mem::take(&mut self.out);
        while rest.len() > MAX_CHUNK {
            let tail = rest.split_off(MAX_CHUNK);
            self.push(rest, 0);
            rest = tail;
        }
        let resume = if self.encoder.is_flush() { self.next } else { 0 };
        self.push(rest, resume);
    }

    fn push(&mut self, data: Vec<u8>, next_index: i64) {
        self.sha256.update(&data);
        self.ready.push_back(pb::ExportAuditEventsResponse { data, next_index, manifest: None });
    }

    fn end(&mut self, manifest: pb::ExportManifest) -> Result<()> {
        self.encoder.end(&mut self.out)?;
        self.send();
        let sha256 = self.sha256.finalize_reset().to_vec();
        if let Some(last) = self.ready.back_mut() {
            last.manifest = Some(pb::ExportManifest { sha256, ..manifest });
        }
        Ok(())
    }
}

/// Whether the filter takes an event; what it says of a person's data is asked of the opened entry.
async fn takes(filter: Option<&Filter>, ctx: &Ctx, db: &mut impl Executor, row: &Row) -> Result<bool> {
    let Some(filter) = filter else { return Ok(true) };
    let (sealed, opened) = open::opened(ctx.kernel(), db, &row.entry).await?;
    row.parsed(sealed);
    Ok(filter.matches(&opened, row.time))
}

/// Events that were there when the export began are not there any more.
fn gone(index: i64) -> Error {
    let message =
        format!("the event with index {index} was pruned while it was exported; start again with 0");
    Error::out_of_range("from_index", message)
}
