//! `provostd audit reconcile`: whether the tables are what the audit logs say.

use std::process::ExitCode;

use audit::reconcile::{Report, reconcile, scopes};
use kernel::{Kernel, clock::Clock, config::Config, error::Error, scope::Scope};

use crate::app::{StartError, open_database};

/// How the command ends when tables and logs differ; 1 is what every command that fails ends with.
const DIFFERENT: u8 = 3;

/// Compares one scope (`platform`, `partners/…`, `tenants/…`) or all of them with its log and prints what it finds.
pub async fn run(config: Config, scope: Option<&str>) -> Result<ExitCode, StartError> {
    let db = open_database(&config).await?;
    let kernel = Kernel::new(config, db, Clock::System).await.map_err(StartError::Database)?;
    let compared = async {
        let ids = match scope {
            None => scopes(&kernel).await?,
            Some("platform") => vec![Scope::Platform.id()],
            Some(name) => vec![Scope::find(&mut kernel.db.reader().await?, "--scope", name).await?.id()],
        };
        let mut different = false;
        for id in ids {
            let report = reconcile(&kernel, id).await?;
            different |= !report.agrees();
            print(&report);
        }
        Ok::<_, Error>(different)
    };
    let outcome = compared.await.map_err(StartError::Database);
    kernel.db.close().await;
    Ok(if outcome? { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

/// One line for a scope that agrees; a table of what differs for one that does not.
fn print(report: &Report) {
    let Report { scope, events, rows, count, differences, .. } = report;
    if report.agrees() {
        println!("{scope}: {rows} rows agree with {events} events");
        return;
    }
    println!("{scope}: {count} differences between {rows} rows and {events} events");
    let cells = |d: &audit::reconcile::Difference| {
        [d.table.to_owned(), d.row.clone(), d.field.clone(), d.live.clone(), d.recorded.clone()]
    };
    let mut lines = vec![["table", "row", "field", "in the table", "in the log"].map(str::to_owned)];
    lines.extend(differences.iter().map(cells));
    let mut widths = [0; 5];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for line in lines {
        let padded: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("  {}", padded.join("  ").trim_end());
    }
    if *count > differences.len() {
        println!("  … and {} more", count - differences.len());
    }
}
