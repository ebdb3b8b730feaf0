-- Usage: raw events in the order in which they were taken, what is summed up of them, and what was refused.

-- How many places a tenant's events have taken. Whoever writes events of a tenant holds this row until it commits, so a
-- place is never given before all lower ones are visible.
CREATE TABLE usage_head (
    tenant_id UUID NOT NULL,
    next_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant_id)
);

-- One counted thing, never changed.
CREATE TABLE usage_event_new (
    tenant_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    dedupe_key BYTEA NOT NULL,
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
    dims TEXT COLLATE "C" NOT NULL,
    amounts TEXT COLLATE "C" NOT NULL,
    attributes TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
INSERT INTO usage_event_new (tenant_id, seq, dedupe_key, payload_key, source, event_id, event_type, client, principal_id,
    role_id, unit_id, time, ingest_time, dims, amounts, attributes)
SELECT e.tenant_id, ROW_NUMBER() OVER (PARTITION BY e.tenant_id ORDER BY e.ingest_time, e.dedupe_key), e.dedupe_key,
    e.payload_key, e.source, e.event_id, e.event_type, e.client, e.principal_id, e.role_id, e.unit_id, e.time,
    e.ingest_time, '{}',
    COALESCE((SELECT '{' || STRING_AGG('"' || a.meter || '":' || a.amount, ',' ORDER BY a.meter) || '}' FROM usage_amount a
              WHERE a.tenant_id = e.tenant_id AND a.event_id = e.id AND a.time = e.time), '{}'),
    e.attributes
FROM usage_event e;
INSERT INTO usage_head (tenant_id, next_seq) SELECT tenant_id, MAX(seq) + 1 FROM usage_event_new GROUP BY tenant_id;
DROP TABLE usage_amount;
DROP TABLE usage_event;
ALTER TABLE usage_event_new RENAME TO usage_event;
ALTER INDEX usage_event_new_pkey RENAME TO usage_event_pkey;
CREATE UNIQUE INDEX usage_event_key ON usage_event (tenant_id, dedupe_key);
CREATE INDEX usage_event_time ON usage_event (tenant_id, time, seq);

-- How far a tenant's events are summed up, and which process does it: `sums_seq` for figures that add up, `members_seq` for who is
-- behind them. Events in lower places are in the rollups, others are not.
CREATE TABLE usage_watermark (
    tenant_id UUID NOT NULL,
    sums_seq BIGINT NOT NULL,
    sums_time BIGINT NOT NULL,
    members_seq BIGINT NOT NULL,
    members_time BIGINT NOT NULL,
    holder UUID NOT NULL,
    fence BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    PRIMARY KEY (tenant_id)
);

-- What figures of a meter are told apart by. Series 0 is everything together and has no row.
CREATE TABLE usage_series (
    tenant_id UUID NOT NULL,
    id BIGINT NOT NULL,
    meter TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    client TEXT COLLATE "C" NOT NULL,
    role_id UUID,
    unit_id UUID,
    dims TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX usage_series_meter ON usage_series (tenant_id, meter, version);

-- Principals by number: bitmaps hold the numbers.
CREATE TABLE usage_member (
    tenant_id UUID NOT NULL,
    id BIGINT NOT NULL,
    principal_id UUID NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, principal_id)
);

-- Sums by quarter of an hour and by day (UTC): of everything together, by series, and by series and principal. Quarters, because
-- there are time zones that are a half or a quarter of an hour off. `sum` is in base units of the meter and stays at the largest
-- number that fits; `members` is a roaring bitmap where the meter counts each thing once.
CREATE TABLE usage_rollup (
    tenant_id UUID NOT NULL,
    meter TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    level TEXT COLLATE "C" NOT NULL CHECK (level IN ('total_quarter', 'total_day', 'quarter', 'day', 'person')),
    bucket BIGINT NOT NULL,
    series_id BIGINT NOT NULL,
    principal_id UUID NOT NULL,
    events BIGINT NOT NULL,
    sum BIGINT NOT NULL,
    members BYTEA,
    PRIMARY KEY (tenant_id, meter, version, level, bucket, series_id, principal_id)
);

-- Events that were sent to be counted and are not: the newest ones of a tenant, and how many there were.
CREATE TABLE usage_reject (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    field TEXT COLLATE "C" NOT NULL,
    message TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    event_type TEXT COLLATE "C" NOT NULL,
    principal_id UUID,
    token_id UUID,
    seq BIGINT,
    ingest_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE TABLE usage_reject_count (
    tenant_id UUID NOT NULL,
    day BIGINT NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    surface TEXT COLLATE "C" NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day, code, surface)
);
