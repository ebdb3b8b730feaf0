//! Every kind of sink against a receiver, and what happens when the receiver does not take it.

use std::{net::SocketAddr, time::Duration};

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest, common::v1::any_value::Value as Any,
};
use prost::Message as _;
use proto::{
    retention::v1::{self as retention, retention_service_client::RetentionServiceClient},
    sink::v1::{self as pb, sink::Target},
};
use serde_json::Value;
use tests::{site::Caller, world};
use tonic::Code;

use super::{
    CaughtUp, SIEM, caught_up, client, create, get, pause,
    receiver::{Ending, Http, Received, Rsyslog, Tls},
    replay, resume, until, webhook, with_sinks,
};
use crate::errors::reason;

async fn letters(by: &Caller) -> Vec<pb::DeadLetter> {
    let request = pb::ListDeadLettersRequest { parent: SIEM.to_owned(), ..Default::default() };
    client(by).list_dead_letters(by.ask(request)).await.unwrap().into_inner().dead_letters
}

/// Whether a message is about the creation of this role.
fn is_role(received: &Received, id: &str) -> bool {
    received.json()["data"]["event"]["tgt"][0]["id"] == format!("tenants/acme/roles/{id}")
}

fn syslog(receiver: SocketAddr) -> Target {
    Target::Syslog(pb::Syslog { address: format!("localhost:{}", receiver.port()) })
}

/// The messages are those of the log, each once, in order; some more may have come since.
fn in_order(caught: &CaughtUp, messages: &[String]) {
    assert!(messages.len() >= caught.log.len(), "{} of {}", messages.len(), caught.log.len());
    for ((index, id), message) in caught.log.iter().zip(messages) {
        assert!(
            message.contains(&format!("[provost@32473 event=\"{id}\" sequence=\"{index}\" ")),
            "{message}"
        );
        let json: Value = serde_json::from_str(message.split_once('\u{feff}').unwrap().1).unwrap();
        assert_eq!(json["data"]["event"]["id"], *id);
    }
}

with_sinks! {
    async fn a_webhook_gets_every_event_once_in_order_and_signed(world: World) {
        let receiver = Http::start().await;
        let both = [pb::SignatureScheme::Hmac.into(), pb::SignatureScheme::Ed25519.into()];
        let hook = pb::Webhook { url: format!("{}/in", receiver.url()), schemes: both.into(), ..Default::default() };
        let made = create(&world.owner, Target::Webhook(hook), "").await.unwrap();
        world.role("a").await;
        let caught = caught_up(&world.owner).await;
        assert_eq!(caught.of(receiver.events()), caught.log);
        let sink = caught.sink;
        assert!(sink.state() == pb::State::Active && sink.delivered_count >= i64::try_from(caught.log.len()).unwrap());
        let [hmac, ed25519] = made.secrets.as_slice() else { panic!("{:?}", made.secrets.len()) };
        assert!(hmac.starts_with("whsec_") && ed25519.starts_with("whsk_"));
        let Some(Target::Webhook(shown)) = sink.target else { panic!() };
        assert!(shown.secrets.is_empty() && shown.public_keys[0].starts_with("whpk_"));
        // by the reference implementation, which would sign the same; time stands still here, so it cannot verify
        let reference = standardwebhooks::Webhook::new(hmac).unwrap();
        for received in receiver.taken() {
            let (id, timestamp) = (received.header("webhook-id"), received.header("webhook-timestamp").parse().unwrap());
            let signed = reference.sign(id, timestamp, &received.body).unwrap();
            assert!(received.header("webhook-signature").starts_with(&format!("{signed} v1a,")), "{signed}");
            let json = received.json();
            assert_eq!(received.header("webhook-id"), json["data"]["event"]["id"]);
            assert_eq!((json["type"].as_str(), received.path.as_str()), (json["data"]["event"]["act"].as_str(), "/in"));
            assert!(json["data"]["log"].as_str().unwrap().starts_with("provost.local/tenants/"));
        }
    }

    async fn a_receiver_that_is_away_gets_everything_later(world: World) {
        let receiver = Http::start().await;
        let mut left = 3;
        receiver.answer(move |_| {
            left -= 1;
            if left >= 0 { (503, vec![("retry-after", "7".to_owned())]) } else { (204, Vec::new()) }
        });
        create(&world.owner, webhook(&receiver.url()), "").await.unwrap();
        for attempt in 1..=3 {
            let sink = until("a failed attempt", async || Some(get(&world.owner).await).filter(|s| s.failed_attempts == attempt)).await;
            assert_eq!((sink.state(), sink.next_index), (pb::State::Retrying, 0));
            assert!(sink.last_error.contains("503") && sink.retry_time.is_some() && sink.lag_events > 0, "{sink:?}");
            assert_eq!(receiver.taken().len(), 0);
            world.site.advance(Duration::from_mins(10));
        }
        let caught = caught_up(&world.owner).await;
        assert_eq!((caught.sink.failed_attempts, caught.sink.last_error.as_str()), (0, ""));
        assert_eq!(caught.of(receiver.events()), caught.log);
    }

    async fn an_event_that_is_refused_for_good_is_a_dead_letter_and_comes_again_on_request(world: World) {
        let receiver = Http::start().await;
        receiver.answer(|r| if is_role(r, "poison") { (422, Vec::new()) } else { (200, Vec::new()) });
        create(&world.owner, webhook(&receiver.url()), "").await.unwrap();
        world.role("poison").await;
        world.role("after").await;
        let letter = until("a dead letter", async || {
            world.site.advance(Duration::from_secs(1));
            letters(&world.owner).await.pop()
        })
        .await;
        assert_eq!((letter.attempts, receiver.refused()), (5, 5));
        assert!(letter.reason.contains("422") && letter.reason.contains("said so"), "{}", letter.reason);
        let mut caught = caught_up(&world.owner).await;
        assert_eq!(caught.sink.dead_letter_count, 1);
        let came = caught.of(receiver.events());
        caught.log.retain(|(index, _)| *index != letter.sequence);
        assert_eq!(came, caught.log, "the others came, in order");

        let again = |sequences: Vec<i64>| {
            let request = pb::RedeliverDeadLettersRequest { name: SIEM.to_owned(), sequences, ..Default::default() };
            async { client(&world.owner).redeliver_dead_letters(world.owner.ask(request)).await }
        };
        assert_eq!(again(vec![0]).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(again(Vec::new()).await.unwrap().into_inner().count, 1);
        until("it is refused once more", async || letters(&world.owner).await.pop().filter(|l| l.attempts == 6 && !l.redelivering)).await;
        receiver.answer(|_| (200, Vec::new()));
        assert_eq!(again(vec![letter.sequence]).await.unwrap().into_inner().count, 1);
        until("it was taken", async || letters(&world.owner).await.is_empty().then_some(())).await;
        assert!(receiver.events().iter().any(|(index, _)| *index == letter.sequence));
    }

    async fn a_receiver_that_is_gone_pauses_the_sink(world: World) {
        let receiver = Http::start().await;
        receiver.answer(|_| (410, Vec::new()));
        create(&world.owner, webhook(&receiver.url()), "").await.unwrap();
        let sink = until("paused", async || Some(get(&world.owner).await).filter(|s| s.state() == pb::State::Paused)).await;
        assert!(sink.pause_reason.contains("410"), "{}", sink.pause_reason);
        let paused = crate::audit::events(&world.owner, world::ACME, "action = \"sink.pause\"").await;
        assert_eq!((paused.len(), paused[0].actor.as_str()), (1, "system"));
        let why = paused[0].changes.iter().find(|c| c.field == "/pause_reason").unwrap();
        assert!(why.new_value.contains("410"), "{why:?}");
        let entry: Value = serde_json::from_str(&paused[0].entry).unwrap();
        let recorded = entry["chg"].as_array().unwrap().iter().find(|c| c["f"] == "/pause_reason").unwrap();
        assert!(recorded["n"]["$s"].is_string(), "free text is sealed: {recorded}");
        assert_eq!(reason(&pause(&world.owner).await.unwrap_err()), "ILLEGAL_STATE");
        receiver.answer(|_| (200, Vec::new()));
        resume(&world.owner).await.unwrap();
        let caught = caught_up(&world.owner).await;
        assert_eq!(caught.of(receiver.events()), caught.log);
        assert_eq!(reason(&resume(&world.owner).await.unwrap_err()), "ILLEGAL_STATE");
    }

    async fn a_paused_sink_waits_and_a_replayed_one_delivers_again(world: World) {
        let receiver = Http::start().await;
        create(&world.owner, webhook(&receiver.url()), "").await.unwrap();
        caught_up(&world.owner).await;
        pause(&world.owner).await.unwrap();
        let before = receiver.taken().len();
        world.role("while-paused").await;
        let waiting = until("a lag", async || Some(get(&world.owner).await).filter(|s| s.lag_events >= 2)).await;
        world.site.advance(Duration::from_mins(2));
        assert!(get(&world.owner).await.lag_seconds >= 120 && waiting.state() == pb::State::Paused);
        assert_eq!(receiver.taken().len(), before);
        for bad in [-1, waiting.next_index + 1] {
            assert_eq!(reason(&replay(&world.owner, bad).await.unwrap_err()), "AUDIT_OUT_OF_RANGE", "{bad}");
        }
        assert_eq!(replay(&world.owner, 2).await.unwrap().next_index, 2);
        resume(&world.owner).await.unwrap();
        let caught = caught_up(&world.owner).await;
        assert_eq!(caught.of(receiver.events()[before..].to_vec()), caught.log[2..]);
    }

    async fn splunk_gets_batches_under_its_token(world: World) {
        let receiver = Http::start().await;
        let splunk = pb::SplunkHec { url: receiver.url(), token: "hec-7fd1".to_owned(), index: "audit".to_owned() };
        create(&world.owner, Target::SplunkHec(splunk), "").await.unwrap();
        let caught = caught_up(&world.owner).await;
        let (mut came, requests) = (Vec::new(), receiver.taken());
        for request in &requests {
            assert_eq!((request.path.as_str(), request.header("authorization")), ("/services/collector/event", "Splunk hec-7fd1"));
            for event in serde_json::Deserializer::from_slice(&request.body).into_iter::<Value>() {
                let event = event.unwrap();
                assert!(event["time"].is_number() && event["index"] == "audit" && event["sourcetype"] == "provost:audit");
                came.push((event["event"]["sequence"].as_i64().unwrap(), event["event"]["event"]["id"].as_str().unwrap().to_owned()));
            }
        }
        assert!(requests.len() < came.len(), "many events a request");
        assert_eq!(caught.of(came), caught.log);
    }

    async fn otlp_logs_carry_the_event(world: World) {
        let receiver = Http::start().await;
        let url = format!("{}/v1/logs", receiver.url());
        let otlp = pb::Otlp { url, header: "X-Api-Key".to_owned(), header_value: "key-55".to_owned() };
        create(&world.owner, Target::Otlp(otlp), "").await.unwrap();
        let caught = caught_up(&world.owner).await;
        let mut came = Vec::new();
        for request in receiver.taken() {
            assert_eq!((request.header("x-api-key"), request.header("content-type")), ("key-55", "application/x-protobuf"));
            let logs = ExportLogsServiceRequest::decode(request.body.clone()).unwrap();
            for record in logs.resource_logs.into_iter().flat_map(|r| r.scope_logs).flat_map(|s| s.log_records) {
                let value = |key: &str| record.attributes.iter().find(|a| a.key == key).unwrap().value.clone().unwrap().value.unwrap();
                let (Any::StringValue(id), Any::IntValue(sequence)) = (value("provost.event.id"), value("provost.sequence")) else { panic!() };
                assert!(record.event_name.contains('.') && record.time_unix_nano > 0);
                came.push((sequence, id));
            }
        }
        assert_eq!(caught.of(came), caught.log);
    }

    async fn a_receiver_that_shows_an_authority_as_its_own_certificate_is_told_what_to_show(world: World) {
        let ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let receiver = Tls::showing(Ending::Clean, ca).await;
        create(&world.owner, syslog(receiver.address), &receiver.ca).await.unwrap();
        let sink = until("a refused certificate", async || Some(get(&world.owner).await).filter(|s| s.failed_attempts > 0)).await;
        assert!(sink.last_error.contains("`basicConstraints=CA:FALSE`"), "{}", sink.last_error);
        assert!(receiver.messages().is_empty());
    }

    async fn syslog_goes_over_tls_and_only_to_whom_the_authority_vouches_for(world: World) {
        let receiver = Tls::start(Ending::Clean).await;
        create(&world.owner, syslog(receiver.address), "").await.unwrap();
        let sink = until("a refused certificate", async || Some(get(&world.owner).await).filter(|s| s.failed_attempts > 0)).await;
        assert!(sink.last_error.contains("certificate"), "{}", sink.last_error);
        let with_ca = pb::Sink { name: SIEM.to_owned(), ca_certificate: receiver.ca.clone(), ..Default::default() };
        let request = pb::UpdateSinkRequest { sink: Some(with_ca), etag: sink.etag, ..Default::default() };
        client(&world.owner).update_sink(world.owner.ask(request)).await.unwrap();
        let caught = caught_up(&world.owner).await;
        let came = receiver.messages();
        for message in &came {
            assert!(message.starts_with("<110>1 2026-11-23T12:00:00.000000Z provost.local provost - "), "{message}");
        }
        in_order(&caught, &came);
    }

    async fn syslog_counts_what_a_receiver_closes_without_a_word(world: World) {
        let receiver = Tls::start(Ending::Rude).await;
        create(&world.owner, syslog(receiver.address), &receiver.ca).await.unwrap();
        in_order(&caught_up(&world.owner).await, &receiver.messages());
    }

    async fn syslog_sends_again_what_a_receiver_resets(world: World) {
        let receiver = Tls::start(Ending::ResetOnce).await;
        create(&world.owner, syslog(receiver.address), &receiver.ca).await.unwrap();
        let sink = until("a failed attempt", async || Some(get(&world.owner).await).filter(|s| s.failed_attempts > 0)).await;
        assert_eq!((sink.next_index, receiver.messages().len()), (0, 0), "{sink:?}");
        world.site.advance(Duration::from_mins(1));
        in_order(&caught_up(&world.owner).await, &receiver.messages());
    }

    async fn rsyslog_gets_every_event_once_in_order(world: World) {
        let receiver = Rsyslog::start().await;
        create(&world.owner, syslog(receiver.address), &receiver.ca).await.unwrap();
        world.role("a").await;
        let caught = caught_up(&world.owner).await;
        // it has read all of it, and writes a moment later
        let came = until("it has written", async || Some(receiver.messages()).filter(|m| m.len() >= caught.log.len())).await;
        in_order(&caught, &came);
    }

    async fn a_file_sink_writes_below_the_directory_of_its_log(world: World) {
        let file = pb::File { directory: "siem/daily".to_owned(), max_bytes: 4_096, max_files: 0 };
        create(&world.owner, Target::File(file), "").await.unwrap();
        let caught = caught_up(&world.owner).await;
        let base = &world.site.kernel().config.sinks.file_dir;
        let acme = std::fs::read_dir(base.join("tenants")).unwrap().next().unwrap().unwrap().path();
        let mut files: Vec<_> = std::fs::read_dir(acme.join("siem/daily")).unwrap().map(|f| f.unwrap().path()).collect();
        // closed ones sort by the order in which they were closed, and before the one that grows
        files.sort();
        let text: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let came: Vec<_> = text
            .lines()
            .map(|line| {
                let value: Value = serde_json::from_str(line).unwrap();
                (value["data"]["sequence"].as_i64().unwrap(), value["data"]["event"]["id"].as_str().unwrap().to_owned())
            })
            .collect();
        assert_eq!(caught.of(came), caught.log);
    }

    async fn an_erased_person_is_erased_in_what_is_delivered_again(world: World) {
        let receiver = Http::start().await;
        create(&world.owner, webhook(&receiver.url()), "").await.unwrap();
        let zoe = proto::principal::v1::Principal {
            kind: proto::principal::v1::PrincipalKind::User.into(),
            display_name: "Zoe Zimmermann".to_owned(),
            ..Default::default()
        };
        let name = world::principal(&world.owner, world::ACME, "zoe", zoe).await.unwrap().name;
        caught_up(&world.owner).await;
        let text = |from: usize| receiver.taken()[from..].iter().map(|r| r.json().to_string()).collect::<String>();
        assert!(text(0).contains("Zoe Zimmermann"), "what is shown to those who may read it");
        let delete = proto::principal::v1::DeletePrincipalRequest { name: name.clone(), ..Default::default() };
        let mut principals = proto::principal::v1::principal_service_client::PrincipalServiceClient::new(world.owner.channel.clone());
        principals.delete_principal(world.owner.ask(delete)).await.unwrap();
        let erase = retention::EraseSubjectRequest { principal: name, reason: "asked for".to_owned(), ..Default::default() };
        RetentionServiceClient::new(world.owner.channel.clone()).erase_subject(world.owner.ask(erase)).await.unwrap();
        caught_up(&world.owner).await;
        let before = receiver.taken().len();
        replay(&world.owner, 0).await.unwrap();
        caught_up(&world.owner).await;
        let again = text(before);
        assert!(!again.contains("Zoe Zimmermann") && again.contains("(erased)"));
    }

    async fn what_retention_removed_before_it_was_delivered_is_a_recorded_gap(world: World) {
        let receiver = Http::start().await;
        // a delivery that was on its way when the sink was paused may still arrive: none is, once one has failed
        receiver.answer(|_| (503, Vec::new()));
        create(&world.owner, webhook(&receiver.url()), "").await.unwrap();
        until("a failed delivery", async || Some(get(&world.owner).await).filter(|s| s.failed_attempts > 0)).await;
        pause(&world.owner).await.unwrap();
        receiver.answer(|_| (204, Vec::new()));
        let next = get(&world.owner).await.next_index;
        let classes = ["admin_write", "admin_read", "auth", "audit_read", "system"];
        let classes = classes.map(|class| retention::ClassRetention { event_class: class.to_owned(), days: 30 });
        let of = retention::Retention { name: "tenants/acme/retention".to_owned(), classes: classes.into(), ..Default::default() };
        let request = retention::UpdateRetentionRequest { retention: Some(of), ..Default::default() };
        RetentionServiceClient::new(world.owner.channel.clone()).update_retention(world.owner.ask(request)).await.unwrap();
        for n in 0..256 {
            world.role(&format!("r{n}")).await;
        }
        let mut reader = world.site.kernel().db.reader().await.unwrap();
        let scope = kernel::on!(&mut reader, |c| sqlx::query_scalar("SELECT id FROM tenant WHERE slug = 'acme'").fetch_one(c)).unwrap();
        drop(reader);
        crate::audit::events(&world.owner, world::ACME, "").await;
        world.site.advance(Duration::from_hours(24 * 31));
        // what is not under a checkpoint yet is not pruned
        until("256 events are pruned", async || {
            let minimum = audit::retention::prune(world.site.kernel(), scope).await.unwrap();
            (minimum == 256).then_some(())
        })
        .await;
        resume(&world.admin).await.unwrap();
        let sink = caught_up(&world.admin).await.sink;
        assert_eq!(sink.lost_count, 256 - next);
        let gap = crate::audit::events(&world.admin, world::ACME, "action = \"audit.gap\"").await.pop().unwrap();
        let entry: Value = serde_json::from_str(&gap.entry).unwrap();
        let said = |field: &str| entry["chg"].as_array().unwrap().iter().find(|c| c["f"] == field).unwrap()["n"].clone();
        assert_eq!((said("/count"), said("/first_index"), said("/last_index")), ((256 - next).into(), next.into(), 255.into()));
        assert_eq!(gap.targets, [SIEM]);
        let first = receiver.events().into_iter().map(|(index, _)| index).find(|index| *index >= next).unwrap();
        assert_eq!(first, 256);
        assert_eq!(reason(&replay(&world.admin, 0).await.unwrap_err()), "AUDIT_OUT_OF_RANGE");
    }
}
