-- When a closed tenant's data is erased, and how far that is; none while the tenant is not closed.
ALTER TABLE tenant ADD COLUMN erase_time INTEGER;
ALTER TABLE tenant ADD COLUMN erasure TEXT CHECK (erasure IN ('scheduled', 'held', 'running', 'stopped', 'done'));

-- Which process erases a tenant's data. `fence` grows with every holder.
CREATE TABLE tenant_erasure (
    tenant_id BLOB NOT NULL,
    holder BLOB NOT NULL,
    fence INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    PRIMARY KEY (tenant_id)
) STRICT;

-- The keys of one scope's tokens are deleted together.
CREATE INDEX api_token_key_by_scope ON api_token_key (scope_id);
