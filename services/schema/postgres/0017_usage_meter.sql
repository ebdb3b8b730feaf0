-- Meters that a tenant defines: a row a version, which never changes but for where it ends. A version counts the events in the places
-- from `first_seq` until before `end_seq`; one that is in force has no end. `number` tells versions of a tenant apart and is
-- never given twice. Whoever rolls up counts what is in places from `live_seq` on as it comes, and what came before, where the version
-- counts that too, afterwards: up to `caught_seq`. What is counted is named as refusals name it: `data.value`, `data.values.{name}`, `principal`, or empty.
CREATE TABLE usage_meter (
    tenant_id UUID NOT NULL,
    number BIGINT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    event_type TEXT COLLATE "C" NOT NULL,
    aggregation TEXT COLLATE "C" NOT NULL CHECK (aggregation IN ('SUM', 'COUNT', 'UNIQUE_COUNT', 'MAX', 'MIN', 'LATEST', 'AVG')),
    value_path TEXT COLLATE "C" NOT NULL,
    unit TEXT COLLATE "C" NOT NULL,
    scale BIGINT NOT NULL,
    dims TEXT COLLATE "C" NOT NULL,
    allow_negative BOOLEAN NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    first_seq BIGINT NOT NULL,
    live_seq BIGINT NOT NULL,
    caught_seq BIGINT NOT NULL,
    end_seq BIGINT,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    creator_id UUID,
    archive_time BIGINT,
    PRIMARY KEY (tenant_id, number),
    UNIQUE (tenant_id, key, version)
);

-- Grows with every change of a tenant's meters, under the same lock as places: whoever takes places sees which meters count them.
-- 0 is a tenant without meters of its own.
ALTER TABLE usage_head ADD COLUMN meters BIGINT NOT NULL DEFAULT 0;

-- Of the events of a sum, the one that a meter goes by (MAX, MIN, LATEST): what it says, and by what it was chosen. The greatest
-- (`picked_by`, `picked_seq`) wins: the value, the value negated, or time and place.
ALTER TABLE usage_rollup ADD COLUMN picked BIGINT;
ALTER TABLE usage_rollup ADD COLUMN picked_by BIGINT;
ALTER TABLE usage_rollup ADD COLUMN picked_seq BIGINT;
