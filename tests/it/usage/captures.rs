//! What the real clients sent.

use std::collections::BTreeMap;

use proto::usage::v1::UsageDimension::{Client, Principal, Role, Unit};
use serde_json::json;
use tests::{both_engines, data, world};

use super::{Desk, expected, query};

const CODEX: &str = "codex/run2-managed-plugin-mcp-json";
const CLAUDE: &str = "claude/03-skill-details";

/// Attributes that hold what a person wrote, ran, has or is.
const PRIVATE: [&str; 16] = [
    "arguments",
    "command",
    "cwd",
    "enduser.id",
    "error",
    "file_path",
    "full_command",
    "mcp_server_origin",
    "output",
    "prompt",
    "response",
    "tool_input",
    "tool_parameters",
    "user.account_uuid",
    "user.email",
    "user.id",
];

both_engines! {
    async fn figures_by_role_are_what_the_requests_hold_and_sending_twice_counts_once(site: Site) {
        let desk = Desk::open(site).await;
        let (codex, claude) = (data::logs(CODEX), data::logs(CLAUDE));
        let expected = BTreeMap::from([
            ("analyst".to_owned(), expected::sums(&codex)),
            ("sales".to_owned(), expected::sums(&claude)),
        ]);
        for sums in expected.values() {
            for meter in ["tokens.input", "tokens.output", "skill.invocations", "plugin.invocations", "sessions"] {
                assert!(sums[meter] > 0, "{meter}");
            }
        }
        desk.send_all(&desk.maria, &codex).await;
        desk.send_all(&desk.sam, &claude).await;
        assert_eq!(desk.figures(&[Role]).await, expected);

        let acts = || crate::audit::events(&desk.world.owner, world::ACME, "action = \"usage.logs\"");
        let (stored, recorded) = (desk.stored().await, acts().await.len());
        assert!(recorded > 0 && recorded <= codex.len() + claude.len());
        desk.send_all(&desk.maria, &codex).await;
        desk.send_all(&desk.sam, &claude).await;
        assert_eq!(desk.stored().await, stored);
        assert_eq!(acts().await.len(), recorded, "a repetition is no act");
        assert_eq!(desk.figures(&[Role]).await, expected);
    }

    async fn every_capture_is_taken_whole_and_each_dimension_adds_up_to_it(site: Site) {
        let desk = Desk::open(site).await;
        let (codex, claude) = (data::logs("codex"), data::logs("claude"));
        desk.send_all(&desk.maria, &codex).await;
        for (at, body) in claude.iter().enumerate() {
            desk.send_all(if at % 2 == 0 { &desk.sam } else { &desk.tenant }, std::slice::from_ref(body)).await;
        }
        let both = BTreeMap::from([
            ("codex".to_owned(), expected::sums(&codex)),
            ("claude-code".to_owned(), expected::sums(&claude)),
        ]);
        assert_eq!(desk.figures(&[Client]).await, both);
        let total = expected::sums(&[codex, claude].concat());
        assert_eq!(desk.totals().await, total);
        for dimensions in [&[Role][..], &[Unit], &[Principal], &[Client], &[Role, Unit, Principal, Client]] {
            let mut sums = BTreeMap::<_, i64>::new();
            for (meter, value) in desk.figures(dimensions).await.into_values().flatten() {
                *sums.entry(meter).or_default() += value;
            }
            assert_eq!(sums, total, "{dimensions:?}");
        }
        let by_all = desk.figures(&[Role, Unit, Principal, Client]).await;
        let groups: Vec<_> = by_all.keys().map(String::as_str).collect();
        assert_eq!(groups, ["analystfinancemariacodex", "claude-code", "salesfieldsamclaude-code"]);
    }

    async fn tenant_and_role_are_those_of_the_token_whatever_the_request_says(site: Site) {
        let desk = Desk::open(site).await;
        let bodies = data::logs("claude/01-basic-env");
        let request: serde_json::Value = serde_json::from_slice(&bodies[0]).unwrap();
        let says = expected::attributes(&request["resourceLogs"][0]["resource"]["attributes"]);
        assert_eq!((says["tenant.id"].as_str(), says["role"].as_str()), ("acme", "sales"), "the capture claims an identity");
        desk.send_all(&desk.maria, &bodies).await;
        let all = [Role, Unit, Principal];
        let groups = desk.figures(&all).await;
        assert_eq!(groups.keys().collect::<Vec<_>>(), ["analystfinancemaria"], "not in sales, as the request says");

        let new = world::token_of("tenants/globex", "owner", proto::token::v1::TokenKind::Ingest);
        let theirs = world::create_token(&desk.world.stranger, "tenants/globex", new).await.unwrap().secret;
        let before = desk.totals().await;
        desk.send_all(&theirs, &bodies).await;
        assert_eq!(desk.totals().await, before, "what says `acme` and comes from globex counts there");
        let parent = "tenants/globex".to_owned();
        let ask = proto::usage::v1::QueryUsageRequest { parent, ..Default::default() };
        let rows = query(&desk.world.stranger, ask).await.unwrap().rows;
        let rows = rows.into_iter().filter(|r| r.meter != "active_principals");
        assert_eq!(rows.map(|r| (r.meter, r.value)).collect::<BTreeMap<_, _>>(), before);
    }

    async fn nothing_private_that_the_clients_sent_is_in_the_database(site: Site) {
        let desk = Desk::open(site).await;
        let bodies = data::logs("");
        desk.send_all(&desk.maria, &bodies).await;
        let dump = desk.world.site.dump(&[]).await;
        assert!(dump.contains("codex.skill_invocation") && dump.contains("usage.logs"), "the dump holds events and acts");
        let mut looked = 0;
        for body in &bodies {
            let request: serde_json::Value = serde_json::from_slice(body).unwrap();
            let resource = expected::attributes(&request["resourceLogs"][0]["resource"]["attributes"]);
            let (private, other): (Vec<_>, Vec<_>) = (expected::records(body).into_iter().flatten().chain(resource))
                .partition(|(key, _)| PRIVATE.contains(&key.as_str()));
            // a skill's name is counted under, and stands in its tool's arguments too
            let names: Vec<_> = other.into_iter().filter(|(key, _)| key == "skill.name").collect();
            for (key, value) in private {
                // the longest piece that no engine escapes
                let plain = |c: char| !(c.is_alphanumeric() || " ._/@:-".contains(c));
                let piece = value.split(plain).max_by_key(|p| p.len()).unwrap_or_default().trim();
                if piece.len() >= 4 && names.iter().all(|(_, name)| name != piece) {
                    looked += 1;
                    assert!(!dump.contains(piece), "{key} = {value}");
                }
            }
        }
        assert!(looked > 50, "the captures hold private values: {looked}");
        for word in ["@acme.example", "jdoe", "/home/", "/opt/", "/usr/", "/tmp/"] {
            assert!(!dump.contains(word), "{word}");
        }
    }

    async fn the_same_request_sent_by_many_at_once_counts_once(site: Site) {
        let desk = Desk::open(site).await;
        let body = data::logs(CODEX).swap_remove(0);
        let (url, token) = (desk.url(), desk.maria.clone());
        let senders: Vec<_> = (0..12)
            .map(|_| {
                let (url, token, body) = (url.clone(), token.clone(), body.clone());
                tokio::spawn(async move { tests::http::post_logs(&url, &token, body).await })
            })
            .collect();
        for sender in senders {
            let answer = sender.await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"partialSuccess": {}})));
        }
        assert_eq!(desk.totals().await, expected::sums(&[body]));
    }
}
