//! What is wrong with a configuration, in words an operator can act on.

use std::fmt;
use std::path::PathBuf;

/// Where a key or value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file; line and column count from one, the column in characters.
    File {
        /// The file as it was named to us.
        file: PathBuf,
        /// Line, from one.
        line: usize,
        /// Column in characters, from one.
        column: usize,
    },
    /// In this environment variable.
    Variable(String),
    /// In this command line option, named without its value (which may be a secret).
    Option(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Option(name) => write!(f, "{name}"),
        }
    }
}

/// One thing to mend: where it is, what is wrong, what was expected, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the operator finds it.
    pub origin: Origin,
    /// Key path, such as `limits.connections` or `listener.0.address`; empty when the text is no TOML at all.
    pub key: String,
    /// What is wrong. Never contains a secret.
    pub wrong: String,
    /// What was expected there; empty when `wrong` says it already.
    pub expected: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        write!(f, "{}", self.wrong)?;
        if !self.expected.is_empty() {
            write!(f, "\n  expected: {}", self.expected)?;
        }
        write!(f, "\n  to do: {}", self.remedy)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named by the operator, or `motet.toml` in the working directory, can't be read.
    #[error("{}: cannot read the configuration: {source}\n  to do: {}", file.display(), remedy(source))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Everything that is wrong, in the order of the table of keys; never empty.
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
}

fn remedy(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::NotFound => {
            "check the path, or make a file to start from with `motet config reference --format toml`"
        }
        std::io::ErrorKind::PermissionDenied => "let the user who runs motet read this file",
        std::io::ErrorKind::InvalidData => "save the file as UTF-8",
        _ => "check that this is a readable file",
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
