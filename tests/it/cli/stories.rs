//! What goes well.

use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};
use tests::data;

use super::{MARKETPLACE, Shell};
use crate::catalog::published::{Published, Reported};

/// Last segments of names in a list.
fn ids(list: &Value) -> Vec<&str> {
    let names = list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap());
    names.map(|name| name.rsplit('/').next().unwrap()).collect()
}

#[test]
fn a_client_is_rolled_out_from_the_bootstrap_token_to_the_decision() {
    let shell = Shell::fresh();
    shell.bootstrap();
    let secret = shell.dir.path().join("root.token");
    assert_eq!(std::fs::metadata(&secret).unwrap().mode() & 0o777, 0o600);
    for line in [
        "whoami",
        "context list",
        "partner create northwind --display-name Northwind",
        "tenant create acme --display-name Acme",
        "unit create finance --display-name Finance --cost-center cc-20",
        "principal create maria --display-name Maria --unit finance",
        "role create banker --display-name Banker",
        "role add-member banker --member principal:maria",
        "role members banker",
    ] {
        shell.run(0, &line.split(' ').collect::<Vec<_>>());
    }
    shell.run(0, &["catalog", "import", MARKETPLACE, "--initial-stage", "live", "-o", "json"]);
    shell.run(0, &["catalog", "stage", "provost-starter/sales", "preview", "--yes"]);
    shell.forget();
    let questions = "maria provost-starter/investment-banking\n\nnobody plugin:sales\n";
    std::fs::write(shell.dir.path().join("questions"), questions).unwrap();
    for (code, line) in [
        (
            0,
            "entitlement create bankers-research --role banker --target provost-starter/investment-banking --effect required",
        ),
        (
            0,
            "entitlement create bankers-sales --role banker --target provost-starter/sales --effect available",
        ),
        (0, "entitlement create no-design --role * --target provost-starter/product-design --effect denied"),
        (0, "entitlement list"),
        (10, "check maria provost-starter/investment-banking"),
        (10, "explain user:maria plugin:investment-banking"),
        (0, "tenant-plugin list --marketplace provost-starter --readiness not-ready"),
        (0, "catalog bind provost-starter/investment-banking factset acme-factset-1"),
        (
            0,
            "connector-binding create lseg --plugin provost-starter/investment-banking --app lseg --connector-id acme-lseg",
        ),
        (0, "catalog bind provost-starter/investment-banking pitchbook acme-pitchbook"),
        (0, "catalog bind provost-starter/investment-banking factset acme-factset-2"),
        (0, "connector-binding update lseg --connector-id acme-lseg-eu --etag r1"),
        (0, "connector-binding get lseg"),
        (0, "catalog bindings --order-by create_time"),
        (1, "catalog unbind provost-starter/sales salesforce --yes"),
        (0, "tenant-plugin get provost-starter/investment-banking"),
        (0, "check maria provost-starter/investment-banking"),
        (10, "check maria provost-starter/sales"),
        (10, "check maria provost-starter/product-design"),
        (10, "check maria provost-starter/data-analytics"),
        (10, "check nobody provost-starter/sales"),
        (0, "decision check acme/maria provost-starter/investment-banking --tenant other"),
        (0, "explain user:maria plugin:investment-banking"),
        (10, "explain user:maria plugin:sales"),
        (10, "explain maria provost-starter/product-design -o json"),
        (10, "decision batch-check questions"),
        (0, "can-use user:maria"),
        (0, "who-can plugin:investment-banking"),
        (
            0,
            "stage-override create hold --plugin provost-starter/investment-banking --stage preview --reason pilot",
        ),
        (10, "explain user:maria plugin:investment-banking"),
        (2, "stage-override update hold --stage withdrawn"),
        (0, "stage-override update hold --stage withdrawn --yes"),
        (10, "explain user:maria plugin:investment-banking"),
        (6, "stage-override create sales --plugin provost-starter/sales --stage deprecated"),
        (0, "stage-override list"),
        (0, "stage-override get hold"),
        (0, "tenant-plugin get provost-starter/investment-banking"),
        (0, "stage-override delete hold --yes"),
        (0, "catalog unbind provost-starter/investment-banking factset --yes"),
        (0, "connector-binding delete lseg --yes"),
        (0, "connector-binding list"),
        (10, "check maria provost-starter/investment-banking"),
        (2, "who-can plugin:nothing-of-that-name"),
        (0, "health"),
        (0, "partner portfolio northwind"),
    ] {
        shell.run(code, &line.split(' ').collect::<Vec<_>>());
    }
    shell.reads("decisions");
    // how many decisions stand between the acts is the second's to say
    let acts = shell.run(0, &["audit", "list", "--all"]);
    assert!(String::from_utf8(acts.stdout).unwrap().contains("entitlement.create"));
    let text = std::fs::read_to_string(secret).unwrap();
    assert!(!shell.transcript.borrow().contains(text.trim()), "a secret was printed");
}

#[test]
fn answers_come_as_tables_as_json_and_as_yaml() {
    let shell = Shell::open();
    shell
        .run(0, &["role", "create", "banker", "--display-name", "Banker", "--description", "Models & decks"]);
    shell.run(0, &["role", "create", "trader", "--display-name", "Trader: \"fast\""]);
    shell.run(0, &["role", "include", "banker", "--role", "trader"]);
    shell.forget();
    for format in ["table", "json", "yaml"] {
        shell.run(0, &["role", "get", "banker", "-o", format]);
        shell.run(0, &["role", "list", "-o", format]);
        shell.run(0, &["tenant", "get", "acme", "-o", format]);
        shell.run(0, &["unit", "list", "-o", format]);
        shell.run(10, &["check", "nobody", "vendor/kit", "-o", format]);
    }
    shell.reads("formats");
    let get = shell.json(&["role", "get", "banker"]);
    assert_eq!(get["includedRoles"], json!(["tenants/acme/roles/trader"]));
}

#[test]
fn a_marketplace_directory_is_sent_whole_and_a_second_time_changes_nothing() {
    let shell = Shell::open();
    for directory in [MARKETPLACE.into(), data::marketplace("claude-knowledge-work")] {
        let path = directory.to_str().unwrap();
        let told = shell.json(&["catalog", "import", path, "--validate-only"]);
        let before = shell.acts();
        let report = shell.json(&["catalog", "import", path]);
        assert_eq!(told["plugins"], report["plugins"]);
        let number = |field: &str| report[field].as_str().unwrap().parse().unwrap();
        let skipped = report["skipped"].as_array().unwrap();
        let skipped = skipped.iter().map(|s| s["entry"].as_str().unwrap()).collect();
        let reported =
            Reported { plugins: number("plugins"), apps: number("apps"), skills: number("skills"), skipped };
        reported.covers(&Published::read(&data::files(&directory)));
        assert_eq!(
            report["added"].as_array().unwrap().len().to_string(),
            report["plugins"].as_str().unwrap()
        );
        let once = shell.acts();
        assert!(once > before, "an import is on the record, and what it did to plugins");
        let again = shell.json(&["catalog", "import", path]);
        assert_eq!(
            (&again["added"], &again["changed"], &again["marketplace"]),
            (&json!([]), &json!([]), &report["marketplace"])
        );
        assert_eq!(shell.acts(), once);
    }
}

#[test]
fn pages_follow_each_other_and_all_reads_them_to_the_end() {
    let shell = Shell::open();
    let made: Vec<String> = (0..7).map(|n| format!("role-{n}")).collect();
    for id in &made {
        shell.run(0, &["role", "create", id, "--display-name", "Role"]);
    }
    let list = ["role", "list", "--page-size", "3", "--order-by", "role_id"];
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let page = shell.json(&[&list[..], &["--page-token", &token]].concat());
        pages.push(ids(&page["roles"]).len());
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [3, 3, 1]);
    assert_eq!(ids(&shell.json(&[&list[..], &["--all"]].concat())), made);
    let filtered = shell.json(&[&list[..], &["--all", "--filter", "role_id >= \"role-5\""]].concat());
    assert_eq!(ids(&filtered), ["role-5", "role-6"]);
    // a page for people says how to go on
    let page = shell.run(0, &list);
    assert!(String::from_utf8(page.stderr).unwrap().contains("repeat with --page-token "));
}

#[test]
fn a_dry_run_and_a_repetition_change_nothing() {
    let shell = Shell::open();
    let before = shell.acts();
    let create = ["role", "create", "banker", "--display-name", "Banker"];
    let said = shell.run(0, &[&create[..], &["--validate-only"]].concat());
    assert_eq!(
        String::from_utf8([said.stdout, said.stderr].concat()).unwrap(),
        "valid; nothing was changed\n"
    );
    assert_eq!(shell.json(&["role", "list"])["roles"], json!([]));
    assert_eq!(shell.acts(), before);
    let same = ["--request-id", "2f1f1b0e-7c1f-4b43-9d0a-0a4bb2b5a6c7"];
    let first = shell.json(&[&create[..], &same].concat());
    let again = shell.json(&[&create[..], &same].concat());
    assert_eq!((first, shell.acts()), (again, before + 1));
    // a refusal is found out without a change, too
    shell.error(5, &[&create[..], &["--validate-only"]].concat());
    // what would ask first does not ask when it changes nothing
    shell.run(0, &["role", "delete", "banker", "--validate-only"]);
    assert_eq!(shell.acts(), before + 1);
}

/// The rows of a Parquet file, as text.
fn rows(file: &std::path::Path) -> Vec<String> {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    let reader = SerializedFileReader::new(std::fs::File::open(file).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
}

#[test]
fn a_parquet_file_is_put_together_of_pieces_and_goes_on_after_the_last_whole_one() {
    let shell = Shell::open();
    for n in 0..24 {
        shell.run(0, &["role", "create", &format!("r{n}"), "--display-name", "A role"]);
    }
    let (whole, joined) = (shell.dir.path().join("whole.parquet"), shell.dir.path().join("joined.parquet"));
    let export = |out: &str, more: &[&str], exit| {
        let line =
            ["audit", "export", "--format", "parquet", "--out", out, "--as-of-size", "25", "-o", "json"];
        shell.run(exit, &[&line[..], more].concat())
    };
    let read = |output: std::process::Output| serde_json::from_slice::<Value>(&output.stdout).unwrap();
    let said = read(export("whole.parquet", &[], 0));
    let exports = || {
        let search = ["audit", "search", "--filter", "action = audit.export", "--all", "-o", "json"];
        serde_json::from_slice::<Value>(&shell.run(0, &search).stdout).unwrap().as_array().unwrap().len()
    };
    let (count, before) = (rows(&whole).len(), exports());
    assert_eq!((count, &said["count"]), (25, &json!(25)));

    // interrupted before the last step: there is something in the file's place
    std::fs::create_dir(&joined).unwrap();
    std::fs::write(joined.join("in-the-way"), "").unwrap();
    export("joined.parquet", &["--piece", "10"], 1);
    assert_eq!(exports() - before, 3, "indexes 0 to 9, 10 to 19 and 20 to 24");
    std::fs::remove_dir_all(&joined).unwrap();
    // and once more before that: the third piece had not come
    let note = shell.dir.path().join("joined.parquet.part.json");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&note).unwrap()).unwrap();
    state["pieces"].as_array_mut().unwrap().pop();
    std::fs::write(&note, state.to_string()).unwrap();
    let again = export("joined.parquet", &["--piece", "10", "--resume"], 0);
    assert!(String::from_utf8_lossy(&again.stderr).contains("going on at index 20"), "{again:?}");
    assert_eq!(exports() - before, 4, "only what was missing was fetched");
    assert_eq!(rows(&joined), rows(&whole));
    let told = read(again);
    for field in ["count", "first_index", "last_index", "as_of_size", "filter", "format"] {
        assert_eq!(told[field], said[field], "{field}");
    }
    let left: Vec<_> = std::fs::read_dir(shell.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".part")), "{left:?}");
    assert!(told["checkpoint"].as_str().unwrap().starts_with("provost.local/tenants/"), "{told}");
    export("joined.parquet", &["--piece", "0"], 2);
}

#[test]
fn rules_are_exported_compared_and_previewed_in_words() {
    let shell = Shell::open();
    shell.run(0, &["catalog", "import", MARKETPLACE, "-o", "json"]);
    for line in [
        "role create banker --display-name Banker",
        "principal create maria --display-name Maria",
        "principal create ben --display-name Ben",
        "role add-member banker --member principal:maria",
        "entitlement create research --role banker --target provost-starter/product-design --effect default",
    ] {
        shell.run(0, &line.split(' ').collect::<Vec<_>>());
    }
    let said = |args: &[&str]| String::from_utf8(shell.run(0, args).stdout).unwrap();
    let file = shell.dir.path().join("rules.yaml");
    let rules = said(&["policy", "export"]);
    assert_eq!(
        rules,
        "# The rules of tenants/acme; `provost policy diff` compares such a file with them.\nrules:\n- id: research\n  \
         role: banker\n  target: provost-starter/product-design\n  effect: default\n  max_stage: live\n"
    );
    std::fs::write(&file, &rules).unwrap();
    let same = said(&["policy", "diff", "rules.yaml"]);
    assert_eq!(same, "0 added, 0 removed, 0 changed, 1 the same\n\nNobody's answers would change.\n");
    std::fs::write(&file, rules.replace("role: banker", "role: '*'") + "  reason: everybody\n").unwrap();
    let wider = said(&["policy", "diff", "rules.yaml"]);
    for part in [
        "- research: effect=default max_stage=live role=banker target=provost-starter/product-design\n\
         + research: effect=default max_stage=live reason=everybody role=* target=provost-starter/product-design\n",
        "0 added, 0 removed, 1 changed, 0 the same\n\n1 person would get other answers: 1 gained, 0 lost, 0 allowed otherwise, \
         0 refused otherwise.\n\n1 person gains provost-starter/product-design (default, by research): ben\n",
    ] {
        assert!(wider.contains(part), "{wider}");
    }
    let create = "entitlement create --role banker --target provost-starter/creative-production --effect available --preview";
    let told = said(&create.split(' ').collect::<Vec<_>>());
    assert!(
        told.contains("1 person gains provost-starter/creative-production (available, by +1): maria\n"),
        "{told}"
    );
    let told = said(&["policy", "preview", "--add-member", "banker=principal:ben", "--suspend", "maria"]);
    assert!(
        told.contains("1 person gains provost-starter/product-design (default, by research): ben\n"),
        "{told}"
    );
    let lost = "1 person loses provost-starter/product-design (PRINCIPAL_SUSPENDED): maria\n";
    assert!(told.contains(lost), "{told}");
    assert_eq!(
        shell.json(&["entitlement", "list", "--all"]).as_array().unwrap().len(),
        1,
        "nothing was done"
    );
    assert_eq!(shell.json(&["policy", "diff", "rules.yaml"])["changedCount"], "1");
    // not a set of rules, and nothing to preview
    std::fs::write(&file, "rules:\n- {id: a, role: banker, target: m, effect: deny}\n").unwrap();
    let refused = shell.error(1, &["policy", "diff", "rules.yaml"]);
    assert!(refused.contains("rules.yaml") && refused.contains("unknown variant `deny`"), "{refused}");
    shell.error(2, &["policy", "preview"]);
}

#[test]
fn usage_is_corrected_after_a_look_at_what_would_change_and_written_into_a_file() {
    let shell = Shell::open();
    shell.run(0, &["principal", "create", "maria", "--display-name", "Maria"]);
    let event = |id: &str, tokens: u32| {
        let time = kernel::clock::Clock::System.now().to_string();
        json!({"id": id, "source": "s", "type": "t", "subject": "maria", "time": time,
            "values": [{"key": "tokens.output", "value": tokens.to_string()}], "dims": [{"key": "plugin", "value": "=1+1"}]})
        .to_string()
    };
    std::fs::write(shell.dir.path().join("late"), format!("{}\n{}\n", event("a", 5), event("b", 7))).unwrap();
    let json = |code: i32, line: &[&str]| -> Value {
        let output = shell.run(code, &[line, &["-o", "json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    let now = kernel::clock::Clock::System.now();
    let day = std::time::Duration::from_hours(24);
    let (from, to) = (now.minus(day).to_string(), now.plus(day).to_string());
    let span = ["--from", from.as_str(), "--to", to.as_str()];
    let open = [&["usage", "backfill", "open"][..], &span, &["--replace", "--reason", "lost"]].concat();
    let opened = json(0, &open);
    let name = opened["name"].as_str().unwrap();
    shell.run(0, &["usage", "backfill", "send", name, "late"]);
    // nobody is there to be asked: it says what would change, and changes nothing
    let asked = shell.run(2, &["usage", "backfill", "commit", name]);
    let said = String::from_utf8(asked.stderr).unwrap();
    assert!(said.contains("adds 2,") && said.contains("tokens.output"), "{said}");
    assert_eq!(json(0, &["usage", "query"])["rows"], json!([]));
    shell.run(0, &["usage", "backfill", "commit", name, "--yes"]);
    let made = json(0, &["usage", "void", "--source", "s", "--id", "a", "--reason", "twice", "--yes"]);
    assert_eq!(made["takenCount"], "1");
    let seq = json(0, &["usage", "events", "--filter", "state = standing"])["events"][0]["seq"]
        .as_str()
        .unwrap()
        .to_owned();
    shell.run(0, &["usage", "amend", &seq, "--value", "tokens.output=9", "--reason", "nine", "--yes"]);
    shell.run(0, &["usage", "revert", made["name"].as_str().unwrap(), "--reason", "once", "--yes"]);
    let taken = json(0, &["usage", "events", "--taken-by", made["name"].as_str().unwrap()]);
    assert_eq!(taken["events"][0]["id"], "a");
    let states = json(0, &["usage", "corrections"]);
    let states: Vec<_> =
        states["usageCorrections"].as_array().unwrap().iter().map(|c| c["state"].as_str().unwrap()).collect();
    assert_eq!(
        states,
        [
            "USAGE_CORRECTION_STATE_COMMITTED",
            "USAGE_CORRECTION_STATE_REVERTED",
            "USAGE_CORRECTION_STATE_COMMITTED"
        ]
    );
    let query = ["usage", "query", "--meter", "tokens.output", "--by", "plugin"];
    for (format, file) in [("csv", "f.csv"), ("parquet", "f.parquet")] {
        shell.run(0, &[&query[..], &["--format", format, "--out", file]].concat());
    }
    let text = std::fs::read_to_string(shell.dir.path().join("f.csv")).unwrap();
    assert_eq!(text.lines().nth(1).unwrap(), ",,tokens.output,'=1+1,14,tokens,14,2", "{text}");
    let read = rows(&shell.dir.path().join("f.parquet"));
    assert!(read.len() == 1 && read[0].contains("value: 14"), "{read:?}");
    shell.run(2, &[&query[..], &["--format", "csv"]].concat());
}
