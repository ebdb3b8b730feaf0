-- Connectors that a client has of its own: plugin x app -> connector id. A version of the plugin that does not ask for the app
-- leaves the row where it is. `plugin` is the name of the plugin, `app` the vendor's key.
CREATE TABLE connector_binding (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    marketplace_id UUID NOT NULL,
    plugin_id UUID NOT NULL,
    plugin TEXT COLLATE "C" NOT NULL,
    app TEXT COLLATE "C" NOT NULL,
    connector_id TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug),
    UNIQUE (tenant_id, plugin, app)
);

-- Stages that a tenant holds a plugin to: they count where they are stricter than the platform's.
CREATE TABLE stage_override (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    marketplace_id UUID NOT NULL,
    plugin_id UUID NOT NULL,
    plugin TEXT COLLATE "C" NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug),
    UNIQUE (tenant_id, plugin),
    CHECK (stage IN ('alpha', 'preview', 'deprecated', 'withdrawn'))
);
