//! A tenant with people, roles and tokens in a database of its own.

use std::sync::Arc;

use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use kernel::{
    Kernel, Result,
    authn::{Secret, TokenKind},
    authz::{Action, Class},
    clock::Clock,
    config::Layers,
    db::Db,
    execute, on,
    scope::Scope,
};
use proto::usage::v1::{self as pb, UsageDimension as By, usage_service_server::UsageService as _};
use serde_json::Value;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{Writer, captures::NOW, http_routes, rpc::UsageRpc};

const DEFAULTS: &str = include_str!("../../../server/config.default.toml");
const SEED: Action = Action { rpc: "", noun: "partner", verb: "seed", class: Class::Write, scopes: &[] };

const PARTNER: u128 = 1;
const TENANT: u128 = 2;
const UNIT: u128 = 3;
const SALES: u128 = 4;
const BANKER: u128 = 5;
const MARIA: u128 = 6;
const AGENT: u128 = 7;
const OSCAR: u128 = 8;

pub(super) struct House {
    pub(super) kernel: Arc<Kernel>,
    pub(super) writer: Arc<Writer>,
    routes: Router,
    /// Ingest tokens: Maria's, her agent's, the tenant's own; and Oscar's personal one (he is an owner).
    pub(super) tokens: [String; 4],
    _dir: tempfile::TempDir,
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

impl House {
    pub(super) async fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data").to_string_lossy().into_owned();
        let text = DEFAULTS.replace("max_body_bytes = 4_194_304", "max_body_bytes = 200_000");
        let config = Layers::new(&text, None, &[("server.data_dir", data)]).unwrap().config().unwrap();
        let db = Db::open(&config).await.unwrap();
        db.migrate().await.unwrap();
        let kernel = Kernel::new(config, db, Clock::manual(NOW)).await.unwrap();
        let tokens = seed(&kernel).await.unwrap();
        let writer = Writer::new(&kernel, &opentelemetry::global::meter("test"));
        Self { routes: http_routes(Arc::clone(&writer)), kernel, writer, tokens, _dir: dir }
    }

    pub(super) async fn send(
        &self,
        token: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (StatusCode, HeaderMap, Value) {
        let mut request = Request::post("/v1/logs");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.routes.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub(super) async fn json(&self, token: &str, body: &[u8]) -> (StatusCode, Value) {
        let (status, _, answer) =
            self.send(token, &[("content-type", "application/json")], body.to_vec()).await;
        (status, answer)
    }

    /// `[role, unit, principal, client, meter, value]` of every figure.
    pub(super) async fn figures(&self, meters: &[&str], group_by: &[By]) -> Vec<[String; 6]> {
        let request = pb::QueryUsageRequest {
            parent: "tenants/acme".to_owned(),
            meters: meters.iter().map(ToString::to_string).collect(),
            group_by: group_by.iter().map(|d| i32::from(*d)).collect(),
            ..pb::QueryUsageRequest::default()
        };
        let answer = self.rpc().query_usage(Self::call(&self.tokens[3], request)).await;
        let rows = answer.unwrap().into_inner().rows.into_iter();
        rows.map(|r| [r.role, r.unit_name, r.principal, r.client, r.meter, r.value.to_string()]).collect()
    }

    pub(super) fn rpc(&self) -> UsageRpc {
        let policies = entitlement::Policies::new(&self.kernel, &opentelemetry::global::meter("test"));
        UsageRpc { kernel: Arc::clone(&self.kernel), policies, writer: Arc::clone(&self.writer) }
    }

    pub(super) fn call<T>(token: &str, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    }

    pub(super) async fn count(&self, table: &'static str) -> i64 {
        let mut db = self.kernel.db.reader().await.unwrap();
        let sql = format!("SELECT COUNT(*) FROM {table}");
        let (count,): (i64,) =
            on!(&mut db, |c| sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_one(c)).unwrap();
        count
    }

    pub(super) async fn change(&self, sql: &'static str) {
        let ctx = self.kernel.system();
        let permit = ctx.authorize(SEED, &Scope::Platform).await.unwrap();
        let mut tx = ctx.begin(&permit).await.unwrap();
        execute!(&mut tx, sqlx::query(sql)).unwrap();
        tx.commit(permit.audit()).await.unwrap();
    }
}

/// Maria is longest in sales directly, longer a banker through a group; her agent has no role and no unit.
async fn seed(kernel: &Arc<Kernel>) -> Result<[String; 4]> {
    let ctx = kernel.system();
    let permit = ctx.authorize(SEED, &Scope::Platform).await?;
    let mut tx = ctx.begin(&permit).await?;
    let stamp = "1, 1, 1";
    let (t, m) = (id(TENANT), id(MARIA));
    for (sql, binds) in [
        (format!("INSERT INTO partner (id, slug, display_name, revision, create_time, update_time) VALUES ($1, 'northwind', 'N', {stamp})"), vec![id(PARTNER)]),
        (format!("INSERT INTO tenant (id, partner_id, slug, display_name, state, revision, create_time, update_time) VALUES ($1, $2, 'acme', 'A', 'live', {stamp})"), vec![t, id(PARTNER)]),
        (format!("INSERT INTO unit (tenant_id, id, slug, display_name, cost_center, revision, create_time, update_time) VALUES ($1, $2, 'emea', 'E', '', {stamp})"), vec![t, id(UNIT)]),
        (format!("INSERT INTO role (tenant_id, id, slug, display_name, description, revision, create_time, update_time) VALUES ($1, $2, 'sales', 'S', '', {stamp}), ($1, $3, 'banker', 'B', '', {stamp})"), vec![t, id(SALES), id(BANKER)]),
        (format!("INSERT INTO principal (scope_id, id, scope_kind, slug, kind, display_name, email, unit_id, state, revision, create_time, update_time) VALUES ($1, $2, 'tenant', 'maria', 'user', 'M', '', $3, 'active', {stamp}), ($1, $4, 'tenant', 'oscar', 'user', 'O', '', NULL, 'active', {stamp})"), vec![t, m, id(UNIT), id(OSCAR)]),
        (format!("INSERT INTO principal (scope_id, id, scope_kind, slug, kind, display_name, email, owner_id, state, revision, create_time, update_time) VALUES ($1, $2, 'tenant', 'maria-agent', 'agent', 'MA', '', $3, 'active', {stamp})"), vec![t, id(AGENT), m]),
        (format!("INSERT INTO principal_group (tenant_id, id, slug, display_name, external_id, revision, create_time, update_time) VALUES ($1, $2, 'desk', 'D', '', {stamp})"), vec![t, id(50)]),
        ("INSERT INTO group_member (tenant_id, group_id, principal_id, id, create_time) VALUES ($1, $2, $3, $4, 1)".to_owned(), vec![t, id(50), m, id(51)]),
        ("INSERT INTO role_member (tenant_id, role_id, member_kind, member_id, id, create_time) VALUES ($1, $2, 'group', $3, $4, 1), ($1, $5, 'principal', $6, $7, 9)".to_owned(), vec![t, id(BANKER), id(50), id(52), id(SALES), m, id(53)]),
        ("INSERT INTO duty_grant (scope_id, id, scope_kind, principal_id, duty, create_time) VALUES ($1, $2, 'tenant', $3, 'owner', 1)".to_owned(), vec![t, id(54), id(OSCAR)]),
    ] {
        execute!(&mut tx, {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql.clone()));
            for bind in &binds {
                query = query.bind(*bind);
            }
            query
        })?;
    }
    let mut tokens = Vec::new();
    for (n, principal, kind, scopes) in [
        (60, Some(id(MARIA)), TokenKind::Ingest, "ingest"),
        (61, Some(id(AGENT)), TokenKind::Ingest, "ingest"),
        (62, None, TokenKind::Ingest, "ingest"),
        (63, Some(id(OSCAR)), TokenKind::Personal, "all"),
    ] {
        let secret = Secret::generate(kind)?;
        let token = "INSERT INTO api_token (scope_id, id, scope_kind, principal_id, kind, display_name, scopes, expire_time, create_time) \
             VALUES ($1, $2, 'tenant', $3, $4, '', $5, 9000000000000000, 1)";
        execute!(
            &mut tx,
            sqlx::query(token).bind(t).bind(id(n)).bind(principal).bind(kind.as_str()).bind(scopes)
        )?;
        let key = "INSERT INTO api_token_key (sha256, scope_id, token_id) VALUES ($1, $2, $3)";
        execute!(&mut tx, sqlx::query(key).bind(secret.digest.as_slice()).bind(t).bind(id(n)))?;
        tokens.push(secret.text);
    }
    tx.commit(permit.audit()).await?;
    Ok(tokens.try_into().unwrap())
}
