//! Who may set a sink, where it may go, and what nobody learns.

use proto::sink::v1::{self as pb, sink::Target};
use tests::{World, both_engines, world};
use tonic::Code;

use super::{
    SIEM, caught_up, client, create, get,
    receiver::{Ending, Http, Tls},
    until, webhook, with_sinks,
};
use crate::errors::reason;

both_engines! {
    async fn a_sink_reaches_nothing_that_only_the_server_may_reach(site: Site) {
        let world = World::build(site).await;
        for url in [
            "http://127.0.0.1:1/", "https://127.0.0.1:1/", "https://[::1]/", "https://localhost:1/", "https://10.1.2.3/",
            "https://192.168.0.1/", "https://169.254.169.254/latest/meta-data", "https://[::ffff:7f00:1]/", "http://example.com/",
            "https://u:p@example.com/", "gopher://example.com/",
        ] {
            let refused = create(&world.owner, webhook(url), "").await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{url}");
        }
        let syslog = Target::Syslog(pb::Syslog { address: "localhost:6514".to_owned() });
        let refused = create(&world.owner, syslog, "").await.unwrap_err();
        assert!(refused.message().contains("sinks.allow_loopback"), "{}", refused.message());
        let file = Target::File(pb::File { directory: "siem".to_owned(), ..Default::default() });
        let refused = create(&world.owner, file, "").await.unwrap_err();
        assert!(refused.message().contains("sinks.file_dir"), "{}", refused.message());
        let token = Target::SplunkHec(pb::SplunkHec { url: "https://splunk.example:8088".to_owned(), ..Default::default() });
        assert_eq!(create(&world.owner, token, "").await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(create(&world.owner, webhook("https://a.example/"), "nonsense").await.unwrap_err().code(), Code::InvalidArgument);
    }

    async fn a_partner_sets_no_sink_on_a_clients_log_and_compliance_does(site: Site) {
        let world = World::build(site).await;
        for duty in ["partner_admin", "consultant", "admin", "finance", "approver", "member", "platform_auditor"] {
            let refused = create(&world.holders[duty], webhook("https://a.example/"), "").await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied, "{duty}");
        }
        assert_eq!(create(&world.rival, webhook("https://a.example/"), "").await.unwrap_err().code(), Code::NotFound);
        let compliance = &world.holders["compliance"];
        create(compliance, webhook("https://a.example/"), "").await.unwrap();
        assert_eq!(reason(&create(compliance, webhook("https://a.example/"), "").await.unwrap_err()), "RESOURCE_EXISTS");
        let boss = &world.holders["partner_admin"];
        let sink = pb::Sink { display_name: "Own".to_owned(), target: Some(webhook("https://a.example/")), ..Default::default() };
        let own = pb::CreateSinkRequest { parent: world::NORTHWIND.to_owned(), sink_id: "own".to_owned(), sink: Some(sink), start_index: -1, ..Default::default() };
        let made = client(boss).create_sink(boss.ask(own)).await.unwrap().into_inner().sink.unwrap();
        assert_eq!(made.name, "partners/northwind/sinks/own");
        let stale = pb::DeleteSinkRequest { name: made.name.clone(), etag: "r9".to_owned(), ..Default::default() };
        assert_eq!(reason(&client(boss).delete_sink(boss.ask(stale)).await.unwrap_err()), "ETAG_STALE");
        let request = pb::DeleteSinkRequest { name: made.name.clone(), etag: made.etag, ..Default::default() };
        client(boss).delete_sink(boss.ask(request)).await.unwrap();
        let gone = client(boss).get_sink(boss.ask(pb::GetSinkRequest { name: made.name })).await.unwrap_err();
        assert_eq!(gone.code(), Code::NotFound);
    }
}

with_sinks! {
    async fn a_secret_is_in_no_answer_and_not_in_the_database(world: World) {
        let receiver = Http::start().await;
        let made = create(&world.owner, webhook(&receiver.url()), "").await.unwrap();
        let secret = made.secrets[0].strip_prefix("whsec_").unwrap().to_owned();
        let token = "hec-very-secret-9918";
        let splunk = Target::SplunkHec(pb::SplunkHec { url: receiver.url(), token: token.to_owned(), index: String::new() });
        let sink = pb::Sink { display_name: "Splunk".to_owned(), target: Some(splunk), ..Default::default() };
        let request = pb::CreateSinkRequest { parent: world::ACME.to_owned(), sink_id: "splunk".to_owned(), sink: Some(sink), ..Default::default() };
        client(&world.owner).create_sink(world.owner.ask(request)).await.unwrap();
        caught_up(&world.owner).await;
        let listed = pb::ListSinksRequest { parent: world::ACME.to_owned(), filter: "kind = splunk_hec OR kind = webhook".to_owned(), ..Default::default() };
        let listed = client(&world.owner).list_sinks(world.owner.ask(listed)).await.unwrap().into_inner();
        assert_eq!(listed.sinks.len(), 2);
        let dump = world.site.dump(&[]).await;
        let hex = kernel::hash::hex(token.as_bytes());
        for text in [format!("{listed:?}"), dump.to_lowercase()] {
            for hidden in [token, hex.as_str(), secret.as_str(), secret.to_lowercase().as_str()] {
                assert!(!text.contains(hidden), "{hidden}");
            }
        }
        // nobody sends the token somewhere else without knowing it
        let moved = Target::SplunkHec(pb::SplunkHec { url: format!("{}/x", receiver.url()), ..Default::default() });
        let sink = pb::Sink { name: "tenants/acme/sinks/splunk".to_owned(), target: Some(moved), ..Default::default() };
        let request = pb::UpdateSinkRequest { sink: Some(sink), ..Default::default() };
        let refused = client(&world.owner).update_sink(world.owner.ask(request)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }

    async fn a_test_says_what_came_of_it_and_redirects_are_not_followed(world: World) {
        let (receiver, elsewhere) = (Http::start().await, Http::start().await);
        let location = elsewhere.url();
        receiver.answer(move |_| (307, vec![("location", location.clone())]));
        create(&world.owner, webhook(&receiver.url()), "").await.unwrap();
        let test = || async {
            let request = pb::TestSinkRequest { name: SIEM.to_owned() };
            client(&world.owner).test_sink(world.owner.ask(request)).await.unwrap().into_inner()
        };
        let outcome = test().await;
        assert!(!outcome.delivered && outcome.detail.contains("redirects are not followed"), "{outcome:?}");
        until("a failed attempt", async || Some(get(&world.owner).await).filter(|s| s.failed_attempts > 0)).await;
        assert_eq!(elsewhere.taken().len(), 0);
        receiver.answer(|_| (200, Vec::new()));
        assert!(test().await.delivered);
        assert!(receiver.taken().iter().any(|r| r.json()["type"] == "sink.test"));
        let tls = Tls::start(Ending::Clean).await;
        let https = webhook(&format!("https://localhost:{}/", tls.address.port()));
        let sink = pb::Sink { name: SIEM.to_owned(), target: Some(https), ..Default::default() };
        let request = pb::UpdateSinkRequest { sink: Some(sink), ..Default::default() };
        client(&world.owner).update_sink(world.owner.ask(request)).await.unwrap();
        let outcome = test().await;
        assert!(!outcome.delivered && outcome.detail.to_lowercase().contains("certificate"), "{outcome:?}");
    }
}
