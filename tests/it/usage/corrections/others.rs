//! Corrections beside what else reads events: a tenant's own meters, and adoption.

use proto::usage::v1::{self as pb, EventOutcome, usage_service_client::UsageServiceClient};
use tests::{both_engines, site::Caller, world};
use tonic::Code;

use super::{
    amend, at,
    backfills::{commit, open, stage},
    key, revert, seq, void,
};
use crate::usage::{
    Desk,
    ingest::ingest,
    meters::{create, event, pages},
    query,
    rollup::rolled_up,
};

const KINDS: [&str; 7] = ["SUM", "COUNT", "UNIQUE_COUNT", "MAX", "MIN", "LATEST", "AVG"];

/// What the meters of pages say, in the order of [`KINDS`].
async fn figures(by: &Caller) -> Vec<String> {
    let mut all = Vec::new();
    for kind in KINDS {
        let question = pb::QueryUsageRequest {
            meters: vec![format!("pages.{}", kind.to_lowercase())],
            ..Default::default()
        };
        let rows = query(by, question).await.unwrap().rows;
        all.push(rows.first().map(|row| row.decimal_value.clone()).unwrap_or_default());
    }
    all
}

async fn define(by: &Caller) {
    for kind in KINDS {
        create(by, &format!("pages.{}", kind.to_lowercase()), pages(kind)).await.unwrap();
    }
}

/// Active in the last week of the adoption's first answer, together.
async fn active(by: &Caller) -> i64 {
    let request =
        pb::QueryAdoptionRequest { parent: world::ACME.to_owned(), periods: 8, ..Default::default() };
    let answer = UsageServiceClient::new(by.channel.clone())
        .query_adoption(by.ask(request))
        .await
        .unwrap()
        .into_inner();
    answer.totals.iter().map(|row| row.active_principals).sum()
}

both_engines! {
    async fn what_is_taken_back_is_in_no_figure_of_a_tenants_own_meters(site: Site) {
        let desk = Desk::open(site).await;
        let owner = &desk.world.owner;
        define(owner).await;
        // the least, the latest, the greatest: each of another event, the greatest all that Sam has
        let maria = vec![event("a", at(0), "2"), event("b", at(30), "6"), event("c", at(2_000), "4")];
        ingest(&desk, &desk.maria, vec![maria]).await.unwrap();
        ingest(&desk, &desk.sam, vec![vec![event("d", at(1_000), "12")]]).await.unwrap();
        let before = ["24", "4", "2", "12", "2", "4", "6"];
        let after = ["6", "1", "1", "6", "6", "6", "6"];
        for rolled in [false, true] {
            if rolled {
                rolled_up(&desk).await;
            }
            assert_eq!(figures(owner).await, before, "rolled up: {rolled}");
            let made = void(owner, ["a", "c", "d"].map(|id| key("s", id)).to_vec(), "a broken gateway").await.unwrap();
            let effect = made.effects.iter().find(|e| e.meter.starts_with("pages.sum")).unwrap();
            assert_eq!((effect.events_taken, effect.value_change.as_str()), (3, "-18"));
            assert_eq!(figures(owner).await, after, "taken back, rolled up before: {rolled}");
            rolled_up(&desk).await;
            assert_eq!(figures(owner).await, after, "derived again, rolled up before: {rolled}");
            revert(owner, &made.name).await.unwrap();
            assert_eq!(figures(owner).await, before, "reverted, rolled up before: {rolled}");
        }
        rolled_up(&desk).await;
        assert_eq!(figures(owner).await, before);
        let kernel = &desk.world.site.running.kernel;
        let tenant = metering::rollup::store::tenant_list(&mut kernel.db.reader().await.unwrap()).await.unwrap()[0];
        let good = metering::rollup::verify::verify(kernel, tenant).await.unwrap();
        assert!(good.agrees() && good.stale == 0, "{good:?}");
    }

    async fn what_a_meter_cannot_count_exactly_is_not_put_in_by_a_correction(site: Site) {
        let desk = Desk::open(site).await;
        let owner = &desk.world.owner;
        define(owner).await;
        ingest(&desk, &desk.maria, vec![vec![event("a", at(0), "2")]]).await.unwrap();
        for (value, field) in [("0.5", "amendments[0].data.values.pages"), ("-1", "amendments[0].data.values.pages")] {
            let values = vec![pb::Quantity { key: "pages".to_owned(), value: value.to_owned() }];
            let amendment = pb::UsageAmendment { event: Some(seq(1)), values, ..Default::default() };
            let refused = amend(owner, vec![amendment]).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{value}");
            let details = tonic_types::StatusExt::get_error_details(&refused);
            let said: Vec<_> = details.bad_request().unwrap().field_violations.iter().map(|v| v.field.as_str()).collect();
            assert_eq!(said, [field], "{value}");
        }
        let backfill = open(owner, (at(0), at(1_440)), pb::UsageCorrection::default()).await.unwrap();
        let sent = ["0.5", "-1", "3"].iter().enumerate().map(|(n, value)| event(&format!("late-{n}"), at(60), value));
        let statuses = stage(owner, &backfill.name, sent.collect()).await.unwrap();
        let told: Vec<_> = statuses.iter().map(|s| (s.outcome(), s.code.as_str())).collect();
        let (no, yes) = (EventOutcome::Rejected, EventOutcome::Accepted);
        assert_eq!(told, [(no, "NOT_EXACT"), (no, "NEGATIVE"), (yes, "")]);
        commit(owner, &backfill.name, false).await.unwrap();
        assert_eq!(figures(owner).await[0], "5");
    }

    async fn whose_only_events_are_taken_back_was_not_active(site: Site) {
        let desk = Desk::open(site).await;
        let owner = &desk.world.owner;
        ingest(&desk, &desk.maria, vec![vec![event("a", at(0), "2")]]).await.unwrap();
        ingest(&desk, &desk.sam, vec![vec![event("b", at(10), "2")]]).await.unwrap();
        rolled_up(&desk).await;
        assert_eq!(active(owner).await, 2);
        let made = void(owner, vec![seq(2)], "it was a test").await.unwrap();
        assert_eq!(active(owner).await, 1, "before it is derived again");
        rolled_up(&desk).await;
        assert_eq!(active(owner).await, 1);
        revert(owner, &made.name).await.unwrap();
        assert_eq!(active(owner).await, 2);
    }
}
