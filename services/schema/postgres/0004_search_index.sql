-- The search index holds many terms in a row: most are of a single event, and a row for each cost more than the event. The
-- index is derived from the log and is made anew.
DROP TABLE audit_term;
DELETE FROM audit_segment;
UPDATE audit_log SET segments = 0;
CREATE TABLE audit_posting (
    scope_id UUID NOT NULL,
    level BIGINT NOT NULL,
    segment BIGINT NOT NULL,
    bucket BIGINT NOT NULL,
    terms BYTEA NOT NULL,
    PRIMARY KEY (scope_id, level, segment, bucket)
);
