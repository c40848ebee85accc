//! The ledgers of MQTT: every normative statement with whom it binds and the tests that show it.
//!
//! `docs/protocols/mqtt-5.0.toml` and `mqtt-3.1.1.toml` are the ledgers, and the table in `docs/protocols/mqtt.md` is made
//! from them: `MOTET_TIDY_WRITE=1 cargo test -p motet-test --test ledger`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// Version, and how many statements its specification has in the list at its end.
const LEDGERS: [(&str, usize); 2] = [("3.1.1", 143), ("5.0", 255)];

const TABLE_BEGIN: &str = "<!-- made from the ledgers -->";
const TABLE_END: &str = "<!-- end of the ledgers -->";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    specification: String,
    /// How many statements each section has.
    sections: BTreeMap<String, usize>,
    statements: BTreeMap<String, Statement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    binds: Binds,
    says: String,
    tests: Vec<String>,
    /// Why it is not kept.
    exception: Option<String>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Binds {
    Server,
    Client,
    Both,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn ledger(version: &str) -> Ledger {
    let name = format!("docs/protocols/mqtt-{version}.toml");
    toml::from_str(&read(&name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn complain(reason: &str, found: &[String]) {
    assert!(found.is_empty(), "\n{}\n\n{reason}\n", found.join("\n"));
}

/// Section and number of `3.1.2-24`.
fn parts(identifier: &str) -> (&str, usize) {
    let (section, number) = identifier.split_once('-').unwrap_or_else(|| panic!("`{identifier}`"));
    (section, number.parse().unwrap_or_else(|_| panic!("`{identifier}`")))
}

#[test]
fn every_statement_is_in_its_ledger() {
    let mut wrong = Vec::new();
    for (version, count) in LEDGERS {
        let ledger = ledger(version);
        if ledger.statements.len() != count || ledger.sections.values().sum::<usize>() != count {
            wrong.push(format!("{version}: {} of {count} statements", ledger.statements.len()));
        }
        let mut numbers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (section, number) in ledger.statements.keys().map(|identifier| parts(identifier)) {
            numbers.entry(section).or_default().push(number);
        }
        for (section, count) in &ledger.sections {
            let mut found = numbers.remove(section.as_str()).unwrap_or_default();
            found.sort_unstable();
            // MQTT 5.0 begins this section with its second statement.
            let first = if (version, section.as_str()) == ("5.0", "2.2.1") { 2 } else { 1 };
            if !found.iter().copied().eq(first..first + count) {
                wrong.push(format!("{version}: section {section} has {found:?}"));
            }
        }
        wrong.extend(numbers.keys().map(|section| format!("{version}: section {section} is not counted")));
    }
    complain("The numbers of a section are dense: a gap is a statement that nobody looked at.", &wrong);
}

#[test]
fn every_statement_that_binds_a_server_is_shown_by_a_test() {
    let mut wrong = Vec::new();
    for (version, _) in LEDGERS {
        for (identifier, statement) in ledger(version).statements {
            let bare = statement.tests.is_empty() && statement.exception.is_none() && statement.binds != Binds::Client;
            if bare || statement.says.is_empty() || statement.exception.as_deref() == Some("") {
                wrong.push(format!("{version}: MQTT-{identifier}"));
            }
        }
    }
    complain("What no test shows is not known to be kept: name one, or say in `exception` why it is not.", &wrong);
}

#[test]
fn every_test_in_the_ledgers_exists() {
    let mut known: HashMap<String, bool> = HashMap::new();
    for (version, _) in LEDGERS {
        for test in ledger(version).statements.into_values().flat_map(|statement| statement.tests) {
            let exists = exists(&test);
            known.entry(test).or_insert(exists);
        }
    }
    let mut missing: Vec<String> = known.into_iter().filter(|(_, exists)| !exists).map(|(test, _)| test).collect();
    missing.sort();
    complain("A renamed or removed test leaves its statement without one.", &missing);
}

/// `name.wire`, `test_x.py::test_y`, or `crate::module::function`.
fn exists(test: &str) -> bool {
    if test.ends_with(".wire") {
        return root().join("crates/motet-mqtt/tests/wire").join(test).is_file();
    }
    let (place, function) = test.rsplit_once("::").unwrap_or_else(|| panic!("`{test}` is no test"));
    if place.ends_with(".py") {
        let text = fs::read_to_string(root().join("tests/interop").join(place)).unwrap_or_default();
        return text.contains(&format!("def {function}("));
    }
    let (krate, modules) = place.split_once("::").unwrap_or((place, "lib"));
    let stem = format!("crates/{}/src/{}", krate.replace('_', "-"), modules.replace("::", "/"));
    // A module of tests may be written into the file of the module it tests.
    let files = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
    let text = files.iter().find_map(|file| fs::read_to_string(root().join(file)).ok()).unwrap_or_default();
    text.contains(&format!("fn {function}("))
}

#[test]
fn what_our_sources_cite_is_in_a_ledger() {
    let ledgers = LEDGERS.map(|(version, _)| ledger(version));
    let known = |id: &str| ledgers.iter().any(|ledger| ledger.statements.contains_key(id));
    let mut wrong = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("tests/interop")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                let foreign = ["node_modules", "target", "__pycache__"].iter().any(|name| path.ends_with(name));
                folders.extend((!foreign).then_some(path));
                continue;
            }
            let cites = path.extension().is_some_and(|e| ["rs", "wire", "py", "js"].iter().any(|wanted| e == *wanted));
            let Some(text) = cites.then(|| fs::read_to_string(&path).ok()).flatten() else { continue };
            for cited in text.match_indices("[MQTT-").filter_map(|(at, _)| cited(&text[at + "[MQTT-".len()..])) {
                if !known(cited) {
                    wrong.push(format!("{}: [MQTT-{cited}]", path.strip_prefix(root()).unwrap().display()));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    complain("Neither 3.1.1 nor 5.0 has these statements.", &wrong);
}

/// `3.1.2-24` of `3.1.2-24] and more`.
fn cited(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-')?;
    text[..end].contains('-').then(|| text[..end].trim_end_matches(['.', '-']))
}

#[test]
fn the_summary_of_the_ledgers_is_up_to_date() {
    let mut table =
        "\n| specification | statements | bind a server | shown by tests | exceptions | bind a client alone |\n\
                     |---|---|---|---|---|---|\n"
            .to_owned();
    let mut exceptions = String::new();
    for (version, _) in LEDGERS {
        let ledger = ledger(version);
        let all = ledger.statements.values();
        let client = all.clone().filter(|statement| statement.binds == Binds::Client).count();
        let excepted = all.clone().filter(|statement| statement.exception.is_some()).count();
        let ours = all.len() - client;
        table.push_str(&format!(
            "| [{version}]({}), [ledger](mqtt-{version}.toml) | {} | {ours} | {} | {excepted} | {client} |\n",
            ledger.specification,
            all.len(),
            ours - excepted,
        ));
        for (identifier, statement) in &ledger.statements {
            if let Some(reason) = &statement.exception {
                exceptions.push_str(&format!("- {version}, MQTT-{identifier} ({}): {reason}\n", statement.says));
            }
        }
    }
    if !exceptions.is_empty() {
        table.push_str(&format!("\nNot kept, with reasons:\n{exceptions}"));
    }
    let page = read("docs/protocols/mqtt.md");
    let begin = page.find(TABLE_BEGIN).expect("mqtt.md marks where the table begins") + TABLE_BEGIN.len();
    let end = page.find(TABLE_END).expect("mqtt.md marks where the table ends");
    if page[begin..end] != table {
        if std::env::var_os("MOTET_TIDY_WRITE").is_some() {
            let page = format!("{}{table}{}", &page[..begin], &page[end..]);
            return fs::write(root().join("docs/protocols/mqtt.md"), page).unwrap();
        }
        panic!("docs/protocols/mqtt.md differs: MOTET_TIDY_WRITE=1 cargo test -p motet-test --test ledger");
    }
}
