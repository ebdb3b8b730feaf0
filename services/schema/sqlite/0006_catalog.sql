-- From when a deprecated version counts as withdrawn; and what a version bundles, as a list can be searched by: in lower
-- case, each entry between line breaks. What is there already is folded as far as ASCII goes, until its content changes.
ALTER TABLE plugin_version ADD COLUMN sunset_time INTEGER;
ALTER TABLE plugin_version ADD COLUMN app_keys TEXT NOT NULL DEFAULT '';
ALTER TABLE plugin_version ADD COLUMN connector_ids TEXT NOT NULL DEFAULT '';
ALTER TABLE plugin_version ADD COLUMN skill_names TEXT NOT NULL DEFAULT '';
ALTER TABLE plugin_version ADD COLUMN server_keys TEXT NOT NULL DEFAULT '';
UPDATE plugin_version SET
    app_keys = COALESCE((SELECT char(10) || group_concat(LOWER(json_extract(e.value, '$.key')), char(10)) || char(10) FROM json_each(apps) e), ''),
    connector_ids = COALESCE((SELECT char(10) || group_concat(LOWER(json_extract(e.value, '$.connector_id')), char(10)) || char(10) FROM json_each(apps) e), ''),
    skill_names = COALESCE((SELECT char(10) || group_concat(LOWER(e.value), char(10)) || char(10) FROM json_each(skills) e), ''),
    server_keys = COALESCE((SELECT char(10) || group_concat(LOWER(json_extract(e.value, '$.key')), char(10)) || char(10) FROM json_each(mcp_servers) e), '');

-- Everything of a plugin that a word can be found in, in lower case.
ALTER TABLE plugin ADD COLUMN search_text TEXT NOT NULL DEFAULT '';
UPDATE plugin SET search_text = LOWER(slug || char(10) || display_name || char(10) || description || char(10) || category) || COALESCE(
    (SELECT v.app_keys || v.connector_ids || v.skill_names || v.server_keys FROM plugin_version v
     WHERE v.marketplace_id = plugin.marketplace_id AND v.plugin_id = plugin.id AND v.id = plugin.version_id), '');
