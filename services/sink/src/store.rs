//! SQL of sinks, their cursors and dead letters. What a cursor says is derived from deliveries; it moves in transactions
//! without an audit record and only under the fence.

use kernel::{
    Result,
    audit::Resource as _,
    clock::Time,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    error::Error,
    execute,
    filter::{Field, Kind, Value},
    ids::{EventId, Slug},
    on,
    page::PageKey,
    stamp::changed_one,
};
use uuid::Uuid;

use crate::model::{Letter, Progress, Sink, SinkId, State, View};

macro_rules! columns {
    () => {
        "s.scope_id, \
         COALESCE((SELECT 'tenants/' || t.slug FROM tenant t WHERE t.id = s.scope_id), \
                  (SELECT 'partners/' || p.slug FROM partner p WHERE p.id = s.scope_id), '') AS parent, \
         s.id, s.slug, s.display_name, s.target, s.ca_certificate, s.secret_tag, s.state, s.pause_reason, \
         s.revision, s.create_time, s.update_time, c.first_index, c.next_index, c.delivered, c.lost, c.attempts, \
         c.last_error, c.retry_time, c.last_delivery_time, COALESCE(l.signed_size, 0) AS signed_size, \
         (SELECT COUNT(*) FROM audit_sink_letter d WHERE d.scope_id = s.scope_id AND d.sink_id = s.id) AS letters, \
         (SELECT e.time FROM audit_event e WHERE e.scope_id = s.scope_id AND e.idx = c.next_index) AS waiting_since"
    };
}

macro_rules! from {
    () => {
        "audit_sink s JOIN audit_sink_cursor c ON c.scope_id = s.scope_id AND c.sink_id = s.id \
         LEFT JOIN audit_log l ON l.scope_id = s.scope_id"
    };
}

const SINKS: ListSpec = ListSpec {
    name: "sinks",
    columns: columns!(),
    from: from!(),
    id: "s.id",
    fields: &[
        Field::text("sink_id", "s.slug"),
        Field::words("kind", "s.kind", &["webhook", "splunk_hec", "syslog", "file", "otlp"]),
        Field::time("create_time", "s.create_time"),
    ],
    order: "sink_id",
    deleted: "",
};

const LETTERS: ListSpec = ListSpec {
    name: "dead letters",
    columns: "d.idx, d.event_id, d.reason, d.attempts, d.redeliver, d.create_time",
    from: "audit_sink_letter d",
    id: "d.event_id",
    fields: &[
        Field { name: "sequence", column: "d.idx", kind: Kind::Int, sortable: true },
        Field::time("create_time", "d.create_time"),
    ],
    order: "sequence",
    deleted: "",
};

/// A sink and its cursor as stored.
#[derive(sqlx::FromRow)]
struct Row {
    scope_id: Uuid,
    parent: String,
    id: SinkId,
    slug: Slug,
    display_name: String,
    target: String,
    ca_certificate: String,
    secret_tag: String,
    state: String,
    pause_reason: String,
    revision: i64,
    create_time: Time,
    update_time: Time,
    #[sqlx(flatten)]
    progress: Progress,
}

impl Row {
    fn view(self, now: Time) -> Result<View> {
        let sink = Sink {
            scope_id: self.scope_id,
            parent: self.parent,
            id: self.id,
            slug: self.slug,
            display_name: self.display_name,
            target: serde_json::from_str(&self.target).map_err(Error::internal)?,
            ca_certificate: self.ca_certificate,
            secret_tag: self.secret_tag,
            state: if self.state == State::Active.as_str() { State::Active } else { State::Paused },
            pause_reason: self.pause_reason,
            revision: self.revision,
            create_time: self.create_time,
            update_time: self.update_time,
        };
        Ok(View { sink, progress: self.progress, now })
    }
}

fn target(sink: &Sink) -> Result<String> {
    serde_json_canonicalizer::to_string(&sink.target).map_err(Error::internal)
}

/// Inserts; a taken id is `ALREADY_EXISTS`.
pub async fn sink_insert(tx: &mut Tx<'_>, sink: &Sink, secret: &[u8]) -> Result<()> {
    let target = target(sink)?;
    let query = "INSERT INTO audit_sink (scope_id, id, slug, display_name, kind, target, ca_certificate, secret, secret_tag, \
         state, pause_reason, revision, create_time, update_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(sink.scope_id)
            .bind(sink.id)
            .bind(&sink.slug)
            .bind(&sink.display_name)
            .bind(sink.target.kind())
            .bind(&target)
            .bind(&sink.ca_certificate)
            .bind(secret)
            .bind(&sink.secret_tag)
            .bind(sink.state.as_str())
            .bind(&sink.pause_reason)
            .bind(sink.revision)
            .bind(sink.create_time)
            .bind(sink.update_time)
    )
    .map(|_| ())
    .map_err(|e| e.on_unique(|| Error::exists("sink", sink.name())))
}

/// Where a new sink begins.
pub async fn cursor_insert(tx: &mut Tx<'_>, sink: &Sink, first: i64) -> Result<()> {
    let query = "INSERT INTO audit_sink_cursor (scope_id, sink_id, first_index, next_index, delivered, lost, attempts, \
         last_error, retry_time, holder, fence, lease_until) VALUES ($1, $2, $3, $3, 0, 0, 0, '', 0, $4, 0, 0)";
    execute!(tx, sqlx::query(query).bind(sink.scope_id).bind(sink.id).bind(first).bind(Uuid::nil()))
        .map(|_| ())
}

/// The sink of that id and how far it is.
pub async fn sink_get(db: &mut impl Executor, scope: Uuid, slug: &Slug, now: Time) -> Result<Option<View>> {
    let row: Option<Row> = on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM ",
        from!(),
        " WHERE s.scope_id = $1 AND s.slug = $2"
    ))
    .bind(scope)
    .bind(slug)
    .fetch_optional(c))?;
    row.map(|r| r.view(now)).transpose()
}

/// The same by its identity.
pub async fn sink_find(db: &mut impl Executor, scope: Uuid, id: SinkId, now: Time) -> Result<Option<View>> {
    let row: Option<Row> = on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM ",
        from!(),
        " WHERE s.scope_id = $1 AND s.id = $2"
    ))
    .bind(scope)
    .bind(id)
    .fetch_optional(c))?;
    row.map(|r| r.view(now)).transpose()
}

/// What a sink authenticates with, wrapped.
pub async fn secret_get(db: &mut impl Executor, scope: Uuid, id: SinkId) -> Result<Vec<u8>> {
    let query = "SELECT secret FROM audit_sink WHERE scope_id = $1 AND id = $2";
    on!(db, |c| sqlx::query_scalar(query).bind(scope).bind(id).fetch_one(c))
}

/// One page of a scope's sinks.
pub async fn sink_list(
    db: &mut impl Executor,
    scope: Uuid,
    query: &ListQuery,
    key: &PageKey,
    now: Time,
) -> Result<Page<View>> {
    let page: Page<Row> = list(db, &SINKS, &[("s.scope_id", Value::Id(scope))], query, key).await?;
    let items = page.items.into_iter().map(|row| row.view(now)).collect::<Result<_>>()?;
    Ok(Page { items, next_page_token: page.next_page_token })
}

/// Every sink of the deployment, for what is measured of them.
pub async fn sink_list_all(db: &mut impl Executor, limit: i64, now: Time) -> Result<Vec<View>> {
    let rows: Vec<Row> = on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM ",
        from!(),
        " ORDER BY s.scope_id, s.id LIMIT $1"
    ))
    .bind(limit)
    .fetch_all(c))?;
    rows.into_iter().map(|row| row.view(now)).collect()
}

/// Stores the next version, against the revision before.
pub async fn sink_update(tx: &mut Tx<'_>, sink: &Sink, secret: &[u8]) -> Result<()> {
    let target = target(sink)?;
    let query = "UPDATE audit_sink SET display_name = $1, target = $2, ca_certificate = $3, secret = $4, secret_tag = $5, \
         state = $6, pause_reason = $7, revision = $8, update_time = $9 WHERE scope_id = $10 AND id = $11 AND revision = $12";
    changed_one(execute!(
        tx,
        sqlx::query(query)
            .bind(&sink.display_name)
            .bind(&target)
            .bind(&sink.ca_certificate)
            .bind(secret)
            .bind(&sink.secret_tag)
            .bind(sink.state.as_str())
            .bind(&sink.pause_reason)
            .bind(sink.revision)
            .bind(sink.update_time)
            .bind(sink.scope_id)
            .bind(sink.id)
            .bind(sink.revision - 1)
    )?)
}

/// Deletes a sink, its cursor and its dead letters; a concurrent change is a conflict.
pub async fn sink_delete(tx: &mut Tx<'_>, sink: &Sink) -> Result<()> {
    let query = "DELETE FROM audit_sink WHERE scope_id = $1 AND id = $2 AND revision = $3";
    changed_one(execute!(tx, sqlx::query(query).bind(sink.scope_id).bind(sink.id).bind(sink.revision))?)?;
    let query = "DELETE FROM audit_sink_cursor WHERE scope_id = $1 AND sink_id = $2";
    execute!(tx, sqlx::query(query).bind(sink.scope_id).bind(sink.id))?;
    let query = "DELETE FROM audit_sink_letter WHERE scope_id = $1 AND sink_id = $2";
    execute!(tx, sqlx::query(query).bind(sink.scope_id).bind(sink.id)).map(|_| ())
}

/// Takes the delivery from whoever has it: after an act on a sink it begins anew with what is now true, at once.
pub async fn cursor_interrupt(tx: &mut Tx<'_>, sink: &Sink) -> Result<()> {
    let query = "UPDATE audit_sink_cursor SET fence = fence + 1, lease_until = 0, attempts = 0, last_error = '', retry_time = 0 \
         WHERE scope_id = $1 AND sink_id = $2";
    changed_one(execute!(tx, sqlx::query(query).bind(sink.scope_id).bind(sink.id))?)
}

/// Moves a cursor back to an index; dead letters from there on are delivered with the rest. Returns 0 when it is not that far.
pub async fn cursor_replay(tx: &mut Tx<'_>, sink: &Sink, index: i64) -> Result<u64> {
    let query = "DELETE FROM audit_sink_letter WHERE scope_id = $1 AND sink_id = $2 AND idx >= $3";
    execute!(tx, sqlx::query(query).bind(sink.scope_id).bind(sink.id).bind(index))?;
    let query = "UPDATE audit_sink_cursor SET next_index = $1, first_index = CASE WHEN first_index > $1 THEN $1 ELSE first_index END \
         WHERE scope_id = $2 AND sink_id = $3 AND next_index >= $1";
    execute!(tx, sqlx::query(query).bind(index).bind(sink.scope_id).bind(sink.id))
}

/// The sinks that have something to deliver and nobody who does it. `leased`: leases that end by then do not count.
pub async fn sink_due(
    db: &mut impl Executor,
    now: Time,
    leased: Time,
    limit: i64,
) -> Result<Vec<(Uuid, SinkId)>> {
    let query = "SELECT s.scope_id, s.id FROM audit_sink s \
         JOIN audit_sink_cursor c ON c.scope_id = s.scope_id AND c.sink_id = s.id \
         JOIN audit_log l ON l.scope_id = s.scope_id \
         WHERE s.state = 'active' AND c.retry_time <= $1 AND c.lease_until <= $2 AND (c.next_index < l.signed_size \
         OR EXISTS (SELECT 1 FROM audit_sink_letter d WHERE d.scope_id = s.scope_id AND d.sink_id = s.id AND d.redeliver)) \
         ORDER BY c.retry_time, s.scope_id, s.id LIMIT $3";
    on!(db, |c| sqlx::query_as(query).bind(now).bind(leased).bind(limit).fetch_all(c))
}

/// Who delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Lease {
    /// The process.
    pub holder: Uuid,
    /// Grows with every holder and every act on the sink.
    pub fence: i64,
    /// Until when.
    pub lease_until: Time,
}

/// Who delivers for a sink; none when there is no such sink.
pub async fn lease_get(db: &mut impl Executor, scope: Uuid, id: SinkId) -> Result<Option<Lease>> {
    let query =
        "SELECT holder, fence, lease_until FROM audit_sink_cursor WHERE scope_id = $1 AND sink_id = $2";
    on!(db, |c| sqlx::query_as(query).bind(scope).bind(id).fetch_optional(c))
}

/// Takes, renews or gives back the lease that stands at `seen`. Returns 0 when somebody else was faster.
pub async fn lease_put(
    db: &mut impl Executor,
    (scope, id): (Uuid, SinkId),
    seen: i64,
    lease: &Lease,
) -> Result<u64> {
    let query = "UPDATE audit_sink_cursor SET holder = $1, fence = $2, lease_until = $3 \
         WHERE scope_id = $4 AND sink_id = $5 AND fence = $6";
    execute!(
        db,
        sqlx::query(query)
            .bind(lease.holder)
            .bind(lease.fence)
            .bind(lease.lease_until)
            .bind(scope)
            .bind(id)
            .bind(seen)
    )
}

/// How far a sink is, as its deliverer stores it.
#[derive(Clone, Debug)]
pub struct Advance<'a> {
    /// The next index.
    pub next: i64,
    /// Deliveries since the last time.
    pub delivered: i64,
    /// Failed attempts in a row.
    pub attempts: i64,
    /// What the last one met.
    pub error: &'a str,
    /// No attempt before.
    pub retry_time: Time,
    /// When something was delivered, if it was.
    pub delivery_time: Option<Time>,
}

/// Moves a cursor under the fence. Returns 0 when the lease is another's.
pub async fn cursor_advance(
    db: &mut impl Executor,
    (scope, id): (Uuid, SinkId),
    fence: i64,
    to: &Advance<'_>,
) -> Result<u64> {
    let query = "UPDATE audit_sink_cursor SET next_index = $1, delivered = delivered + $2, attempts = $3, last_error = $4, \
         retry_time = $5, last_delivery_time = COALESCE($6, last_delivery_time) \
         WHERE scope_id = $7 AND sink_id = $8 AND fence = $9";
    execute!(
        db,
        sqlx::query(query)
            .bind(to.next)
            .bind(to.delivered)
            .bind(to.attempts)
            .bind(to.error)
            .bind(to.retry_time)
            .bind(to.delivery_time)
            .bind(scope)
            .bind(id)
            .bind(fence)
    )
}

/// Moves a cursor over events that are gone, under the fence. Returns 0 when the lease or the place is another's.
pub async fn cursor_skip(
    tx: &mut Tx<'_>,
    (scope, id): (Uuid, SinkId),
    fence: i64,
    from: i64,
    to: i64,
) -> Result<u64> {
    let query = "UPDATE audit_sink_cursor SET next_index = $1, lost = lost + $2 \
         WHERE scope_id = $3 AND sink_id = $4 AND fence = $5 AND next_index = $6";
    execute!(tx, sqlx::query(query).bind(to).bind(to - from).bind(scope).bind(id).bind(fence).bind(from))
}

/// Keeps an event that was refused for good; one that is kept already is refused once more.
pub async fn letter_put(db: &mut impl Executor, (scope, id): (Uuid, SinkId), letter: &Letter) -> Result<()> {
    let query = "INSERT INTO audit_sink_letter (scope_id, sink_id, idx, event_id, reason, attempts, redeliver, create_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (scope_id, sink_id, idx) DO UPDATE SET \
         reason = excluded.reason, attempts = excluded.attempts, redeliver = excluded.redeliver";
    execute!(
        db,
        sqlx::query(query)
            .bind(scope)
            .bind(id)
            .bind(letter.idx)
            .bind(letter.event_id)
            .bind(&letter.reason)
            .bind(letter.attempts)
            .bind(letter.redeliver)
            .bind(letter.create_time)
    )
    .map(|_| ())
}

/// One page of a sink's dead letters.
pub async fn letter_list(
    db: &mut impl Executor,
    sink: &Sink,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Letter>> {
    let keys = [("d.scope_id", Value::Id(sink.scope_id)), ("d.sink_id", Value::Id(sink.id.0))];
    list(db, &LETTERS, &keys, query, key).await
}

/// The dead letters that wait to be delivered again, the lowest index first.
pub async fn letter_waiting(
    db: &mut impl Executor,
    scope: Uuid,
    id: SinkId,
    limit: i64,
) -> Result<Vec<Letter>> {
    let query = "SELECT idx, event_id, reason, attempts, redeliver, create_time FROM audit_sink_letter \
         WHERE scope_id = $1 AND sink_id = $2 AND redeliver ORDER BY idx LIMIT $3";
    on!(db, |c| sqlx::query_as(query).bind(scope).bind(id).bind(limit).fetch_all(c))
}

/// Indexes of the dead letters between two indexes, the lowest first.
pub async fn letter_range(db: &mut impl Executor, sink: &Sink, from: i64, to: i64) -> Result<Vec<i64>> {
    let query = "SELECT idx FROM audit_sink_letter WHERE scope_id = $1 AND sink_id = $2 AND idx >= $3 AND idx < $4 ORDER BY idx";
    on!(db, |c| sqlx::query_scalar(query).bind(sink.scope_id).bind(sink.id).bind(from).bind(to).fetch_all(c))
}

/// Has one dead letter delivered again; says how many that were.
pub async fn letter_redeliver(tx: &mut Tx<'_>, sink: &Sink, index: i64) -> Result<u64> {
    let query =
        "UPDATE audit_sink_letter SET redeliver = $1 WHERE scope_id = $2 AND sink_id = $3 AND idx = $4";
    execute!(tx, sqlx::query(query).bind(true).bind(sink.scope_id).bind(sink.id).bind(index))
}

/// Has all of them delivered again; says how many that were.
pub async fn letter_redeliver_all(tx: &mut Tx<'_>, sink: &Sink) -> Result<u64> {
    let query = "UPDATE audit_sink_letter SET redeliver = $1 WHERE scope_id = $2 AND sink_id = $3";
    execute!(tx, sqlx::query(query).bind(true).bind(sink.scope_id).bind(sink.id))
}

/// Forgets a dead letter that was taken.
pub async fn letter_delete(db: &mut impl Executor, scope: Uuid, id: SinkId, index: i64) -> Result<()> {
    let query = "DELETE FROM audit_sink_letter WHERE scope_id = $1 AND sink_id = $2 AND idx = $3";
    execute!(db, sqlx::query(query).bind(scope).bind(id).bind(index)).map(|_| ())
}

/// Which event a letter is of, as its name ends.
pub fn event_name(parent: &str, id: EventId) -> String {
    if parent.is_empty() { format!("auditEvents/{id}") } else { format!("{parent}/auditEvents/{id}") }
}
