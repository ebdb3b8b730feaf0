//! Rules from a terminal: who set them, and tests of them as they are.

use super::{MARKETPLACE, Shell};

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Maria is a banker of `acme` and may use one plugin of the built-in marketplace.
fn bank() -> Shell {
    let shell = Shell::open();
    for line in [
        "principal create maria --display-name Maria",
        "role create banker --display-name Banker",
        "role add-member banker --member principal:maria",
    ] {
        shell.run(0, &words(line));
    }
    shell.run(0, &["catalog", "import", MARKETPLACE, "--initial-stage", "live"]);
    shell.run(
        0,
        &words("entitlement create bankers-sales --role banker --target provost-starter/product-design --effect default"),
    );
    shell
}

#[test]
fn an_explanation_names_who_set_the_rule_to_those_who_may_read_the_record() {
    let shell = bank();
    let explain = words("explain maria provost-starter/product-design --set-by");
    let said = String::from_utf8(shell.run(0, &explain).stdout).unwrap();
    assert!(said.contains("Rule bankers-sales was set by principals/root at 20"), "{said}");
    assert!(!said.contains("changed last"), "{said}");
    shell.run(0, &words("entitlement update bankers-sales --reason quota"));
    let said = String::from_utf8(shell.run(0, &explain).stdout).unwrap();
    assert!(said.contains(", and changed last by principals/root at 20"), "{said}");
    // a rule that had the name before is another
    shell.run(0, &words("entitlement delete bankers-sales --yes"));
    shell.run(
        0,
        &words("entitlement create bankers-sales --role banker --target provost-starter/product-design --effect default"),
    );
    let said = String::from_utf8(shell.run(0, &explain).stdout).unwrap();
    assert!(said.contains("was set by principals/root") && !said.contains("changed last"), "{said}");
    // who may not read the record is told the answer and not the person
    shell.run(0, &words("duty grant --principal maria --duty member"));
    shell.run(0, &words("token create --principal maria --display-name hers --secret-file maria.token"));
    let hers = ["--token-file", "maria.token", "--address", &shell.daemon.url, "--tenant", "acme"];
    let output = shell.run(4, &[&explain[..], &hers].concat());
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(out.contains("Yes: maria may use") && !out.contains("set by"), "{out}");
    assert!(err.contains("audit"), "{err}");
    // programs get the acts themselves
    let told = shell.json(&explain);
    let by = &told["setBy"][0];
    assert_eq!(by["entitlement"], "tenants/acme/entitlements/bankers-sales");
    assert_eq!(
        (&by["made"]["action"], &by["changed"]),
        (&"entitlement.create".into(), &serde_json::Value::Null)
    );
    assert_eq!(by["made"]["actor"], "principals/root");
    assert_eq!((&told["decision"]["allowed"], told["setBy"].as_array().unwrap().len()), (&true.into(), 1));
    let output = shell.run(4, &[&explain[..], &hers, &["-o", "json"]].concat());
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["decision"]["allowed"], told.get("setBy")), (&true.into(), None));
}

#[test]
fn tests_of_rules_are_run_on_a_tenants_rules_as_they_are() {
    let shell = bank();
    let tests = "name: live\nnow: '2100-01-01T00:00:00Z'\ntests:\n\
        - {name: bankers sell, principals: [maria], plugins: {provost-starter/product-design: ALLOWED}}\n\
        - {name: nobody else, principals: [stranger], plugins: {provost-starter/product-design: UNKNOWN_PRINCIPAL}}\n\
        - {name: and nothing else, list: {principal: maria, exactly: [provost-starter/product-design]}}\n";
    std::fs::write(shell.dir.path().join("live.yaml"), tests).unwrap();
    let run = words("policy test live.yaml --coverage --fail-uncovered --tenant acme");
    let said = String::from_utf8(shell.run(0, &run).stdout).unwrap();
    assert!(said.contains("3 passed, 0 failed"), "{said}");
    assert!(
        said.contains("the rules of tenants/acme at revision ") && said.contains("1 of 1 rules reached"),
        "{said}"
    );
    // a rule that no test reaches, and one that changes an answer
    shell.run(
        0,
        &words("entitlement create design --role banker --target provost-starter/creative-production --effect available"),
    );
    shell.run(0, &words("role create idle --display-name Idle"));
    shell.run(
        0,
        &words(
            "entitlement create idle --role idle --target provost-starter/product-design --effect available",
        ),
    );
    let said = String::from_utf8(shell.run(12, &run).stdout).unwrap();
    assert!(
        said.contains("FAIL  and nothing else") && said.contains("provost-starter/creative-production too"),
        "{said}"
    );
    assert!(said.contains("no test reaches idle"), "{said}");
    // without a tenant the file has to say by which facts
    let said = shell.error(1, &["policy", "test", "live.yaml"]);
    assert!(said.contains("names no `fixtures`") && said.contains("--tenant"), "{said}");
    // and who may not decide about everybody gets no rules to test
    shell.run(0, &words("duty grant --principal maria --duty member"));
    shell.run(0, &words("token create --principal maria --display-name hers --secret-file maria.token"));
    let hers = ["--token-file", "maria.token", "--address", &shell.daemon.url];
    shell.run(4, &[&run[..], &hers].concat());
}
