-- The outbox of the audit log, slim: everything else of an event is in its entry. The old rows are carried over.
CREATE TABLE audit_outbox (
    scope_id BLOB NOT NULL,
    id BLOB NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (scope_id, id)
) STRICT, WITHOUT ROWID;
INSERT INTO audit_outbox (scope_id, id, entry) SELECT scope_id, id, entry FROM audit_pending;
DROP TABLE audit_pending;
ALTER TABLE audit_outbox RENAME TO audit_pending;

-- One row a log: how far it is sequenced, signed and indexed, and who sequences it. `fence` grows with every holder.
CREATE TABLE audit_log (
    scope_id BLOB NOT NULL,
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    signed_size INTEGER NOT NULL,
    checkpoint TEXT NOT NULL,
    sign_time INTEGER NOT NULL,
    minimum_index INTEGER NOT NULL,
    segments INTEGER NOT NULL,
    published_size INTEGER NOT NULL,
    holder BLOB NOT NULL,
    fence INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (scope_id),
    CHECK (signed_size <= size AND minimum_index <= size AND published_size <= signed_size)
) STRICT;

-- The log itself: inserted once, never changed, removed only from the front. `idx` has no gap.
CREATE TABLE audit_event (
    scope_id BLOB NOT NULL,
    idx INTEGER NOT NULL,
    id BLOB NOT NULL,
    time INTEGER NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (scope_id, idx),
    UNIQUE (scope_id, id)
) STRICT;

-- Hash tiles (C2SP tlog-tiles); a partial one grows in place until it has 256 hashes.
CREATE TABLE audit_tile (
    scope_id BLOB NOT NULL,
    level INTEGER NOT NULL,
    tile INTEGER NOT NULL,
    width INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (scope_id, level, tile),
    CHECK (width BETWEEN 1 AND 256)
) STRICT;

-- The search index: one row for every segment of the log, and one for every term in it with the events that have it. A
-- segment of level 0 has 4,096 events; sixteen of them become one of level 1. `times` holds every event's time.
CREATE TABLE audit_segment (
    scope_id BLOB NOT NULL,
    level INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    first_time INTEGER NOT NULL,
    last_time INTEGER NOT NULL,
    times BLOB NOT NULL,
    PRIMARY KEY (scope_id, level, segment)
) STRICT;
CREATE TABLE audit_term (
    scope_id BLOB NOT NULL,
    level INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    term INTEGER NOT NULL,
    bits BLOB NOT NULL,
    PRIMARY KEY (scope_id, level, segment, term)
) STRICT, WITHOUT ROWID;

-- Keys that a person's fields are sealed with, wrapped by the deployment's key. A destroyed key leaves its row without it.
CREATE TABLE subject_key (
    scope_id BLOB NOT NULL,
    id BLOB NOT NULL,
    principal_id BLOB NOT NULL,
    wrapped BLOB,
    create_time INTEGER NOT NULL,
    destroy_time INTEGER,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, principal_id)
) STRICT;

-- Filters that people keep under a name.
CREATE TABLE saved_search (
    scope_id BLOB NOT NULL,
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    display_name TEXT NOT NULL,
    filter TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    creator TEXT NOT NULL,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, slug)
) STRICT;

-- Paths by which a tool without headers reads one log's tiles.
CREATE TABLE mirror_link (
    scope_id BLOB NOT NULL,
    id BLOB NOT NULL,
    scope_kind TEXT NOT NULL,
    display_name TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    revoke_time INTEGER,
    PRIMARY KEY (scope_id, id),
    CHECK (scope_kind IN ('platform', 'partner', 'tenant'))
) STRICT;

-- From the SHA-256 of a link's secret to the link: global, because the path names no scope.
CREATE TABLE mirror_link_key (
    sha256 BLOB NOT NULL,
    scope_id BLOB NOT NULL,
    link_id BLOB NOT NULL,
    PRIMARY KEY (sha256)
) STRICT;

-- How long events are kept, by class; and what keeps them longer.
CREATE TABLE audit_retention (
    scope_id BLOB NOT NULL,
    event_class TEXT NOT NULL,
    days INTEGER NOT NULL,
    PRIMARY KEY (scope_id, event_class)
) STRICT;
CREATE TABLE legal_hold (
    scope_id BLOB NOT NULL,
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    reason TEXT NOT NULL,
    principal_id BLOB,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    release_time INTEGER,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, slug)
) STRICT;

-- What the events that retention removed had made of the state: canonical JSON in parts, so that the log can still be folded.
-- People's data is sealed in it as it was in the events. `idx` is the first index that it does not cover.
CREATE TABLE audit_snapshot (
    scope_id BLOB NOT NULL,
    part INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (scope_id, part)
) STRICT;
