use std::{sync::OnceLock, time::Duration};

use decision::{
    Change, Effect, Facts, Plugin, Reason, Stage, Target,
    sample::{NOW, Size, facts},
};
use proptest::prelude::*;
use tlog::{Algorithm, Ed25519Signer, Signer, Vkey};

use crate::{
    Content, Disk, DiskError, Refused, Replica, Revision, Signed, State, Statement, Verified, message::hex,
    sign,
};

const BOUND: Duration = Duration::from_mins(15);
const MINUTE: i64 = 60_000_000;
const EPOCH: &str = "01a20000-0000-7000-8000-000000000001";

fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed("provost.test/decisions", &[seed; 32]).unwrap()
}

fn keys() -> Vec<Vkey> {
    vec![signer(7).vkey().clone()]
}

/// The other side: a tenant whose state is signed.
struct Plane {
    epoch: String,
    state: State,
    to: Revision,
    now: i64,
}

impl Plane {
    fn new() -> Self {
        let mut facts = facts(Size { rules: 40, principals: 12, roles: 5, plugins: 10 });
        facts.tenant = "acme".to_owned();
        Self {
            epoch: EPOCH.to_owned(),
            state: State::new(facts),
            to: Revision { tenant: 5, catalog: 2 },
            now: NOW,
        }
    }

    fn says(&self, from: Option<Revision>, content: &Content) -> Signed {
        self.says_by(&signer(7), from, content)
    }

    fn says_by(&self, signer: &Ed25519Signer, from: Option<Revision>, content: &Content) -> Signed {
        let statement = Statement {
            epoch: self.epoch.clone(),
            tenant: self.state.tenant().to_owned(),
            from,
            to: self.to,
            state: hex(&self.state.digest()),
            payload: None,
            issued_at: self.now,
            not_after: self.now + 15 * MINUTE,
        };
        sign(statement, content, &[signer]).unwrap()
    }

    fn snapshot(&self) -> Signed {
        self.says(None, &Content::Snapshot(self.state.facts()))
    }

    fn nothing(&self) -> Signed {
        self.says(Some(self.to), &Content::Nothing)
    }

    fn change(&mut self, changes: Vec<Change>) -> Signed {
        let from = self.to;
        self.to.tenant += 1;
        self.state.apply(&changes);
        self.says(Some(from), &Content::Delta(changes))
    }

    /// Takes a plugin off for everybody.
    fn withdraw(&mut self) -> Signed {
        let plugin = self.first();
        self.change(vec![Change::PutPlugin(Plugin { stage: Stage::Withdrawn, ..plugin })])
    }

    fn first(&self) -> Plugin {
        self.state.plugins().next().unwrap().clone()
    }
}

fn good(signed: Signed) -> Verified {
    signed.verify(&keys(), "acme").unwrap()
}

fn refused(signed: Signed) -> &'static str {
    signed.verify(&keys(), "acme").unwrap_err().as_str()
}

fn following(plane: &Plane) -> Replica {
    let mut replica = Replica::new(BOUND);
    replica.accept(&good(plane.snapshot()), plane.now).unwrap();
    replica
}

fn reason(replica: &Replica, plugin: &str, now: i64) -> Reason {
    let policy = replica.policy(now);
    policy.map_or(Reason::PolicyUnavailable, |policy| {
        let who = "nobody-at-all";
        let withdrawn = policy.snapshot.decide(who, Target::Plugin(plugin), now);
        withdrawn.reason
    })
}

#[test]
fn equal_states_have_equal_digests_however_they_came_about() {
    let mut plane = Plane::new();
    let mut facts = plane.state.facts();
    facts.principals.reverse();
    facts.rules.reverse();
    facts.roles.iter_mut().for_each(|role| role.principals.reverse());
    assert_eq!(State::new(facts.clone()).digest(), plane.state.digest());
    assert_eq!(plane.state.facts().rules.len(), facts.rules.len());
    let before = plane.state.digest();
    let plugin = plane.first();
    plane.withdraw();
    assert_ne!(plane.state.digest(), before);
    plane.change(vec![Change::PutPlugin(plugin)]);
    assert_eq!(plane.state.digest(), before);
    let suspended = State::new(Facts { active: false, ..plane.state.facts() });
    assert_ne!(suspended.digest(), before);
}

#[test]
fn an_edge_follows_a_state_through_its_changes() {
    let mut plane = Plane::new();
    let mut replica = following(&plane);
    assert_eq!(replica.position(), Some((EPOCH, plane.to)));
    for _ in 0..2 {
        plane.now += MINUTE;
        let delta = plane.withdraw();
        replica.accept(&good(delta), plane.now).unwrap();
        plane.now += MINUTE;
        replica.accept(&good(plane.nothing()), plane.now).unwrap();
    }
    let held = replica.policy(plane.now).unwrap();
    assert_eq!(held.statement.to, plane.to);
    let whole = decision::compile(&plane.state.facts()).unwrap();
    for principal in plane.state.principals() {
        for plugin in plane.state.plugins() {
            let target = Target::Plugin(plugin.id.as_str());
            assert_eq!(
                held.snapshot.decide(&principal.id, target, NOW),
                whole.decide(&principal.id, target, NOW)
            );
        }
    }
    let who = plane.state.principals().next().unwrap().id.clone();
    let plugin = plane.first().id;
    assert_eq!(held.snapshot.decide(&who, Target::Plugin(&plugin), NOW).reason, Reason::Withdrawn);
}

#[test]
fn a_state_is_not_decided_by_past_the_bound_and_a_clock_that_is_set_back_helps_nobody() {
    let mut plane = Plane::new();
    let mut replica = following(&plane);
    assert!(replica.policy(NOW + 15 * MINUTE - 1).is_some());
    assert_eq!(reason(&replica, "x", NOW + 15 * MINUTE), Reason::PolicyUnavailable);
    assert!(replica.policy(NOW).is_none(), "it was later before");
    assert!(replica.statement().is_some(), "what is stale is still where a stream goes on from");
    plane.now += 16 * MINUTE;
    replica.accept(&good(plane.nothing()), plane.now).unwrap();
    assert!(replica.policy(plane.now).is_some());
    // a shorter bound counts, a longer one than what was signed does not
    let mut short = Replica::new(Duration::from_secs(1));
    short.accept(&good(plane.snapshot()), plane.now).unwrap();
    assert!(short.policy(plane.now + 999_999).is_some() && short.policy(plane.now + 1_000_000).is_none());
    let mut long = Replica::new(BOUND * 100);
    long.accept(&good(plane.snapshot()), plane.now).unwrap();
    assert!(long.policy(plane.now + 15 * MINUTE).is_none());
}

#[test]
fn what_was_signed_at_another_time_is_refused() {
    let plane = Plane::new();
    let mut replica = Replica::new(BOUND);
    let snapshot = good(plane.snapshot());
    assert_eq!(replica.accept(&snapshot, NOW + 15 * MINUTE), Err(Refused::Time));
    let mut replica = Replica::new(BOUND);
    assert_eq!(replica.accept(&snapshot, NOW - MINUTE - 1), Err(Refused::Time), "of a time to come");
    replica.accept(&snapshot, NOW - MINUTE).unwrap();
}

#[test]
fn what_is_replayed_or_older_is_refused_and_changes_nothing() {
    let mut plane = Plane::new();
    let (first, mut replica) = (good(plane.snapshot()), following(&plane));
    let early = good(plane.nothing());
    plane.now += MINUTE;
    let delta = good(plane.withdraw());
    replica.accept(&delta, plane.now).unwrap();
    for old in [&first, &early] {
        assert_eq!(replica.accept(old, plane.now), Err(Refused::Old));
    }
    assert_eq!(replica.accept(&delta, plane.now), Err(Refused::Old), "the same change again");
    plane.now += MINUTE;
    replica.accept(&good(plane.nothing()), plane.now).unwrap();
    plane.now -= 1;
    assert_eq!(replica.accept(&good(plane.snapshot()), plane.now), Err(Refused::Old), "signed before");
    assert_eq!(replica.position(), Some((EPOCH, plane.to)));
}

#[test]
fn another_store_is_followed_when_it_is_newer_and_begins_anew() {
    let mut plane = Plane::new();
    let mut replica = following(&plane);
    plane.to = Revision { tenant: 1, catalog: 1 };
    plane.epoch = "01a10000-0000-7000-8000-000000000001".to_owned();
    assert_eq!(replica.accept(&good(plane.snapshot()), NOW), Err(Refused::Epoch(plane.epoch.clone())));
    plane.epoch = "01a30000-0000-7000-8000-000000000001".to_owned();
    assert_eq!(replica.accept(&good(plane.nothing()), NOW), Err(Refused::Gap));
    replica.accept(&good(plane.snapshot()), NOW).unwrap();
    assert_eq!(replica.position(), Some((plane.epoch.as_str(), plane.to)));
}

#[test]
fn a_change_that_was_left_out_is_noticed() {
    let mut plane = Plane::new();
    let mut replica = following(&plane);
    let _lost = plane.withdraw();
    let next = plane.change(vec![Change::Active(false)]);
    let gap = replica.accept(&good(next), NOW).unwrap_err();
    assert!(gap == Refused::Gap && gap.needs_snapshot());
    replica.accept(&good(plane.snapshot()), NOW).unwrap();
    assert_eq!(reason(&replica, "x", NOW), Reason::TenantSuspended);
}

#[test]
fn a_state_that_came_out_otherwise_is_refused_and_the_one_before_stays() {
    let mut plane = Plane::new();
    let mut replica = following(&plane);
    let honest = plane.to;
    plane.state.apply(&[Change::Active(false)]);
    let from = plane.to;
    plane.to.tenant += 1;
    // the digest is of a suspended tenant, the change is another
    let other = plane.says(Some(from), &Content::Delta(vec![Change::RemoveRule("none".to_owned())]));
    let differs = replica.accept(&good(other), NOW).unwrap_err();
    assert!(differs == Refused::Digest && differs.needs_snapshot());
    let unknown = Change::RemovePlugin(plane.first().id);
    let broken = plane.says(Some(from), &Content::Delta(vec![unknown]));
    assert!(matches!(replica.accept(&good(broken), NOW), Err(Refused::Policy(_) | Refused::Digest)));
    plane.to = honest;
    assert_eq!(replica.accept(&good(plane.nothing()), NOW), Err(Refused::Digest), "nothing changed, it says");
    assert_eq!(replica.position(), Some((EPOCH, honest)));
    assert_eq!(reason(&replica, "x", NOW), Reason::UnknownPrincipal);
}

#[test]
fn what_is_stripped_swapped_cut_or_another_tenants_is_refused_with_its_reason() {
    let mut plane = Plane::new();
    let (snapshot, nothing) = (plane.snapshot(), plane.nothing());
    let delta = plane.withdraw();
    let (note, payload) = snapshot.clone().into_parts();
    // without its signature, or with one of a key that is not pinned
    let text = String::from_utf8(note.clone()).unwrap();
    let bare = text.split("— ").next().unwrap().as_bytes().to_vec();
    assert_eq!(refused(Signed::new(bare, payload.clone())), "SIGNATURE");
    assert_eq!(refused(Signed::new(Vec::new(), payload.clone())), "SIGNATURE");
    let forged = plane.says_by(&signer(8), None, &Content::Snapshot(plane.state.facts()));
    assert_eq!(refused(forged), "SIGNATURE");
    // a key of another name is another key
    let renamed = Ed25519Signer::from_seed("provost.test/other", &[7; 32]).unwrap();
    assert_eq!(refused(plane.says_by(&renamed, None, &Content::Snapshot(plane.state.facts()))), "SIGNATURE");
    // the payload of another message, a part of it, or none
    assert_eq!(refused(Signed::new(note.clone(), delta.parts().1.to_vec())), "PAYLOAD");
    assert_eq!(refused(Signed::new(note.clone(), payload[..payload.len() - 1].to_vec())), "PAYLOAD");
    assert_eq!(refused(Signed::new(note.clone(), Vec::new())), "PAYLOAD");
    assert_eq!(refused(Signed::new(nothing.parts().0.to_vec(), payload.clone())), "PAYLOAD");
    for end in 0..note.len() {
        assert!(Signed::new(note[..end].to_vec(), payload.clone()).verify(&keys(), "acme").is_err(), "{end}");
    }
    let elsewhere = snapshot.clone().verify(&keys(), "zenith").unwrap_err();
    assert_eq!(elsewhere, Refused::Tenant("acme".to_owned()));
    assert!(matches!(snapshot.verify(&[], "acme"), Err(Refused::Signature(_))));
}

#[test]
fn a_signed_text_of_another_form_is_refused() {
    let key = signer(7);
    let plane = Plane::new();
    let (note, payload) = plane.snapshot().into_parts();
    let text = String::from_utf8(note).unwrap();
    let text = text.split("\n\n").next().unwrap().to_owned() + "\n";
    let signed = |text: &str| {
        let note = tlog::Note::sign(text, &[&key]).unwrap();
        refused(Signed::new(note.to_string().into_bytes(), payload.clone()))
    };
    for (was, is) in [
        ("decision-policy@v1", "decision-policy@v2"),
        ("{\"epoch\"", "{ \"epoch\""),
        ("\"from\":null", "\"from\":null,\"more\":1"),
        ("\"from\":null,", ""),
        ("\"not_after\":17", "\"not_after\":1"),
    ] {
        assert!(text.contains(was), "{was}");
        assert_eq!(signed(&text.replace(was, is)), "FORM", "{is}");
    }
    // facts of another tenant under this one's name
    let facts = Facts { tenant: "zenith".to_owned(), ..plane.state.facts() };
    assert_eq!(refused(plane.says(None, &Content::Snapshot(facts))), "FORM");
}

#[test]
fn two_keys_sign_while_edges_change_over() {
    let plane = Plane::new();
    let statement = good(plane.snapshot()).statement().clone();
    let (old, new) = (signer(7), signer(8));
    let both = sign(statement, &Content::Snapshot(plane.state.facts()), &[&new, &old]).unwrap();
    for pinned in [&old, &new] {
        let message = both.clone().verify(&[pinned.vkey().clone()], "acme").unwrap();
        assert_eq!(message.key(), pinned.vkey().label());
    }
    assert_eq!(old.vkey().algorithm(), Algorithm::Ed25519);
}

#[test]
fn an_edge_boots_from_its_disk_and_verifies_what_it_finds() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("acme");
    let mut disk = Disk::open(&kept).unwrap();
    assert!(disk.load(&keys(), "acme", BOUND).unwrap().statement().is_none(), "new");
    let mut plane = Plane::new();
    disk.keep(&good(plane.snapshot())).unwrap();
    disk.keep(&good(plane.withdraw())).unwrap();
    disk.keep(&good(plane.change(vec![Change::Active(false)]))).unwrap();
    plane.now += 10 * MINUTE;
    disk.keep(&good(plane.nothing())).unwrap();
    let boot = || Disk::open(&kept).unwrap().load(&keys(), "acme", BOUND);
    let replica = boot().unwrap();
    assert_eq!(replica.position(), Some((EPOCH, plane.to)));
    assert_eq!(reason(&replica, "x", NOW + 20 * MINUTE), Reason::TenantSuspended, "fresh by the last word");
    assert_eq!(reason(&replica, "x", NOW + 25 * MINUTE), Reason::PolicyUnavailable);
    // another tenant's, or by a key that is not pinned
    let mut disk = Disk::open(&kept).unwrap();
    assert!(matches!(disk.load(&keys(), "zenith", BOUND), Err(DiskError::Refused(_, Refused::Tenant(_)))));
    let others = [signer(8).vkey().clone()];
    assert!(matches!(disk.load(&others, "acme", BOUND), Err(DiskError::Refused(_, Refused::Signature(_)))));
    // cut anywhere, it is refused: the last word speaks of what is missing
    let (policy, whole) = (kept.join("policy"), std::fs::read(kept.join("policy")).unwrap());
    for end in (0..whole.len()).step_by(97).chain([0, whole.len() - 1]) {
        std::fs::write(&policy, &whole[..end]).unwrap();
        let DiskError::Refused(_, why) = boot().unwrap_err() else { panic!("{end}") };
        assert_eq!(why, Refused::Truncated, "{end}");
    }
    // without a later word, half a change is one that was not taken, and the next is written over it
    std::fs::remove_file(kept.join("fresh")).unwrap();
    std::fs::write(&policy, &whole[..whole.len() - 1]).unwrap();
    let mut disk = Disk::open(&kept).unwrap();
    let replica = disk.load(&keys(), "acme", BOUND).unwrap();
    assert_eq!(replica.position().unwrap().1.tenant, plane.to.tenant - 1);
    plane.to.tenant -= 1;
    let last = good(plane.change(vec![Change::Active(false)]));
    disk.keep(&last).unwrap();
    assert_eq!(boot().unwrap().position(), Some((EPOCH, plane.to)));
    // a swapped file
    let other = tempfile::tempdir().unwrap();
    let mut swapped = Disk::open(other.path()).unwrap();
    let mut zenith = Plane::new();
    zenith.state = State::new(Facts { tenant: "zenith".to_owned(), ..zenith.state.facts() });
    swapped.keep(&zenith.snapshot().verify(&keys(), "zenith").unwrap()).unwrap();
    std::fs::copy(other.path().join("policy"), &policy).unwrap();
    assert!(matches!(boot(), Err(DiskError::Refused(_, Refused::Tenant(_)))));
}

#[test]
fn an_allow_at_the_edge_is_the_allow_that_was_signed() {
    let plane = Plane::new();
    let replica = following(&plane);
    let policy = replica.policy(NOW).unwrap();
    let mut allowed = 0;
    for principal in plane.state.principals() {
        for usable in policy.snapshot.usable(&principal.id, NOW) {
            assert_ne!(usable.effect, Effect::Denied);
            allowed += 1;
        }
    }
    assert!(allowed > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_flipped_bit_is_accepted(at in 0_usize..10_000, bit in 0_u8..8, kind in 0..3) {
        let mut plane = Plane::new();
        let signed = match kind {
            0 => plane.snapshot(),
            1 => plane.withdraw(),
            _ => plane.nothing(),
        };
        let (mut note, mut payload) = signed.into_parts();
        let length = note.len() + payload.len();
        let at = at % length;
        let behind = at.checked_sub(note.len());
        match behind {
            None => note[at] ^= 1 << bit,
            Some(at) => payload[at] ^= 1 << bit,
        }
        prop_assert!(Signed::new(note, payload).verify(&keys(), "acme").is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(note in proptest::collection::vec(any::<u8>(), 0..300), payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Signed::new(note, payload).verify(&keys(), "acme").is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_flipped_bit_of_what_is_kept_is_accepted(at in 0_usize..100_000, bit in 0_u8..8) {
        static KEPT: OnceLock<(tempfile::TempDir, Vec<u8>)> = OnceLock::new();
        let (dir, kept) = KEPT.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let mut plane = Plane::new();
            let mut disk = Disk::open(dir.path()).unwrap();
            disk.keep(&good(plane.snapshot())).unwrap();
            disk.keep(&good(plane.withdraw())).unwrap();
            disk.keep(&good(plane.nothing())).unwrap();
            let kept = std::fs::read(dir.path().join("policy")).unwrap();
            (dir, kept)
        });
        let mut bytes = kept.clone();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        std::fs::write(dir.path().join("policy"), bytes).unwrap();
        prop_assert!(Disk::open(dir.path()).unwrap().load(&keys(), "acme", BOUND).is_err());
    }
}
