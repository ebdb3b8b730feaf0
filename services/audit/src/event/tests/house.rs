//! A tenant with people who act, and logs that can be filled by hand or by a sequencer.

use std::sync::Arc;

use access::{
    duty::ops::duty_grant,
    token::{model::NewToken, ops::token_create},
};
use kernel::{
    Ctx, Kernel,
    authn::{TokenKind, TokenScope},
    authz::Duty,
    clock::{Clock, Time},
    config::Layers,
    ctx::CallInfo,
    db::{Db, list::ListQuery},
    execute, on,
    scope::Scope,
    telemetry::Telemetry,
};
use proto::audit::v1 as pb;
use serde_json::Value;
use tenancy::{
    partner::{model::NewPartner, ops::partner_create},
    principal::{
        model::{NewPrincipal, PrincipalKind},
        ops::principal_create,
    },
    role::{model::NewRole, ops::role_create},
    tenant::{model::NewTenant, ops::tenant_create},
};
use uuid::Uuid;

use crate::{
    Sequencer,
    event::{
        Filter, Searcher, Tails, Window, event_list,
        index::{Layout, index},
        model::Row,
        open::opened,
        store::event_range,
    },
    sequencer::{
        LogHead,
        store::{self as logs, Pending},
    },
};

const DEFAULTS: &str = include_str!("../../../../server/config.default.toml");
pub const ACME: &str = "tenants/acme";
pub const MARIA: &str = "tenants/acme/principals/maria";
/// Small segments, so that a few hundred events have some of each size.
pub const SMALL: Layout = Layout { segment: 32, fan: 4 };

pub struct House {
    pub kernel: Arc<Kernel>,
    pub scope: Scope,
    pub tails: Tails,
    _dir: tempfile::TempDir,
}

impl House {
    /// Maria owns the tenant, `bot` is her agent, Carl reads the record.
    pub async fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data").to_string_lossy().into_owned();
        let config = Layers::new(DEFAULTS, None, &[("server.data_dir", data)]).unwrap().config().unwrap();
        let db = Db::open(&config).await.unwrap();
        db.migrate().await.unwrap();
        let clock = Clock::manual(Time::parse("now", "2026-11-23T12:00:00Z").unwrap());
        let kernel = Kernel::new(config, db, clock).await.unwrap();
        let ctx = kernel.system();
        let partner = NewPartner { id: "northwind".to_owned(), display_name: "Northwind".to_owned() };
        partner_create(&ctx, partner).await.unwrap();
        let tenant = NewTenant {
            id: "acme".to_owned(),
            partner: "partners/northwind".to_owned(),
            display_name: "Acme".to_owned(),
        };
        tenant_create(&ctx, tenant).await.unwrap();
        for (id, kind, name, owner) in [
            ("maria", PrincipalKind::User, "Maria Quetzalcoatl", ""),
            ("carl", PrincipalKind::User, "Carl Xylander", ""),
            ("bot", PrincipalKind::Agent, "Bot", MARIA),
        ] {
            let new = NewPrincipal {
                id: id.to_owned(),
                kind: Some(kind),
                display_name: name.to_owned(),
                owner: owner.to_owned(),
                ..NewPrincipal::default()
            };
            principal_create(&ctx, ACME, new).await.unwrap();
        }
        duty_grant(&ctx, ACME, MARIA, Some(Duty::Owner)).await.unwrap();
        duty_grant(&ctx, ACME, "tenants/acme/principals/carl", Some(Duty::Compliance)).await.unwrap();
        let scope = ctx.tenant("parent", ACME).await.unwrap();
        Self { kernel, scope, tails: Tails::default(), _dir: dir }
    }

    pub fn log(&self) -> Uuid {
        self.scope.id()
    }

    /// What makes the logs, at work.
    pub fn sequencer(&self) -> Arc<Sequencer> {
        Sequencer::start(&self.kernel, &Telemetry::quiet().unwrap().meter()).unwrap()
    }

    /// A new token of a principal of Acme.
    pub async fn token(&self, who: &str) -> String {
        let new = NewToken {
            principal: format!("{ACME}/principals/{who}"),
            kind: Some(if who == "bot" { TokenKind::Service } else { TokenKind::Personal }),
            display_name: "for the test".to_owned(),
            scopes: vec![Some(TokenScope::All)],
            expire_time: Some(self.kernel.clock.now().plus(std::time::Duration::from_hours(24))),
        };
        token_create(&self.kernel.system(), ACME, new).await.unwrap().1
    }

    /// A call from an address.
    pub async fn call(&self, token: &str, ip: &str) -> Ctx {
        let info = CallInfo {
            id: self.kernel.ids.new_id(self.kernel.clock.now()),
            trace_id: String::new(),
            ip: ip.to_owned(),
            user_agent: "the test".to_owned(),
        };
        self.kernel.enter(Some(&format!("Bearer {token}")), info).await.unwrap()
    }

    /// Appends the tenant's outbox to its log, and then further entries, as a sequencer would.
    pub async fn append(&self, entries: Vec<(Time, String)>) {
        let (kernel, log) = (&self.kernel, self.log());
        let mut tx = kernel.db.begin_derived();
        logs::log_insert(&mut tx, log, "host/tenants/acme", kernel.clock.now()).await.unwrap();
        let waiting = logs::pending_take(&mut tx, log, 100_000).await.unwrap();
        let waiting = waiting.into_iter().map(|p| {
            let entry: Value = serde_json::from_str(&p.entry).unwrap();
            let time = Time::parse("t", entry["t"].as_str().unwrap()).unwrap();
            (p, time)
        });
        let made =
            entries.into_iter().map(|(time, entry)| (Pending { id: kernel.ids.new_id(time), entry }, time));
        let all: Vec<_> = waiting.chain(made).collect();
        let size = logs::log_get(&mut tx, log).await.unwrap().unwrap().size;
        logs::event_insert_all(&mut tx, log, size, &all).await.unwrap();
        logs::pending_delete(&mut tx, log, size).await.unwrap();
        let query = "UPDATE audit_log SET size = $1 WHERE scope_id = $2";
        let size = size + i64::try_from(all.len()).unwrap();
        execute!(&mut tx, sqlx::query(query).bind(size).bind(log)).unwrap();
        tx.finish().await.unwrap();
    }

    pub async fn head(&self) -> LogHead {
        logs::log_get(&mut self.kernel.db.reader().await.unwrap(), self.log()).await.unwrap().unwrap()
    }

    /// Builds every full segment.
    pub async fn index(&self) {
        let head = self.head().await;
        let built = index(&self.kernel, SMALL, self.log(), head.segments, head.size).await.unwrap();
        assert_eq!(built, head.size / SMALL.segment);
    }

    pub fn searcher(&self) -> Searcher<'_> {
        Searcher { kernel: &self.kernel, tails: &self.tails, layout: SMALL }
    }

    /// The indexes that a search finds.
    pub async fn search(&self, filter: &str, window: Window, limit: usize) -> Vec<i64> {
        let filter = Filter::parse(filter).unwrap();
        let found = self.searcher().search(self.log(), &filter, window, limit).await.unwrap();
        found.into_iter().map(|event| event.row.idx).collect()
    }

    /// The indexes that a search of the whole log finds, the oldest first.
    pub async fn find(&self, filter: &str) -> Vec<i64> {
        let head = self.head().await;
        let window = Window { from: head.minimum_index, below: head.size, ascending: true };
        self.search(filter, window, 100_000).await
    }

    /// Every event that is stored, opened.
    pub async fn events(&self) -> Vec<(Row, Value)> {
        let mut db = self.kernel.db.reader().await.unwrap();
        let mut all = Vec::new();
        for row in event_range(&mut db, self.log(), 0, i64::MAX, i64::MAX).await.unwrap() {
            let (_, entry) = opened(&self.kernel, &mut db, &row.entry).await.unwrap();
            all.push((row, entry));
        }
        all
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        let mut db = self.kernel.db.reader().await.unwrap();
        on!(&mut db, |c| sqlx::query_scalar(query).bind(self.log()).fetch_one(c)).unwrap()
    }

    pub async fn role(&self, ctx: &Ctx, id: &str, name: &str) {
        let new = NewRole { id: id.to_owned(), display_name: name.to_owned(), ..NewRole::default() };
        role_create(ctx, ACME, new).await.unwrap();
    }
}

/// One page of Acme's log.
pub async fn page(
    ctx: &Ctx,
    log: &Sequencer,
    filter: &str,
    (order, size, token): (&str, i32, &str),
) -> kernel::Result<pb::ListAuditEventsResponse> {
    let query = ListQuery {
        filter: filter.to_owned(),
        order_by: order.to_owned(),
        page_size: size,
        page_token: token.to_owned(),
        show_deleted: false,
    };
    event_list(ctx, log, ACME, &query, 0).await
}

/// Numbers that look random and are the same in every run.
pub struct Scatter(u64);

impl Scatter {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}
