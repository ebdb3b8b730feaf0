-- Whether the people of a role write software for a living: adoption is told apart by it.
ALTER TABLE role ADD COLUMN family TEXT NOT NULL DEFAULT 'unspecified'
    CHECK (family IN ('unspecified', 'developer', 'non_developer'));
