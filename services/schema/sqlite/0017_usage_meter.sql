-- Meters that a tenant defines: a row a version, which never changes but for where it ends. A version counts the events in the places
-- from `first_seq` until before `end_seq`; one that is in force has no end. `number` tells versions of a tenant apart and is
-- never given twice. Whoever rolls up counts what is in places from `live_seq` on as it comes, and what came before, where the version
-- counts that too, afterwards: up to `caught_seq`. What is counted is named as refusals name it: `data.value`, `data.values.{name}`, `principal`, or empty.
CREATE TABLE usage_meter (
    tenant_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    aggregation TEXT NOT NULL CHECK (aggregation IN ('SUM', 'COUNT', 'UNIQUE_COUNT', 'MAX', 'MIN', 'LATEST', 'AVG')),
    value_path TEXT NOT NULL,
    unit TEXT NOT NULL,
    scale INTEGER NOT NULL,
    dims TEXT NOT NULL,
    allow_negative INTEGER NOT NULL,
    description TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    live_seq INTEGER NOT NULL,
    caught_seq INTEGER NOT NULL,
    end_seq INTEGER,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    creator_id BLOB,
    archive_time INTEGER,
    PRIMARY KEY (tenant_id, number),
    UNIQUE (tenant_id, key, version)
) STRICT;

-- Grows with every change of a tenant's meters, under the same lock as places: whoever takes places sees which meters count them.
-- 0 is a tenant without meters of its own.
ALTER TABLE usage_head ADD COLUMN meters INTEGER NOT NULL DEFAULT 0;

-- Of the events of a sum, the one that a meter goes by (MAX, MIN, LATEST): what it says, and by what it was chosen. The greatest
-- (`picked_by`, `picked_seq`) wins: the value, the value negated, or time and place.
ALTER TABLE usage_rollup ADD COLUMN picked INTEGER;
ALTER TABLE usage_rollup ADD COLUMN picked_by INTEGER;
ALTER TABLE usage_rollup ADD COLUMN picked_seq INTEGER;
