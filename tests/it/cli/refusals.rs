//! What goes wrong, and the exit code that scripts see.

use super::{MARKETPLACE, Shell};

#[test]
fn every_class_of_failure_has_its_exit_code_and_says_what_to_do() {
    let shell = Shell::open();
    shell.run(0, &["role", "create", "banker", "--display-name", "Banker"]);
    shell.run(0, &["principal", "create", "maria", "--display-name", "Maria"]);
    shell.run(0, &["duty", "grant", "--principal", "maria", "--duty", "member"]);
    shell.run(
        0,
        &[
            "token",
            "create",
            "--principal",
            "maria",
            "--display-name",
            "hers",
            "--secret-file",
            "maria.token",
        ],
    );
    shell.forget();
    for (code, args) in [
        (3, vec!["role", "get", "nobody"]),
        (3, vec!["tenant", "get", "none"]),
        (
            4,
            vec![
                "--token-file",
                "maria.token",
                "--address",
                &shell.daemon.url,
                "role",
                "create",
                "x",
                "--display-name",
                "X",
            ],
        ),
        (4, vec!["--token-file", "boot", "--address", &shell.daemon.url, "role", "list"]),
        (5, vec!["role", "create", "banker", "--display-name", "Banker"]),
        (5, vec!["role", "update", "banker", "--display-name", "Other", "--etag", "r9"]),
        (6, vec!["tenant", "resume", "acme"]),
        (6, vec!["tenant", "go-live", "acme"]),
        (7, vec!["role", "create", "Bad Id", "--display-name", "X"]),
        (7, vec!["role", "list", "--filter", "colour = red"]),
        (7, vec!["role", "list", "--page-token", "garbage"]),
        (2, vec!["role", "update", "banker"]),
        (2, vec!["role", "list", "--page-size", "0"]),
        (2, vec!["nonsense"]),
        (1, vec!["--token-file", "missing.token", "--address", &shell.daemon.url, "role", "list"]),
    ] {
        let said = shell.error(code, &args);
        assert!(said.starts_with("error: "), "{said}");
    }
    shell.reads("failures");
}

#[test]
fn without_a_server_the_exit_code_is_eight() {
    let shell = Shell::open();
    shell.run(0, &["health"]);
    let Shell { daemon, dir, .. } = shell;
    let url = daemon.url.clone();
    assert!(daemon.stop().0);
    // the same terminal after its server went
    let place = ["--address", url.as_str(), "--token-file", "root.token", "--tenant", "acme"];
    for line in [vec!["role", "list"], vec!["health"], vec!["role", "create", "x", "--display-name", "X"]] {
        let mut command = tests::process::command("provost");
        command.current_dir(dir.path()).env("PROVOST_CONFIG", dir.path().join("contexts.toml"));
        let output = command.args(place).args(&line).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(8), "{line:?}: {said}");
        assert!(said.contains(&url) && said.contains("provostd serve"), "{said}");
    }
}

#[test]
fn what_cannot_be_taken_back_is_not_done_without_a_yes() {
    let shell = Shell::open();
    for line in [
        "unit create finance --display-name Finance",
        "principal create maria --display-name Maria",
        "group create desk --display-name Desk",
        "group add-member desk --member maria",
        "role create banker --display-name Banker",
        "role create trader --display-name Trader",
        "role include banker --role trader",
        "role add-member banker --member principal:maria",
        "duty grant --principal maria --duty member",
    ] {
        shell.run(0, &line.split(' ').collect::<Vec<_>>());
    }
    shell.run(0, &["catalog", "import", MARKETPLACE]);
    shell.run(
        0,
        &[
            "entitlement",
            "create",
            "all",
            "--role",
            "*",
            "--target",
            "provost-starter/sales",
            "--effect",
            "default",
        ],
    );
    let before = shell.acts();
    for line in [
        "partner delete northwind",
        "tenant delete acme",
        "tenant suspend acme",
        "tenant close acme",
        "unit delete finance",
        "principal delete maria",
        "principal suspend maria",
        "group remove-member desk --member maria",
        "group delete desk",
        "role remove-member banker --member principal:maria",
        "role exclude banker --role trader",
        "role delete banker",
        "entitlement delete all",
        "catalog stage provost-starter/sales withdrawn",
    ] {
        let said = shell.error(2, &line.split(' ').collect::<Vec<_>>());
        assert!(said.contains("repeat with --yes"), "{line}: {said}");
    }
    assert_eq!(shell.acts(), before, "nothing was done");
    for line in [
        "group remove-member desk --member maria --yes",
        "role exclude banker --role trader -y",
        "entitlement delete all --yes",
        "catalog stage provost-starter/sales withdrawn --yes",
        "role delete trader --yes",
        "role undelete trader",
    ] {
        shell.run(0, &line.split(' ').collect::<Vec<_>>());
    }
    assert_eq!(shell.acts(), before + 6);
}

#[test]
fn a_bootstrap_token_is_good_once_and_a_secret_overwrites_no_file() {
    let shell = Shell::open();
    let again =
        ["--address", &shell.daemon.url, "--token-file", "boot", "bootstrap", "--principal-id", "second"];
    let said = shell.error(4, &again);
    assert!(said.contains("TOKEN_UNKNOWN"), "{said}");
    let before = std::fs::read(shell.dir.path().join("root.token")).unwrap();
    let acts = shell.acts();
    let over = [
        "token",
        "create",
        "--platform",
        "--principal",
        "principals/root",
        "--display-name",
        "x",
        "--secret-file",
        "root.token",
    ];
    let said = shell.error(1, &over);
    assert!(said.contains("root.token"), "{said}");
    assert_eq!(std::fs::read(shell.dir.path().join("root.token")).unwrap(), before);
    assert_eq!(shell.acts(), acts, "no token was made that nobody has");
}

#[test]
fn a_directory_that_breaks_a_rule_is_refused_and_nothing_of_it_is_imported() {
    let shell = Shell::open();
    let bad = shell.dir.path().join("bad");
    std::fs::create_dir_all(bad.join(".agents/plugins")).unwrap();
    let listing = bad.join(".agents/plugins/marketplace.json");
    std::fs::write(&listing, "{\"name\": \"bad\", \"plugins\": [").unwrap();
    let said = shell.error(7, &["catalog", "import", "bad"]);
    assert!(said.contains("INVALID_MARKETPLACE") && said.contains("not JSON"), "{said}");
    std::fs::write(&listing, "{\"name\": \"bad\", \"plugins\": []}").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", bad.join("link")).unwrap();
    let said = shell.error(7, &["catalog", "import", "bad"]);
    assert!(said.contains("symbolic link"), "{said}");
    let said = shell.error(1, &["catalog", "import", "nowhere"]);
    assert!(said.contains("nowhere"), "{said}");
    assert_eq!(shell.json(&["marketplace", "list"])["marketplaces"], serde_json::json!([]));
    std::fs::remove_file(bad.join("link")).unwrap();
    shell.run(0, &["catalog", "import", "bad"]);
}

#[test]
fn a_misspelt_effect_is_refused_on_the_line_in_a_policy_and_in_the_facts_of_tests() {
    let shell = Shell::open();
    shell.run(0, &["catalog", "import", MARKETPLACE]);
    let write = |file: &str, text: &str| std::fs::write(shell.dir.path().join(file), text).unwrap();
    for word in ["Deny", "deny", "DENIED", "Denied", ""] {
        let rule = [
            "entitlement",
            "create",
            "no",
            "--role",
            "*",
            "--target",
            "provost-starter/sales",
            "--effect",
            word,
        ];
        let said = shell.error(2, &rule);
        assert!(said.contains("denied") && said.contains("--effect"), "{word}: {said}");
        write(
            "rules.yaml",
            &format!("rules:\n- {{id: no, role: '*', target: provost-starter/sales, effect: '{word}'}}\n"),
        );
        let said = shell.error(1, &["policy", "diff", "rules.yaml"]);
        assert!(
            said.contains("rules.yaml") && said.contains("effect") && said.contains("`denied`"),
            "{word}: {said}"
        );
        write(
            "facts.txt",
            &format!(
                "tenant: acme\nplugins: {{kit: {{}}}}\nrules:\n- {{id: no, role: '*', target: kit, effect: '{word}'}}\n"
            ),
        );
        write(
            "tests.yaml",
            "name: x\nnow: '2026-11-05T10:30:00Z'\nfixtures: facts.txt\ntests:\n- {name: x, principals: [ann], plugins: {kit: UNKNOWN_PRINCIPAL}}\n",
        );
        let said = shell.error(1, &["policy", "test", "tests.yaml"]);
        assert!(
            said.contains("facts.txt") && said.contains("effect") && said.contains("`denied`"),
            "{word}: {said}"
        );
    }
    assert!(shell.json(&["entitlement", "list", "--all"]).as_array().unwrap().is_empty());
}

#[test]
fn a_link_to_a_file_of_the_system_is_refused_and_nothing_of_the_file_is_sent() {
    let shell = Shell::open();
    let dir = shell.dir.path().join("market/plugins/kit");
    std::fs::create_dir_all(dir.join(".claude-plugin")).unwrap();
    std::fs::create_dir_all(shell.dir.path().join("market/.claude-plugin")).unwrap();
    let listing = r#"{"name": "vendor", "plugins": [{"name": "kit", "source": "./plugins/kit"}]}"#;
    std::fs::write(shell.dir.path().join("market/.claude-plugin/marketplace.json"), listing).unwrap();
    std::fs::write(dir.join(".claude-plugin/plugin.json"), r#"{"name": "kit"}"#).unwrap();
    shell.run(0, &["catalog", "import", "market", "--validate-only"]);
    std::os::unix::fs::symlink("/etc/passwd", dir.join("README.md")).unwrap();
    let said = shell.error(7, &["catalog", "import", "market"]);
    assert!(said.contains("symbolic link") && said.contains("plugins/kit/README.md"), "{said}");
    assert!(shell.json(&["marketplace", "list", "--all"]).as_array().unwrap().is_empty());
}
