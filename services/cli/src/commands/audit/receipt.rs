//! The proof of one event: fetched, and checked offline.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use proto::audit::v1::GetReceiptRequest;
use serde::Serialize;

use super::{client, keys};
use crate::{
    app::App,
    client::Repeat,
    error::{Error, Exit, Result},
    output::{Answer, Format, encode, facts, reflect},
};

/// A receipt to fetch.
#[derive(Args, Debug)]
pub struct Receipt {
    /// Of which event: `TENANT/ID`, a full name, or `ID` with --tenant, --partner or --platform
    event: String,
    /// Write it to this file, the event's bytes to FILE.entry and the log's keys to FILE.vkey; else only the receipt is printed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A receipt to check.
#[derive(Args, Debug)]
pub struct VerifyReceipt {
    /// The receipt (c2sp.org/tlog-proof@v1)
    file: PathBuf,
    /// The event's bytes [default: FILE.entry]
    #[arg(long, value_name = "FILE")]
    entry: Option<PathBuf>,
    /// The log's verifier key, or a file of keys; repeatable [default: FILE.vkey]
    #[arg(long, value_name = "KEY_OR_FILE")]
    vkey: Vec<String>,
}

/// What was found good.
#[derive(Serialize)]
struct Verified {
    origin: String,
    index: u64,
    size: u64,
    keys: String,
}

/// Fetches.
pub async fn fetch(args: Receipt, app: &mut App<'_, '_>) -> Result<Exit> {
    let name = app.names.in_scope("auditEvents", &args.event)?.to_string();
    let rpc = async |l, r| client(l).get_receipt(r).await;
    let receipt = app.client()?.call(Repeat::Safe, &GetReceiptRequest { name }, rpc).await?;
    if let Some(path) = args.out {
        write(&path, &receipt.proof)?;
        write(&beside(&path, "entry"), &receipt.entry)?;
        write(&beside(&path, "vkey"), &keys::text(&receipt.verifier_keys))?;
        app.console.note(&format!("check it with `provost audit verify-receipt {}`", path.display()));
        return Ok(Exit::OK);
    }
    match app.format() {
        // the receipt is a text of its own, good as a file
        Format::Table => app.console.print(&receipt.proof)?,
        _ => app.print(&Answer::One(reflect(&receipt)?))?,
    }
    Ok(Exit::OK)
}

/// Checks.
pub fn verify(args: &VerifyReceipt, app: &mut App<'_, '_>) -> Result<Exit> {
    let receipt = read(&args.file)?;
    let entry = read(&args.entry.clone().unwrap_or_else(|| beside(&args.file, "entry")))?;
    let known = match args.vkey.as_slice() {
        [] => keys::in_file(&beside(&args.file, "vkey"))?,
        given => keys::given(given)?,
    };
    let receipt = tlog::Receipt::parse(&receipt)?;
    let signed = receipt.verify(&entry, &known)?;
    let by: Vec<_> = signed.verified.into_iter().map(|verified| verified.key).collect();
    let verified = Verified {
        origin: signed.checkpoint.origin().to_owned(),
        index: receipt.index(),
        size: signed.checkpoint.size(),
        keys: keys::labels(&by),
    };
    let text = match app.format() {
        Format::Table => facts(&[
            ("log", verified.origin.clone()),
            ("event", format!("index {} of {}", verified.index, verified.size)),
            ("signature", format!("good, by {}", verified.keys)),
            ("result", "VERIFIED".to_owned()),
        ]),
        format => encode(&verified, format)?,
    };
    app.console.print(&text)?;
    if args.vkey.is_empty() {
        app.console.note(
            "note: verified with the key that came with the receipt; --vkey takes the one that you got another way",
        );
    }
    Ok(Exit::OK)
}

/// `receipt.entry` beside `receipt`.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| Error::Local(format!("`{}` cannot be written: {e}", path.display())))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::Local(format!("`{}` cannot be read: {e}", path.display())))
}
