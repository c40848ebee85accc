//! Where the configuration comes from: the file, then the environment, then the command line; the later one wins.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin, Problem};
use super::sections::Config;
use super::setting::Setting;
use super::tree::{self, Node, Value};

/// The file looked for in the working directory when none is named.
const DEFAULT_FILE: &str = "motet.toml";
/// Variables that begin so are ours.
const PREFIX: &str = "MOTET_";
/// A Kubernetes service called `motet` puts these into the environment of every pod beside it; they are not ours.
const NOT_OURS: [&str; 2] = ["MOTET_SERVICE_", "MOTET_PORT"];

/// Where to look for the configuration.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named by the operator. None: `motet.toml` in the working directory, if there is one.
    pub file: Option<PathBuf>,
    overrides: Vec<Override>,
}

#[derive(Clone, Debug)]
struct Override {
    origin: Origin,
    path: String,
    raw: String,
}

/// The configuration and the file it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// None when there was no file and the defaults hold.
    pub file: Option<PathBuf>,
}

impl Sources {
    /// Looks into `file`, or into `motet.toml` in the working directory when none is named.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, overrides: Vec::new() }
    }

    /// Takes every `MOTET_SECTION__KEY` out of `variables`. Later calls win over earlier ones.
    ///
    /// # Errors
    /// A variable of ours that is not UTF-8.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), ConfigError> {
        let mut ours = Vec::new();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
            let origin = Origin::Variable(name.into());
            let path = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
            match value.into_string() {
                Ok(raw) => ours.push(Override { origin, path, raw }),
                Err(_) => return Err(invalid(origin, path, "is not UTF-8", "set it to a text in UTF-8")),
            }
        }
        // LISTENER__10 comes after LISTENER__9: a list grows one entry at a time.
        ours.sort_by_key(|one| one.path.split('.').map(sort_key).collect::<Vec<_>>());
        self.overrides.extend(ours);
        Ok(())
    }

    /// Takes one `section.key=value` of the command line.
    ///
    /// # Errors
    /// There is no `=` in it.
    pub fn set(&mut self, assignment: &str) -> Result<(), ConfigError> {
        match assignment.split_once('=') {
            Some((path, raw)) => {
                let path = path.trim();
                self.option(&format!("--set {path}"), path, raw);
                Ok(())
            }
            None => Err(invalid(
                Origin::Option("--set".into()),
                assignment.into(),
                "has no value",
                "write it as section.key=value, for example --set log.level=debug",
            )),
        }
    }

    /// Takes `raw` for the key `path` from the command line option `name`.
    pub fn option(&mut self, name: &str, path: &str, raw: &str) {
        self.overrides.push(Override { origin: Origin::Option(name.into()), path: path.into(), raw: raw.into() });
    }
}

fn is_ours(name: &str) -> bool {
    name.len() > PREFIX.len() && name.starts_with(PREFIX) && !NOT_OURS.iter().any(|foreign| name.starts_with(foreign))
}

fn sort_key(step: &str) -> (usize, String) {
    (step.parse().unwrap_or(0), step.into())
}

fn invalid(origin: Origin, key: String, wrong: &str, remedy: &str) -> ConfigError {
    let (wrong, remedy) = (wrong.into(), remedy.into());
    ConfigError::Invalid(vec![Problem { origin, key, wrong, expected: String::new(), remedy }])
}

/// Reads the configuration.
///
/// # Errors
/// The file can't be read, or something in it, in the environment or on the command line is wrong; then every
/// problem found is listed.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let (text, file) = match &sources.file {
        Some(file) => (Some(read(file)?), Some(file.clone())),
        None => match read(Path::new(DEFAULT_FILE)) {
            Ok(text) => (Some(text), Some(DEFAULT_FILE.into())),
            Err(ConfigError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                (None, None)
            }
            Err(error) => return Err(error),
        },
    };
    let config = resolve(text.as_deref().unwrap_or(""), file.as_deref().unwrap_or(Path::new(DEFAULT_FILE)), sources)?;
    Ok(Loaded { config, file })
}

fn read(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable { file: file.into(), source })
}

fn resolve(text: &str, file: &Path, sources: &Sources) -> Result<Config, ConfigError> {
    let mut root = tree::parse(text, file).map_err(|problem| ConfigError::Invalid(vec![*problem]))?;
    let mut problems = Vec::new();
    for one in &sources.overrides {
        lay_over(&mut root, one, &mut problems);
    }
    match Config::read(&root, "", &mut problems) {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError::Invalid(problems)),
    }
}

fn lay_over(root: &mut Node, one: &Override, problems: &mut Vec<Problem>) {
    debug_assert!(matches!(root.value, Value::Table(_)), "a TOML document is a table");
    let steps: Vec<&str> = one.path.split('.').collect();
    let broken = steps.iter().any(|step| step.is_empty()) || steps[0].parse::<usize>().is_ok();
    let done =
        if broken { Err("is not a key path".into()) } else { tree::overlay(root, &steps, &one.raw, &one.origin) };
    if let Err(wrong) = done {
        problems.push(Problem {
            origin: one.origin.clone(),
            key: one.path.clone(),
            wrong,
            expected: String::new(),
            remedy: "name keys as MOTET_SECTION__KEY or section.key, and number list entries from 0 without gaps"
                .into(),
        });
    }
}

#[cfg(test)]
mod tests;
