//! How commands call: credentials, repetition, confirmation, secrets, exit codes.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use proto::token::v1::{WhoAmIRequest, token_service_client::TokenServiceClient};
use tonic::Code;

use super::{
    fake::{Fake, SECRET},
    provost,
};
use crate::{
    Exit,
    client::{Client, Credentials, Repeat},
    error::Error,
};

const STAGE: &str = "catalog stage codex-official/factset preview";

#[tokio::test]
async fn check_exits_by_the_answer() {
    let (fake, address) = Fake::start().await;
    let yes = provost("check acme/maria codex-official/factset").env("PROVOST_ADDRESS", &address).run().await;
    assert_eq!((yes.exit, yes.out.as_str()), (Exit::OK, "allowed  yes\nreason   ALLOWED\n"));
    let no = provost("decision check acme/otto codex-official/factset -o json --address")
        .with(&address)
        .run()
        .await;
    assert_eq!(no.exit, Exit::DECISION_NO);
    let value: serde_json::Value = serde_json::from_str(&no.out).unwrap();
    assert_eq!((&value["allowed"], &value["reason"]), (&false.into(), &"DECISION_REASON_STAGE_GATE".into()));
    assert!(fake.calls()[0].contains("\"tenants/acme/principals/maria\""), "{:?}", fake.calls());
    assert!(
        fake.calls()[0].contains("\"marketplaces/codex-official/plugins/factset\""),
        "{:?}",
        fake.calls()
    );
}

#[tokio::test]
async fn token_and_trace_travel_with_the_call_and_stay_out_of_the_output() {
    let (fake, address) = Fake::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let ran = provost("check acme/maria a/b --address")
        .with(&address)
        .env("PROVOST_TOKEN", "pv_pat_secret")
        .env("TRACEPARENT", trace)
        .run()
        .await;
    assert_eq!(fake.header("authorization").unwrap(), "Bearer pv_pat_secret");
    assert_eq!(fake.header("traceparent").unwrap(), trace);
    assert!(fake.header("grpc-timeout").is_some());
    assert!(!format!("{ran:?}").contains("secret"), "{ran:?}");
}

#[tokio::test]
async fn a_read_is_repeated_three_times_and_no_more() {
    let (fake, address) = Fake::start().await;
    fake.fail(3, Code::Unavailable, "DATABASE_UNAVAILABLE");
    let ran = provost("check acme/maria a/b --address").with(&address).run().await;
    assert_eq!((ran.exit, fake.calls().len()), (Exit::OK, 4));
    fake.fail(4, Code::Unavailable, "DATABASE_UNAVAILABLE");
    let ran = provost("check acme/maria a/b --address").with(&address).run().await;
    assert_eq!((ran.exit, fake.calls().len()), (Exit::UNAVAILABLE, 8));
    insta::assert_snapshot!(ran.err, @"
    error: not now
    reason: DATABASE_UNAVAILABLE
    retry: in 1 ms
    hint: repeat the command a little later; `provost health --watch` shows when the server is back
    ");
}

#[tokio::test]
async fn a_change_is_repeated_under_the_same_request_id() {
    let (fake, address) = Fake::start().await;
    fake.fail(2, Code::Aborted, "CONFLICT");
    let ran = provost(&format!("{STAGE} --address {address}")).run().await;
    assert_eq!(ran.exit, Exit::OK, "{}", ran.err);
    let calls = fake.calls();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| *call == calls[0]), "{calls:?}");
    assert!(!calls[0].contains("request_id: \"\""), "{calls:?}");
    provost(&format!("{STAGE} --address {address}")).run().await;
    assert_ne!(fake.calls()[3], calls[0], "another command is another change");
}

#[tokio::test]
async fn what_does_not_pass_is_not_repeated() {
    let (fake, address) = Fake::start().await;
    for (code, reason, exit) in [
        (Code::Aborted, "ETAG_STALE", Exit::CONFLICT),
        (Code::NotFound, "RESOURCE_NOT_FOUND", Exit::NOT_FOUND),
        (Code::PermissionDenied, "DUTY_MISSING", Exit::DENIED),
        (Code::FailedPrecondition, "ILLEGAL_STATE", Exit::PRECONDITION),
        (Code::InvalidArgument, "INVALID_FIELD", Exit::INVALID),
    ] {
        let before = fake.calls().len();
        fake.fail(1, code, reason);
        let ran = provost(&format!("{STAGE} --address {address}")).run().await;
        assert_eq!((ran.exit, fake.calls().len()), (exit, before + 1), "{reason}");
        assert!(
            ran.err.contains(&format!("reason: {reason}\n")) && ran.err.contains("hint: "),
            "{}",
            ran.err
        );
        assert_eq!(ran.out, "");
    }
}

#[tokio::test]
async fn a_token_is_never_made_twice() {
    let (fake, address) = Fake::start().await;
    fake.fail(1, Code::Unavailable, "DATABASE_UNAVAILABLE");
    let ran = provost(&format!("token create --principal acme/maria --display-name x --address {address}"))
        .run()
        .await;
    assert_eq!((ran.exit, fake.calls().len()), (Exit::UNAVAILABLE, 1));
}

#[tokio::test]
async fn all_pages_are_read() {
    let (fake, address) = Fake::start().await;
    let line = format!("audit list acme --filter x --address {address}");
    let page = provost(&line).run().await;
    assert_eq!(page.out, "INDEX  ACTION\n    0  role.create1\n");
    assert_eq!(page.err, "there is more: repeat with --page-token two, or with --all\nsearched size: 3\n");
    let all = provost(&format!("{line} --all -o json")).run().await;
    let value: serde_json::Value = serde_json::from_str(&all.out).unwrap();
    let actions: Vec<_> = value.as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["role.create1", "role.create2", "role.create3"]);
    assert_eq!(fake.calls().len(), 4);
    assert!(fake.calls()[3].contains("filter: \"x\""), "a page token pins the filter, so it is sent again");
}

#[tokio::test]
async fn what_cannot_be_taken_back_is_asked_for() {
    let (fake, address) = Fake::start().await;
    let id = "tenants/acme/tokens/0197d3a0-0000-7000-8000-000000000000";
    let line = format!("token revoke {id} --address {address}");
    assert_eq!(provost(&line).run().await.exit, Exit::USAGE);
    let refused = provost(&line).typed("no\n").run().await;
    assert_eq!((refused.exit, fake.calls().len()), (Exit::OTHER, 0));
    assert!(refused.err.starts_with(&format!("revoke {id}? type yes: ")), "{}", refused.err);
    assert_eq!(provost(&line).typed("yes\n").run().await.exit, Exit::OK);
    assert_eq!(provost(&format!("{line} --yes")).run().await.exit, Exit::OK);
    let dry = provost(&format!("{line} --validate-only")).run().await;
    assert_eq!((dry.exit, dry.out.as_str()), (Exit::OK, "valid; nothing was changed\n"));
    let withdraw = format!("catalog stage a/b withdrawn --address {address}");
    assert_eq!(provost(&withdraw).run().await.exit, Exit::USAGE);
    assert_eq!(fake.calls().len(), 3);
}

#[tokio::test]
async fn a_secret_is_shown_once_with_a_warning() {
    let (_fake, address) = Fake::start().await;
    let line = format!("token create --principal acme/maria --display-name laptop --address {address}");
    let ran = provost(&line).run().await;
    assert_eq!(ran.out.matches(SECRET).count(), 1, "{}", ran.out);
    assert!(ran.err.starts_with("warning: the secret is shown this once"), "{}", ran.err);
    let dry = provost(&format!("{line} --validate-only")).run().await;
    assert_eq!((dry.out.as_str(), dry.err.as_str()), ("valid; nothing was changed\n", ""));
}

#[tokio::test]
async fn a_secret_file_is_private_and_never_overwritten() {
    let (fake, address) = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let line = format!("bootstrap --token-file - --address {address} --secret-file {}", file.display());
    let ran = provost(&line).piped("pv_boot_x\n").run().await;
    assert_eq!(ran.exit, Exit::OK, "{}", ran.err);
    assert_eq!(fake.header("authorization").unwrap(), "Bearer pv_boot_x");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{SECRET}\n"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET), "{ran:?}");
    let again = provost(&line).piped("pv_boot_x\n").run().await;
    assert_eq!(
        (again.exit, fake.calls().len()),
        (Exit::OTHER, 1),
        "the bootstrap token is not used up for nothing"
    );
    fake.fail(1, Code::Unauthenticated, "TOKEN_UNKNOWN");
    let line = line.replace("/token", "/other");
    assert_eq!(provost(&line).piped("pv_boot_x\n").run().await.exit, Exit::DENIED);
    assert!(!dir.path().join("other").exists(), "no empty file stays behind");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_apart() {
    let ran = provost("check acme/maria a/b --address http://127.0.0.1:1").run().await;
    assert_eq!(ran.exit, Exit::UNAVAILABLE);
    assert!(ran.err.starts_with("error: `http://127.0.0.1:1` cannot be reached: "), "{}", ran.err);
    assert!(ran.err.contains("\nhint: is `provostd serve` running there?"), "{}", ran.err);
    let (_fake, address) = Fake::start().await;
    let ran = provost("check acme/maria a/b --address").with(&address.replace("http", "https")).run().await;
    assert_eq!(ran.exit, Exit::UNAVAILABLE, "{}", ran.err);
}

#[tokio::test]
async fn health_exits_by_the_state() {
    let (_fake, address) = Fake::start().await;
    for (service, said, exit) in [
        ("", "SERVING\n", Exit::OK),
        (" provost.audit.v1.AuditService", "provost.audit.v1.AuditService: NOT_SERVING\n", Exit::UNAVAILABLE),
        (" provost.nothing", "", Exit::NOT_FOUND),
    ] {
        let ran = provost(&format!("health{service} --address {address}")).run().await;
        assert_eq!((ran.exit, ran.out.as_str()), (exit, said), "{}", ran.err);
    }
    let json = provost(&format!("health -o json --address {address}")).run().await;
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["status"], "SERVING");
}

#[tokio::test]
async fn a_call_ends_with_its_time() {
    let (_fake, address) = Fake::start().await;
    let credentials = Credentials::new(None, None).unwrap();
    let client = Client::new(&address, None, credentials, Duration::from_millis(20)).unwrap();
    let call = async |link, request| TokenServiceClient::new(link).who_am_i(request).await;
    let error = client.call(Repeat::Safe, &WhoAmIRequest {}, call).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert_eq!(error.exit(), Exit::UNAVAILABLE);
}
