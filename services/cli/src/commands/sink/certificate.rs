//! What a sink has delivered: fetched, and compared offline with what its receiver stored.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use clap::Args;
use proto::sink::v1::GetDeliveryCertificateRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tlog::{Note, Vkey};

use super::{client, full};
use crate::{
    app::App,
    client::Repeat,
    commands::audit::keys,
    error::{Error, Exit, Result},
    output::{Answer, Format, encode, facts, reflect},
};

/// First line of the text that is signed.
const HEADER: &str = "provost.dev/delivery-certificate@v1";
/// What stands behind the log's origin in the name of the signatures.
const NAME: &str = "/deliveries";

/// A certificate to fetch.
#[derive(Args, Debug)]
pub struct Certificate {
    /// Of which sink
    name: String,
    /// First index that it speaks of, by default the lowest that the sink was asked for and the log still has
    #[arg(long, value_name = "INDEX", default_value_t = 0, hide_default_value = true)]
    from: i64,
    /// First index that it does not speak of, by default the next that the sink delivers
    #[arg(long, value_name = "INDEX", default_value_t = 0, hide_default_value = true)]
    to: i64,
}

/// A certificate to check.
#[derive(Args, Debug)]
pub struct Verify {
    /// The certificate
    file: PathBuf,
    /// What the receiver stored: a message or its `data` on each line; further lines, repeated events and any order are fine
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// The log's verifier key, or a file of keys; repeatable
    #[arg(long, value_name = "KEY_OR_FILE", required = true)]
    vkey: Vec<String>,
}

/// What is signed.
#[derive(Deserialize)]
struct Statement {
    sink: String,
    log: String,
    from_index: i64,
    to_index: i64,
    count: usize,
    sha256: String,
    failure_count: usize,
}

/// What was found good.
#[derive(Serialize)]
struct Verified {
    sink: String,
    log: String,
    from_index: i64,
    to_index: i64,
    events: usize,
    dead_letters: usize,
    keys: String,
}

/// Fetches.
pub async fn fetch(args: Certificate, app: &mut App<'_, '_>) -> Result<Exit> {
    let name = full(app, &args.name)?;
    let request = GetDeliveryCertificateRequest { name, from_index: args.from, to_index: args.to };
    let rpc = async |l, r| client(l).get_delivery_certificate(r).await;
    let certificate = app.client()?.call(Repeat::Safe, &request, rpc).await?;
    match app.format() {
        // the certificate is a text of its own, good as a file
        Format::Table => app.console.print(&certificate.note)?,
        _ => app.print(&Answer::One(reflect(&certificate)?))?,
    }
    Ok(Exit::OK)
}

/// Checks.
pub fn verify(args: &Verify, app: &mut App<'_, '_>) -> Result<Exit> {
    let note = app.read_file(&args.file)?;
    let (statement, by) = opened(&note, &keys::given(&args.vkey)?)?;
    let stored = stored(&args.events, &statement)?;
    compare(&statement, &stored)?;
    let verified = Verified {
        sink: statement.sink,
        log: statement.log,
        from_index: statement.from_index,
        to_index: statement.to_index,
        events: statement.count,
        dead_letters: statement.failure_count,
        keys: keys::labels(&by),
    };
    let text = match app.format() {
        Format::Table => facts(&[
            ("sink", verified.sink),
            ("log", verified.log),
            (
                "events",
                format!("{} of {} to {}, all here", verified.events, verified.from_index, verified.to_index),
            ),
            ("dead letters", verified.dead_letters.to_string()),
            ("signed by", verified.keys),
        ]),
        format => encode(&verified, format)?,
    };
    app.console.print(&text)?;
    Ok(Exit::OK)
}

/// The statement, once one of the log's keys is found to have signed it.
fn opened(note: &str, logs: &[Vkey]) -> Result<(Statement, Vec<Vkey>)> {
    let bad = |why: &dyn std::fmt::Display| Error::Unverified(format!("the certificate: {why}"));
    let note = Note::parse(note.as_bytes()).map_err(|e| bad(&e))?;
    // the log's keys under the name that they sign deliveries with; keys under that name are good as they are
    let named = logs.iter().map(|key| match key.name().strip_suffix(NAME) {
        Some(_) => Ok(key.clone()),
        None => Vkey::new(&format!("{}{NAME}", key.name()), key.algorithm(), key.public()),
    });
    let known = named.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| bad(&e))?;
    let verified = note.verify(&known).map_err(|e| bad(&e))?;
    let json = note.text().strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n'));
    let json = json.ok_or_else(|| bad(&format!("its first line is not `{HEADER}`")))?;
    let statement: Statement = serde_json::from_str(json).map_err(|e| bad(&e))?;
    let own = format!("{}{NAME}", statement.log);
    let by: Vec<_> = verified.into_iter().map(|v| v.key).filter(|key| key.name() == own).collect();
    if by.is_empty() {
        return Err(bad(&format!("it speaks of the log `{}`, whose key did not sign it", statement.log)));
    }
    Ok((statement, by))
}

/// The events of the statement's span that are in a file, by index: id and leaf hash.
fn stored(path: &Path, statement: &Statement) -> Result<BTreeMap<i64, (String, String)>> {
    let unreadable = |e: std::io::Error| Error::Local(format!("`{}` cannot be read: {e}", path.display()));
    let mut found = BTreeMap::new();
    for (n, line) in BufReader::new(fs::File::open(path).map_err(unreadable)?).lines().enumerate() {
        let line = line.map_err(unreadable)?;
        let Ok(value) = serde_json::from_str::<Value>(&line) else { continue };
        let Some((sequence, log, id, leaf_hash)) = event(&value) else { continue };
        let wanted = (statement.from_index..statement.to_index).contains(&sequence) && log == statement.log;
        let this = (id.to_owned(), leaf_hash.to_owned());
        if wanted && found.insert(sequence, this.clone()).is_some_and(|other| other != this) {
            let why = format!(
                "line {} of `{}` has another event at index {sequence} than an earlier one",
                n + 1,
                path.display()
            );
            return Err(Error::Unverified(why));
        }
    }
    Ok(found)
}

/// Index, log, id and leaf hash of a message: `{type, timestamp, data}`, Splunk's `{event: data, …}`, or `data` itself.
fn event(value: &Value) -> Option<(i64, &str, &str, &str)> {
    let candidates = [value.get("data"), value.get("event"), Some(value)];
    candidates.into_iter().flatten().find_map(|data| {
        Some((
            data.get("sequence")?.as_i64()?,
            data.get("log")?.as_str()?,
            data.pointer("/event/id")?.as_str()?,
            data.get("leaf_hash")?.as_str()?,
        ))
    })
}

fn compare(statement: &Statement, stored: &BTreeMap<i64, (String, String)>) -> Result<()> {
    if stored.len() != statement.count {
        let why = format!(
            "{} events of {} to {} were delivered, {} are here",
            statement.count,
            statement.from_index,
            statement.to_index,
            stored.len()
        );
        return Err(Error::Unverified(why));
    }
    let mut sha = Sha256::new();
    for (index, (id, leaf_hash)) in stored {
        sha.update(format!("{index} {id} {leaf_hash}\n"));
    }
    let digest = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    if digest != statement.sha256 {
        let why = "the events here are not those that were delivered: their digest is another".to_owned();
        return Err(Error::Unverified(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tlog::{Ed25519Signer, Signer};

    use super::*;

    fn signed(name: &str, text: &str) -> (String, Vkey) {
        let signer = Ed25519Signer::from_seed(name, &[7; 32]).unwrap();
        let key = Ed25519Signer::from_seed("h/platform", &[7; 32]).unwrap().vkey().clone();
        (Note::sign(text, &[&signer as &dyn Signer]).unwrap().to_string(), key)
    }

    fn statement(log: &str) -> String {
        let json = json!({"sink": "sinks/s", "log": log, "from_index": 0, "to_index": 2, "count": 2, "sha256": "x", "failure_count": 0});
        format!("{HEADER}\n{json}\n")
    }

    #[test]
    fn only_the_logs_key_under_the_name_of_deliveries_counts() {
        let (note, key) = signed("h/platform/deliveries", &statement("h/platform"));
        assert_eq!(opened(&note, std::slice::from_ref(&key)).unwrap().0.count, 2);
        let (checkpoint_name, _) = signed("h/platform", &statement("h/platform"));
        assert!(opened(&checkpoint_name, std::slice::from_ref(&key)).is_err());
        let (other_log, _) = signed("h/platform/deliveries", &statement("h/tenants/x"));
        assert!(opened(&other_log, std::slice::from_ref(&key)).is_err());
        assert!(opened(&note.replace("\"count\":2", "\"count\":1"), std::slice::from_ref(&key)).is_err());
    }

    #[test]
    fn an_event_is_found_in_every_form_that_it_is_sent_in() {
        let data = json!({"event": {"id": "e"}, "sequence": 3, "log": "l", "leaf_hash": "h"});
        for value in [json!({"type": "t", "data": data}), json!({"time": 1, "event": data}), data.clone()] {
            assert_eq!(event(&value), Some((3, "l", "e", "h")));
        }
        assert_eq!(event(&json!({"data": 1})), None);
    }
}
