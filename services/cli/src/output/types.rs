//! Every message that the command line shows: its full name, and the columns of its table.

/// A message with its full protobuf name.
pub trait Named: prost::Message {
    /// For example `provost.role.v1.Role`.
    const NAME: &'static str;
}

/// `noun: Message, …;` names the messages of `provost.<noun>.v1`.
macro_rules! named {
    ($($noun:ident: $($message:ident),+;)*) => {$($(
        impl Named for proto::$noun::v1::$message {
            const NAME: &'static str = concat!("provost.", stringify!($noun), ".v1.", stringify!($message));
        }
    )+)*};
}

named! {
    audit: AuditEvent, AuditLog, CreateMirrorLinkResponse, ListAccessAsOfResponse, ListAuditEventsResponse,
        ListMirrorLinksResponse, ListSavedSearchesResponse, MirrorLink, Receipt, SavedSearch;
    catalog: ImportMarketplaceResponse, ListMarketplacesResponse, ListPluginVersionsResponse,
        ListPluginsResponse, Marketplace, Plugin, PluginDiff, PluginVersion;
    connector_binding: ConnectorBinding, ListConnectorBindingsResponse;
    decision: BatchCheckResponse, Decision, DecisionKeys, Explanation, ListPrincipalsResponse, ListUsableResponse,
        RuleAccount;
    duty: DutyGrant, ListDutyGrantsResponse;
    entitlement: DiffPoliciesResponse, Entitlement, ListEntitlementsResponse, PreviewChangeResponse;
    group: Group, GroupMember, ListGroupMembersResponse, ListGroupsResponse;
    partner: ListPartnersResponse, Partner, Portfolio;
    plugin_group: ListPluginGroupMembersResponse, ListPluginGroupsResponse, PluginGroup, PluginGroupMember;
    principal: ListPrincipalsResponse, Principal;
    retention: EraseSubjectResponse, LegalHold, ListLegalHoldsResponse, Retention;
    role: ListRoleMembersResponse, ListRolesResponse, Role, RoleMember;
    seat_pool: ListSeatHoldersResponse, ListSeatPoolsResponse, SeatHolder, SeatPool;
    sink: CreateSinkResponse, DeliveryCertificate, ListDeadLettersResponse, ListSinksResponse,
        RedeliverDeadLettersResponse, Sink, TestSinkResponse;
    stage_override: ListStageOverridesResponse, StageOverride;
    tenant: Contract, ListTenantsResponse, Tenant;
    tenant_plugin: ListTenantPluginsResponse, TenantPlugin;
    token: CreateTokenResponse, ListTokensResponse, Token, WhoAmIResponse;
    unit: ListUnitsResponse, Unit;
    usage: IngestResponse, ListDormantEntitlementsResponse, ListMetersResponse, ListPluginSightingsResponse,
        ListPortfolioAdoptionResponse, QueryAdoptionResponse, ListSettingsObservationsResponse,
        ListUnapprovedPluginsResponse, ListUsageCorrectionsResponse, ListUsageEventsResponse, ListUsageRejectsResponse,
        Meter, QueryUsageResponse, StageUsageEventsResponse, UsageCorrection, UsageEffect;
}

/// The columns of a table of `message`s, as field names; columns without any value are left out. Empty for a message that
/// is never listed.
#[expect(clippy::too_many_lines, reason = "a table, a line for each message")]
pub fn columns(message: &str) -> &'static [&'static str] {
    match message {
        "provost.audit.v1.Access" => &["principal", "plugin", "effect", "role", "entitlement"],
        "provost.audit.v1.AuditEvent" => {
            &["index", "time", "actor", "action", "outcome", "targets", "partner"]
        }
        "provost.audit.v1.MirrorLink" => {
            &["name", "display_name", "create_time", "expire_time", "revoke_time"]
        }
        "provost.audit.v1.SavedSearch" => &["name", "display_name", "filter", "creator", "create_time"],
        "provost.catalog.v1.Marketplace" => {
            &["name", "display_name", "format", "plugin_count", "update_time"]
        }
        "provost.catalog.v1.Plugin" => {
            &["name", "display_name", "version", "stage", "sunset_time", "category", "delete_time"]
        }
        "provost.catalog.v1.PluginChange" => &["kind", "field", "old_value", "new_value"],
        "provost.catalog.v1.PluginVersion" => {
            &["name", "version", "stage", "sunset_time", "current", "create_time"]
        }
        "provost.connector_binding.v1.ConnectorBinding" => {
            &["name", "plugin", "app", "connector_id", "state", "update_time"]
        }
        "provost.decision.v1.Remedy" => &["kind", "resource", "advice"],
        "provost.decision.v1.RuleAccount" => &[
            "entitlement",
            "effect",
            "target",
            "path",
            "max_stage",
            "not_before",
            "not_after",
            "obstacles",
            "decided",
            "reason",
        ],
        "provost.decision.v1.UsablePlugin" => &["plugin", "effect", "apps", "skills"],
        "provost.duty.v1.DutyGrant" => &["name", "principal", "duty", "create_time"],
        "provost.entitlement.v1.Entitlement" => &[
            "name",
            "role",
            "target",
            "effect",
            "max_stage",
            "seat_pool",
            "not_before",
            "not_after",
            "floor",
        ],
        "provost.group.v1.Group" => &["name", "display_name", "external_id", "update_time", "delete_time"],
        "provost.plugin_group.v1.PluginGroup" | "provost.seat_pool.v1.SeatPool" => {
            &["name", "display_name", "description", "update_time", "delete_time"]
        }
        "provost.seat_pool.v1.SeatHolder" => &["holder", "create_time"],
        "provost.group.v1.GroupMember"
        | "provost.plugin_group.v1.PluginGroupMember"
        | "provost.role.v1.RoleMember" => &["member", "create_time"],
        "provost.partner.v1.Partner" => &["name", "display_name", "update_time", "delete_time"],
        "provost.partner.v1.PortfolioStage" => {
            &["stage", "tenants", "seats_contracted", "weekly_active_principals"]
        }
        "provost.principal.v1.Principal" => {
            &["name", "kind", "display_name", "email", "unit", "owner", "state", "delete_time"]
        }
        "provost.retention.v1.ClassRetention" => &["event_class", "days"],
        "provost.retention.v1.LegalHold" => &["name", "reason", "principal", "create_time", "release_time"],
        "provost.role.v1.Role" => {
            &["name", "display_name", "family", "included_roles", "update_time", "delete_time"]
        }
        "provost.sink.v1.DeadLetter" => {
            &["sequence", "audit_event", "attempts", "create_time", "redelivering", "reason"]
        }
        "provost.sink.v1.Sink" => {
            &["name", "state", "next_index", "lag_events", "lag_seconds", "dead_letter_count", "last_error"]
        }
        "provost.stage_override.v1.StageOverride" => {
            &["name", "plugin", "stage", "platform_stage", "effective_stage", "reason"]
        }
        "provost.tenant_plugin.v1.TenantPlugin" => {
            &["plugin", "stage", "platform_stage", "stage_override", "readiness", "missing_apps"]
        }
        "provost.tenant.v1.Tenant" => &[
            "name",
            "display_name",
            "partner",
            "state",
            "update_time",
            "delete_time",
            "erase_time",
            "erasure",
        ],
        "provost.token.v1.Token" => &[
            "name",
            "kind",
            "principal",
            "display_name",
            "scopes",
            "expire_time",
            "last_used_time",
            "revoke_time",
        ],
        "provost.unit.v1.Unit" => &["name", "display_name", "parent_unit", "cost_center", "delete_time"],
        "provost.usage.v1.AdoptionRow" => &[
            "start_time",
            "role_family",
            "role",
            "unit_name",
            "plugin",
            "client",
            "active_principals",
            "share_basis_points",
            "growth_basis_points",
            "new_principals",
            "returning_principals",
        ],
        "provost.usage.v1.DormantEntitlement" => &["principal", "plugin", "installed_time", "last_use_day"],
        "provost.usage.v1.TenantAdoption" => &[
            "tenant",
            "stage",
            "active_principals",
            "developers",
            "non_developers",
            "new_principals",
            "growth_basis_points",
            "watermark_time",
        ],
        "provost.usage.v1.Meter" => &[
            "key",
            "version",
            "aggregation",
            "unit",
            "event_type",
            "value_path",
            "archive_time",
            "description",
        ],
        "provost.usage.v1.StoredUsageEvent" => {
            &["seq", "time", "type", "client", "principal", "role", "values", "dims", "id", "void_time"]
        }
        "provost.usage.v1.UsageCorrection" => &[
            "name",
            "kind",
            "state",
            "reason",
            "actor",
            "range_start_time",
            "range_end_time",
            "taken_count",
            "added_count",
            "create_time",
        ],
        "provost.usage.v1.UsageReject" => {
            &["ingest_time", "code", "field", "message", "source", "id", "principal", "seq"]
        }
        "provost.usage.v1.PluginSighting" => &[
            "principal",
            "client",
            "plugin",
            "plugin_hash",
            "version",
            "catalog_plugin",
            "bundled",
            "last_time",
        ],
        "provost.usage.v1.SettingsObservation" => &[
            "principal",
            "client",
            "sources",
            "helper_state",
            "resolved_sha256",
            "served_sha256",
            "drift",
            "last_time",
        ],
        "provost.usage.v1.UnapprovedPlugin" => {
            &["plugin", "plugin_hash", "client", "principal_count", "first_time", "last_time"]
        }
        "provost.usage.v1.UsageRow" => &[
            "start_time",
            "role_family",
            "role",
            "unit_name",
            "principal",
            "client",
            "dims",
            "meter",
            "version",
            "decimal_value",
            "unit",
        ],
        _ => &[],
    }
}
