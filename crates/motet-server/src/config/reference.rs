//! The reference of every key, made from the table of keys: a page to read and a file to start from.

use std::fmt::Write as _;

use super::section::{Key, Shape};
use super::sections::Config;
use super::setting::Setting;

/// Every key of the configuration, in the order of the file.
pub fn keys() -> Vec<Key> {
    match Config::shape() {
        Shape::Table(keys) => keys,
        Shape::Value | Shape::Tables(_) => unreachable!("the configuration is a table"),
    }
}

/// Every value of `config` that differs from its default, as key path and TOML. Secrets are not in it.
pub fn changes(config: &Config) -> Vec<(String, String)> {
    let (mut defaults, mut leaves) = (Vec::new(), Vec::new());
    Config::default().leaves("", &mut defaults);
    config.leaves("", &mut leaves);
    leaves.retain(|leaf| !defaults.contains(leaf));
    leaves
}

const MARKDOWN_INTRODUCTION: &str = "\
# Configuration

`motet` needs none. What is set comes from one file, `motet.toml` in the working directory or the one named with
`--config FILE`; then from environment variables; then from `--set` on the command line. The later one wins.

| in the file | in the environment | on the command line |
|---|---|---|
| `connections = 500` below `[limits]` | `MOTET_LIMITS__CONNECTIONS=500` | `--set limits.connections=500` |
| `address = \"*:1883\"` in the first `[[listener]]` | `MOTET_LISTENER__0__ADDRESS=*:1883` | `--set listener.0.address=*:1883` |
| `allowed_hosts = [\"a\", \"b\"]` below `[web]` | `MOTET_WEB__ALLOWED_HOSTS=a,b` | `--set web.allowed_hosts=a,b` |

`motet config check` says whether a configuration is good, and what is wrong with it. `motet config reference --format
toml` writes a file to start from, with every key and its default. Durations are texts such as `\"500ms\"` or `\"10s\"`
(us, ms, s, m, h, d), or plain integers of seconds; sizes are texts such as `\"64KiB\"` (B, KiB, MiB, GiB, TiB), or plain
integers of bytes. Variables that begin `MOTET_SERVICE_` or `MOTET_PORT` are left alone: Kubernetes makes them for a
service called motet.

This page is made by `motet config reference --format markdown`.
";

/// The reference page, in Markdown.
pub fn markdown() -> String {
    let mut page = String::from(MARKDOWN_INTRODUCTION);
    let (sections, values): (Vec<_>, Vec<_>) = keys().into_iter().partition(|key| !matches!(key.shape, Shape::Value));
    page.push_str("\n## At the top of the file\n");
    values.iter().for_each(|key| markdown_key(&mut page, key.name, key));
    for section in sections {
        markdown_section(&mut page, section.name, &section);
    }
    page
}

fn markdown_section(page: &mut String, path: &str, section: &Key) {
    let (title, keys) = match &section.shape {
        Shape::Table(keys) => (format!("[{path}]"), keys),
        Shape::Tables(keys) => (format!("[[{path}]]"), keys),
        Shape::Value => return,
    };
    let _ = writeln!(page, "\n## `{title}`\n\n{}", section.docs);
    if matches!(section.shape, Shape::Tables(_)) {
        let entries = entries(section);
        let default = if entries.is_empty() { "\nDefault: none.\n" } else { "\nDefault:\n" };
        page.push_str(default);
        for entry in entries {
            let entry: Vec<_> = entry.iter().map(|(key, value)| format!("`{key} = {value}`")).collect();
            let _ = writeln!(page, "- {}", entry.join(", "));
        }
    }
    let (lists, keys): (Vec<_>, Vec<_>) = keys.iter().partition(|key| matches!(key.shape, Shape::Tables(_)));
    keys.iter().for_each(|key| markdown_key(page, &format!("{path}.{}", key.name), key));
    lists.iter().for_each(|list| markdown_section(page, &format!("{path}.{}", list.name), list));
}

fn markdown_key(page: &mut String, path: &str, key: &Key) {
    let _ = writeln!(page, "\n### `{path}`\n\n{}\n", key.docs);
    if let Shape::Table(keys) = &key.shape {
        let names: Vec<_> = keys.iter().map(|key| format!("`{}`", key.name)).collect();
        let _ = writeln!(page, "- A table with the keys {} of `[{}]`", names.join(", "), key.name);
        return;
    }
    match &key.default {
        Some(default) => writeln!(page, "- Default: `{default}`"),
        None => writeln!(page, "- Not set by default; for example `{}`", key.example.unwrap_or_default()),
    }
    .expect("writing to a String succeeds");
    if key.choices.is_empty() {
        let _ = writeln!(page, "- Takes {}", key.expected);
    }
    for (word, meaning) in &key.choices {
        let _ = writeln!(page, "- `\"{word}\"`: {meaning}");
    }
}

const TOML_INTRODUCTION: &str = "\
# The configuration of motet: every key with its default.
# Lines that begin \"# \" are text; remove the # of a line such as \"#level = ...\" to set that key.
";

/// A `motet.toml` that changes nothing: every key, commented out, with its default.
pub fn toml() -> String {
    let mut file = String::from(TOML_INTRODUCTION);
    for key in keys() {
        match &key.shape {
            Shape::Value => toml_key(&mut file, &key),
            Shape::Table(keys) => {
                file.push('\n');
                toml_text(&mut file, &key.docs);
                let _ = writeln!(file, "[{}]", key.name);
                for key in keys.iter().filter(|key| !matches!(key.shape, Shape::Tables(_))) {
                    toml_key(&mut file, key);
                }
                for list in keys {
                    if let Shape::Tables(keys) = &list.shape {
                        toml_list(&mut file, &format!("{}.{}", key.name, list.name), list, keys);
                    }
                }
            }
            Shape::Tables(keys) => toml_list(&mut file, key.name, &key, keys),
        }
    }
    file
}

fn toml_text(file: &mut String, text: &str) {
    for line in text.lines() {
        let _ = writeln!(file, "# {line}");
    }
}

fn toml_key(file: &mut String, key: &Key) {
    file.push('\n');
    toml_about(file, key);
    if let Some(default) = &key.default {
        let _ = writeln!(file, "#{} = {default}", key.name);
    }
}

fn toml_about(file: &mut String, key: &Key) {
    toml_text(file, &key.docs);
    for (word, meaning) in &key.choices {
        toml_text(file, &format!("- \"{word}\": {}", meaning.replace('\n', " ")));
    }
    if key.choices.is_empty() && matches!(key.shape, Shape::Value) {
        toml_text(file, &format!("Takes {}.", key.expected));
    }
    if let (None, Some(example)) = (&key.default, key.example) {
        toml_text(file, &format!("Not set by default; for example: {} = {example}", key.name));
    }
}

fn toml_list(file: &mut String, path: &str, list: &Key, keys: &[Key]) {
    file.push('\n');
    toml_text(file, &list.docs);
    toml_text(file, &format!("Written as [[{path}]], once per entry, with these keys:"));
    for key in keys {
        let _ = writeln!(file, "#\n# {}:", key.name);
        toml_about(file, key);
    }
    for entry in entries(list) {
        let _ = writeln!(file, "\n#[[{path}]]");
        for (key, value) in entry {
            let _ = writeln!(file, "#{key} = {value}");
        }
    }
}

/// The default entries of a list of tables, each with its keys and values.
fn entries(list: &Key) -> Vec<Vec<(&str, &str)>> {
    let mut entries: Vec<Vec<_>> = Vec::new();
    let mut last = None;
    for (path, value) in &list.leaves {
        let mut steps = path.splitn(3, '.').skip(1);
        let (Some(index), Some(key)) = (steps.next(), steps.next()) else { continue };
        if last != Some(index) {
            entries.push(Vec::new());
            last = Some(index);
        }
        if let Some(entry) = entries.last_mut() {
            entry.push((key, value.as_str()));
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    /// The configuration a file with this text gives.
    fn loaded(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("motet.toml");
        std::fs::write(&file, text).unwrap();
        let sources = Sources::new(Some(file));
        load(&sources).unwrap_or_else(|error| panic!("{error}\n{text}")).config
    }

    #[test]
    fn the_file_to_start_from_changes_nothing() {
        assert_eq!(loaded(&toml()), Config::default());
    }

    #[test]
    fn the_file_to_start_from_holds_exactly_the_defaults_when_uncommented() {
        let uncommented: Vec<_> = toml()
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned())
            .collect();
        let uncommented = uncommented.join("\n");
        assert_eq!(loaded(&uncommented), Config::default());
        let mut leaves = Vec::new();
        Config::default().leaves("", &mut leaves);
        for (path, value) in leaves {
            let key = path.rsplit('.').next().unwrap();
            assert!(uncommented.contains(&format!("{key} = {value}")), "{path}");
        }
    }

    #[test]
    fn every_key_says_what_it_is_for() {
        fn visit(keys: &[Key]) {
            for key in keys {
                assert!(key.docs.len() > 10, "{} has no doc comment", key.name);
                assert!(!["service", "port"].iter().any(|taken| key.name.starts_with(taken)), "{}", key.name);
                match &key.shape {
                    Shape::Value => assert!(key.default.is_some() || key.example.is_some(), "{}", key.name),
                    Shape::Table(keys) | Shape::Tables(keys) => visit(keys),
                }
            }
        }
        visit(&keys());
    }

    #[test]
    fn the_reference_page_is_up_to_date() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(page, markdown()).unwrap();
        }
        let written = std::fs::read_to_string(page).unwrap_or_default();
        assert!(
            written == markdown(),
            "docs/configuration.md is out of date; `motet config reference > docs/configuration.md` renews it"
        );
    }

    #[test]
    fn a_change_is_told_without_its_secret() {
        let config = loaded("[[user]]\nname = \"alice\"\npassword = \"swordfish\"\n[limits]\nconnections = 7");
        let changes = changes(&config);
        let user = [("user.0.name", "\"alice\""), ("user.0.password", "\"(secret)\""), ("user.0.tags", "[]")];
        let expected = [user[0], user[1], user[2], ("limits.connections", "7")];
        assert_eq!(changes, expected.map(|(path, value)| (path.to_owned(), value.to_owned())));
    }
}
