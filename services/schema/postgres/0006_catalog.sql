-- From when a deprecated version counts as withdrawn; and what a version bundles, as a list can be searched by: in lower
-- case, each entry between line breaks. What is there already is folded as far as ASCII goes, until its content changes.
ALTER TABLE plugin_version ADD COLUMN sunset_time BIGINT;
ALTER TABLE plugin_version ADD COLUMN app_keys TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE plugin_version ADD COLUMN connector_ids TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE plugin_version ADD COLUMN skill_names TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE plugin_version ADD COLUMN server_keys TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE plugin_version SET
    app_keys = COALESCE((SELECT chr(10) || string_agg(LOWER((e.value ->> 'key') COLLATE "C"), chr(10) ORDER BY e.place) || chr(10) FROM jsonb_array_elements(apps::jsonb) WITH ORDINALITY AS e (value, place)), ''),
    connector_ids = COALESCE((SELECT chr(10) || string_agg(LOWER((e.value ->> 'connector_id') COLLATE "C"), chr(10) ORDER BY e.place) || chr(10) FROM jsonb_array_elements(apps::jsonb) WITH ORDINALITY AS e (value, place)), ''),
    skill_names = COALESCE((SELECT chr(10) || string_agg(LOWER(e.value COLLATE "C"), chr(10) ORDER BY e.place) || chr(10) FROM jsonb_array_elements_text(skills::jsonb) WITH ORDINALITY AS e (value, place)), ''),
    server_keys = COALESCE((SELECT chr(10) || string_agg(LOWER((e.value ->> 'key') COLLATE "C"), chr(10) ORDER BY e.place) || chr(10) FROM jsonb_array_elements(mcp_servers::jsonb) WITH ORDINALITY AS e (value, place)), '');

-- Everything of a plugin that a word can be found in, in lower case.
ALTER TABLE plugin ADD COLUMN search_text TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE plugin SET search_text = LOWER(slug || chr(10) || display_name || chr(10) || description || chr(10) || category) || COALESCE(
    (SELECT v.app_keys || v.connector_ids || v.skill_names || v.server_keys FROM plugin_version v
     WHERE v.marketplace_id = plugin.marketplace_id AND v.plugin_id = plugin.id AND v.id = plugin.version_id), '');
