//! Many answers at once: batches, all that somebody may use, and all who may use something.

use proto::{
    decision::v1::{self as pb, DecisionReason as Reason, decision_service_client::DecisionServiceClient},
    duty::v1::Duty,
    entitlement::v1::Effect,
};
use tests::{both_engines, market, site::Caller, staff, world};
use tonic::{Code, Status};

use super::{Bank, PLUGIN, check, rule};
use crate::errors::reason;

const OTHER: &str = "marketplaces/vendor/plugins/other";

async fn batch(by: &Caller, items: &[(&str, &str)]) -> Result<Vec<pb::Decision>, Status> {
    let item = |(who, plugin): &(&str, &str)| pb::CheckItem {
        principal: if who.contains('/') {
            (*who).to_owned()
        } else {
            world::child(world::ACME, "principals", who)
        },
        plugin: (*plugin).to_owned(),
    };
    let items = items.iter().map(item).collect();
    let request = pb::BatchCheckRequest { parent: world::ACME.to_owned(), items, ..Default::default() };
    let answer = DecisionServiceClient::new(by.channel.clone()).batch_check(by.ask(request)).await?;
    Ok(answer.into_inner().decisions)
}

async fn usable(by: &Caller, who: &str) -> Result<Vec<pb::UsablePlugin>, Status> {
    let principal = world::child(world::ACME, "principals", who);
    let request = pb::ListUsableRequest { principal, ..Default::default() };
    Ok(DecisionServiceClient::new(by.channel.clone())
        .list_usable(by.ask(request))
        .await?
        .into_inner()
        .plugins)
}

async fn page(
    by: &Caller,
    plugin: &str,
    size: i32,
    token: &str,
) -> Result<pb::ListPrincipalsResponse, Status> {
    let request = pb::ListPrincipalsRequest {
        parent: world::ACME.to_owned(),
        plugin: plugin.to_owned(),
        page_size: size,
        page_token: token.to_owned(),
        ..Default::default()
    };
    Ok(DecisionServiceClient::new(by.channel.clone()).list_principals(by.ask(request)).await?.into_inner())
}

both_engines! {
    async fn a_batch_answers_each_question_in_its_place_as_it_would_be_alone(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("may", "banker", Effect::Default).await;
        bank.add("not", rule("*", OTHER, Effect::Denied)).await.unwrap();
        let owner = &bank.world.owner;
        let questions = [("maria", PLUGIN), ("nobody", PLUGIN), ("maria", OTHER), ("maria", "marketplaces/no/plugins/no"), ("maria", PLUGIN)];
        let answers = batch(owner, &questions).await.unwrap();
        let reasons: Vec<_> = answers.iter().map(pb::Decision::reason).collect();
        assert_eq!(reasons, [Reason::Allowed, Reason::UnknownPrincipal, Reason::ExplicitDeny, Reason::UnknownPlugin, Reason::Allowed]);
        for ((who, plugin), answer) in questions.iter().zip(answers) {
            assert_eq!(check(owner, who, plugin).await.unwrap(), answer, "{who} {plugin}");
        }
    }

    async fn a_batch_is_of_one_tenant_and_has_at_most_a_thousand_questions(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        assert_eq!(batch(owner, &vec![("maria", PLUGIN); 1_000]).await.unwrap().len(), 1_000);
        for items in [vec![], vec![("maria", PLUGIN); 1_001], vec![("maria", PLUGIN), ("tenants/other/principals/maria", PLUGIN)], vec![("maria", "kit")], vec![("", PLUGIN)]] {
            let refused = batch(owner, &items).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{:?}", items.last());
        }
        let refused = batch(owner, &[("maria", PLUGIN), ("maria", "marketplaces/m")]).await.unwrap_err();
        assert!(refused.message().contains("items[1].plugin"), "{}", refused.message());
    }

    async fn who_may_ask_about_itself_may_not_ask_about_others_in_a_batch(site: Site) {
        let bank = Bank::open(site).await;
        world::grant(&bank.world.owner, world::ACME, "maria", Duty::Member).await.unwrap();
        let maria = world::personal(&bank.world.owner, world::ACME, "maria").await;
        assert_eq!(batch(&maria, &[("maria", PLUGIN)]).await.unwrap().len(), 1);
        assert!(usable(&maria, "maria").await.is_ok());
        let refused = batch(&maria, &[("maria", PLUGIN), ("nobody", PLUGIN)]).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(page(&maria, PLUGIN, 0, "").await.unwrap_err().code(), Code::PermissionDenied);
    }

    async fn everything_that_somebody_may_use_is_what_would_be_allowed_one_by_one(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        let mut files = market::small(&["kit", "other"]);
        for plugin in ["kit", "other"] {
            let skill = "---\nname: read\ndescription: Reads a report\n---\n";
            files.insert(format!("plugins/{plugin}/skills/read/SKILL.md"), skill.into());
        }
        market::import(&bank.world.admin, &files).await.unwrap();
        assert!(usable(owner, "maria").await.unwrap().is_empty());
        bank.add("all", rule("banker", "marketplaces/vendor", Effect::Available)).await.unwrap();
        bank.rule("must", "banker", Effect::Required).await;
        let found = usable(owner, "maria").await.unwrap();
        let named: Vec<_> = found.iter().map(|u| (u.plugin.as_str(), u.effect())).collect();
        assert_eq!(named, [(PLUGIN, Effect::Required), (OTHER, Effect::Available)]);
        for plugin in &found {
            assert!(!plugin.skills.is_empty(), "{plugin:?}");
            for skill in &plugin.skills {
                assert!(check(owner, "maria", &format!("{}/skills/{skill}", plugin.plugin)).await.unwrap().allowed);
            }
        }
        bank.add("not", rule("*", OTHER, Effect::Denied)).await.unwrap();
        assert_eq!(usable(owner, "maria").await.unwrap().len(), 1);
        assert!(usable(owner, "nobody").await.unwrap().is_empty(), "an unknown principal may use nothing");
    }

    async fn a_part_that_a_plugin_does_not_have_is_unknown(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("may", "banker", Effect::Default).await;
        let owner = &bank.world.owner;
        for part in ["apps/none", "skills/none", "skills/Ü b e r"] {
            let decision = check(owner, "maria", &format!("{PLUGIN}/{part}")).await.unwrap();
            assert_eq!(decision.reason(), Reason::UnknownPlugin, "{part}");
        }
        for bad in ["apps/", "skills/a/b", "hooks/a", "skills"] {
            let refused = check(owner, "maria", &format!("{PLUGIN}/{bad}")).await.unwrap_err();
            assert_eq!(reason(&refused), "INVALID_FIELD", "{bad}");
        }
    }

    async fn all_who_may_use_something_are_listed_in_pages(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        let mut expected = vec!["maria".to_owned()];
        for n in 0..6 {
            let id = format!("banker{n}");
            world::user(owner, world::ACME, &id).await;
            staff::give(owner, "banker", &format!("principals/{id}")).await;
            expected.push(id);
        }
        world::user(owner, world::ACME, "outsider").await;
        bank.rule("may", "banker", Effect::Default).await;
        expected.sort();
        let expected: Vec<_> = expected.iter().map(|id| world::child(world::ACME, "principals", id)).collect();
        assert_eq!(page(owner, PLUGIN, 0, "").await.unwrap().principals, expected);
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let next = page(owner, PLUGIN, 3, &token).await.unwrap();
            assert!(next.principals.len() <= 3 && !next.principals.is_empty());
            found.extend(next.principals);
            token = next.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected);
        let token = page(owner, PLUGIN, 3, "").await.unwrap().next_page_token;
        assert_eq!(reason(&page(owner, OTHER, 3, &token).await.unwrap_err()), "INVALID_PAGE_TOKEN");
        assert!(page(owner, OTHER, 0, "").await.unwrap().principals.is_empty());
    }
}
