//! `provost context`: named places to talk to.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use crate::{
    app::App,
    context::{Config, Context, DEFAULT_ADDRESS},
    error::{Error, Exit, Result},
    output::{Format, encode, rows},
};

/// Verbs of contexts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Store a context made of --address, --token-file, --ca-file, --tenant and --partner; the first one is used at once
    Add {
        /// Its name
        name: String,
        /// Take the place of a context of that name
        #[arg(long)]
        replace: bool,
    },
    /// Use a context from now on
    Use {
        /// Its name
        name: String,
    },
    /// List the contexts
    List,
    /// Show a context
    Show {
        /// Its name; the one in use by default
        name: Option<String>,
    },
    /// Forget a context; its token file stays
    Remove {
        /// Its name
        name: String,
    },
}

/// A context as it is shown.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    current: bool,
    #[serde(flatten)]
    context: &'a Context,
}

/// Runs a verb. Nothing is sent to any server.
pub fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    let path = Config::path(app.console.env)?;
    let mut config = Config::load(&path)?;
    match command {
        Command::Add { name, replace } => {
            add(&mut config, &name, replace, new_context(app)?)?;
            config.save(&path)?;
        }
        Command::Use { name } => {
            config.pick(Some(&name))?;
            config.current = Some(name);
            config.save(&path)?;
        }
        Command::Remove { name } => {
            config.pick(Some(&name))?;
            config.contexts.remove(&name);
            config.current = config.current.filter(|current| *current != name);
            config.save(&path)?;
        }
        Command::List => {
            show(
                app,
                &config,
                &config.contexts.iter().map(|(n, c)| (n.as_str(), c)).collect::<Vec<_>>(),
                false,
            )?;
        }
        Command::Show { name } => {
            let wanted = name.as_ref().or(app.global.context.as_ref());
            let found = config.pick(wanted.map(String::as_str))?.ok_or_else(|| {
                Error::Usage("no context is in use; `provost context use NAME` chooses one".to_owned())
            })?;
            show(app, &config, &[found], true)?;
        }
    }
    Ok(Exit::OK)
}

/// The context that the flags describe; files are named so that they are found from everywhere.
fn new_context(app: &App<'_, '_>) -> Result<Context> {
    let global = &app.global;
    if global.token_file.as_deref() == Some(Path::new("-")) {
        return Err(Error::Usage("a context names a token file; standard input cannot be kept".to_owned()));
    }
    let absolute = |path: &Option<PathBuf>| {
        let absolute = path.as_ref().map(std::path::absolute).transpose();
        absolute.map_err(|e| Error::Local(format!("the working directory cannot be read: {e}")))
    };
    let id = |name: String| name.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Context {
        address: global.address.clone().unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()),
        token_file: absolute(&global.token_file)?,
        ca_file: absolute(&global.ca_file)?,
        tenant: global.tenant.as_deref().map(|t| app.names.tenant(Some(t))).transpose()?.map(id),
        partner: global.partner.as_deref().map(|p| app.names.partner(Some(p))).transpose()?.map(id),
    })
}

fn add(config: &mut Config, name: &str, replace: bool, context: Context) -> Result<()> {
    if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Error::Usage("a context's name is one word".to_owned()));
    }
    if config.contexts.contains_key(name) && !replace {
        return Err(Error::Usage(format!(
            "there is a context `{name}` already; choose another name or give --replace"
        )));
    }
    config.contexts.insert(name.to_owned(), context);
    config.current.get_or_insert_with(|| name.to_owned());
    Ok(())
}

fn show(app: &mut App<'_, '_>, config: &Config, found: &[(&str, &Context)], one: bool) -> Result<()> {
    let current = |name: &str| config.current.as_deref() == Some(name);
    let shown: Vec<_> =
        found.iter().map(|(name, context)| Row { name, current: current(name), context }).collect();
    let text = match (app.format(), shown.first()) {
        (Format::Table, _) => table(&shown),
        (format, Some(row)) if one => encode(row, format)?,
        (format, _) => encode(&shown, format)?,
    };
    app.console.print(&text)
}

fn table(shown: &[Row<'_>]) -> String {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
    let row = |r: &Row<'_>| {
        vec![
            if r.current { "*" } else { "" }.to_owned(),
            r.name.to_owned(),
            r.context.address.clone(),
            path(&r.context.token_file),
            r.context.tenant.clone().unwrap_or_default(),
            r.context.partner.clone().unwrap_or_default(),
        ]
    };
    rows(&["in_use", "name", "address", "token_file", "tenant", "partner"], shown.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_context_is_used_and_names_are_not_taken_twice() {
        let mut config = Config::default();
        add(&mut config, "one", false, Context::default()).unwrap();
        add(&mut config, "two", false, Context::default()).unwrap();
        assert_eq!(config.current.as_deref(), Some("one"));
        assert!(matches!(add(&mut config, "two", false, Context::default()), Err(Error::Usage(_))));
        add(&mut config, "two", true, Context { address: "http://x".to_owned(), ..Context::default() })
            .unwrap();
        assert_eq!(config.contexts["two"].address, "http://x");
        assert!(add(&mut config, "a b", false, Context::default()).is_err());
    }
}
