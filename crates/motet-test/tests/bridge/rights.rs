//! Whoever may not by the front door may not by another: every indirect way to a topic asks for the topic's rights.

use motet_core::access::{AccessRules, Action, Places, Rule, Template, Who};
use motet_core::spelling::mqtt;
use motet_test::wire::{Bench, Durability, Pace, Script, run};

/// Everything with queues and exchanges, and the topics below `mine`.
fn rules() -> AccessRules {
    let template = |filter: &str| vec![Template::new(&mqtt::decode_pattern(filter).unwrap()).unwrap()];
    let rule = Rule {
        number: 1,
        who: vec![Who::Everyone],
        actions: Action::ALL.into_iter().collect(),
        places: Places { names: template("mine/#"), queues: template("#"), exchanges: template("#") },
        vhosts: vec![],
        allow: true,
    };
    AccessRules::new(vec![rule], false)
}

fn holds(script: &str) {
    let mut bench = Bench::new(Durability::AtOnce, Pace::Whole, &[]).unwrap();
    bench.set_access(rules());
    run(&Script::parse("rights", script).unwrap(), &mut bench).unwrap_or_else(|error| panic!("{error}"));
}

/// What a client says that ends its channel, every time anew.
fn refused(lines: &[&str]) {
    for line in lines {
        holds(&format!(
            "C a: LOGIN\nC a: queue.declare queue=\"q\" exclusive\nS a: queue.declare-ok\n\
             C a: exchange.declare exchange=\"e\" kind=\"fanout\"\nS a: exchange.declare-ok\n\
             C a: {line}\nS a: channel.close reply_code=403\nC a: channel.close-ok"
        ));
    }
}

#[test]
fn what_amqp_clients_may_not_say_to_a_topic_they_may_not_say_indirectly() {
    refused(&[
        r#"basic.publish exchange="amq.topic" routing_key="other.x" payload="p""#,
        r#"basic.publish exchange="" routing_key="amq.topic.reply.other.x" payload="p""#,
        r#"basic.publish exchange="amq.topic" routing_key="mine.x" header="CC:A=other.x" payload="p""#,
        r#"basic.publish exchange="amq.topic" routing_key="mine.x" header="BCC:A=mine.y,other.x" payload="p""#,
    ]);
}

#[test]
fn what_amqp_clients_may_not_hear_they_may_not_bind_to_or_share() {
    refused(&[
        r##"queue.bind queue="q" exchange="amq.topic" routing_key="other.#""##,
        r##"queue.bind queue="q" exchange="amq.topic" routing_key="#""##,
        r##"queue.bind queue="q" exchange="amq.topic" routing_key="other.x" argument="x-retained:t=1""##,
        r##"exchange.bind destination="e" source="amq.topic" routing_key="other.#""##,
    ]);
}

#[test]
fn a_group_is_joined_with_the_rights_of_its_topics() {
    let group = |filter: &str, then: &str| {
        // Someone may: the rules came after.
        let mut bench = Bench::new(Durability::AtOnce, Pace::Whole, &[]).unwrap();
        let join = format!(
            "C m: CONNECT v5 client=\"m\" clean_start=0 session_expiry=100\nS m: CONNACK\n\
             C m: SUBSCRIBE id=1 \"$share/g/{filter}\" qos=1\nS m: SUBACK codes=1\nC m: hangs up"
        );
        run(&Script::parse("join", &join).unwrap(), &mut bench).unwrap();
        bench.set_access(rules());
        let script = format!("C a: LOGIN\nC a: {then}");
        run(&Script::parse(then, &script).unwrap(), &mut bench).unwrap_or_else(|error| panic!("{error}"));
    };
    let closed = "\nS a: channel.close reply_code=403\nC a: channel.close-ok";
    let consumes = |filter: &str| format!("basic.consume queue=\"$share/g/{filter}\" consumer_tag=\"c\"");
    group("mine/#", &format!("{}\nS a: basic.consume-ok", consumes("mine/#")));
    group("other/#", &format!("{}{closed}", consumes("other/#")));
    group("other/#", &format!("basic.get queue=\"$share/g/other/#\"{closed}"));
}

#[test]
fn what_mqtt_clients_may_not_say_to_a_topic_they_may_not_say_to_its_exchange() {
    holds(
        "C m: CONNECT v5 client=\"m\" clean_start\nS m: CONNACK\n\
         C m: PUBLISH topic=\"other/x\" qos=1 id=1 payload=\"p\"\nS m: PUBACK reason=0x87\n\
         C m: PUBLISH topic=\"$exchange/amq.topic/other/x\" qos=1 id=2 payload=\"p\"\nS m: PUBACK reason=0x87\n\
         C m: PUBLISH topic=\"$delayed/5/other/x\" qos=1 id=3 payload=\"p\"\nS m: PUBACK reason=0x87\n\
         C m: PUBLISH topic=\"$queue/$share%2Fg%2Fother%2F%23\" qos=1 id=4 payload=\"p\"\nS m: PUBACK reason=0x90\n\
         C m: PUBLISH topic=\"$exchange/amq.topic/mine/x\" user=\"CC=other.x\" user=\"x-types=CC=AS\" payload=\"p\"\n\
         C m: SUBSCRIBE id=5 \"$share/g/other/x\"\nS m: SUBACK codes=0x87\n\
         C m: PUBLISH topic=\"other/x\" qos=1 id=6 user=\"x-delay=5\" payload=\"p\"\nS m: PUBACK reason=0x87",
    );
}
