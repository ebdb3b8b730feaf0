-- The first schema. Kept equal to its twin of the other engine: same tables, columns, nullability and keys.
-- Times are microseconds since the epoch, set by the application; ids are made by the application.

-- One row: what the whole deployment shares.
CREATE TABLE deployment (
    id INTEGER NOT NULL,
    root_key BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (id),
    CHECK (id = 1)
) STRICT;

-- Consulting firms.
CREATE TABLE partner (
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    display_name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    delete_time INTEGER,
    PRIMARY KEY (id),
    UNIQUE (slug)
) STRICT;

-- Client organisations. `contract` is canonical JSON.
CREATE TABLE tenant (
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    partner_id BLOB NOT NULL,
    display_name TEXT NOT NULL,
    state TEXT NOT NULL,
    contract TEXT,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    delete_time INTEGER,
    PRIMARY KEY (id),
    UNIQUE (slug),
    FOREIGN KEY (partner_id) REFERENCES partner (id),
    CHECK (state IN ('pipeline', 'contracted', 'pilot', 'live', 'suspended', 'closed'))
) STRICT;
CREATE INDEX tenant_by_partner ON tenant (partner_id, state);

-- Departments: a tree.
CREATE TABLE unit (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    display_name TEXT NOT NULL,
    parent_id BLOB,
    cost_center TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    delete_time INTEGER,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug),
    FOREIGN KEY (tenant_id, parent_id) REFERENCES unit (tenant_id, id)
) STRICT;
CREATE INDEX unit_by_parent ON unit (tenant_id, parent_id);

-- Users, services and agents of the platform (nil scope), of partners and of tenants.
CREATE TABLE principal (
    scope_id BLOB NOT NULL,
    id BLOB NOT NULL,
    scope_kind TEXT NOT NULL,
    slug TEXT NOT NULL,
    kind TEXT NOT NULL,
    display_name TEXT NOT NULL,
    email TEXT NOT NULL,
    unit_id BLOB,
    owner_id BLOB,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    delete_time INTEGER,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, slug),
    CHECK (scope_kind IN ('platform', 'partner', 'tenant')),
    CHECK (kind IN ('user', 'service', 'agent')),
    CHECK (state IN ('active', 'suspended')),
    CHECK ((kind = 'agent') = (owner_id IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX principal_by_email ON principal (scope_id, email) WHERE email <> '' AND delete_time IS NULL;
CREATE INDEX principal_by_unit ON principal (scope_id, unit_id);
CREATE INDEX principal_by_owner ON principal (scope_id, owner_id);

-- Directory groups.
CREATE TABLE principal_group (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    display_name TEXT NOT NULL,
    external_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    delete_time INTEGER,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug)
) STRICT;
CREATE UNIQUE INDEX principal_group_by_external_id ON principal_group (tenant_id, external_id) WHERE external_id <> '' AND delete_time IS NULL;

-- Who is in a group.
CREATE TABLE group_member (
    tenant_id BLOB NOT NULL,
    group_id BLOB NOT NULL,
    principal_id BLOB NOT NULL,
    id BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, group_id, principal_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES principal_group (tenant_id, id)
) STRICT;
CREATE INDEX group_member_by_principal ON group_member (tenant_id, principal_id);

-- Job roles.
CREATE TABLE role (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    delete_time INTEGER,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug)
) STRICT;

-- Who holds a role: a principal or a group.
CREATE TABLE role_member (
    tenant_id BLOB NOT NULL,
    role_id BLOB NOT NULL,
    member_kind TEXT NOT NULL,
    member_id BLOB NOT NULL,
    id BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, role_id, member_kind, member_id),
    FOREIGN KEY (tenant_id, role_id) REFERENCES role (tenant_id, id),
    CHECK (member_kind IN ('principal', 'group'))
) STRICT;
CREATE INDEX role_member_by_member ON role_member (tenant_id, member_kind, member_id);

-- Which roles a role takes in.
CREATE TABLE role_inclusion (
    tenant_id BLOB NOT NULL,
    role_id BLOB NOT NULL,
    included_id BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, role_id, included_id),
    FOREIGN KEY (tenant_id, role_id) REFERENCES role (tenant_id, id),
    FOREIGN KEY (tenant_id, included_id) REFERENCES role (tenant_id, id),
    CHECK (role_id <> included_id)
) STRICT;
CREATE INDEX role_inclusion_by_included ON role_inclusion (tenant_id, included_id);

-- API tokens, without their secrets. `scopes` is a list of words separated by spaces.
CREATE TABLE api_token (
    scope_id BLOB NOT NULL,
    id BLOB NOT NULL,
    scope_kind TEXT NOT NULL,
    principal_id BLOB,
    kind TEXT NOT NULL,
    display_name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    expire_time INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    revoke_time INTEGER,
    last_used_time INTEGER,
    PRIMARY KEY (scope_id, id),
    CHECK (scope_kind IN ('platform', 'partner', 'tenant')),
    CHECK (kind IN ('personal', 'service', 'ingest', 'bootstrap'))
) STRICT;
CREATE INDEX api_token_by_principal ON api_token (scope_id, principal_id);

-- From the SHA-256 of a secret to its token: global, because a caller names no tenant.
CREATE TABLE api_token_key (
    sha256 BLOB NOT NULL,
    scope_id BLOB NOT NULL,
    token_id BLOB NOT NULL,
    PRIMARY KEY (sha256)
) STRICT;

-- Who holds which admin duty.
CREATE TABLE duty_grant (
    scope_id BLOB NOT NULL,
    id BLOB NOT NULL,
    scope_kind TEXT NOT NULL,
    principal_id BLOB NOT NULL,
    duty TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, principal_id, duty),
    CHECK (scope_kind IN ('platform', 'partner', 'tenant')),
    CHECK (duty IN ('platform_admin', 'platform_auditor', 'partner_admin', 'consultant', 'owner', 'admin', 'compliance', 'finance', 'approver', 'member'))
) STRICT;

-- First results of calls with a request_id, for a day.
CREATE TABLE request_result (
    scope_id BLOB NOT NULL,
    request_id TEXT NOT NULL,
    payload_sha256 BLOB NOT NULL,
    result TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (scope_id, request_id)
) STRICT;

-- The outbox of the audit log: written in the transaction of the change. `entry` is RFC 8785 canonical JSON.
CREATE TABLE audit_pending (
    scope_id BLOB NOT NULL,
    id BLOB NOT NULL,
    time INTEGER NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    event_class TEXT NOT NULL,
    actor TEXT NOT NULL,
    partner TEXT NOT NULL,
    target TEXT NOT NULL,
    request_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (scope_id, id),
    CHECK (outcome IN ('ok', 'denied', 'failed'))
) STRICT;
CREATE INDEX audit_pending_by_time ON audit_pending (scope_id, time, id);

-- Vendors' lists of plugins. `content_sha256` tells a repeated import.
CREATE TABLE marketplace (
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    display_name TEXT NOT NULL,
    format TEXT NOT NULL,
    content_sha256 BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (slug),
    CHECK (format IN ('codex', 'claude'))
) STRICT;

-- Plugins as listed now; `version_id` is the current version.
CREATE TABLE plugin (
    marketplace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT NOT NULL,
    category TEXT NOT NULL,
    version_id BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    delete_time INTEGER,
    PRIMARY KEY (marketplace_id, id),
    UNIQUE (marketplace_id, slug),
    FOREIGN KEY (marketplace_id) REFERENCES marketplace (id)
) STRICT;

-- Plugin versions: immutable but for their stage. `apps`, `skills` and `mcp_servers` are canonical JSON.
CREATE TABLE plugin_version (
    marketplace_id BLOB NOT NULL,
    plugin_id BLOB NOT NULL,
    id BLOB NOT NULL,
    content_sha256 BLOB NOT NULL,
    version TEXT NOT NULL,
    stage TEXT NOT NULL,
    apps TEXT NOT NULL,
    skills TEXT NOT NULL,
    mcp_servers TEXT NOT NULL,
    has_hooks INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (marketplace_id, plugin_id, id),
    UNIQUE (marketplace_id, plugin_id, content_sha256),
    CHECK (stage IN ('alpha', 'preview', 'live', 'deprecated', 'withdrawn'))
) STRICT;

-- Rules: role x target -> effect. No `role_id` means every principal; no `plugin_id` means the whole marketplace.
CREATE TABLE entitlement (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    role_id BLOB,
    marketplace_id BLOB NOT NULL,
    plugin_id BLOB,
    target TEXT NOT NULL,
    effect TEXT NOT NULL,
    max_stage TEXT NOT NULL,
    not_before INTEGER,
    not_after INTEGER,
    reason TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug),
    FOREIGN KEY (tenant_id, role_id) REFERENCES role (tenant_id, id),
    CHECK (effect IN ('denied', 'available', 'default', 'required')),
    CHECK (max_stage IN ('alpha', 'preview', 'live'))
) STRICT;
CREATE INDEX entitlement_by_role ON entitlement (tenant_id, role_id);
CREATE INDEX entitlement_by_target ON entitlement (tenant_id, marketplace_id, plugin_id);

-- Usage events as received, once each. `dedupe_key` is a 128-bit BLAKE3 of tenant, source and id; role and unit are those of the time.
CREATE TABLE usage_event (
    tenant_id BLOB NOT NULL,
    dedupe_key BLOB NOT NULL,
    id BLOB NOT NULL,
    payload_key BLOB NOT NULL,
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    client TEXT NOT NULL,
    principal_id BLOB,
    role_id BLOB,
    unit_id BLOB,
    time INTEGER NOT NULL,
    ingest_time INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    PRIMARY KEY (tenant_id, dedupe_key)
) STRICT;

-- What an event adds to a meter, in whole units of the meter.
CREATE TABLE usage_amount (
    tenant_id BLOB NOT NULL,
    meter TEXT NOT NULL,
    time INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    client TEXT NOT NULL,
    principal_id BLOB,
    role_id BLOB,
    unit_id BLOB,
    amount INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, meter, time, event_id)
) STRICT;
