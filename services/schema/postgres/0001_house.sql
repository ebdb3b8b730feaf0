-- The first schema. Kept equal to its twin of the other engine: same tables, columns, nullability and keys.
-- Times are microseconds since the epoch, set by the application; ids are made by the application.

-- One row: what the whole deployment shares.
CREATE TABLE deployment (
    id BIGINT NOT NULL,
    root_key BYTEA NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (id),
    CHECK (id = 1)
);

-- Consulting firms.
CREATE TABLE partner (
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    delete_time BIGINT,
    PRIMARY KEY (id),
    UNIQUE (slug)
);

-- Client organisations. `contract` is canonical JSON.
CREATE TABLE tenant (
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    partner_id UUID NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    contract TEXT COLLATE "C",
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    delete_time BIGINT,
    PRIMARY KEY (id),
    UNIQUE (slug),
    FOREIGN KEY (partner_id) REFERENCES partner (id),
    CHECK (state IN ('pipeline', 'contracted', 'pilot', 'live', 'suspended', 'closed'))
);
CREATE INDEX tenant_by_partner ON tenant (partner_id, state);

-- Departments: a tree.
CREATE TABLE unit (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    parent_id UUID,
    cost_center TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    delete_time BIGINT,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug),
    FOREIGN KEY (tenant_id, parent_id) REFERENCES unit (tenant_id, id)
);
CREATE INDEX unit_by_parent ON unit (tenant_id, parent_id);

-- Users, services and agents of the platform (nil scope), of partners and of tenants.
CREATE TABLE principal (
    scope_id UUID NOT NULL,
    id UUID NOT NULL,
    scope_kind TEXT COLLATE "C" NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C" NOT NULL,
    unit_id UUID,
    owner_id UUID,
    state TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    delete_time BIGINT,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, slug),
    CHECK (scope_kind IN ('platform', 'partner', 'tenant')),
    CHECK (kind IN ('user', 'service', 'agent')),
    CHECK (state IN ('active', 'suspended')),
    CHECK ((kind = 'agent') = (owner_id IS NOT NULL))
);
CREATE UNIQUE INDEX principal_by_email ON principal (scope_id, email) WHERE email <> '' AND delete_time IS NULL;
CREATE INDEX principal_by_unit ON principal (scope_id, unit_id);
CREATE INDEX principal_by_owner ON principal (scope_id, owner_id);

-- Directory groups.
CREATE TABLE principal_group (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    delete_time BIGINT,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug)
);
CREATE UNIQUE INDEX principal_group_by_external_id ON principal_group (tenant_id, external_id) WHERE external_id <> '' AND delete_time IS NULL;

-- Who is in a group.
CREATE TABLE group_member (
    tenant_id UUID NOT NULL,
    group_id UUID NOT NULL,
    principal_id UUID NOT NULL,
    id UUID NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, group_id, principal_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES principal_group (tenant_id, id)
);
CREATE INDEX group_member_by_principal ON group_member (tenant_id, principal_id);

-- Job roles.
CREATE TABLE role (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    delete_time BIGINT,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug)
);

-- Who holds a role: a principal or a group.
CREATE TABLE role_member (
    tenant_id UUID NOT NULL,
    role_id UUID NOT NULL,
    member_kind TEXT COLLATE "C" NOT NULL,
    member_id UUID NOT NULL,
    id UUID NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, role_id, member_kind, member_id),
    FOREIGN KEY (tenant_id, role_id) REFERENCES role (tenant_id, id),
    CHECK (member_kind IN ('principal', 'group'))
);
CREATE INDEX role_member_by_member ON role_member (tenant_id, member_kind, member_id);

-- Which roles a role takes in.
CREATE TABLE role_inclusion (
    tenant_id UUID NOT NULL,
    role_id UUID NOT NULL,
    included_id UUID NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, role_id, included_id),
    FOREIGN KEY (tenant_id, role_id) REFERENCES role (tenant_id, id),
    FOREIGN KEY (tenant_id, included_id) REFERENCES role (tenant_id, id),
    CHECK (role_id <> included_id)
);
CREATE INDEX role_inclusion_by_included ON role_inclusion (tenant_id, included_id);

-- API tokens, without their secrets. `scopes` is a list of words separated by spaces.
CREATE TABLE api_token (
    scope_id UUID NOT NULL,
    id UUID NOT NULL,
    scope_kind TEXT COLLATE "C" NOT NULL,
    principal_id UUID,
    kind TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    scopes TEXT COLLATE "C" NOT NULL,
    expire_time BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    revoke_time BIGINT,
    last_used_time BIGINT,
    PRIMARY KEY (scope_id, id),
    CHECK (scope_kind IN ('platform', 'partner', 'tenant')),
    CHECK (kind IN ('personal', 'service', 'ingest', 'bootstrap'))
);
CREATE INDEX api_token_by_principal ON api_token (scope_id, principal_id);

-- From the SHA-256 of a secret to its token: global, because a caller names no tenant.
CREATE TABLE api_token_key (
    sha256 BYTEA NOT NULL,
    scope_id UUID NOT NULL,
    token_id UUID NOT NULL,
    PRIMARY KEY (sha256)
);

-- Who holds which admin duty.
CREATE TABLE duty_grant (
    scope_id UUID NOT NULL,
    id UUID NOT NULL,
    scope_kind TEXT COLLATE "C" NOT NULL,
    principal_id UUID NOT NULL,
    duty TEXT COLLATE "C" NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, principal_id, duty),
    CHECK (scope_kind IN ('platform', 'partner', 'tenant')),
    CHECK (duty IN ('platform_admin', 'platform_auditor', 'partner_admin', 'consultant', 'owner', 'admin', 'compliance', 'finance', 'approver', 'member'))
);

-- First results of calls with a request_id, for a day.
CREATE TABLE request_result (
    scope_id UUID NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    payload_sha256 BYTEA NOT NULL,
    result TEXT COLLATE "C" NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (scope_id, request_id)
);

-- The outbox of the audit log: written in the transaction of the change. `entry` is RFC 8785 canonical JSON.
CREATE TABLE audit_pending (
    scope_id UUID NOT NULL,
    id UUID NOT NULL,
    time BIGINT NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    event_class TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    partner TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    trace_id TEXT COLLATE "C" NOT NULL,
    entry TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (scope_id, id),
    CHECK (outcome IN ('ok', 'denied', 'failed'))
);
CREATE INDEX audit_pending_by_time ON audit_pending (scope_id, time, id);

-- Vendors' lists of plugins. `content_sha256` tells a repeated import.
CREATE TABLE marketplace (
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    format TEXT COLLATE "C" NOT NULL,
    content_sha256 BYTEA NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (slug),
    CHECK (format IN ('codex', 'claude'))
);

-- Plugins as listed now; `version_id` is the current version.
CREATE TABLE plugin (
    marketplace_id UUID NOT NULL,
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C" NOT NULL,
    version_id UUID NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    delete_time BIGINT,
    PRIMARY KEY (marketplace_id, id),
    UNIQUE (marketplace_id, slug),
    FOREIGN KEY (marketplace_id) REFERENCES marketplace (id)
);

-- Plugin versions: immutable but for their stage. `apps`, `skills` and `mcp_servers` are canonical JSON.
CREATE TABLE plugin_version (
    marketplace_id UUID NOT NULL,
    plugin_id UUID NOT NULL,
    id UUID NOT NULL,
    content_sha256 BYTEA NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    apps TEXT COLLATE "C" NOT NULL,
    skills TEXT COLLATE "C" NOT NULL,
    mcp_servers TEXT COLLATE "C" NOT NULL,
    has_hooks BOOLEAN NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (marketplace_id, plugin_id, id),
    UNIQUE (marketplace_id, plugin_id, content_sha256),
    CHECK (stage IN ('alpha', 'preview', 'live', 'deprecated', 'withdrawn'))
);

-- Rules: role x target -> effect. No `role_id` means every principal; no `plugin_id` means the whole marketplace.
CREATE TABLE entitlement (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    role_id UUID,
    marketplace_id UUID NOT NULL,
    plugin_id UUID,
    target TEXT COLLATE "C" NOT NULL,
    effect TEXT COLLATE "C" NOT NULL,
    max_stage TEXT COLLATE "C" NOT NULL,
    not_before BIGINT,
    not_after BIGINT,
    reason TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug),
    FOREIGN KEY (tenant_id, role_id) REFERENCES role (tenant_id, id),
    CHECK (effect IN ('denied', 'available', 'default', 'required')),
    CHECK (max_stage IN ('alpha', 'preview', 'live'))
);
CREATE INDEX entitlement_by_role ON entitlement (tenant_id, role_id);
CREATE INDEX entitlement_by_target ON entitlement (tenant_id, marketplace_id, plugin_id);

-- Usage events as received, once each. `dedupe_key` is a 128-bit BLAKE3 of tenant, source and id; role and unit are those of the time.
CREATE TABLE usage_event (
    tenant_id UUID NOT NULL,
    dedupe_key BYTEA NOT NULL,
    id UUID NOT NULL,
    payload_key BYTEA NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    event_type TEXT COLLATE "C" NOT NULL,
    client TEXT COLLATE "C" NOT NULL,
    principal_id UUID,
    role_id UUID,
    unit_id UUID,
    time BIGINT NOT NULL,
    ingest_time BIGINT NOT NULL,
    attributes TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, dedupe_key)
);

-- What an event adds to a meter, in whole units of the meter.
CREATE TABLE usage_amount (
    tenant_id UUID NOT NULL,
    meter TEXT COLLATE "C" NOT NULL,
    time BIGINT NOT NULL,
    event_id UUID NOT NULL,
    client TEXT COLLATE "C" NOT NULL,
    principal_id UUID,
    role_id UUID,
    unit_id UUID,
    amount BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, meter, time, event_id)
);
