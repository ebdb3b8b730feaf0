-- Sets that rules speak of: plugin groups as targets, seat pools as conditions.

-- Plugins that a tenant speaks of together.
CREATE TABLE plugin_group (
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

-- What is in a plugin group.
CREATE TABLE plugin_group_member (
    tenant_id UUID NOT NULL,
    plugin_group_id UUID NOT NULL,
    plugin_id UUID NOT NULL,
    id UUID NOT NULL,
    marketplace_id UUID NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, plugin_group_id, plugin_id),
    FOREIGN KEY (tenant_id, plugin_group_id) REFERENCES plugin_group (tenant_id, id)
);
CREATE INDEX plugin_group_member_by_plugin ON plugin_group_member (tenant_id, plugin_id);

-- Pools of seats. What was bought, and what each seat costs, is not here.
CREATE TABLE seat_pool (
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

-- Who holds a seat of a pool.
CREATE TABLE seat_holder (
    tenant_id UUID NOT NULL,
    seat_pool_id UUID NOT NULL,
    principal_id UUID NOT NULL,
    id UUID NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, seat_pool_id, principal_id),
    FOREIGN KEY (tenant_id, seat_pool_id) REFERENCES seat_pool (tenant_id, id)
);
CREATE INDEX seat_holder_by_principal ON seat_holder (tenant_id, principal_id);

-- A rule speaks of a marketplace, a plugin, an app or a skill of it, or a plugin group.
ALTER TABLE entitlement ALTER COLUMN marketplace_id DROP NOT NULL;
ALTER TABLE entitlement ADD COLUMN app TEXT COLLATE "C";
ALTER TABLE entitlement ADD COLUMN skill TEXT COLLATE "C";
ALTER TABLE entitlement ADD COLUMN plugin_group_id UUID;
ALTER TABLE entitlement ADD COLUMN seat_pool_id UUID;
ALTER TABLE entitlement ADD COLUMN update_time BIGINT;
UPDATE entitlement SET
    app = CASE WHEN target LIKE 'marketplaces/%/plugins/%/apps/%' THEN SUBSTR(target, STRPOS(target, '/apps/') + 6) END,
    skill = CASE WHEN target LIKE 'marketplaces/%/plugins/%/skills/%' THEN SUBSTR(target, STRPOS(target, '/skills/') + 8) END;
ALTER TABLE entitlement ADD FOREIGN KEY (tenant_id, plugin_group_id) REFERENCES plugin_group (tenant_id, id);
ALTER TABLE entitlement ADD FOREIGN KEY (tenant_id, seat_pool_id) REFERENCES seat_pool (tenant_id, id);
ALTER TABLE entitlement ADD CHECK ((marketplace_id IS NULL) <> (plugin_group_id IS NULL));
ALTER TABLE entitlement ADD CHECK (plugin_id IS NULL OR marketplace_id IS NOT NULL);
ALTER TABLE entitlement ADD CHECK ((app IS NULL AND skill IS NULL) OR (plugin_id IS NOT NULL AND (app IS NULL OR skill IS NULL)));
ALTER TABLE entitlement ADD CHECK (seat_pool_id IS NULL OR effect <> 'denied');
CREATE INDEX entitlement_by_plugin_group ON entitlement (tenant_id, plugin_group_id);
CREATE INDEX entitlement_by_seat_pool ON entitlement (tenant_id, seat_pool_id);
-- few rules are floors, and they are asked for whenever somebody loses a role
CREATE INDEX entitlement_by_floor ON entitlement (tenant_id, role_id, plugin_group_id) WHERE floor;
