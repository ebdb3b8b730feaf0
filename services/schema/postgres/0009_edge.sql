-- Which store this is: what revision tokens and signed snapshots are bound to. Made when the database is set up, and made anew
-- after a restore.
ALTER TABLE deployment ADD COLUMN store_epoch UUID;
