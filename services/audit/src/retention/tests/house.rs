//! A tenant with a person in it and a log that can be filled.

use std::{path::PathBuf, sync::Arc};

use kernel::{
    Ctx, Kernel,
    clock::{Clock, Time},
    config::Layers,
    db::Db,
    execute, on,
    scope::Scope,
    telemetry::Telemetry,
};
use serde_json::Value;
use tenancy::{
    partner::{model::NewPartner, ops::partner_create},
    principal::{
        model::{NewPrincipal, Principal, PrincipalKind},
        ops::principal_create,
    },
    tenant::{model::NewTenant, ops::tenant_create},
};
use tlog::{Appender, Hash, TileSet, leaf_hash};
use uuid::Uuid;

use crate::{
    Sequencer,
    sequencer::store::{self as logs, Pending},
};

const DEFAULTS: &str = include_str!("../../../../server/config.default.toml");
pub const MARIA: &str = "tenants/acme/principals/maria";
pub const MARIAS_NAME: &str = "Maria Quetzalcoatl-Vinterberg";
pub const MARIAS_ADDRESS: &str = "maria.qv@acme.example";

pub struct House {
    pub kernel: Arc<Kernel>,
    pub scope: Uuid,
    pub maria: Principal,
    dir: tempfile::TempDir,
}

impl House {
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
        let maria = NewPrincipal {
            id: "maria".to_owned(),
            kind: Some(PrincipalKind::User),
            display_name: MARIAS_NAME.to_owned(),
            email: MARIAS_ADDRESS.to_owned(),
            ..NewPrincipal::default()
        };
        let maria = principal_create(&ctx, "tenants/acme", maria).await.unwrap();
        let scope = ctx.tenant("parent", "tenants/acme").await.unwrap().id();
        Self { kernel, scope, maria, dir }
    }

    /// A new call of the process itself, at the time that it is now.
    pub fn ctx(&self) -> Ctx {
        self.kernel.system()
    }

    /// A call with a request_id.
    pub fn again(&self, request: u128) -> Ctx {
        let mut ctx = self.ctx();
        ctx.with_request(&Uuid::from_u128(request).to_string(), false, vec![1]).unwrap();
        ctx
    }

    /// What makes the logs, at work.
    pub fn sequencer(&self) -> Arc<Sequencer> {
        Sequencer::start(&self.kernel, &Telemetry::quiet().unwrap().meter()).unwrap()
    }

    pub async fn acme(&self) -> Scope {
        self.ctx().tenant("parent", "tenants/acme").await.unwrap()
    }

    /// Entries of all logs with that action, as recorded, the oldest first.
    pub async fn recorded(&self, action: &str) -> Vec<Value> {
        let mut db = self.kernel.db.reader().await.unwrap();
        let query = "SELECT entry FROM audit_event WHERE entry LIKE '%\"actor\"%' \
             UNION ALL SELECT entry FROM (SELECT entry FROM audit_pending ORDER BY id) AS pending";
        let entries: Vec<String> = on!(&mut db, |c| sqlx::query_scalar(query).fetch_all(c)).unwrap();
        let entries = entries.iter().map(|e| serde_json::from_str::<Value>(e).unwrap());
        entries.filter(|e| e["act"] == action).collect()
    }

    /// What a reader is shown of an entry.
    pub async fn opened(&self, entry: &Value) -> Value {
        let mut entry = entry.clone();
        let mut db = self.kernel.db.reader().await.unwrap();
        self.kernel.subjects.open(&mut db, &mut entry).await.unwrap();
        entry
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        let mut db = self.kernel.db.reader().await.unwrap();
        on!(&mut db, |c| sqlx::query_scalar(query).fetch_one(c)).unwrap()
    }

    /// Changes rows behind the back of everybody.
    pub async fn alter(&self, query: &'static str, scope: Uuid) {
        let mut tx = self.kernel.db.begin_derived();
        execute!(&mut tx, sqlx::query(query).bind(scope)).unwrap();
        tx.finish().await.unwrap();
    }

    /// Which files of the database hold `text`.
    pub fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.dir.path().join("data")).unwrap().map(|f| f.unwrap().path());
        let has = |path: &PathBuf| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(text.len()).any(|w| w == text.as_bytes())
        };
        files.filter(has).collect()
    }

    /// Appends events to Acme's log as the sequencer would, and puts all of them under a checkpoint of size `signed`.
    pub async fn fill(&self, events: &[(Time, String)], signed: i64) {
        let scope = self.scope;
        let mut tx = self.kernel.db.begin_derived();
        logs::log_insert(&mut tx, scope, "provost/tenants/acme", self.kernel.clock.now()).await.unwrap();
        let size = logs::log_get(&mut tx, scope).await.unwrap().unwrap().size;
        let edge = tlog::right_edge(u64::try_from(size).unwrap());
        let edge = logs::tile_get_all(&mut tx, scope, &edge).await.unwrap();
        let mut tree = Appender::new(u64::try_from(size).unwrap(), edge).unwrap();
        let rows: Vec<_> = events
            .iter()
            .map(|(time, entry)| {
                tree.append(leaf_hash(entry.as_bytes())).unwrap();
                (Pending { id: self.kernel.ids.new_id(*time), entry: entry.clone() }, *time)
            })
            .collect();
        logs::event_insert_all(&mut tx, scope, size, &rows).await.unwrap();
        logs::tile_put_all(&mut tx, scope, &tree.take_tiles()).await.unwrap();
        let query = "UPDATE audit_log SET size = $1, root = $2, signed_size = $3 WHERE scope_id = $4";
        let (size, root) = (i64::try_from(tree.size()).unwrap(), tree.root().as_bytes().to_vec());
        execute!(&mut tx, sqlx::query(query).bind(size).bind(&root).bind(signed).bind(scope)).unwrap();
        tx.finish().await.unwrap();
    }

    /// Whether the stored hashes prove that `entry` is at `index` of Acme's log.
    pub async fn proves(&self, index: u64, entry: &str) -> bool {
        let mut db = self.kernel.db.reader().await.unwrap();
        let head = logs::log_get(&mut db, self.scope).await.unwrap().unwrap();
        let size = u64::try_from(head.size).unwrap();
        let ids = tlog::tiles_for_inclusion(index, size).unwrap();
        let tiles: TileSet =
            logs::tile_get_all(&mut db, self.scope, &ids).await.unwrap().into_iter().collect();
        let Ok(proof) = tlog::inclusion_proof(&tiles, index, size) else { return false };
        let root = Hash::from_slice(&head.root).unwrap();
        tlog::verify_inclusion(&leaf_hash(entry.as_bytes()), index, size, &proof, &root).is_ok()
    }

    /// Indexes that are still stored: how many, and the lowest.
    pub async fn stored(&self) -> (i64, i64) {
        let mut db = self.kernel.db.reader().await.unwrap();
        let query = "SELECT COUNT(*), COALESCE(MIN(idx), -1) FROM audit_event WHERE scope_id = $1";
        on!(&mut db, |c| sqlx::query_as(query).bind(self.scope).fetch_one(c)).unwrap()
    }
}
