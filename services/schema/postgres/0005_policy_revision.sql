-- How often what decisions rest on has changed: one row for each tenant, and one of the catalogue under the nil scope. It is
-- advanced in the transaction of the change.
CREATE TABLE policy_revision (
    scope_id UUID NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (scope_id),
    CHECK (revision > 0)
);

-- What changed with each revision: the name of the resource. Old rows are deleted; who is further behind reads everything.
CREATE TABLE policy_change (
    scope_id UUID NOT NULL,
    revision BIGINT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (scope_id, revision)
);

-- A floor is a rule that only the tenant's owner and compliance may set and take away.
ALTER TABLE entitlement ADD COLUMN floor BOOLEAN NOT NULL DEFAULT FALSE;
