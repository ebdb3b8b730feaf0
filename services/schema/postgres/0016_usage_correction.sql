-- Corrections of usage: what was taken back or put in later, by whom and why. Events are never changed and never removed: which of
-- them stand is what the voids say.

CREATE TABLE usage_correction (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    range_start BIGINT,
    range_end BIGINT,
    client TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    replaces BOOLEAN NOT NULL,
    -- the next free place among what is staged
    staged_next BIGINT NOT NULL,
    staged_count BIGINT NOT NULL,
    taken_count BIGINT NOT NULL,
    added_count BIGINT NOT NULL,
    skipped_count BIGINT NOT NULL,
    -- what it does to figures, by meter: JSON
    effects TEXT COLLATE "C" NOT NULL,
    end_reason TEXT COLLATE "C" NOT NULL,
    end_actor TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    commit_time BIGINT,
    end_time BIGINT,
    PRIMARY KEY (tenant_id, id),
    CHECK (kind IN ('void', 'amend', 'backfill')),
    CHECK (state IN ('staged', 'committed', 'reverted', 'abandoned'))
);

-- Which events were taken back. Of an event, at most one is in force: the one that was not undone.
CREATE TABLE usage_void (
    tenant_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    correction_id UUID NOT NULL,
    void_time BIGINT NOT NULL,
    undone_time BIGINT,
    PRIMARY KEY (tenant_id, seq, correction_id)
);
CREATE UNIQUE INDEX usage_void_in_force ON usage_void (tenant_id, seq) WHERE undone_time IS NULL;
CREATE INDEX usage_void_correction ON usage_void (tenant_id, correction_id, seq);

-- Events that a correction made; an amendment also says which one it stands for.
ALTER TABLE usage_event ADD COLUMN correction_id UUID;
ALTER TABLE usage_event ADD COLUMN replaces_seq BIGINT;
CREATE INDEX usage_event_correction ON usage_event (tenant_id, correction_id, seq) WHERE correction_id IS NOT NULL;

-- Events whose source and id another one has taken, which does not stand: `dedupe_key` is that of source and id.
CREATE TABLE usage_event_again (
    tenant_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    dedupe_key BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
CREATE INDEX usage_event_again_key ON usage_event_again (tenant_id, dedupe_key);

-- Events of a backfill that nobody sees yet.
CREATE TABLE usage_staged (
    tenant_id UUID NOT NULL,
    correction_id UUID NOT NULL,
    n BIGINT NOT NULL,
    dedupe_key BYTEA NOT NULL,
    own_key BYTEA NOT NULL,
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
    replaces_seq BIGINT,
    PRIMARY KEY (tenant_id, correction_id, n),
    UNIQUE (tenant_id, correction_id, dedupe_key)
);

-- Days of UTC whose rollups are not what the events say, until they are derived again. `mark` says since which act.
CREATE TABLE usage_stale_day (
    tenant_id UUID NOT NULL,
    day BIGINT NOT NULL,
    mark UUID NOT NULL,
    PRIMARY KEY (tenant_id, day)
);
