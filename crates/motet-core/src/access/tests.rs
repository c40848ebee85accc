use super::*;
use crate::principal::Details;
use crate::spelling::{amqp, mqtt};

fn names(filters: &[&str]) -> Places {
    let template = |filter: &&str| Template::new(&mqtt::decode_pattern(filter).unwrap()).unwrap();
    Places { names: filters.iter().map(template).collect(), ..Places::default() }
}

fn rule(number: u32, who: Who, actions: &[Action], filters: &[&str], allow: bool) -> Rule {
    let actions = actions.iter().copied().collect();
    Rule { number, who: vec![who], actions, places: names(filters), vhosts: Vec::new(), allow }
}

fn user(name: &str) -> Who {
    Who::User(name.into())
}

fn subscribe(rules: &AccessRules, who: &Principal, filter: &str) -> Verdict {
    let pattern = mqtt::decode_pattern(filter).unwrap();
    rules.decide(who, Action::Subscribe, Resource::Pattern(&pattern))
}

fn publish(rules: &AccessRules, who: &Principal, topic: &str) -> Verdict {
    rules.check(who, Action::Publish, &mqtt::decode_name(topic).unwrap())
}

const BY_DEFAULT: Verdict = Verdict { allowed: false, reason: Reason::Default };

fn by_rule(number: u32, allowed: bool) -> Verdict {
    Verdict { allowed, reason: Reason::Rule(number) }
}

#[test]
fn the_first_rule_that_fits_decides_and_is_named() {
    let rules = AccessRules::new(
        vec![
            rule(1, user("ann"), &Action::ALL, &["home/#"], true),
            rule(2, Who::Everyone, &Action::ALL, &["home/#"], false),
        ],
        true,
    );
    assert_eq!(publish(&rules, &Principal::named("ann"), "home/door"), by_rule(1, true));
    assert_eq!(publish(&rules, &Principal::named("bob"), "home/door"), by_rule(2, false));
    let other = publish(&rules, &Principal::anonymous(), "street");
    assert_eq!(other, Verdict { allowed: true, reason: Reason::Default });
}

#[test]
fn a_subscription_is_allowed_by_one_rule_that_covers_it() {
    let rules = AccessRules::new(
        vec![
            rule(1, Who::Everyone, &[Action::Subscribe], &["a/secret/#"], false),
            rule(2, Who::Everyone, &[Action::Subscribe], &["a/+"], true),
            rule(3, user("ann"), &[Action::Subscribe], &["b/#", "a/#"], true),
        ],
        false,
    );
    let (ann, bob) = (Principal::named("ann"), Principal::named("bob"));
    assert_eq!(subscribe(&rules, &bob, "a/x"), by_rule(2, true));
    assert_eq!(subscribe(&rules, &bob, "a/x/y"), BY_DEFAULT);
    assert_eq!(subscribe(&rules, &bob, "b/#"), BY_DEFAULT);
    assert_eq!(subscribe(&rules, &ann, "b/#"), by_rule(3, true));
    // What meets a refusing rule is refused as a whole: nothing is filtered at delivery.
    for filter in ["a/#", "#", "a/+/x", "a/secret", "+/secret"] {
        assert_eq!(subscribe(&rules, &ann, filter), by_rule(1, false), "{filter}");
    }
    assert_eq!(subscribe(&rules, &ann, "a/other/#"), by_rule(3, true));
    assert_eq!(subscribe(&rules, &ann, "$share/g/b/+"), by_rule(3, true));
    assert_eq!(subscribe(&rules, &ann, "$share/g/a/#"), by_rule(1, false));
}

#[test]
fn a_rule_speaks_of_groups_tags_the_known_and_the_anonymous() {
    let rules = AccessRules::new(
        vec![
            rule(1, Who::Group("ops".into()), &[Action::Publish], &["ops/#"], true),
            rule(2, Who::Tag("administrator".into()), &Action::ALL, &[], true),
            rule(3, Who::Known, &[Action::Publish], &["known"], true),
            rule(4, Who::Anonymous, &[Action::Publish], &["open"], true),
        ],
        false,
    );
    let details = |groups: &[&str], tags: &[&str]| Details {
        groups: groups.iter().map(|&name| name.into()).collect(),
        tags: tags.iter().map(|&name| name.into()).collect(),
        ..Details::default()
    };
    let op = Principal::named("op").with(details(&["ops"], &[]));
    let admin = Principal::named("root").with(details(&[], &["administrator"]));
    assert_eq!(publish(&rules, &op, "ops/a"), by_rule(1, true));
    assert_eq!(publish(&rules, &op, "known"), by_rule(3, true));
    assert_eq!(publish(&rules, &op, "open"), BY_DEFAULT);
    assert_eq!(publish(&rules, &Principal::anonymous(), "open"), by_rule(4, true));
    assert_eq!(publish(&rules, &Principal::anonymous(), "known"), BY_DEFAULT);
    assert_eq!(subscribe(&rules, &admin, "$SYS/#"), by_rule(2, true), "a rule without places holds everywhere");
}

#[test]
fn another_spelling_of_a_name_or_a_queue_widens_nothing() {
    let queues = Places {
        queues: vec![Template::new(&amqp::decode_pattern(b"orders.*").unwrap()).unwrap()],
        exchanges: vec![Template::new(&amqp::decode_pattern(b"amq.direct").unwrap()).unwrap()],
        ..Places::default()
    };
    let deny = Rule {
        number: 1,
        who: vec![Who::Everyone],
        actions: Actions::ALL,
        places: queues,
        vhosts: vec![],
        allow: false,
    };
    let secret = rule(2, Who::Everyone, &Action::ALL, &["secret/#", "rooms/hidden/#"], false);
    let rules = AccessRules::new(vec![deny, secret], true);
    let ann = Principal::named("ann");
    for topic in ["$queue/orders.eu", "$q/orders.eu", "$exchange/amq.direct/k", "$delayed/5/$queue/orders.eu"] {
        assert_eq!(publish(&rules, &ann, topic), by_rule(1, false), "{topic}");
    }
    for topic in ["secret", "$delayed/5/secret/a", "$room/hidden"] {
        assert_eq!(publish(&rules, &ann, topic), by_rule(2, false), "{topic}");
    }
    assert_eq!(subscribe(&rules, &ann, "$queue/+"), by_rule(1, false));
    assert_eq!(rules.decide(&ann, Action::Consume, Resource::Queue(b"orders.eu")), by_rule(1, false));
    assert!(rules.decide(&ann, Action::Consume, Resource::Queue(b"orders")).allowed);
    assert!(publish(&rules, &ann, "$queue/other").allowed);
}

#[test]
fn rules_of_a_token_come_first_or_stand_alone() {
    let rules = AccessRules::new(vec![rule(1, Who::Everyone, &Action::ALL, &["home/#"], true)], false);
    let token = |only| {
        let own = OwnRules { rules: vec![rule(1, Who::Everyone, &[Action::Publish], &["token/%u"], true)], only };
        Principal::named("ann").with(Details { rules: Some(Arc::new(own)), ..Details::default() })
    };
    let own = Verdict { allowed: true, reason: Reason::OwnRule(1) };
    assert_eq!(publish(&rules, &token(false), "token/ann"), own);
    assert_eq!(publish(&rules, &token(false), "home/a"), by_rule(1, true));
    assert_eq!(publish(&rules, &token(true), "token/ann"), own);
    let refused = Verdict { allowed: false, reason: Reason::OwnDefault };
    assert_eq!(publish(&rules, &token(true), "home/a"), refused);
    assert_eq!(publish(&rules, &token(true), "token/bob"), refused);
}

#[test]
fn a_rule_holds_in_its_vhosts() {
    let mut one = rule(1, Who::Everyone, &Action::ALL, &[], true);
    one.vhosts = vec!["eu".into()];
    let rules = AccessRules::new(vec![one], false);
    assert!(publish(&rules.within("eu"), &Principal::anonymous(), "a").allowed);
    assert!(!publish(&rules.within("us"), &Principal::anonymous(), "a").allowed);
}

#[test]
fn permissions_decide_where_no_rule_does() {
    let mut permissions = Permissions::default();
    permissions.set("ann", "/", Some(Permission::new("", "^amq.topic$", "").unwrap()));
    let rules = AccessRules::new(vec![rule(1, Who::Everyone, &Action::ALL, &["open/#"], true)], true)
        .with_permissions(Arc::new(permissions));
    let ann = Principal::named("ann");
    let permitted = |allowed| Verdict { allowed, reason: Reason::Permission };
    assert_eq!(publish(&rules, &ann, "a"), permitted(true));
    assert_eq!(subscribe(&rules, &ann, "a"), permitted(false));
    assert_eq!(subscribe(&rules, &ann, "open/a"), by_rule(1, true));
    assert_eq!(subscribe(&rules.within("other"), &ann, "a"), permitted(false));
    assert_eq!(subscribe(&rules, &Principal::named("bob"), "a"), Verdict { allowed: true, reason: Reason::Default });
}
