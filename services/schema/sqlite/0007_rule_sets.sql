-- Sets that rules speak of: plugin groups as targets, seat pools as conditions.

-- Plugins that a tenant speaks of together.
CREATE TABLE plugin_group (
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

-- What is in a plugin group.
CREATE TABLE plugin_group_member (
    tenant_id BLOB NOT NULL,
    plugin_group_id BLOB NOT NULL,
    plugin_id BLOB NOT NULL,
    id BLOB NOT NULL,
    marketplace_id BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, plugin_group_id, plugin_id),
    FOREIGN KEY (tenant_id, plugin_group_id) REFERENCES plugin_group (tenant_id, id)
) STRICT;
CREATE INDEX plugin_group_member_by_plugin ON plugin_group_member (tenant_id, plugin_id);

-- Pools of seats. What was bought, and what each seat costs, is not here.
CREATE TABLE seat_pool (
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

-- Who holds a seat of a pool.
CREATE TABLE seat_holder (
    tenant_id BLOB NOT NULL,
    seat_pool_id BLOB NOT NULL,
    principal_id BLOB NOT NULL,
    id BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, seat_pool_id, principal_id),
    FOREIGN KEY (tenant_id, seat_pool_id) REFERENCES seat_pool (tenant_id, id)
) STRICT;
CREATE INDEX seat_holder_by_principal ON seat_holder (tenant_id, principal_id);

-- A rule speaks of a marketplace, a plugin, an app or a skill of it, or a plugin group. The table is made anew because this
-- engine cannot let a column be empty that was not.
CREATE TABLE entitlement_new (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    role_id BLOB,
    marketplace_id BLOB,
    plugin_id BLOB,
    target TEXT NOT NULL,
    effect TEXT NOT NULL,
    max_stage TEXT NOT NULL,
    not_before INTEGER,
    not_after INTEGER,
    reason TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    floor INTEGER NOT NULL DEFAULT 0,
    app TEXT,
    skill TEXT,
    plugin_group_id BLOB,
    seat_pool_id BLOB,
    update_time INTEGER,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug),
    FOREIGN KEY (tenant_id, role_id) REFERENCES role (tenant_id, id),
    FOREIGN KEY (tenant_id, plugin_group_id) REFERENCES plugin_group (tenant_id, id),
    FOREIGN KEY (tenant_id, seat_pool_id) REFERENCES seat_pool (tenant_id, id),
    CHECK (effect IN ('denied', 'available', 'default', 'required')),
    CHECK (max_stage IN ('alpha', 'preview', 'live')),
    CHECK ((marketplace_id IS NULL) <> (plugin_group_id IS NULL)),
    CHECK (plugin_id IS NULL OR marketplace_id IS NOT NULL),
    CHECK ((app IS NULL AND skill IS NULL) OR (plugin_id IS NOT NULL AND (app IS NULL OR skill IS NULL))),
    CHECK (seat_pool_id IS NULL OR effect <> 'denied')
) STRICT;
INSERT INTO entitlement_new (tenant_id, id, slug, role_id, marketplace_id, plugin_id, target, effect, max_stage, not_before,
    not_after, reason, revision, create_time, floor, app, skill)
    SELECT tenant_id, id, slug, role_id, marketplace_id, plugin_id, target, effect, max_stage, not_before, not_after, reason,
        revision, create_time, floor,
        CASE WHEN target LIKE 'marketplaces/%/plugins/%/apps/%' THEN SUBSTR(target, INSTR(target, '/apps/') + 6) END,
        CASE WHEN target LIKE 'marketplaces/%/plugins/%/skills/%' THEN SUBSTR(target, INSTR(target, '/skills/') + 8) END
    FROM entitlement;
DROP TABLE entitlement;
ALTER TABLE entitlement_new RENAME TO entitlement;
CREATE INDEX entitlement_by_role ON entitlement (tenant_id, role_id);
CREATE INDEX entitlement_by_target ON entitlement (tenant_id, marketplace_id, plugin_id);
CREATE INDEX entitlement_by_plugin_group ON entitlement (tenant_id, plugin_group_id);
CREATE INDEX entitlement_by_seat_pool ON entitlement (tenant_id, seat_pool_id);
-- few rules are floors, and they are asked for whenever somebody loses a role
CREATE INDEX entitlement_by_floor ON entitlement (tenant_id, role_id, plugin_group_id) WHERE floor;
