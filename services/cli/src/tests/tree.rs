//! The whole command tree as a golden file: a changed flag is a change that somebody reviews.

use std::{fmt::Write as _, fs, path::PathBuf};

use clap::{Arg, ArgAction, Command, CommandFactory as _, Parser as _};

use crate::{cli::Cli, output};

#[test]
fn the_command_tree_is_as_reviewed() {
    let mut tree = String::new();
    let cli = Cli::command();
    describe(&cli, "provost", &mut tree);
    insta::assert_snapshot!(tree);
}

#[test]
fn every_command_and_argument_says_what_it_is() {
    fn check(command: &Command, path: &str) {
        assert!(command.get_about().is_some(), "{path}");
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{path} {}", arg.get_id());
        }
        for sub in command.get_subcommands() {
            check(sub, &format!("{path} {}", sub.get_name()));
        }
    }
    check(&Cli::command(), "provost");
}

/// A misspelt effect is no rule at all: it never becomes a weaker or a stronger one.
#[test]
fn words_of_a_rule_are_taken_exactly_as_they_are_written() {
    let create = |effect: &str| {
        let words =
            ["provost", "entitlement", "create", "--role", "*", "--target", "codex", "--effect", effect];
        Cli::try_parse_from(words).is_ok()
    };
    for effect in ["denied", "available", "default", "required"] {
        assert!(create(effect), "{effect}");
    }
    for effect in ["Deny", "deny", "Denied", "DENIED", "unspecified", "allow", ""] {
        assert!(!create(effect), "{effect}");
    }
    let update = |until: &str| {
        Cli::try_parse_from(["provost", "entitlement", "update", "e", "--not-after", until]).is_ok()
    };
    assert!(update("none") && update("2026-12-01") && update("2026-12-01T10:00:00Z"));
    assert!(!update("never") && !update("None") && !update(""));
}

#[test]
fn no_argument_hides_a_global_flag() {
    fn check(command: &Command, path: &str, global: &[String]) {
        for sub in command.get_subcommands() {
            for arg in sub.get_arguments() {
                assert!(
                    !global.contains(&arg.get_id().to_string()),
                    "{path} {} {}",
                    sub.get_name(),
                    arg.get_id()
                );
            }
            check(sub, &format!("{path} {}", sub.get_name()), global);
        }
    }
    let cli = Cli::command();
    let global: Vec<_> =
        cli.get_arguments().filter(|a| a.is_global_set()).map(|a| a.get_id().to_string()).collect();
    assert!(global.contains(&"tenant".to_owned()));
    check(&cli, "provost", &global);
}

/// Every RPC of the contract is called by some command: its client method stands in one of their files.
#[test]
fn every_rpc_has_a_command() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/commands");
    let (mut source, mut folders) = (String::new(), vec![PathBuf::from(folder)]);
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                source.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut calls = 0;
    for method in output::pool().unwrap().services().flat_map(|s| s.methods().collect::<Vec<_>>()) {
        let mut name = String::new();
        for c in method.name().chars() {
            if c.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
        }
        let call = format!(".{name}(");
        assert!(source.contains(&call), "no command calls {}", method.full_name());
        calls += 1;
    }
    assert!(calls > 50, "{calls}");
}

fn describe(command: &Command, path: &str, tree: &mut String) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(tree, "{path}: {about}").unwrap();
    for arg in command.get_arguments() {
        writeln!(tree, "    {}", spelling(arg)).unwrap();
    }
    for sub in command.get_subcommands() {
        describe(sub, &format!("{path} {}", sub.get_name()), tree);
    }
}

fn spelling(arg: &Arg) -> String {
    let mut text = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) => format!("--{long}"),
        _ => String::new(),
    };
    if matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) {
        let id = arg.get_id().as_str().to_uppercase();
        let name = arg.get_value_names().and_then(|names| names.first()).map_or(id, ToString::to_string);
        let choices: Vec<_> = arg.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect();
        let value = if choices.is_empty() { name } else { choices.join("|") };
        write!(text, "{}<{value}>", if text.is_empty() { "" } else { " " }).unwrap();
    }
    if matches!(arg.get_action(), ArgAction::Append) {
        text.push_str(" ...");
    }
    if arg.is_required_set() {
        text.push_str(" (required)");
    }
    let default: Vec<_> = arg.get_default_values().iter().filter_map(|v| v.to_str()).collect();
    if !default.concat().is_empty() {
        write!(text, " [{}]", default.join(",")).unwrap();
    }
    text
}
