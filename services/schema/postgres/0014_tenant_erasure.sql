-- When a closed tenant's data is erased, and how far that is; none while the tenant is not closed.
ALTER TABLE tenant ADD COLUMN erase_time BIGINT;
ALTER TABLE tenant ADD COLUMN erasure TEXT COLLATE "C" CHECK (erasure IN ('scheduled', 'held', 'running', 'stopped', 'done'));

-- Which process erases a tenant's data. `fence` grows with every holder.
CREATE TABLE tenant_erasure (
    tenant_id UUID NOT NULL,
    holder UUID NOT NULL,
    fence BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    PRIMARY KEY (tenant_id)
);

-- The keys of one scope's tokens are deleted together.
CREATE INDEX api_token_key_by_scope ON api_token_key (scope_id);
