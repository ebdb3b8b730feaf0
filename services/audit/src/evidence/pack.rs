//! A pack, file by file.

use std::sync::Arc;

use kernel::{Ctx, Result, error::Error, scope::Scope};
use proto::audit::v1 as pb;
use serde_json::{Value, json};
use tlog::{Checkpoint, Note, Vkey};

use super::{
    access::{Access, Counts},
    archive::Archive,
    events::{self, Found, Span},
    framework::Framework,
    guide::{self, Guide},
    period::Period,
    proofs,
};
use crate::{Sequencer, export::csv, sequencer::LogHead};

/// A pack that can be written.
pub struct Pack {
    ctx: Arc<Ctx>,
    log: Arc<Sequencer>,
    scope: Scope,
    framework: Framework,
    period: Period,
    /// Whose newest checkpoint covers the pack.
    head: LogHead,
    /// Everything is proved under this size of the log.
    size: i64,
    span: Span,
    access: Option<Access>,
}

impl Pack {
    /// Finds the period in the log, and what access was before and after. Refuses a period of which events are gone.
    pub async fn prepare(
        ctx: Arc<Ctx>,
        log: Arc<Sequencer>,
        scope: Scope,
        framework: Framework,
        period: Period,
        head: LogHead,
        size: i64,
    ) -> Result<Self> {
        whole(&ctx, &head, &period).await?;
        let searcher = events::searcher(&ctx, &log);
        let span = Span::find(&searcher, scope.id(), &period, (head.minimum_index, size)).await?;
        let access = Access::fold(&ctx, &log, &scope, &period, size).await?;
        Ok(Self { ctx, log, scope, framework, period, head, size, span, access })
    }

    /// Writes all files, the signed list of them last.
    pub async fn write(self, mut archive: Archive) -> Result<()> {
        let (ctx, scope) = (&*self.ctx, self.scope.id());
        let checkpoint = self.log.signed_at(&self.head, self.size).await?;
        archive.begin("events.ndjson")?;
        let controls = &self.framework.controls;
        let found = Found::write(ctx, scope, self.span, &self.period, controls, &mut archive).await?;
        for (control, of) in controls.iter().zip(&found.of) {
            archive.begin(&format!("controls/{}.csv", control.id))?;
            found.table(ctx, scope, of, &mut archive).await?;
        }
        archive.begin("reviews.csv")?;
        found.table(ctx, scope, &found.reviews, &mut archive).await?;
        let access = Access::write(self.access.as_ref(), &mut archive).await?;
        let before = self.proofs(&found, &checkpoint, &mut archive).await?;
        self.texts(&found, access, before, &checkpoint, &mut archive).await?;
        let list = archive.digests();
        archive.file("MANIFEST.sha256", list.as_bytes()).await?;
        let signature = self.log.sign_digests(&self.head.origin, &list)?;
        archive.file("MANIFEST.sha256.sig", &signature).await?;
        archive.end(self.manifest(&found, &checkpoint)?).await
    }

    /// Writes `log/`, `receipts/` and `key.pem`; returns the size of the checkpoint from before the period.
    async fn proofs(&self, found: &Found, checkpoint: &Note, archive: &mut Archive) -> Result<i64> {
        let (ctx, scope) = (&*self.ctx, self.scope.id());
        let size = u64::try_from(self.size).map_err(Error::internal)?;
        let vkeys = self.log.verifier_keys(&self.head.origin);
        let current = vkeys.first().ok_or_else(|| Error::internal("there is no signing key"))?;
        archive
            .file("key.pem", guide::pem(&Vkey::parse(current).map_err(Error::internal)?).as_bytes())
            .await?;
        let lines: String = vkeys.iter().flat_map(|key| [key.as_str(), "\n"]).collect();
        archive.file("log/vkey", lines.as_bytes()).await?;
        archive.file("log/checkpoint", checkpoint.to_string().as_bytes()).await?;
        // without events in the period there is no before and after it in the tree
        let before = if self.span.from < self.span.below { self.span.from } else { 0 };
        if before > 0 {
            let older = self.log.signed_at(&self.head, before).await?;
            archive.file("log/checkpoint.before", older.to_string().as_bytes()).await?;
        }
        let sizes = (u64::try_from(before).map_err(Error::internal)?, size);
        proofs::tiles(ctx, scope, found, sizes, archive).await?;
        for (control, of) in self.framework.controls.iter().zip(&found.of) {
            let Some(index) = of.min().map(|offset| found.index(offset)) else { continue };
            let receipt = proofs::receipt(ctx, scope, index, (size, checkpoint)).await?;
            let path = format!("receipts/{}.tlog-proof", control.id);
            archive.file(&path, receipt.as_bytes()).await?;
            let entry = events::entry(ctx, scope, index).await?;
            archive.file(&format!("{path}.entry"), entry.as_bytes()).await?;
        }
        Ok(before)
    }

    /// Writes `controls.csv`, `summary.json` and `VERIFY.md`.
    async fn texts(
        &self,
        found: &Found,
        access: Counts,
        before: i64,
        checkpoint: &Note,
        archive: &mut Archive,
    ) -> Result<()> {
        let mut table = Vec::new();
        csv::texts(&mut table, ["control", "title", "filter", "events"])?;
        for control in self.controls(found)? {
            let count = control.count.to_string();
            csv::texts(&mut table, [control.control.as_str(), &control.title, &control.filter, &count])?;
        }
        archive.file("controls.csv", &table).await?;
        let summary = self.summary(found, access, before, checkpoint)?;
        let summary = serde_json::to_string_pretty(&summary).map_err(Error::internal)? + "\n";
        archive.file("summary.json", summary.as_bytes()).await?;
        let guide = Guide {
            framework: &self.framework,
            period: &self.period,
            origin: &self.head.origin,
            size: self.size,
            events: found.all.len(),
            before,
        };
        archive.file("VERIFY.md", guide.text().as_bytes()).await
    }

    fn summary(&self, found: &Found, access: Counts, before: i64, checkpoint: &Note) -> Result<Value> {
        let root = *Checkpoint::parse(checkpoint.text()).map_err(Error::internal)?.root();
        let controls = self.controls(found)?.into_iter();
        let controls: Vec<_> =
            controls.map(|c| json!({"control": c.control, "title": c.title, "events": c.count})).collect();
        Ok(json!({
            "framework": self.framework.id,
            "title": self.framework.title,
            "parent": self.scope.to_string(),
            "start_time": self.period.start,
            "end_time": self.period.end,
            "log": {"origin": self.head.origin, "size": self.size, "root": root.to_string(), "size_before": before},
            "events": found.all.len(),
            "first_index": found.first(),
            "last_index": found.last(),
            "controls": controls,
            "reviews": found.reviews.len(),
            "access": {"start": access.start, "end": access.end, "added": access.added, "removed": access.removed},
        }))
    }

    fn controls(&self, found: &Found) -> Result<Vec<pb::ControlEvidence>> {
        let all = self.framework.controls.iter().zip(&found.of);
        let evidence = all.map(|(control, of)| {
            Ok(pb::ControlEvidence {
                control: control.id.clone(),
                title: control.title.clone(),
                filter: control.text.clone(),
                count: i64::try_from(of.len()).map_err(Error::internal)?,
            })
        });
        evidence.collect()
    }

    fn manifest(&self, found: &Found, checkpoint: &Note) -> Result<pb::EvidenceManifest> {
        Ok(pb::EvidenceManifest {
            framework: self.framework.id.to_owned(),
            count: i64::try_from(found.all.len()).map_err(Error::internal)?,
            as_of_size: self.size,
            checkpoint: checkpoint.to_string(),
            controls: self.controls(found)?,
            ..pb::EvidenceManifest::default()
        })
    }
}

/// Refuses a period that begins before what retention has left.
async fn whole(ctx: &Ctx, head: &LogHead, period: &Period) -> Result<()> {
    if head.minimum_index == 0 {
        return Ok(());
    }
    let rows =
        crate::event::store::event_at(&mut ctx.read().await?, head.scope_id, &[head.minimum_index]).await?;
    match rows.first().map(|row| row.time) {
        Some(first) if first >= period.start => {
            let message = format!(
                "retention removed the events below index {}; begin after `{first}`, the time of the first that is left",
                head.minimum_index
            );
            Err(Error::out_of_range("start_time", message))
        }
        _ => Ok(()),
    }
}
