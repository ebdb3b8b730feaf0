-- Where a log's events are delivered. `target` is canonical JSON without secrets; those are in `secret`, wrapped with the
-- deployment's key.
CREATE TABLE audit_sink (
    scope_id BLOB NOT NULL,
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    display_name TEXT NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    ca_certificate TEXT NOT NULL,
    secret BLOB NOT NULL,
    secret_tag TEXT NOT NULL,
    state TEXT NOT NULL,
    pause_reason TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, slug),
    CHECK (kind IN ('webhook', 'splunk_hec', 'syslog', 'file', 'otlp')),
    CHECK (state IN ('active', 'paused'))
) STRICT;

-- How far each is, and which process delivers. `fence` grows with every holder and every act on the sink.
CREATE TABLE audit_sink_cursor (
    scope_id BLOB NOT NULL,
    sink_id BLOB NOT NULL,
    first_index INTEGER NOT NULL,
    next_index INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    retry_time INTEGER NOT NULL,
    last_delivery_time INTEGER,
    holder BLOB NOT NULL,
    fence INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    PRIMARY KEY (scope_id, sink_id),
    CHECK (first_index <= next_index)
) STRICT;

-- Events that the receiver refused for good.
CREATE TABLE audit_sink_letter (
    scope_id BLOB NOT NULL,
    sink_id BLOB NOT NULL,
    idx INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    redeliver INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (scope_id, sink_id, idx)
) STRICT;
