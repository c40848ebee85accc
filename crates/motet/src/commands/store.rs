//! `motet store check`, `motet store repair`: caring for a journal that no server uses.
//!
//! | exit status | |
//! |---|---|
//! | 0 | sound, or sound again |
//! | 1 | damaged |
//! | 2 | nobody could look: a server uses it, it is not there, the disk refuses |

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use motet_server::JOURNAL_DIR;
use motet_store::{Damage, RealDisk, Repaired, Report, check, repair};
use serde_json::{Value, json};

use super::Failure;
use crate::cli::{Configuration, StoreCommand, StoreOptions};
use crate::print;

const DAMAGED: u8 = 1;
const CANNOT_LOOK: u8 = 2;
/// How the names of a journal's segments and class files begin.
const PREFIXES: [&str; 3] = ["journal-", "parked-", "keyed-"];

/// What is said, and the exit status that says it to a script.
struct Verdict {
    text: String,
    json: Value,
    code: u8,
}

type Care = fn(&Path) -> Result<Verdict, Failure>;

pub(crate) fn store(command: &StoreCommand, configuration: &Configuration) -> ExitCode {
    let (options, care): (_, Care) = match command {
        StoreCommand::Check(options) => (options, checked),
        StoreCommand::Repair(options) => (options, repaired),
    };
    match journal(options, configuration).and_then(|dir| care(&dir)) {
        Ok(verdict) => {
            print::answer(if options.json { format!("{}\n", verdict.json) } else { verdict.text });
            ExitCode::from(verdict.code)
        }
        Err(failure) => {
            let failure = print::chain(&*failure);
            if options.json {
                print::answer(format!("{}\n", json!({ "sound": null, "error": failure })));
            } else {
                print::complaint(&failure);
            }
            ExitCode::from(CANNOT_LOOK)
        }
    }
}

/// The folder of the journal: the named one, or the journal inside it, or the one of the configuration.
fn journal(options: &StoreOptions, configuration: &Configuration) -> Result<PathBuf, Failure> {
    let dir = match &options.dir {
        Some(dir) => dir.clone(),
        None => configuration.load()?.config.data_dir,
    };
    let found = [dir.clone(), dir.join(JOURNAL_DIR)].into_iter().find(|dir| is_journal(dir));
    Ok(found.ok_or_else(|| {
        format!(
            "{}: there is no journal here\n  to do: name the folder of a journal, or the data directory around it",
            dir.display()
        )
    })?)
}

/// Looked at before it is locked: a lock would leave its file in a folder that has nothing to do with us.
fn is_journal(dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else { return false };
    let names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let is_part = |name: &String| {
        name == "checkpoint" || name.ends_with(".seg") && PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    // A journal that never held anything has a lock and the mark of an orderly end, its backup not even these; others
    // have locks and empty folders, too.
    let is_empty = || names.iter().all(|name| name == "LOCK" || name == "CLEAN");
    names.iter().any(is_part) || dir.file_name().is_some_and(|name| name == JOURNAL_DIR) && is_empty()
}

fn checked(dir: &Path) -> Result<Verdict, Failure> {
    let Report { segments, class_files, damage } = check(dir, &Arc::new(RealDisk))?;
    let mut text = match damage.len() {
        0 => format!("{}: sound\n", dir.display()),
        count => format!("{}: damaged in {}\n", dir.display(), plural(count, "place")),
    };
    let _ = writeln!(text, "read: {}, {}", plural(segments, "segment"), plural(class_files, "class file"));
    list(&mut text, &damage);
    if !damage.is_empty() {
        text.push_str("to do: motet store repair keeps everything sound, and a copy of what is damaged\n");
    }
    let json = json!({
        "dir": dir, "sound": damage.is_empty(), "segments": segments, "class_files": class_files,
        "damage": damage_json(&damage),
    });
    Ok(Verdict { text, json, code: if damage.is_empty() { 0 } else { DAMAGED } })
}

fn repaired(dir: &Path) -> Result<Verdict, Failure> {
    let Repaired { damage, quarantined, entries, keyed } = repair(dir, &Arc::new(RealDisk))?;
    if damage.is_empty() {
        let text = format!("{}: sound, nothing was done\n", dir.display());
        let json = json!({ "dir": dir, "sound": true, "damage": [], "quarantined": [] });
        return Ok(Verdict { text, json, code: 0 });
    }
    // Believed when it is seen.
    let left = check(dir, &Arc::new(RealDisk))?.damage;
    let mut text = format!("{}: was damaged in {}\n", dir.display(), plural(damage.len(), "place"));
    list(&mut text, &damage);
    let _ = writeln!(text, "kept: {} and {}", plural(entries, "queue entry"), plural(keyed, "keyed record"));
    for copy in &quarantined {
        let _ = writeln!(text, "put away as it was: {}", copy.display());
    }
    match left.len() {
        0 => text.push_str("it is sound now; what was in the damaged places is lost\n"),
        count => {
            let _ = writeln!(text, "it is still damaged in {}: please report this", plural(count, "place"));
            list(&mut text, &left);
        }
    }
    let json = json!({
        "dir": dir, "sound": left.is_empty(), "damage": damage_json(&damage), "damage_left": damage_json(&left),
        "quarantined": quarantined, "entries": entries, "keyed": keyed,
    });
    Ok(Verdict { text, json, code: if left.is_empty() { 0 } else { DAMAGED } })
}

fn list(text: &mut String, damage: &[Damage]) {
    for damage in damage {
        let _ = writeln!(text, "  {damage}");
    }
}

fn damage_json(damage: &[Damage]) -> Value {
    damage.iter().map(|Damage { file, offset, what }| json!({ "file": file, "offset": offset, "what": what })).collect()
}

fn plural(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use motet_store::{Body, Config, Disk as _, Journal, NoEvents, NoRecovery, Opened};

    use super::*;

    /// A journal of nine batches with a distinct body each, closed in order.
    fn nine(dir: &Path) {
        let config = Config { segment_bytes: 64 << 10, ..Config::default() };
        let Opened { journal, mut committer, keeper } =
            Journal::open(dir, Arc::new(RealDisk), config, Arc::new(NoEvents), &mut NoRecovery).unwrap();
        for seq in 1..10_u64 {
            journal.stage().enqueue(7, seq, b"", Body::Inline(&[format!("message {seq}").as_bytes()]));
            committer.step();
        }
        Opened { journal, committer, keeper }.close();
    }

    /// Flips a bit in the fourth body.
    fn damage(dir: &Path) {
        let file = dir.join(RealDisk.list(dir).unwrap().iter().find(|name| name.ends_with(".seg")).unwrap());
        let mut bytes = std::fs::read(&file).unwrap();
        let at = bytes.windows(9).position(|bytes| bytes == b"message 4").unwrap();
        bytes[at] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    }

    #[test]
    fn a_sound_journal_is_called_sound_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        nine(dir.path());
        let verdict = checked(dir.path()).unwrap();
        assert_eq!((verdict.code, &verdict.json["sound"]), (0, &json!(true)), "{}", verdict.text);
        assert!(verdict.text.contains(": sound\nread: 1 segment, "), "{}", verdict.text);
        let verdict = repaired(dir.path()).unwrap();
        assert!(verdict.code == 0 && verdict.text.ends_with("nothing was done\n"), "{}", verdict.text);
    }

    #[test]
    fn damage_is_told_and_repaired() {
        let dir = tempfile::tempdir().unwrap();
        nine(dir.path());
        damage(dir.path());
        let verdict = checked(dir.path()).unwrap();
        assert_eq!((verdict.code, &verdict.json["sound"]), (DAMAGED, &json!(false)), "{}", verdict.text);
        assert!(verdict.text.contains(": damaged in 1 place\n"), "{}", verdict.text);
        assert!(verdict.json["damage"][0]["offset"].as_u64().unwrap() > 0, "{}", verdict.json);
        let verdict = repaired(dir.path()).unwrap();
        assert_eq!((verdict.code, &verdict.json["entries"]), (0, &json!(8)), "{}", verdict.text);
        assert!(
            verdict.text.contains("kept: 8 queue entries") && verdict.text.contains("put away"),
            "{}",
            verdict.text
        );
        assert_eq!(checked(dir.path()).unwrap().code, 0);
    }

    #[test]
    fn a_journal_in_use_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        nine(dir.path());
        let _server = RealDisk.lock(&dir.path().join("LOCK")).unwrap();
        for care in [checked, repaired] {
            let refusal = care(dir.path()).err().unwrap().to_string();
            assert!(refusal.contains("in use by another server"), "{refusal}");
        }
    }

    #[test]
    fn a_journal_is_found_in_its_data_directory_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("journal");
        nine(&inside);
        let find = |dir: &Path| {
            let options = StoreOptions { dir: Some(dir.into()), json: false };
            journal(&options, &Configuration::default())
        };
        assert_eq!(find(dir.path()).unwrap(), inside);
        assert_eq!(find(&inside).unwrap(), inside);
        let never_used = dir.path().join("copy/journal");
        std::fs::create_dir_all(&never_used).unwrap();
        std::fs::write(never_used.join("CLEAN"), "").unwrap();
        assert_eq!(find(&dir.path().join("copy")).unwrap(), never_used);
        assert_eq!(checked(&never_used).unwrap().code, 0);
        let strange = tempfile::tempdir().unwrap();
        assert!(find(strange.path()).unwrap_err().to_string().contains("there is no journal here"));
        assert_eq!(std::fs::read_dir(strange.path()).unwrap().count(), 0, "no lock was left there");
    }
}
