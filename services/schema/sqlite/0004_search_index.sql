-- The search index holds many terms in a row: most are of a single event, and a row for each cost more than the event. The
-- index is derived from the log and is made anew.
DROP TABLE audit_term;
DELETE FROM audit_segment;
UPDATE audit_log SET segments = 0;
CREATE TABLE audit_posting (
    scope_id BLOB NOT NULL,
    level INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    terms BLOB NOT NULL,
    PRIMARY KEY (scope_id, level, segment, bucket)
) STRICT, WITHOUT ROWID;
