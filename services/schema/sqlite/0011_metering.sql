-- Usage: raw events in the order in which they were taken, what is summed up of them, and what was refused.

-- How many places a tenant's events have taken. Whoever writes events of a tenant holds this row until it commits, so a
-- place is never given before all lower ones are visible.
CREATE TABLE usage_head (
    tenant_id BLOB NOT NULL,
    next_seq INTEGER NOT NULL,
    PRIMARY KEY (tenant_id)
) STRICT;

-- One counted thing, never changed.
CREATE TABLE usage_event_new (
    tenant_id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    dedupe_key BLOB NOT NULL,
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
    dims TEXT NOT NULL,
    amounts TEXT NOT NULL,
    attributes TEXT NOT NULL,
    PRIMARY KEY (tenant_id, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO usage_event_new (tenant_id, seq, dedupe_key, payload_key, source, event_id, event_type, client, principal_id,
    role_id, unit_id, time, ingest_time, dims, amounts, attributes)
SELECT e.tenant_id, ROW_NUMBER() OVER (PARTITION BY e.tenant_id ORDER BY e.ingest_time, e.dedupe_key), e.dedupe_key,
    e.payload_key, e.source, e.event_id, e.event_type, e.client, e.principal_id, e.role_id, e.unit_id, e.time,
    e.ingest_time, '{}',
    COALESCE((SELECT '{' || GROUP_CONCAT('"' || a.meter || '":' || a.amount, ',') || '}' FROM usage_amount a
              WHERE a.tenant_id = e.tenant_id AND a.event_id = e.id AND a.time = e.time), '{}'),
    e.attributes
FROM usage_event e;
INSERT INTO usage_head (tenant_id, next_seq) SELECT tenant_id, MAX(seq) + 1 FROM usage_event_new GROUP BY tenant_id;
DROP TABLE usage_amount;
DROP TABLE usage_event;
ALTER TABLE usage_event_new RENAME TO usage_event;
CREATE UNIQUE INDEX usage_event_key ON usage_event (tenant_id, dedupe_key);
CREATE INDEX usage_event_time ON usage_event (tenant_id, time, seq);

-- How far a tenant's events are summed up, and which process does it: `sums_seq` for figures that add up, `members_seq` for who is
-- behind them. Events in lower places are in the rollups, others are not.
CREATE TABLE usage_watermark (
    tenant_id BLOB NOT NULL,
    sums_seq INTEGER NOT NULL,
    sums_time INTEGER NOT NULL,
    members_seq INTEGER NOT NULL,
    members_time INTEGER NOT NULL,
    holder BLOB NOT NULL,
    fence INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    PRIMARY KEY (tenant_id)
) STRICT;

-- What figures of a meter are told apart by. Series 0 is everything together and has no row.
CREATE TABLE usage_series (
    tenant_id BLOB NOT NULL,
    id INTEGER NOT NULL,
    meter TEXT NOT NULL,
    version INTEGER NOT NULL,
    client TEXT NOT NULL,
    role_id BLOB,
    unit_id BLOB,
    dims TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX usage_series_meter ON usage_series (tenant_id, meter, version);

-- Principals by number: bitmaps hold the numbers.
CREATE TABLE usage_member (
    tenant_id BLOB NOT NULL,
    id INTEGER NOT NULL,
    principal_id BLOB NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, principal_id)
) STRICT;

-- Sums by quarter of an hour and by day (UTC): of everything together, by series, and by series and principal. Quarters, because
-- there are time zones that are a half or a quarter of an hour off. `sum` is in base units of the meter and stays at the largest
-- number that fits; `members` is a roaring bitmap where the meter counts each thing once.
CREATE TABLE usage_rollup (
    tenant_id BLOB NOT NULL,
    meter TEXT NOT NULL,
    version INTEGER NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('total_quarter', 'total_day', 'quarter', 'day', 'person')),
    bucket INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    principal_id BLOB NOT NULL,
    events INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    members BLOB,
    PRIMARY KEY (tenant_id, meter, version, level, bucket, series_id, principal_id)
) STRICT, WITHOUT ROWID;

-- Events that were sent to be counted and are not: the newest ones of a tenant, and how many there were.
CREATE TABLE usage_reject (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    code TEXT NOT NULL,
    field TEXT NOT NULL,
    message TEXT NOT NULL,
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    principal_id BLOB,
    token_id BLOB,
    seq INTEGER,
    ingest_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE TABLE usage_reject_count (
    tenant_id BLOB NOT NULL,
    day INTEGER NOT NULL,
    code TEXT NOT NULL,
    surface TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, day, code, surface)
) STRICT;
