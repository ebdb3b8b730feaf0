//! `provostd metering verify`: whether the rollups of usage are what the events say.

use std::process::ExitCode;

use kernel::{Kernel, clock::Clock, config::Config, error::Error, scope::Scope};
use metering::rollup::{
    store::tenant_list,
    verify::{Report, verify},
};

use crate::app::{StartError, open_database};

/// How the command ends when they differ; 1 is what every command that fails ends with.
const DIFFERENT: u8 = 3;

/// Derives the rollups of one tenant (`tenants/…`), or of all, again and prints what differs.
pub async fn run(config: Config, tenant: Option<&str>) -> Result<ExitCode, StartError> {
    let db = open_database(&config).await?;
    let kernel = Kernel::new(config, db, Clock::System).await.map_err(StartError::Database)?;
    let verified = async {
        let tenants = match tenant {
            None => tenant_list(&mut kernel.db.reader().await?).await?,
            Some(name) => {
                vec![Scope::find(&mut kernel.db.reader().await?, "--tenant", name).await?.tenant()?.id]
            }
        };
        let mut different = false;
        for tenant in tenants {
            let report = verify(&kernel, tenant).await?;
            different |= !report.agrees();
            print(&tenant.to_string(), &report);
        }
        Ok::<_, Error>(different)
    };
    let outcome = verified.await.map_err(StartError::Database);
    kernel.db.close().await;
    Ok(if outcome? { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

/// One line for a tenant that agrees; what differs for one that does not.
fn print(tenant: &str, report: &Report) {
    let Report { events, rollups, count, differences, stale } = report;
    if *stale > 0 {
        println!(
            "{tenant}: {stale} days were corrected and are derived again when the server runs; they are left out"
        );
    }
    if report.agrees() {
        println!("{tenant}: {rollups} rollups agree with {events} events");
        return;
    }
    println!("{tenant}: {count} of {rollups} rollups differ from {events} events");
    for d in differences {
        println!(
            "  {} {} {} series {} principal {}: stored {}, derived {}",
            d.meter, d.level, d.bucket, d.series, d.principal, d.stored, d.derived
        );
    }
    if *count > differences.len() as u64 {
        println!("  … and {} more", count - differences.len() as u64);
    }
}
