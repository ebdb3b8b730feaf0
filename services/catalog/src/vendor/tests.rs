use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::walk::read_directory;

const LIST: &str = codex::FORMAT.file;

fn data(marketplace: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("PROVOST_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    data.join("marketplaces").join(marketplace)
}

fn file(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::from_files(files.iter().copied()).unwrap()
}

fn refusal(files: &[(&str, &str)]) -> String {
    match read(&tree(files)).unwrap_err() {
        Error::Marketplace(message) => message,
        other => panic!("{other:?}"),
    }
}

/// A Codex marketplace with the plugins `a` and `b` and whatever `files` add.
fn codex_with(entries: &Value, files: &[(&str, &str)]) -> Result<Import> {
    let list = json!({"name": "m", "plugins": entries}).to_string();
    let usual = [
        (LIST, list.as_str()),
        ("a/.codex-plugin/plugin.json", r#"{"name": "a"}"#),
        ("b/.codex-plugin/plugin.json", r#"{"name": "b"}"#),
    ];
    let added = |path: &str| files.iter().any(|(p, _)| *p == path);
    read(&tree(
        &usual.into_iter().filter(|(p, _)| !added(p)).chain(files.iter().copied()).collect::<Vec<_>>(),
    ))
}

/// The plugin `a` with this manifest and these files in its directory.
fn codex_plugin(manifest: &Value, files: &[(&str, &str)]) -> Result<Import> {
    let manifest = manifest.to_string();
    let files: Vec<_> = files.iter().map(|(path, text)| (format!("a/{path}"), *text)).collect();
    let files = files.iter().map(|(path, text)| (path.as_str(), *text));
    let files: Vec<_> =
        [("a/.codex-plugin/plugin.json", manifest.as_str())].into_iter().chain(files).collect();
    codex_with(&json!([{"name": "a", "source": "./a"}, {"name": "b", "source": "./b"}]), &files)
}

fn claude_with(entry: &Value, files: &[(&str, &str)]) -> Import {
    let list = json!({"name": "m", "plugins": [entry]}).to_string();
    read(&tree(
        &[(claude::FORMAT.file, list.as_str())].into_iter().chain(files.iter().copied()).collect::<Vec<_>>(),
    ))
    .unwrap()
}

fn skips(import: &Import) -> Vec<&str> {
    import.skipped.iter().map(|s| s.entry.as_str()).collect()
}

/// What the file system holds of the plugins with local content: plugins, apps, skills, MCP servers.
fn counts(root: &Path, list: &str) -> [usize; 4] {
    let list = file(&root.join(list));
    let path = |entry: &Value| {
        let source = &entry["source"];
        source
            .as_str()
            .or_else(|| source["path"].as_str().filter(|_| source["source"] == "local"))
            .map(str::to_owned)
    };
    let members = |path: &Path, field: &str| {
        if path.exists() { file(path)[field].as_object().unwrap().len() } else { 0 }
    };
    let mut counts = [0; 4];
    for directory in list["plugins"].as_array().unwrap().iter().filter_map(path).map(|p| root.join(p)) {
        let skills =
            fs::read_dir(directory.join("skills")).map(|d| d.map(|e| e.unwrap().path().join("SKILL.md")));
        counts[0] += 1;
        counts[1] += members(&directory.join(".app.json"), "apps");
        counts[2] += skills.map_or(0, |skills| skills.filter(|s| s.exists()).count());
        counts[3] += members(&directory.join(".mcp.json"), "mcpServers");
    }
    counts
}

fn found(import: &Import) -> [usize; 4] {
    let sum = |part: fn(&PluginImport) -> usize| import.plugins.iter().map(part).sum();
    [sum(|_| 1), sum(|p| p.apps.len()), sum(|p| p.skills.len()), sum(|p| p.mcp_servers.len())]
}

#[test]
fn the_codex_marketplace_is_read_whole() {
    let root = data("codex-official");
    let import = read(&read_directory(&root).unwrap()).unwrap();
    assert_eq!(found(&import), counts(&root, LIST));
    assert_eq!(import.plugins.len(), 180);
    assert_eq!(
        (import.marketplace.slug.as_str(), import.marketplace.format),
        ("openai-curated", Format::Codex)
    );
    assert_eq!(import.marketplace.display_name, "Codex official");
    // the only SKILL.md files that are no skills are the fixtures of one plugin
    assert_eq!(import.skipped.len(), 3, "{:?}", import.skipped);
    assert!(skips(&import).iter().all(|e| e.starts_with("plugin-eval: fixtures/")));
    let templated: Vec<_> = import.plugins.iter().flat_map(|p| &p.apps).filter(|a| a.templated).collect();
    assert_eq!(templated.len(), 1);
    let figma = import.plugins.iter().find(|p| p.slug.as_str() == "figma").unwrap();
    assert_eq!((figma.display_name.as_str(), figma.category.as_str()), ("Figma", "Creativity"));
    assert!(!figma.version.is_empty() && figma.skills.is_sorted() && !figma.skills.is_empty());
}

#[test]
fn the_claude_marketplace_is_read_whole_and_names_what_is_elsewhere() {
    let root = data("claude-knowledge-work");
    let import = read(&read_directory(&root).unwrap()).unwrap();
    let listed = file(&root.join(claude::FORMAT.file))["plugins"].as_array().unwrap().len();
    assert_eq!(found(&import), counts(&root, claude::FORMAT.file));
    assert_eq!((import.plugins.len(), import.listed.len()), (22, listed));
    // every entry that is not imported is named
    assert_eq!(import.skipped.len(), listed - 22);
    assert!(skips(&import).contains(&"bigdata-com"));
    let sales = import.plugins.iter().find(|p| p.slug.as_str() == "sales").unwrap();
    let calendar = sales.mcp_servers.iter().find(|s| s.key == "google calendar").unwrap();
    assert!(calendar.url.is_empty() || calendar.url.starts_with("https://"));
    assert!(import.plugins.iter().any(|p| p.slug.as_str() == "slack-by-salesforce" && !p.skills.is_empty()));
}

#[test]
fn the_starter_marketplace_describes_the_six_role_plugins() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/quickstart/marketplace");
    let import = read(&read_directory(&root).unwrap()).unwrap();
    assert_eq!(found(&import), counts(&root, LIST));
    assert!(import.skipped.is_empty(), "{:?}", import.skipped);
    let apps = |slug: &str| -> Vec<_> {
        let plugin = import.plugins.iter().find(|p| p.slug.as_str() == slug).unwrap();
        assert!(plugin.apps.iter().all(|a| a.templated) && plugin.skills.len() >= 3, "{slug}");
        plugin.apps.iter().map(|a| a.key.clone()).collect()
    };
    assert_eq!(apps("data-analytics"), ["databricks", "snowflake", "tableau"]);
    assert_eq!(apps("sales"), ["hubspot", "salesforce"]);
    assert_eq!(apps("investment-banking"), ["factset", "lseg", "pitchbook"]);
    for slug in ["creative-production", "product-design", "public-equity-investing"] {
        assert!(apps(slug).is_empty());
    }
}

#[test]
fn a_directory_without_a_readable_marketplace_file_is_refused_whole() {
    let cut = r#"{"name": "m", "plugins": [{"name": "a", "sou"#;
    for (text, says) in [
        (cut, "is not JSON"),
        ("", "is not JSON"),
        ("\u{feff}{}", "is not JSON"),
        ("[]", "no `name`"),
        (r#"{"name": 7, "plugins": []}"#, "no `name`"),
        (r#"{"name": "a b", "plugins": []}"#, "`a b`"),
        (r#"{"name": "../x", "plugins": []}"#, "`../x`"),
        (r#"{"name": "m"}"#, "no list of `plugins`"),
        (r#"{"name": "m", "plugins": {}}"#, "no list of `plugins`"),
    ] {
        let message = refusal(&[(LIST, text)]);
        assert!(message.contains(says), "{text}: {message}");
    }
    assert!(refusal(&[("README.md", "x")]).contains(".claude-plugin/marketplace.json"));
    let long = format!("{}{}", " ".repeat(crate::tree::MAX_JSON), r#"{"name": "m", "plugins": []}"#);
    assert!(refusal(&[(LIST, &long)]).contains("1 MiB"));
}

#[test]
fn json_nests_up_to_a_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let list = |depth| format!(r#"{{"name": "m", "plugins": [], "x": {}}}"#, nested(depth));
    assert!(read(&tree(&[(LIST, &list(126))])).is_ok());
    assert!(refusal(&[(LIST, &list(127))]).contains("nests deeper"));
    assert!(refusal(&[(LIST, &list(100_000))]).contains("nests deeper"));
    // in a plugin's file too it is a limit of the directory, not a mistake of an entry
    let deep = nested(128);
    let error = codex_plugin(&json!({}), &[(".mcp.json", &deep)]).unwrap_err().to_string();
    assert!(error.contains("`a/.mcp.json` nests deeper"), "{error}");
}

#[test]
fn a_path_that_leaves_the_directory_refuses_it_whole() {
    for path in ["../x", "./a/../../x", "/etc", "a\\b", "./..", "a\0"] {
        for source in [json!(path), json!({"source": "local", "path": path})] {
            let entries = json!([{"name": "b", "source": "./b"}, {"name": "a", "source": source}]);
            let error = codex_with(&entries, &[]).unwrap_err().to_string();
            assert!(error.contains("points outside"), "{path}: {error}");
        }
        for field in ["apps", "mcpServers", "skills", "hooks"] {
            for value in [json!(path), json!([path])] {
                let error = codex_plugin(&json!({"name": "a", field: value}), &[]).unwrap_err().to_string();
                assert!(error.contains("points outside"), "{field} {path}: {error}");
            }
        }
    }
}

#[test]
fn a_plugin_listed_twice_refuses_the_directory_also_in_another_case() {
    for second in ["a", "A"] {
        let entries = json!([{"name": "a", "source": "./a"}, {"name": second, "source": {"source": "npm", "package": "a"}}]);
        let error = codex_with(&entries, &[]).unwrap_err().to_string();
        assert!(error.contains("`a` twice"), "{error}");
    }
}

#[test]
fn two_thousand_plugins_are_listed_and_one_more_is_refused() {
    let entries = |count: usize| (0..count).map(|n| json!({"name": format!("p{n}")})).collect::<Value>();
    assert_eq!(codex_with(&entries(2_000), &[]).unwrap().listed.len(), 2_000);
    assert!(codex_with(&entries(2_001), &[]).is_err());
}

#[test]
fn a_bad_entry_among_good_ones_is_skipped_and_named() {
    let remote =
        |kind: &str| json!({"name": kind, "source": {"source": kind, "url": "https://example.com/x.git"}});
    let entries = json!([
        {"name": "a", "source": "./a"},
        "text", {"source": "./a"}, {"name": ""}, {"name": "has space", "source": "./a"}, {"name": "x".repeat(64), "source": "./a"},
        {"name": "no-source"}, {"name": "no-path", "source": {"source": "local"}}, {"name": "no-kind", "source": {}},
        {"name": "new-kind", "source": {"source": "carrier-pigeon"}}, {"name": "not-there", "source": "./nowhere"},
        {"name": "address", "source": "https://example.com/x"}, {"name": "no-manifest", "source": "./c"},
        {"name": "cut", "source": "./d"}, remote("url"), remote("git-subdir"), remote("github"), remote("npm"), remote("archive"),
        {"name": "B", "source": {"source": "local", "path": "./b"}},
    ]);
    let import =
        codex_with(&entries, &[("c/README.md", ""), ("d/.codex-plugin/plugin.json", r#"{"name": "#)])
            .unwrap();
    let slugs: Vec<_> = import.plugins.iter().map(|p| p.slug.as_str()).collect();
    assert_eq!(slugs, ["a", "b"]);
    assert_eq!(
        skips(&import),
        [
            "plugins[1]",
            "plugins[2]",
            "plugins[3]",
            "has space",
            &"x".repeat(64),
            "no-source",
            "no-path",
            "no-kind",
            "new-kind",
            "not-there",
            "address",
            "no-manifest",
            "cut",
            "url",
            "git-subdir",
            "github",
            "npm",
            "archive",
        ]
    );
    for skipped in &import.skipped {
        let (why, what) = skipped.reason.rsplit_once(';').unwrap_or_else(|| panic!("{}", skipped.reason));
        assert!(!why.is_empty() && !what.is_empty() && !skipped.reason.ends_with('.'), "{}", skipped.reason);
    }
    // what is listed under a usable name is listed, whether or not it could be read
    assert_eq!(import.listed.len(), entries.as_array().unwrap().len() - 5);
}

#[test]
fn a_plugin_that_no_entry_lists_is_named_unless_it_belongs_to_a_listed_one() {
    let files = [("x/y/.codex-plugin/plugin.json", "{}"), ("a/fixtures/f/.codex-plugin/plugin.json", "{}")];
    let import = codex_with(&json!([{"name": "a", "source": "./a"}]), &files).unwrap();
    assert_eq!(skips(&import), ["b", "x/y"]);
}

#[test]
fn a_plugin_whose_parts_cannot_be_read_is_skipped_whole() {
    let many =
        (0..1_001).map(|n| (format!("k{n}"), json!({"id": "x", "url": "x"}))).collect::<Value>().to_string();
    let long = format!("{}{{}}", " ".repeat(crate::tree::MAX_JSON));
    for (manifest, name, text) in [
        (json!({}), ".app.json", "{"),
        (json!({}), ".app.json", "[]"),
        (json!({}), ".app.json", r#"{"apps": []}"#),
        (json!({}), ".app.json", long.as_str()),
        (json!({}), ".app.json", many.as_str()),
        (json!({}), ".mcp.json", "null"),
        (json!({}), ".mcp.json", many.as_str()),
        (json!({"apps": 7}), "x", ""),
        (json!({"apps": "./apps.toml"}), "apps.toml", ""),
        (json!({"mcpServers": [true]}), "x", ""),
        (json!({"skills": {}}), "x", ""),
        (json!({"hooks": 7}), "x", ""),
    ] {
        let import = codex_plugin(&manifest, &[(name, text)]).unwrap();
        assert_eq!(import.plugins.len(), 1, "{manifest} {name}");
        assert_eq!(skips(&import), ["a"], "{manifest} {name}");
    }
    let asks = |apps: usize| {
        let apps = (0..apps).map(|n| (format!("k{n}"), json!({"id": "REPLACE_WITH_K"}))).collect::<Value>();
        codex_plugin(&json!({"apps": apps}), &[]).unwrap()
    };
    assert_eq!(skips(&asks(33)), ["a"], "templates");
    assert_eq!(asks(32).plugins[0].apps.len(), 32);
    let many: Vec<_> = (0..1_001).map(|n| format!("skills/s{n}/SKILL.md")).collect();
    let many: Vec<_> = many.iter().map(|path| (path.as_str(), "")).collect();
    assert_eq!(skips(&codex_plugin(&json!({}), &many).unwrap()), ["a"]);
    assert_eq!(codex_plugin(&json!({}), &many[1..]).unwrap().plugins[0].skills.len(), 1_000);
}

#[test]
fn a_part_that_is_no_use_is_left_out_and_the_plugin_stays() {
    let apps = json!({"apps": {"good": {"id": "asdk_1"}, "none": {}, "number": {"id": 7}, "empty": {"id": ""}, "a/b": {"id": "x"}}});
    let servers = json!({"mcpServers": {"good": {"command": "run", "args": ["-x", 7, "y"]}, "bare": {}, "text": "x", "\u{1}": {"url": "x"}}});
    let import = codex_plugin(
        &json!({"skills": ["./skills/", "./nowhere"]}),
        &[
            (".app.json", &apps.to_string()),
            (".mcp.json", &servers.to_string()),
            ("skills/one/SKILL.md", ""),
            ("skills/group/deep/SKILL.md", ""),
            ("skills/notes.md", ""),
            ("SKILL.md", ""),
        ],
    )
    .unwrap();
    let plugin = &import.plugins[0];
    assert_eq!(plugin.apps, [App { key: "good".into(), connector_id: "asdk_1".into(), templated: false }]);
    assert_eq!(
        plugin.mcp_servers,
        [McpServer { key: "good".into(), command: "run -x y".into(), url: String::new() }]
    );
    assert_eq!(plugin.skills, ["one"]);
    assert_eq!(
        skips(&import),
        [
            "a: app `a/b`",
            "a: app `empty`",
            "a: app `none`",
            "a: app `number`",
            "a: a/nowhere",
            "a: SKILL.md",
            "a: skills/group/deep/SKILL.md",
            "a: MCP server `\u{1}`",
            "a: MCP server `bare`",
            "a: MCP server `text`",
        ]
    );
}

#[test]
fn parts_are_declared_by_path_inline_or_as_a_list_or_lie_in_the_usual_place() {
    let app = json!({"apps": {"x": {"id": "REPLACE_WITH_X"}}});
    let server = json!({"x": {"url": "https://example.com/mcp"}});
    let place = &[("other.json", app.to_string()), ("servers.json", server.to_string())];
    let place: Vec<_> = place.iter().map(|(path, text)| (*path, text.as_str())).collect();
    for (apps, servers) in [
        (json!("./other.json"), json!("servers.json")),
        (app.clone(), server.clone()),
        (json!([app["apps"]]), json!([{"mcpServers": server}])),
        (json!(["./other.json"]), json!(["./servers.json", {}])),
    ] {
        let manifest = json!({"apps": apps, "mcpServers": servers});
        let plugin = &codex_plugin(&manifest, &place).unwrap().plugins[0];
        assert_eq!((plugin.apps.len(), plugin.mcp_servers.len()), (1, 1), "{manifest}");
        assert!(plugin.apps[0].templated);
    }
    let missing =
        codex_plugin(&json!({"apps": "./gone.json", "mcpServers": "https://example.com/x"}), &[]).unwrap();
    assert_eq!(skips(&missing), ["a: apps", "a: mcpServers"]);
}

#[test]
fn hooks_count_when_declared_or_in_their_usual_place() {
    let has = |hooks: Value, files: &[(&str, &str)]| {
        codex_plugin(&json!({"hooks": hooks}), files).unwrap().plugins[0].has_hooks
    };
    assert!(!has(Value::Null, &[]) && !has(json!({}), &[]) && !has(json!([]), &[]));
    assert!(
        has(json!("./hooks.json"), &[]) && has(json!({"Stop": []}), &[]) && has(json!(["./h.json"]), &[])
    );
    assert!(has(Value::Null, &[("hooks/hooks.json", "{}")]));
}

#[test]
fn a_claude_plugin_adds_what_entry_and_manifest_name_to_the_usual_places() {
    let entry = json!({"name": "P", "source": "./p", "displayName": "Pea", "version": "1", "mcpServers": {"entry": {"url": ""}},
        "skills": "./more"});
    let manifest = r#"{"name": "p", "version": "2", "description": "d", "mcpServers": {"manifest": {"url": "u"}}, "skills": ["./own"]}"#;
    let import = claude_with(
        &entry,
        &[
            ("p/.claude-plugin/plugin.json", manifest),
            ("p/.mcp.json", r#"{"mcpServers": {"usual": {"url": "u"}}}"#),
            ("p/skills/s/SKILL.md", ""),
            ("p/more/m/SKILL.md", ""),
            ("p/own/SKILL.md", ""),
            ("p/commands/c.md", ""),
            ("p/agents/g.md", ""),
        ],
    );
    let plugin = &import.plugins[0];
    assert_eq!((plugin.slug.as_str(), plugin.display_name.as_str()), ("p", "Pea"));
    assert_eq!((plugin.version.as_str(), plugin.description.as_str()), ("2", "d"));
    assert_eq!(
        plugin.mcp_servers.iter().map(|s| s.key.as_str()).collect::<Vec<_>>(),
        ["entry", "manifest", "usual"]
    );
    assert_eq!(plugin.skills, ["m", "own", "s"]);
    assert!(import.skipped.is_empty(), "{:?}", import.skipped);
}

#[test]
fn without_strict_the_claude_entry_is_the_manifest() {
    let files = [
        ("skills/x/SKILL.md", ""),
        ("skills/y/SKILL.md", ""),
        ("skills/z/SKILL.md", ""),
        (".mcp.json", r#"{"z": {"url": "u"}}"#),
    ];
    let entry = json!({"name": "p", "source": "./", "strict": false, "skills": ["./skills/x", "./skills/y"], "mcpServers": {}});
    let import = claude_with(&entry, &files);
    assert_eq!(
        (import.plugins[0].skills.as_slice(), import.plugins[0].mcp_servers.len()),
        (["x".to_owned(), "y".to_owned()].as_slice(), 0)
    );
    let import = claude_with(&json!({"name": "p", "source": "./", "strict": false}), &files);
    assert_eq!((import.plugins[0].skills.len(), import.plugins[0].mcp_servers.len()), (3, 1));
    let import = claude_with(&json!({"name": "p", "source": "./"}), &files);
    assert!(import.plugins.is_empty() && import.skipped[0].reason.contains("`strict`"));
}

#[test]
fn a_claude_plugin_can_be_one_skill_and_lie_under_the_plugin_root() {
    let list = r#"{"name": "m", "metadata": {"pluginRoot": "./plugins"}, "plugins": [{"name": "p", "source": "p", "strict": false}]}"#;
    let import = read(&tree(&[(claude::FORMAT.file, list), ("plugins/p/SKILL.md", "")])).unwrap();
    assert_eq!(import.plugins[0].skills, ["p"]);
    let leaves = list.replace("./plugins", "../plugins");
    assert!(refusal(&[(claude::FORMAT.file, &leaves)]).contains("points outside"));
}

#[test]
fn of_two_formats_in_one_directory_one_is_imported_and_the_other_named() {
    let list = r#"{"name": "m", "plugins": []}"#;
    let import = read(&tree(&[(LIST, list), (claude::FORMAT.file, list)])).unwrap();
    assert_eq!((import.marketplace.format, skips(&import)), (Format::Codex, vec![claude::FORMAT.file]));
}

#[test]
fn vendors_words_are_one_bounded_line_without_control_characters() {
    assert_eq!(words(" a\nb\0c\u{1b}[0m ", 10), "a b c [0m");
    assert_eq!(words(&"ü".repeat(3_000), 2_048).chars().count(), 2_048);
}

#[test]
fn a_digest_covers_the_plugins_directory_and_entry_and_nothing_else() {
    let entries = |category: &str| json!([{"name": "a", "source": "./a", "category": category}, {"name": "b", "source": "./b"}]);
    let digests = |category, files: &[(&str, &str)]| {
        let import = codex_with(&entries(category), files).unwrap();
        (import.plugins[0].content_sha256, import.plugins[1].content_sha256, import.sha256())
    };
    let first = digests("x", &[]);
    assert_eq!(first, digests("x", &[("README.md", "elsewhere")]));
    for other in
        [digests("y", &[]), digests("x", &[("a/new.md", "")]), digests("x", &[("a/.app.json", "{}")])]
    {
        assert_ne!(first.0, other.0);
        assert_eq!(first.1, other.1);
        assert_ne!(first.2, other.2);
    }
}

#[test]
fn a_plugin_in_the_root_does_not_change_with_its_neighbours_entry() {
    let digest = |other: &str| {
        let list = json!({"name": "m", "plugins": [{"name": "p", "source": "./", "strict": false}, {"name": other}]});
        read(&tree(&[(claude::FORMAT.file, &list.to_string()), ("x", "")])).unwrap().plugins[0].content_sha256
    };
    assert_eq!(digest("one"), digest("two"));
}

#[test]
fn a_marketplace_of_the_same_name_in_another_format_is_refused() {
    let codex = codex_with(&json!([]), &[]).unwrap();
    let before =
        codex.marketplace.first(codex.sha256(), MarketplaceId(uuid::Uuid::nil()), Time::from_micros(1));
    assert!(codex.marketplace.next(&before, codex.sha256(), Time::from_micros(2)).is_ok());
    let other = claude_with(&json!({}), &[]);
    let error = other.marketplace.next(&before, other.sha256(), Time::from_micros(2)).unwrap_err();
    assert!(error.to_string().contains("`m` was imported in the codex format"), "{error}");
}

/// JSON of the shapes that vendors and their mistakes have.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "name",
        "source",
        "path",
        "plugins",
        "apps",
        "mcpServers",
        "skills",
        "hooks",
        "id",
        "url",
        "command",
        "strict",
        "a",
        "./a",
        "./",
        "",
        "local",
        "./x.json",
        "é/\u{0}",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone().prop_map(str::to_owned), inner), 0..4)
                .prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn no_content_panics(list in any_json(), entry in any_json(), manifest in any_json(), part in any_json(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let listing = json!({"name": "m", "plugins": [entry, {"name": "a", "source": "./", "strict": false, "mcpServers": part, "skills": list}]});
        for name in [LIST, claude::FORMAT.file] {
            for list in [list.to_string().into_bytes(), listing.to_string().into_bytes(), bytes.clone()] {
                let files = [
                    (name, list),
                    (".codex-plugin/plugin.json", manifest.to_string().into_bytes()),
                    ("a/.claude-plugin/plugin.json", manifest.to_string().into_bytes()),
                    (".app.json", part.to_string().into_bytes()),
                    (".mcp.json", bytes.clone()),
                    ("x.json", part.to_string().into_bytes()),
                    ("skills/s/SKILL.md", Vec::new()),
                ];
                if let Ok(import) = read(&Tree::from_files(files).unwrap()) {
                    prop_assert!(import.plugins.len() <= import.listed.len());
                }
            }
        }
    }
}
