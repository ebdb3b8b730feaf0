-- Where a log's events are delivered. `target` is canonical JSON without secrets; those are in `secret`, wrapped with the
-- deployment's key.
CREATE TABLE audit_sink (
    scope_id UUID NOT NULL,
    id UUID NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    ca_certificate TEXT COLLATE "C" NOT NULL,
    secret BYTEA NOT NULL,
    secret_tag TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    pause_reason TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, slug),
    CHECK (kind IN ('webhook', 'splunk_hec', 'syslog', 'file', 'otlp')),
    CHECK (state IN ('active', 'paused'))
);

-- How far each is, and which process delivers. `fence` grows with every holder and every act on the sink.
CREATE TABLE audit_sink_cursor (
    scope_id UUID NOT NULL,
    sink_id UUID NOT NULL,
    first_index BIGINT NOT NULL,
    next_index BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    last_error TEXT COLLATE "C" NOT NULL,
    retry_time BIGINT NOT NULL,
    last_delivery_time BIGINT,
    holder UUID NOT NULL,
    fence BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    PRIMARY KEY (scope_id, sink_id),
    CHECK (first_index <= next_index)
);

-- Events that the receiver refused for good.
CREATE TABLE audit_sink_letter (
    scope_id UUID NOT NULL,
    sink_id UUID NOT NULL,
    idx BIGINT NOT NULL,
    event_id UUID NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    redeliver BOOLEAN NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (scope_id, sink_id, idx)
);
