//! The product under simulation: a server, who rolls up for it, and those who send and ask.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use kernel::clock::Clock;
use metering::rollup::{roller::Roller, store::due_list, verify::verify};
use proto::{
    token::v1::{Token, TokenKind},
    usage::v1::{
        self as pb, EventOutcome, UsageDimension, UsageWindow, usage_service_client::UsageServiceClient,
    },
};
use tests::{Site, site::Caller, world};
use tokio_util::sync::CancellationToken;

use super::{
    oracle::{Oracle, ZONES, time_of},
    trace::{Batch, Event, Who},
};
use crate::usage::Desk;

/// Longer than a lease, and than figures by principal wait.
const TAKE_OVER: Duration = Duration::from_secs(11);

pub struct Node {
    site: Site,
    roller: Roller,
    owner: String,
    senders: BTreeMap<Who, String>,
}

impl Node {
    pub async fn open(site: Site) -> Self {
        let desk = Desk::open(site).await;
        let world = desk.world;
        let mut secrets = Vec::new();
        for (id, kind) in [
            ("owner", TokenKind::Personal),
            ("maria", TokenKind::Ingest),
            ("sam", TokenKind::Ingest),
            ("", TokenKind::Ingest),
        ] {
            // longer than the simulation
            let end = world.site.kernel().clock.now().plus(Duration::from_hours(80 * 24));
            let token = Token { expire_time: Some(end.into()), ..world::token_of(world::ACME, id, kind) };
            secrets.push(world::create_token(&world.owner, world::ACME, token).await.unwrap().secret);
        }
        let owner = secrets.remove(0);
        let senders = [Who::Maria, Who::Sam, Who::Nobody].into_iter().zip(secrets).collect();
        Self { roller: roller(&world.site), site: world.site, owner, senders }
    }

    fn by(&self, who: Who) -> Caller {
        self.site.caller(&self.senders[&who])
    }

    /// Sends a batch and compares its answer; what was sent before without hearing of it may be known.
    pub async fn send(&self, oracle: &mut Oracle, batch: &Batch, again: bool) {
        let by = self.by(batch.who);
        let request = by.ask(tokio_stream::iter([message(batch)]));
        let mut answers =
            UsageServiceClient::new(by.channel.clone()).ingest(request).await.unwrap().into_inner();
        let statuses = answers.message().await.unwrap().unwrap().statuses;
        let mut got: Vec<_> = statuses.iter().map(pb::EventStatus::outcome).collect();
        let want = oracle.take(batch.who, &batch.events, self.site.kernel().clock.now());
        for (got, want) in got.iter_mut().zip(&want).filter(|_| again) {
            if (*got, *want) == (EventOutcome::Duplicate, EventOutcome::Accepted) {
                *got = *want;
            }
        }
        assert_eq!(got, want, "{batch:?}");
    }

    /// Sends a batch and goes away.
    pub async fn lose(&self, batch: &Batch) {
        let by = self.by(batch.who);
        let request = by.ask(tokio_stream::iter([message(batch)]));
        drop(UsageServiceClient::new(by.channel.clone()).ingest(request).await.unwrap());
    }

    pub fn wait(&self, minutes: u32) {
        self.site.advance(Duration::from_secs(60 * u64::from(minutes)));
    }

    /// Rolls up until nothing is left.
    pub async fn roll(&mut self) {
        while !self.due().await {
            self.site.advance(TAKE_OVER);
            self.roller.look(&CancellationToken::new()).await.unwrap();
        }
    }

    async fn due(&self) -> bool {
        due_list(&mut self.site.kernel().db.reader().await.unwrap(), 10).await.unwrap().is_empty()
    }

    /// Whoever rolls up is gone after it was woken `polls` times.
    pub async fn crash(&mut self, polls: u32) {
        self.site.advance(TAKE_OVER);
        let stop = CancellationToken::new();
        let cut = Cut { work: Box::pin(self.roller.look(&stop)), left: polls };
        if let Some(done) = cut.await {
            done.unwrap();
        }
        self.roller = roller(&self.site);
        self.site.advance(TAKE_OVER);
    }

    pub async fn stop(self) {
        let Self { site, roller: gone, .. } = self;
        drop(gone);
        site.stop().await;
    }

    /// Stops the server and starts it on what is there, its clock `back` seconds behind.
    pub async fn restart(self, back: u32) -> Self {
        let Self { site, roller: gone, owner, senders } = self;
        drop(gone);
        let (engine, dir, url, clock) = site.stop().await;
        let clock = Clock::manual(clock.now().minus(Duration::from_secs(u64::from(back))));
        let own_time = ("usage.rollup_interval_ms", "3600000".to_owned());
        let site = Site::on(engine, dir, url, clock, &[own_time]).await;
        // the clock of one that was ahead holds the lease for so long
        site.advance(Duration::from_secs(u64::from(back)) + TAKE_OVER);
        Self { roller: roller(&site), site, owner, senders }
    }

    /// Asks and compares; returns what was answered.
    pub async fn ask(&self, oracle: &Oracle) -> String {
        let mut seen = String::new();
        for zone in &ZONES {
            let rows = self.rows("tokens.output", zone.name, &[], &["model"]).await;
            let days = rows.iter().map(|r| ((micros(r), r.dims[0].value.clone()), r.value));
            let days: BTreeMap<_, _> = days.filter(|(_, value)| *value != 0).collect();
            assert_eq!(days, oracle.by_day(zone), "tokens by day and model in {}", zone.name);
            let rows = self.rows("active_principals", zone.name, &[], &[]).await;
            let active: BTreeMap<_, _> =
                rows.iter().map(|r| (micros(r), r.value)).filter(|(_, n)| *n != 0).collect();
            assert_eq!(active, oracle.active_by_day(zone), "principals by day in {}", zone.name);
            writeln!(seen, "{days:?} {active:?}").unwrap();
        }
        let rows = self.rows("tokens.output", "", &[UsageDimension::Principal], &[]).await;
        let people: BTreeMap<_, _> = rows.into_iter().map(|r| (r.principal, r.value)).collect();
        assert_eq!(people, oracle.by_person(), "tokens by person");
        writeln!(seen, "{people:?}").unwrap();
        seen
    }

    async fn rows(&self, meter: &str, zone: &str, by: &[UsageDimension], dims: &[&str]) -> Vec<pb::UsageRow> {
        let (first, last) = (Event { number: 0, forged: false }, self.site.kernel().clock.now());
        let request = pb::QueryUsageRequest {
            parent: world::ACME.to_owned(),
            meters: vec![meter.to_owned()],
            // from before the first until after the last
            start_time: Some(time_of(first).minus(Duration::from_hours(48)).into()),
            end_time: Some(last.plus(Duration::from_hours(48)).into()),
            window: if zone.is_empty() { UsageWindow::Total } else { UsageWindow::Day }.into(),
            time_zone: zone.to_owned(),
            group_by: by.iter().map(|d| (*d).into()).collect(),
            group_by_dims: dims.iter().map(|d| (*d).to_owned()).collect(),
            ..Default::default()
        };
        super::super::query(&self.site.caller(&self.owner), request).await.unwrap().rows
    }

    /// The rollups are what the events say, and the events are as many as were accepted.
    pub async fn verify(&self, oracle: &Oracle) {
        let kernel = self.site.kernel();
        let tenants =
            metering::rollup::store::tenant_list(&mut kernel.db.reader().await.unwrap()).await.unwrap();
        let Some(tenant) = tenants.first() else { return assert!(oracle.events.is_empty()) };
        let report = verify(kernel, *tenant).await.unwrap();
        assert!(report.agrees() && report.events == oracle.events.len() as u64, "{report:?}");
    }
}

fn roller(site: &Site) -> Roller {
    Roller::new(site.kernel(), &opentelemetry::global::meter("simulator"))
}

fn micros(row: &pb::UsageRow) -> i64 {
    let start = row.start_time.unwrap();
    start.seconds * 1_000_000 + i64::from(start.nanos) / 1_000
}

fn message(batch: &Batch) -> pb::IngestRequest {
    let events = batch.events.iter().map(|event| pb::UsageEvent {
        id: event.number.to_string(),
        source: "simulator".to_owned(),
        r#type: "simulated".to_owned(),
        time: Some(time_of(*event).into()),
        values: vec![pb::Quantity { key: "tokens.output".to_owned(), value: event.tokens().to_string() }],
        dims: vec![pb::Dim { key: "model".to_owned(), value: event.model().to_owned() }],
        ..Default::default()
    });
    pb::IngestRequest { batch_id: String::new(), events: events.collect() }
}

/// Work that is given up when it was woken so often.
struct Cut<F> {
    work: Pin<Box<F>>,
    left: u32,
}

impl<F: Future> Future for Cut<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        self.work.as_mut().poll(context).map(Some)
    }
}
