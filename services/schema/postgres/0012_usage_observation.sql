-- Which way of telling the same tokens counts for a session: the first that was heard of. A nil principal is a tenant's own
-- token. The session of those that name none is their process.
CREATE TABLE usage_session_source (
    tenant_id UUID NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    client TEXT COLLATE "C" NOT NULL,
    principal_id UUID NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    decided_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, session, client, principal_id),
    CHECK (kind IN ('spans', 'logs', 'metrics'))
);

-- What assistants call a plugin where they keep its name to themselves: the first 16 hex digits of the SHA-256 of
-- `plugin@marketplace` and a salt. Of what is there already, the program works it out when it migrates.
ALTER TABLE plugin ADD COLUMN telemetry_hash TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX plugin_by_telemetry_hash ON plugin (telemetry_hash);

-- Plugins that assistants of a tenant have told of; `plugin` is `plugin@marketplace`, or empty while only the hash is known.
-- A bundled one comes with the assistant itself.
CREATE TABLE seen_plugin (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    client TEXT COLLATE "C" NOT NULL,
    plugin_hash TEXT COLLATE "C" NOT NULL,
    plugin TEXT COLLATE "C" NOT NULL,
    bundled BOOLEAN NOT NULL,
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, plugin_hash, client)
);

-- With whom and in which version. A nil principal is a tenant's own token; an empty version was not told.
CREATE TABLE plugin_sighting (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    client TEXT COLLATE "C" NOT NULL,
    plugin_hash TEXT COLLATE "C" NOT NULL,
    principal_id UUID NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, plugin_hash, client, principal_id, version)
);
CREATE INDEX plugin_sighting_by_principal ON plugin_sighting (tenant_id, principal_id);

-- Managed settings that assistants of a tenant worked out. `served_sha256` is what was served to them, where that is known.
CREATE TABLE settings_observation (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    client TEXT COLLATE "C" NOT NULL,
    principal_id UUID NOT NULL,
    resolved_sha256 TEXT COLLATE "C" NOT NULL,
    sources TEXT COLLATE "C" NOT NULL,
    helper_state TEXT COLLATE "C" NOT NULL,
    served_sha256 TEXT COLLATE "C",
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, principal_id, client, resolved_sha256, sources, helper_state)
);
