-- The outbox of the audit log, slim: everything else of an event is in its entry. The old rows are carried over.
CREATE TABLE audit_outbox (
    scope_id UUID NOT NULL,
    id UUID NOT NULL,
    entry TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (scope_id, id)
);
INSERT INTO audit_outbox (scope_id, id, entry) SELECT scope_id, id, entry FROM audit_pending;
DROP TABLE audit_pending;
ALTER TABLE audit_outbox RENAME TO audit_pending;

-- One row a log: how far it is sequenced, signed and indexed, and who sequences it. `fence` grows with every holder.
CREATE TABLE audit_log (
    scope_id UUID NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    root BYTEA NOT NULL,
    signed_size BIGINT NOT NULL,
    checkpoint TEXT COLLATE "C" NOT NULL,
    sign_time BIGINT NOT NULL,
    minimum_index BIGINT NOT NULL,
    segments BIGINT NOT NULL,
    published_size BIGINT NOT NULL,
    holder UUID NOT NULL,
    fence BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (scope_id),
    CHECK (signed_size <= size AND minimum_index <= size AND published_size <= signed_size)
);

-- The log itself: inserted once, never changed, removed only from the front. `idx` has no gap.
CREATE TABLE audit_event (
    scope_id UUID NOT NULL,
    idx BIGINT NOT NULL,
    id UUID NOT NULL,
    time BIGINT NOT NULL,
    entry TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (scope_id, idx),
    UNIQUE (scope_id, id)
);

-- Hash tiles (C2SP tlog-tiles); a partial one grows in place until it has 256 hashes.
CREATE TABLE audit_tile (
    scope_id UUID NOT NULL,
    level BIGINT NOT NULL,
    tile BIGINT NOT NULL,
    width BIGINT NOT NULL,
    hashes BYTEA NOT NULL,
    PRIMARY KEY (scope_id, level, tile),
    CHECK (width BETWEEN 1 AND 256)
);

-- The search index: one row for every segment of the log, and one for every term in it with the events that have it. A
-- segment of level 0 has 4,096 events; sixteen of them become one of level 1. `times` holds every event's time.
CREATE TABLE audit_segment (
    scope_id UUID NOT NULL,
    level BIGINT NOT NULL,
    segment BIGINT NOT NULL,
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    times BYTEA NOT NULL,
    PRIMARY KEY (scope_id, level, segment)
);
CREATE TABLE audit_term (
    scope_id UUID NOT NULL,
    level BIGINT NOT NULL,
    segment BIGINT NOT NULL,
    term BIGINT NOT NULL,
    bits BYTEA NOT NULL,
    PRIMARY KEY (scope_id, level, segment, term)
);

-- Keys that a person's fields are sealed with, wrapped by the deployment's key. A destroyed key leaves its row without it.
CREATE TABLE subject_key (
    scope_id UUID NOT NULL,
    id UUID NOT NULL,
    principal_id UUID NOT NULL,
    wrapped BYTEA,
    create_time BIGINT NOT NULL,
    destroy_time BIGINT,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, principal_id)
);

-- Filters that people keep under a name.
CREATE TABLE saved_search (
    scope_id UUID NOT NULL,
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    filter TEXT COLLATE "C" NOT NULL,
    create_time BIGINT NOT NULL,
    creator TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, slug)
);

-- Paths by which a tool without headers reads one log's tiles.
CREATE TABLE mirror_link (
    scope_id UUID NOT NULL,
    id UUID NOT NULL,
    scope_kind TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    create_time BIGINT NOT NULL,
    expire_time BIGINT NOT NULL,
    revoke_time BIGINT,
    PRIMARY KEY (scope_id, id),
    CHECK (scope_kind IN ('platform', 'partner', 'tenant'))
);

-- From the SHA-256 of a link's secret to the link: global, because the path names no scope.
CREATE TABLE mirror_link_key (
    sha256 BYTEA NOT NULL,
    scope_id UUID NOT NULL,
    link_id UUID NOT NULL,
    PRIMARY KEY (sha256)
);

-- How long events are kept, by class; and what keeps them longer.
CREATE TABLE audit_retention (
    scope_id UUID NOT NULL,
    event_class TEXT COLLATE "C" NOT NULL,
    days BIGINT NOT NULL,
    PRIMARY KEY (scope_id, event_class)
);
CREATE TABLE legal_hold (
    scope_id UUID NOT NULL,
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    principal_id UUID,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    release_time BIGINT,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, slug)
);

-- What the events that retention removed had made of the state: canonical JSON in parts, so that the log can still be folded.
-- People's data is sealed in it as it was in the events. `idx` is the first index that it does not cover.
CREATE TABLE audit_snapshot (
    scope_id UUID NOT NULL,
    part BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (scope_id, part)
);
