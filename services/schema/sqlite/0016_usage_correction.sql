-- Corrections of usage: what was taken back or put in later, by whom and why. Events are never changed and never removed: which of
-- them stand is what the voids say.

CREATE TABLE usage_correction (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    range_start INTEGER,
    range_end INTEGER,
    client TEXT NOT NULL,
    source TEXT NOT NULL,
    replaces INTEGER NOT NULL,
    -- the next free place among what is staged
    staged_next INTEGER NOT NULL,
    staged_count INTEGER NOT NULL,
    taken_count INTEGER NOT NULL,
    added_count INTEGER NOT NULL,
    skipped_count INTEGER NOT NULL,
    -- what it does to figures, by meter: JSON
    effects TEXT NOT NULL,
    end_reason TEXT NOT NULL,
    end_actor TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    commit_time INTEGER,
    end_time INTEGER,
    PRIMARY KEY (tenant_id, id),
    CHECK (kind IN ('void', 'amend', 'backfill')),
    CHECK (state IN ('staged', 'committed', 'reverted', 'abandoned'))
) STRICT;

-- Which events were taken back. Of an event, at most one is in force: the one that was not undone.
CREATE TABLE usage_void (
    tenant_id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    correction_id BLOB NOT NULL,
    void_time INTEGER NOT NULL,
    undone_time INTEGER,
    PRIMARY KEY (tenant_id, seq, correction_id)
) STRICT;
CREATE UNIQUE INDEX usage_void_in_force ON usage_void (tenant_id, seq) WHERE undone_time IS NULL;
CREATE INDEX usage_void_correction ON usage_void (tenant_id, correction_id, seq);

-- Events that a correction made; an amendment also says which one it stands for.
ALTER TABLE usage_event ADD COLUMN correction_id BLOB;
ALTER TABLE usage_event ADD COLUMN replaces_seq INTEGER;
CREATE INDEX usage_event_correction ON usage_event (tenant_id, correction_id, seq) WHERE correction_id IS NOT NULL;

-- Events whose source and id another one has taken, which does not stand: `dedupe_key` is that of source and id.
CREATE TABLE usage_event_again (
    tenant_id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    dedupe_key BLOB NOT NULL,
    PRIMARY KEY (tenant_id, seq)
) STRICT;
CREATE INDEX usage_event_again_key ON usage_event_again (tenant_id, dedupe_key);

-- Events of a backfill that nobody sees yet.
CREATE TABLE usage_staged (
    tenant_id BLOB NOT NULL,
    correction_id BLOB NOT NULL,
    n INTEGER NOT NULL,
    dedupe_key BLOB NOT NULL,
    own_key BLOB NOT NULL,
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
    replaces_seq INTEGER,
    PRIMARY KEY (tenant_id, correction_id, n),
    UNIQUE (tenant_id, correction_id, dedupe_key)
) STRICT;

-- Days of UTC whose rollups are not what the events say, until they are derived again. `mark` says since which act.
CREATE TABLE usage_stale_day (
    tenant_id BLOB NOT NULL,
    day INTEGER NOT NULL,
    mark BLOB NOT NULL,
    PRIMARY KEY (tenant_id, day)
) STRICT;
