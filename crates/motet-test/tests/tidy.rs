//! The rules of the house that a machine can check, each with its reason.
//!
//! `MOTET_TIDY_WRITE=1 cargo test -p motet-test --test tidy` also writes what is generated.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each crate may depend on. Arrows point one way: `motet → motet-server → protocols → auth → core`, and
/// `motet-store → core`. `motet-test` may know everyone.
const ARROWS: &[(&str, &[&str])] = &[
    ("motet", &["motet-bench", "motet-server", "motet-store"]),
    ("motet-bench", &["motet-amqp", "motet-mqtt"]),
    (
        "motet-server",
        &["motet-amqp", "motet-auth", "motet-console", "motet-core", "motet-mqtt", "motet-store", "motet-web"],
    ),
    ("motet-mqtt", &["motet-auth", "motet-core"]),
    ("motet-amqp", &["motet-auth", "motet-core"]),
    ("motet-console", &["motet-auth", "motet-core"]),
    ("motet-web", &["motet-auth", "motet-core"]),
    ("motet-auth", &["motet-core"]),
    ("motet-store", &["motet-core"]),
    ("motet-core", &[]),
];

/// Where a clock may be asked.
const CLOCKS: &[&str] = &["motet", "motet-bench", "motet-server", "motet-store", "motet-test"];

/// Lines after which a file holds more than one idea.
const LINES_MAX: usize = 700;

const SPECS_BEGIN: &str = "<!-- specs: made from docs/specs.toml -->";
const SPECS_END: &str = "<!-- end of specs -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest(krate: &str) -> toml::Table {
    read(root().join("crates").join(krate).join("Cargo.toml")).parse().unwrap()
}

fn crates() -> Vec<String> {
    let folders = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every file that belongs to the house, with its path from the root.
fn files() -> Vec<(String, PathBuf)> {
    const FOREIGN: &[&str] = &[".git", "target", "motet-data", "node_modules", ".venv", "__pycache__", "artifacts"];
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()) {
            let (name, path) = (entry.file_name(), entry.path());
            if FOREIGN.iter().any(|foreign| name == *foreign) || name.to_string_lossy().starts_with(".pytest") {
                continue;
            }
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(path),
                false => found.push((path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(), path)),
            }
        }
    }
    found.sort();
    found
}

/// Files with this ending below `crates`.
fn sources(extension: &str) -> impl Iterator<Item = (String, String)> {
    let wanted = files().into_iter().filter(|(name, _)| name.starts_with("crates/"));
    let extension = extension.to_owned();
    wanted
        .filter(move |(_, path)| path.extension().is_some_and(|e| e == &*extension))
        .map(|(name, path)| (name, read(path)))
}

fn complain(reason: &str, found: &[String]) {
    assert!(found.is_empty(), "\n{}\n\n{reason}\n", found.join("\n"));
}

#[test]
fn arrows_between_crates_point_one_way() {
    let mut wrong = Vec::new();
    for krate in crates().iter().filter(|krate| *krate != "motet-test") {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == krate) else {
            wrong.push(format!("{krate} is not in ARROWS"));
            continue;
        };
        let manifest = manifest(krate);
        let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
        let depends = tables.iter().filter_map(|table| manifest.get(*table)?.as_table()).flat_map(|table| table.keys());
        wrong.extend(
            depends
                .filter(|other| other.starts_with("motet") && !allowed.contains(&other.as_str()))
                .map(|other| format!("{krate} → {other}")),
        );
    }
    complain(
        "A new arrow makes two crates one. The core depends on no crate of the house, protocols don't know one another, \
         the server alone knows everyone. A new crate gets its line in ARROWS.",
        &wrong,
    );
}

#[test]
fn crates_are_named_as_their_folders_and_share_what_is_common() {
    let mut wrong = Vec::new();
    for krate in crates() {
        let manifest = manifest(&krate);
        let package = manifest["package"].as_table().unwrap();
        if package["name"].as_str() != Some(&krate) {
            wrong.push(format!("crates/{krate} holds the package {}", package["name"]));
        }
        for field in ["version", "edition", "rust-version", "license", "repository", "publish"] {
            let shared = package.get(field).and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool);
            if shared != Some(true) {
                wrong.push(format!("crates/{krate}/Cargo.toml: {field}.workspace = true is missing"));
            }
        }
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        if lints != Some(true) {
            wrong.push(format!("crates/{krate}/Cargo.toml: [lints] workspace = true is missing"));
        }
    }
    let workspace: toml::Table = read(root().join("Cargo.toml")).parse().unwrap();
    if workspace["workspace"]["package"]["license"].as_str() != Some("MIT OR Apache-2.0") {
        wrong.push("Cargo.toml: the licence is MIT OR Apache-2.0".to_owned());
    }
    wrong.extend(
        ["LICENSE-MIT", "LICENSE-APACHE"]
            .iter()
            .filter(|file| !root().join(file).is_file())
            .map(|file| format!("{file} is missing")),
    );
    complain(
        "One licence, one version, one set of lints: a crate that differs is a surprise for whoever uses it.",
        &wrong,
    );
}

#[test]
fn only_the_shell_asks_a_clock() {
    let mut wrong = Vec::new();
    for (name, text) in sources("rs") {
        let krate = name.split('/').nth(1).unwrap();
        let is_test = name.split('/').nth(2) != Some("src") || name.ends_with("tests.rs") || name.contains("/tests/");
        if CLOCKS.contains(&krate) || is_test {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (at, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if line.contains("Instant::now") || line.contains("SystemTime") {
                wrong.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    complain("Time is an argument: a run that asks a clock can't be repeated. Take `Now` from the Context.", &wrong);
}

#[test]
fn every_source_file_belongs_to_a_crate() {
    let all: BTreeMap<String, String> = sources("rs").collect();
    let mut forgotten = Vec::new();
    for name in all.keys().filter(|name| name.split('/').nth(2) == Some("src")) {
        let path = Path::new(name);
        let (mut stem, mut folder) = (path.file_stem().unwrap().to_string_lossy(), path.parent().unwrap());
        if matches!(&*stem, "lib" | "main") {
            continue;
        }
        if stem == "mod" {
            (stem, folder) = (folder.file_name().unwrap().to_string_lossy(), folder.parent().unwrap());
        }
        let folder = folder.to_string_lossy();
        let parents = [
            format!("{folder}/mod.rs"),
            format!("{folder}.rs"),
            format!("{folder}/lib.rs"),
            format!("{folder}/main.rs"),
        ];
        let declared =
            parents.iter().filter_map(|parent| all.get(parent)).any(|text| text.contains(&format!("mod {stem};")));
        if !declared {
            forgotten.push(name.clone());
        }
    }
    complain("No module declares these files, so nobody compiles or tests them.", &forgotten);
}

#[test]
fn files_hold_one_idea() {
    let long: Vec<_> = sources("rs")
        .filter(|(_, text)| text.lines().count() > LINES_MAX)
        .map(|(name, text)| format!("{name}: {} lines", text.lines().count()))
        .collect();
    complain("The heart of a crate is split by state or concern in the week it grows, while splitting is easy.", &long);
}

#[test]
fn statements_of_the_mqtt_specification_are_named_in_its_form() {
    let mut wrong = Vec::new();
    for (name, text) in sources("rs").chain(sources("wire")).filter(|(name, _)| !name.ends_with("tidy.rs")) {
        for (at, line) in text.lines().enumerate() {
            for (found, _) in line.match_indices("MQTT-") {
                let number = &line[found + "MQTT-".len()..];
                if number.starts_with(|c: char| c.is_ascii_digit()) && !is_statement(number) {
                    wrong.push(format!("{name}:{}: {}", at + 1, line.trim()));
                }
            }
        }
    }
    complain(
        "Normative statements are [MQTT-chapter.section.part-number], such as [MQTT-3.1.2-24]; a section without a \
         statement is written without MQTT, such as [3.1.2.11].",
        &wrong,
    );
}

/// `3.1.2-24`, then anything but more of a number.
fn is_statement(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(text.len());
    let number = text[..end].trim_end_matches(['.', '-']);
    let Some((section, statement)) = number.split_once('-') else { return false };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    section.split('.').count() == 3 && section.split('.').all(is_number) && is_number(statement)
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let mut names: Vec<_> = fs::read_dir(root().join("docs/decisions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut wrong = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let number = format!("{:04}", at + 1);
        let text = read(root().join("docs/decisions").join(name));
        if !name.starts_with(&format!("{number}-")) || !text.starts_with(&format!("# {number} ")) {
            wrong.push(format!("{name} should have number {number}, in its name and its title"));
        }
        for part in ["## Context", "## Decision", "## Consequences", "## Status"] {
            if !text.contains(part) {
                wrong.push(format!("{name} has no `{part}`"));
            }
        }
    }
    complain("A decision is found by its number and read for its reason and its cost.", &wrong);
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Specs {
    spec: Vec<Spec>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    name: String,
    link: String,
    status: String,
    #[serde(rename = "crate")]
    krate: String,
    note: String,
}

#[test]
fn the_table_of_specifications_is_up_to_date() {
    let specs: Specs = toml::from_str(&read(root().join("docs/specs.toml"))).unwrap();
    let mut table = "\n| specification | status | where | note |\n|---|---|---|---|\n".to_owned();
    let mut wrong = Vec::new();
    for spec in &specs.spec {
        if !["complete", "partial", "building"].contains(&spec.status.as_str()) {
            wrong.push(format!("{}: `{}` is not a status", spec.name, spec.status));
        }
        if spec.status == "partial" && spec.note.is_empty() {
            wrong.push(format!("{}: what is missing?", spec.name));
        }
        if !crates().contains(&spec.krate) {
            wrong.push(format!("{}: there is no crate {}", spec.name, spec.krate));
        }
        let Spec { name, link, status, krate, note } = spec;
        table.push_str(&format!("| [{name}]({link}) | {status} | `{krate}` | {note} |\n"));
    }
    complain("The list of specifications is what users choose by.", &wrong);
    let readme = read(root().join("README.md"));
    let begin = readme.find(SPECS_BEGIN).expect("README.md marks where the table begins") + SPECS_BEGIN.len();
    let end = readme.find(SPECS_END).expect("README.md marks where the table ends");
    if readme[begin..end] != table {
        if std::env::var_os("MOTET_TIDY_WRITE").is_some() {
            fs::write(root().join("README.md"), format!("{}{table}{}", &readme[..begin], &readme[end..])).unwrap();
            return;
        }
        panic!("README.md differs from docs/specs.toml: MOTET_TIDY_WRITE=1 cargo test -p motet-test --test tidy");
    }
}

#[test]
fn changes_for_the_changelog_are_named_by_kind() {
    const KINDS: &[&str] = &["added", "changed", "fixed", "removed", "security"];
    let folder = root().join("changelog.d");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let wrong: Vec<_> = names
        .filter(|name| name != "README.md")
        .filter(|name| match name.split('.').collect::<Vec<_>>()[..] {
            [what, kind, "md"] => what.is_empty() || !KINDS.contains(&kind),
            _ => true,
        })
        .collect();
    complain(
        "A fragment is `<what>.<kind>.md`, so that a release can sort them; the kinds are in changelog.d/README.md.",
        &wrong,
    );
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // Written in pieces, for this file is looked at too.
    let places = [
        concat!("/wo", "rk/"),
        concat!("/tmp/", "wt"),
        concat!("/tmp/", "target"),
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
    ];
    let hosts = [
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("registry.", "npmjs"),
        concat!("files.", "pythonhosted"),
        concat!("pypi.", "org"),
        concat!("proxy.", "golang"),
        concat!("sparse+", "http"),
    ];
    let mut wrong = Vec::new();
    for (name, path) in files() {
        let Ok(text) = fs::read_to_string(path) else { continue };
        for (at, line) in text.lines().enumerate() {
            let foreign = name.ends_with("Cargo.lock")
                && line.starts_with("source")
                && !line.contains("registry+https://github.com/rust-lang/crates.io-index");
            if foreign || places.iter().chain(&hosts).any(|word| line.contains(word)) {
                wrong.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    complain(
        "A path or a host of one machine is wrong on every other: write it relative, or leave the registry to the user.",
        &wrong,
    );
}
