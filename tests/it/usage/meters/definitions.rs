//! Who defines a meter, and what makes no sense as one.

use proto::usage::v1 as pb;
use serde_json::json;
use tests::{both_engines, raw, world};
use tonic::Code;

use super::{archive, create, pages, update};
use crate::{errors::reason, usage::Desk};

both_engines! {
    async fn finance_and_owners_define_meters_and_nobody_else_of_the_client(site: Site) {
        let desk = Desk::open(site).await;
        for (duty, may) in [("finance", true), ("admin", false), ("compliance", false), ("member", false), ("consultant", false)] {
            let made = create(&desk.world.holders[duty], &format!("pages.{duty}"), pages("SUM")).await;
            assert_eq!(made.is_ok(), may, "{duty}: {made:?}");
            if let Err(refused) = made {
                assert_eq!(refused.code(), Code::PermissionDenied, "{duty}");
            }
        }
    }

    async fn definitions_that_make_no_sense_are_refused_with_the_field(site: Site) {
        let desk = Desk::open(site).await;
        let owner = &desk.world.owner;
        let many: Vec<_> = (0..17).map(|n| format!("d{n}")).collect();
        for (id, meter, field) in [
            ("tokens.input", pages("SUM"), "meter_id"),
            ("tokens.mine", pages("SUM"), "meter_id"),
            ("Pages", pages("SUM"), "meter_id"),
            ("m", pb::Meter { event_type: String::new(), ..pages("SUM") }, "meter.event_type"),
            ("m", pb::Meter { event_type: "x".repeat(257), ..pages("SUM") }, "meter.event_type"),
            ("m", pages("MEDIAN"), "meter.aggregation"),
            ("m", pb::Meter { value_path: "principal".to_owned(), ..pages("SUM") }, "meter.value_path"),
            ("m", pb::Meter { scale: 10, ..pages("SUM") }, "meter.scale"),
            ("m", pb::Meter { scale: 1, ..pages("COUNT") }, "meter.scale"),
            ("m", pb::Meter { unit: String::new(), ..pages("SUM") }, "meter.unit"),
            ("m", pb::Meter { dims: many, ..pages("SUM") }, "meter.dims"),
            ("m", pb::Meter { dims: vec!["role".to_owned()], ..pages("SUM") }, "meter.dims"),
            ("m", pb::Meter { description: "x".repeat(1_025), ..pages("SUM") }, "meter.description"),
        ] {
            let refused = create(owner, id, meter).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{field}");
            let details = tonic_types::StatusExt::get_error_details(&refused);
            assert!(details.bad_request().unwrap().field_violations.iter().any(|v| v.field == field), "{field}: {details:?}");
        }
        let refused = update(owner, "none", &["unit"], pages("SUM")).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        let refused = update(owner, "none", &["version"], pages("SUM")).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        // a dry run changes nothing
        let request = json!({"parent": world::ACME, "meterId": "dry", "validateOnly": true,
            "meter": {"eventType": "e", "aggregation": "COUNT", "unit": "events"}});
        raw::json(owner, "provost.usage.v1.UsageService/CreateUsageMeter", request).await.unwrap();
        // a retry is the first result
        let request = json!({"parent": world::ACME, "meterId": "dry", "requestId": "8c5b5d6e-6f6f-4e3b-9a52-6a3f0d6f3c11",
            "meter": {"eventType": "e", "aggregation": "COUNT", "unit": "events"}});
        let first = raw::json(owner, "provost.usage.v1.UsageService/CreateUsageMeter", request.clone()).await.unwrap();
        assert_eq!(raw::json(owner, "provost.usage.v1.UsageService/CreateUsageMeter", request).await.unwrap(), first);
    }

    async fn meters_and_versions_have_limits_that_say_what_to_do(site: Site) {
        let desk = Desk::open(site).await;
        let owner = &desk.world.owner;
        for n in 0..64 {
            create(owner, &format!("m{n}"), pages("SUM")).await.unwrap();
        }
        let refused = create(owner, "m64", pages("SUM")).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "LIMIT_EXCEEDED"));
        assert!(refused.message().contains("archive one"), "{}", refused.message());
        archive(owner, "m0", "").await.unwrap();
        create(owner, "m64", pages("SUM")).await.unwrap();
        for n in 2..=32 {
            let change = pb::Meter { description: n.to_string(), ..Default::default() };
            assert_eq!(update(owner, "m64", &["description"], change).await.unwrap().version, n);
        }
        let refused = update(owner, "m64", &["description"], pages("SUM")).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "LIMIT_EXCEEDED"));
    }
}
