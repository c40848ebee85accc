//! How long a name takes from its spelling to its subscribers, and what a retained topic costs.
//!
//! `cargo bench -p motet-core --bench tree`

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use motet_core::name::Name;
use motet_core::pattern::Pattern;
use motet_core::spelling::{amqp, mqtt};
use motet_core::tree::Tree;

const TOPICS: usize = 100_000;
const PATTERNS: usize = 1_000;
/// So many topics fit the processor's nearest cache.
const HOT: usize = 100;
const BENCH_TIME: Duration = Duration::from_millis(400);

fn topic(index: usize) -> String {
    format!("site/{}/line{}/device{}/temperature", index % 100, index / 100 % 10, index)
}

fn filter(text: &str) -> Pattern {
    mqtt::decode_pattern(text).expect("the filter is legal")
}

/// Runs `work` on rising numbers for a while and prints nanoseconds a call.
fn report(what: &str, mut work: impl FnMut(usize)) {
    for index in 0..1_000 {
        work(index);
    }
    let start = Instant::now();
    let mut calls = 0;
    while start.elapsed() < BENCH_TIME {
        for _ in 0..256 {
            // A stride coprime to the number of topics, so that neighbours in the tree are no neighbours in time.
            work(calls * 7_919 % TOPICS);
            calls += 1;
        }
    }
    println!("{what:58} {:>9.1} ns", start.elapsed().as_nanos() as f64 / calls as f64);
}

fn main() {
    let topics: Vec<String> = (0..TOPICS).map(topic).collect();
    let names: Vec<Name> = topics.iter().map(|topic| mqtt::decode_name(topic).expect("the topic is legal")).collect();
    report("decode an MQTT topic of about 45 bytes", |index| {
        black_box(mqtt::decode_name(&topics[index % HOT]).is_ok());
    });
    let mut out = Vec::new();
    report("encode it as an MQTT topic", |index| {
        out.clear();
        black_box(mqtt::encode_name(&names[index % HOT], &mut out).is_ok());
    });
    report("encode it as an AMQP key", |index| {
        out.clear();
        amqp::encode_name(&names[index % HOT], &mut out);
        black_box(out.len());
    });

    let mut tree = Tree::<u64, u8, u64>::new();
    let start = Instant::now();
    for (index, name) in names.iter().enumerate() {
        tree.insert(&Pattern::from_name(name), index as u64, 0);
    }
    println!(
        "{:58} {:>9.1} ns",
        "insert 100,000 exact subscriptions, each",
        start.elapsed().as_nanos() as f64 / TOPICS as f64
    );
    report("match, 100,000 exact, of which 100 are in use", |index| {
        tree.for_each_match(&names[index % HOT], |&key, _| {
            black_box(key);
        });
    });
    report("match, 100,000 exact, all in use", |index| {
        tree.for_each_match(&names[index], |&key, _| {
            black_box(key);
        });
    });
    for index in 0..PATTERNS {
        let text = match index % 4 {
            0 => format!("site/{}/#", index / 4 % 100),
            1 => format!("site/+/line{}/+/temperature", index / 4 % 10),
            2 => format!("+/{}/+/device{}/+", index / 4 % 100, index * 97),
            _ => format!("site/{}/+/device{}/#", index / 4 % 100, index * 89),
        };
        tree.insert(&filter(&text), (TOPICS + index) as u64, 0);
    }
    let mut found = 0_u64;
    let mut asked = 0_u64;
    report("match, 100,000 exact and 1,000 wildcard", |index| {
        asked += 1;
        tree.for_each_match(&names[index], |_, _| found += 1);
    });
    println!("{:58} {:>9.1}", "  subscribers found, on average", found as f64 / asked as f64);
    for index in 0..100 {
        let text = format!("#.device{}.#.temperature", index * 997);
        tree.insert(&amqp::decode_pattern(text.as_bytes()).expect("short"), (2 * TOPICS + index) as u64, 0);
    }
    report("match, and 100 patterns with # in the middle", |index| {
        tree.for_each_match(&names[index], |&key, _| {
            black_box(key);
        });
    });

    let crowd = filter("crowd/+");
    for key in 0..10_000 {
        tree.insert(&crowd, key, 0);
    }
    report("remove and insert one of 10,000 keys at one pattern", |index| {
        let key = index as u64 % 10_000;
        tree.remove(&crowd, &key);
        tree.insert(&crowd, key, 0);
    });
    report_retained(&names);
}

fn report_retained(names: &[Name]) {
    let mut tree = Tree::<u64, u8, u64>::new();
    let before = resident_bytes();
    for (index, name) in names.iter().enumerate() {
        tree.set_retained(name, index as u64);
    }
    let bytes = resident_bytes().saturating_sub(before) as f64;
    println!("{:58} {:>9.1} bytes", "memory a node (R = u64)", bytes / tree.nodes() as f64);
    println!("{:58} {:>9}", "  nodes for 100,000 topics", tree.nodes());
    report("look a retained value up", |index| {
        black_box(tree.get_retained(&names[index]));
    });
    let all = filter("site/+/+/+/temperature");
    let start = Instant::now();
    let mut shown = 0;
    let mut cursor = None;
    loop {
        cursor = tree.retained_after(&all, cursor.as_ref(), 256, |_, _| shown += 1);
        if cursor.is_none() {
            break;
        }
    }
    println!(
        "{:58} {:>9.1} ns",
        "walk 100,000 retained in pages of 256, each",
        start.elapsed().as_nanos() as f64 / f64::from(shown)
    );
}

/// Memory of this process, where the system tells; 0 elsewhere.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok()).unwrap_or(0) * 4_096
}
