-- Connectors that a client has of its own: plugin x app -> connector id. A version of the plugin that does not ask for the app
-- leaves the row where it is. `plugin` is the name of the plugin, `app` the vendor's key.
CREATE TABLE connector_binding (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    marketplace_id BLOB NOT NULL,
    plugin_id BLOB NOT NULL,
    plugin TEXT NOT NULL,
    app TEXT NOT NULL,
    connector_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug),
    UNIQUE (tenant_id, plugin, app)
) STRICT;

-- Stages that a tenant holds a plugin to: they count where they are stricter than the platform's.
CREATE TABLE stage_override (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    marketplace_id BLOB NOT NULL,
    plugin_id BLOB NOT NULL,
    plugin TEXT NOT NULL,
    stage TEXT NOT NULL,
    reason TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug),
    UNIQUE (tenant_id, plugin),
    CHECK (stage IN ('alpha', 'preview', 'deprecated', 'withdrawn'))
) STRICT;
