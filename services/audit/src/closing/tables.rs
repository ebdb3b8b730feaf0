//! Which tables a closed tenant leaves, and which it stays in. A test holds both lists against the schema, so that a new
//! table is in one of them.

/// A table out of which a tenant's rows go, and the columns of its primary key.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The column that says whose the row is.
    pub owner: &'static str,
    /// The columns by which one row of an owner is told from another.
    pub rest: &'static str,
}

const fn of_tenant(name: &'static str, rest: &'static str) -> Table {
    Table { name, owner: "tenant_id", rest }
}
const fn of_scope(name: &'static str, rest: &'static str) -> Table {
    Table { name, owner: "scope_id", rest }
}

/// What is cleared, in this order: first who gets in, then what refers to something before what it refers to.
pub const CLEARED: &[Table] = &[
    of_scope("api_token_key", "sha256"),
    of_scope("api_token", "id"),
    of_scope("duty_grant", "id"),
    of_scope("request_result", "request_id"),
    of_scope("saved_search", "id"),
    of_scope("legal_hold", "id"),
    // whoever sums usage up, or verifies the sums, goes by this one
    of_tenant("usage_head", "tenant_id"),
    of_tenant("usage_watermark", "tenant_id"),
    of_tenant("usage_rollup", "meter, version, level, bucket, series_id, principal_id"),
    of_tenant("usage_series", "id"),
    of_tenant("usage_meter", "number"),
    of_tenant("usage_member", "id"),
    of_tenant("usage_stale_day", "day"),
    of_tenant("usage_event", "seq"),
    of_tenant("usage_event_again", "seq"),
    of_tenant("usage_void", "seq, correction_id"),
    of_tenant("usage_staged", "correction_id, n"),
    of_tenant("usage_correction", "id"),
    of_tenant("usage_reject", "id"),
    of_tenant("usage_reject_count", "day, code, surface"),
    of_tenant("usage_session_source", "session, client, principal_id"),
    of_tenant("plugin_sighting", "id"),
    of_tenant("seen_plugin", "id"),
    of_tenant("settings_observation", "id"),
    of_tenant("connector_binding", "id"),
    of_tenant("stage_override", "id"),
    of_tenant("entitlement", "id"),
    of_tenant("plugin_group_member", "plugin_group_id, plugin_id"),
    of_tenant("plugin_group", "id"),
    of_tenant("seat_holder", "seat_pool_id, principal_id"),
    of_tenant("seat_pool", "id"),
    of_tenant("role_inclusion", "role_id, included_id"),
    of_tenant("role_member", "role_id, member_kind, member_id"),
    of_tenant("role", "id"),
    of_tenant("group_member", "group_id, principal_id"),
    of_tenant("principal_group", "id"),
    of_tenant("unit", "id"),
    of_scope("audit_sink_letter", "sink_id, idx"),
    of_scope("audit_sink_cursor", "sink_id"),
    of_scope("audit_sink", "id"),
    of_scope("policy_change", "revision"),
];

/// Cleared person by person: with each goes the key of what the logs have of them, and what leads to that in the search index.
pub const PEOPLE: &str = "principal";
/// What stays of it says that a key is gone: nothing is sealed for that person any more.
pub const KEYS: &str = "subject_key";

/// What a tenant stays in, and why.
pub const KEPT: &[(&str, &str)] = &[
    ("audit_pending", "the record"),
    ("audit_log", "the record"),
    ("audit_event", "the record"),
    ("audit_tile", "the proofs"),
    ("audit_segment", "the record is searched"),
    ("audit_posting", "the record is searched; words of people are taken out"),
    ("audit_snapshot", "what pruned events came to, people's data sealed"),
    ("audit_retention", "how long the record stays"),
    ("mirror_link", "how outsiders read the proofs, until it ends or is revoked"),
    ("mirror_link_key", "the same"),
    (KEYS, "that keys are gone; the keys themselves go"),
    ("policy_revision", "a count"),
    ("tenant_erasure", "who erases; goes last"),
    ("tenant", "the name, which nobody else gets, without what was signed"),
];

/// What is nobody's alone.
pub const SHARED: &[&str] = &["deployment", "partner", "marketplace", "plugin", "plugin_version"];
