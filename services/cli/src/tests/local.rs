//! Commands that need no server.

use clap::{CommandFactory as _, Parser as _};

use super::{Ran, provost};
use crate::{Exit, cli::Cli};

fn ok(ran: Ran) -> String {
    assert_eq!(ran.exit, Exit::OK, "{}", ran.err);
    ran.out
}

#[tokio::test]
async fn contexts_are_kept_used_shown_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("provost/config.toml");
    let run = async |line: &str| provost(line).config(&config).run().await;
    ok(run(
        "context add prod --address https://p.example --token-file /k/prod --tenant acme --partner northwind",
    )
    .await);
    ok(run("context add dev").await);
    insta::assert_snapshot!(ok(run("context list").await), @"
    IN USE  NAME  ADDRESS                TOKEN FILE  TENANT  PARTNER
            dev   http://127.0.0.1:7443
    *       prod  https://p.example      /k/prod     acme    northwind
    ");
    assert_eq!(run("context add dev").await.exit, Exit::USAGE);
    ok(run("context use dev").await);
    let shown: serde_json::Value = serde_json::from_str(&ok(run("context show prod -o json").await)).unwrap();
    assert_eq!((&shown["current"], &shown["tenant"]), (&false.into(), &"acme".into()));
    ok(run("context remove dev").await);
    assert_eq!(run("context show").await.exit, Exit::USAGE, "none is in use");
    assert_eq!(run("context use dev").await.exit, Exit::USAGE);
    assert_eq!(run("context remove dev").await.exit, Exit::USAGE);
    assert_eq!(run("whoami --context nowhere").await.exit, Exit::USAGE);
    assert_eq!(run("context add pipe --token-file -").await.exit, Exit::USAGE);
}

#[tokio::test]
async fn a_context_is_added_also_when_the_current_one_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.toml");
    std::fs::write(&config, "current = 'gone'\n[contexts]\n").unwrap();
    let run = async |line: &str| provost(line).config(&config).run().await;
    assert_eq!(run("whoami").await.exit, Exit::USAGE);
    ok(run("context add prod").await);
    ok(run("context use prod").await);
}

#[tokio::test]
async fn the_version_and_completions_are_printed() {
    assert_eq!(ok(provost("version").run().await), concat!("provost ", env!("CARGO_PKG_VERSION"), "\n"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ok(provost(&format!("completions {shell}")).run().await);
        assert!(script.contains("go-live"), "{shell}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_exits_with_two_and_sends_nothing() {
    for line in [
        "",
        "tenant",
        "tenant fly acme",
        "role get banker",
        "role get partners/northwind/roles/x",
        "role update acme/banker",
        "principal list",
        "principal list --platform --tenant acme",
        "tenant create acme --display-name Acme",
        "tenant contract acme --currency EUR",
        "tenant contract acme --file x --currency EUR",
        "token create --principal acme/maria --display-name x --expires-in soon",
        "token create --principal acme/maria --display-name x --expires-in 1d --expire-time 2030-01-01",
        "entitlement create acme/x --role banker --target a/b --effect maybe",
        "role list acme --page-size 1001",
        "role list acme --all --page-token x",
        "role create acme/x --display-name x --request-id 5",
        "whoami --address localhost:7443",
    ] {
        let ran = provost(line).run().await;
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::USAGE, ""), "`{line}`: {}", ran.err);
        assert!(!ran.err.is_empty(), "`{line}`");
    }
}

#[tokio::test]
async fn an_unreadable_token_file_is_named() {
    let ran = provost("whoami --token-file /nonexistent/token").run().await;
    assert_eq!(ran.exit, Exit::OTHER);
    assert!(ran.err.starts_with("error: the token file `/nonexistent/token` cannot be read"), "{}", ran.err);
}

#[tokio::test]
async fn help_tells_the_exit_codes() {
    let help = ok(provost("--help").run().await);
    assert!(help.contains("  10  `check` was answered with no\n  11  a log"), "{help}");
}

/// Every example in the help is a command line that this program understands.
#[test]
fn the_examples_in_the_help_are_real() {
    let help = Cli::command().render_long_help().to_string();
    let examples = help.split("Examples:").nth(1).unwrap().split("Names:").next().unwrap();
    let examples: Vec<_> = examples.lines().filter(|line| !line.trim().is_empty()).collect();
    assert!(examples.len() >= 7, "{examples:?}");
    for line in examples {
        Cli::try_parse_from(line.trim().split(' ')).unwrap_or_else(|e| panic!("`{line}`: {e}"));
    }
}
