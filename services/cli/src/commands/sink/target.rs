//! `provost sink create` and `provost sink update`: where to, and how.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use proto::sink::v1::{
    CreateSinkRequest, File, Otlp, Sink, SplunkHec, Syslog, UpdateSinkRequest, Webhook, sink::Target,
};

use super::{client, full};
use crate::{
    app::App,
    args::{VerbArgs, choice, mask},
    client::Repeat,
    error::{Exit, Result},
    output::Format,
};

/// Where to.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("kind").args(["webhook", "splunk", "syslog", "file", "otlp"]))]
pub struct TargetArgs {
    /// Standard Webhooks: the receiver's URL
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Splunk HTTP Event Collector: its URL, such as `https://splunk:8088`
    #[arg(long, value_name = "URL")]
    splunk: Option<String>,
    /// Syslog over TLS
    #[arg(long, value_name = "HOST:PORT")]
    syslog: Option<String>,
    /// Files on the server: a directory below the log's own
    #[arg(long, value_name = "DIRECTORY")]
    file: Option<String>,
    /// OpenTelemetry logs over HTTP: the whole URL, such as `https://collector:4318/v1/logs`
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// How a webhook is signed, where a key is to be made; repeatable [default: hmac]
    #[arg(long, value_name = "hmac|ed25519", hide_possible_values = true, value_parser = choice("provost.sink.v1.SignatureScheme"))]
    scheme: Vec<i32>,
    /// File with the secrets, one a line: a webhook's keys (`whsec_…`, `whsk_…`), Splunk's token, the value of --header; `-` is
    /// standard input
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Splunk index instead of the token's default
    #[arg(long, default_value = "", hide_default_value = true)]
    index: String,
    /// Header that authenticates to an OTLP receiver
    #[arg(long, default_value = "", hide_default_value = true)]
    header: String,
    /// Size at which a file is closed; the server's default is 64 MiB
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide_default_value = true)]
    max_bytes: i64,
    /// Closed files that are kept, all by default
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    max_files: i32,
}

/// A new sink.
#[derive(Args, Debug)]
pub struct Create {
    /// `TENANT/ID`, a full name, or `ID` with --tenant, --partner or --platform
    name: String,
    /// For people
    #[arg(long)]
    display_name: String,
    #[command(flatten)]
    target: TargetArgs,
    /// PEM file of certificate authorities that the receiver's certificate is from, instead of the system's
    #[arg(long, value_name = "FILE")]
    receiver_ca: Option<PathBuf>,
    /// First index to deliver; -1 only new events, by default the oldest that there is
    #[arg(
        long,
        value_name = "INDEX",
        default_value_t = 0,
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    start_index: i64,
    /// Check permission and input, change nothing
    #[arg(long)]
    validate_only: bool,
}

/// A change.
#[derive(Args, Debug)]
pub struct Update {
    #[command(flatten)]
    verb: VerbArgs,
    /// For people
    #[arg(long)]
    display_name: Option<String>,
    #[command(flatten)]
    target: TargetArgs,
    /// PEM file of certificate authorities that the receiver's certificate is from
    #[arg(long, value_name = "FILE")]
    receiver_ca: Option<PathBuf>,
}

impl TargetArgs {
    fn read(self, app: &mut App<'_, '_>) -> Result<Option<Target>> {
        let text = self.secret_file.map(|path| app.read_file(&path)).transpose()?.unwrap_or_default();
        let secrets: Vec<_> = text.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
        let one = secrets.first().cloned().unwrap_or_default();
        let webhook = |url| {
            Target::Webhook(Webhook {
                url,
                secrets: secrets.clone(),
                schemes: self.scheme.clone(),
                public_keys: Vec::new(),
            })
        };
        let splunk =
            |url| Target::SplunkHec(SplunkHec { url, token: one.clone(), index: self.index.clone() });
        let file = |directory| {
            Target::File(File { directory, max_bytes: self.max_bytes, max_files: self.max_files })
        };
        let otlp = |url| Target::Otlp(Otlp { url, header: self.header.clone(), header_value: one.clone() });
        let syslog = |address| Target::Syslog(Syslog { address });
        Ok(self
            .webhook
            .map(webhook)
            .or_else(|| self.splunk.map(splunk))
            .or_else(|| self.syslog.map(syslog))
            .or_else(|| self.file.map(file))
            .or_else(|| self.otlp.map(otlp)))
    }
}

/// Makes a sink.
pub async fn create(args: Create, app: &mut App<'_, '_>) -> Result<Exit> {
    let name = app.names.in_scope("sinks", &args.name)?;
    let ca = args.receiver_ca.map(|path| app.read_file(&path)).transpose()?;
    let sink = Sink {
        display_name: args.display_name,
        target: args.target.read(app)?,
        ca_certificate: ca.unwrap_or_default(),
        ..Sink::default()
    };
    let request = CreateSinkRequest {
        parent: name.parent,
        sink_id: name.id,
        sink: Some(sink),
        start_index: args.start_index,
        validate_only: args.validate_only,
    };
    let rpc = async |l, r| client(l).create_sink(r).await;
    let made = app.client()?.call(Repeat::of_change(&request), &request, rpc).await?;
    app.changed(args.validate_only, &made)?;
    if !made.secrets.is_empty() && app.format() == Format::Table {
        app.console.note("warning: the secrets are shown this once; give them to the receiver");
    }
    Ok(Exit::OK)
}

/// Changes a sink.
pub async fn update(args: Update, app: &mut App<'_, '_>) -> Result<Exit> {
    let verb = args.verb.on(full(app, &args.verb.name)?);
    let ca = args.receiver_ca.map(|path| app.read_file(&path)).transpose()?;
    let target = args.target.read(app)?;
    let update_mask = mask(&[
        ("display_name", args.display_name.is_some()),
        ("target", target.is_some()),
        ("ca_certificate", ca.is_some()),
    ])?;
    let sink = Sink {
        name: verb.name,
        display_name: args.display_name.unwrap_or_default(),
        target,
        ca_certificate: ca.unwrap_or_default(),
        ..Sink::default()
    };
    let request = UpdateSinkRequest {
        sink: Some(sink),
        update_mask,
        etag: verb.etag,
        request_id: verb.request_id,
        validate_only: verb.validate_only,
    };
    app.change(request, async |l, r| client(l).update_sink(r).await).await
}
