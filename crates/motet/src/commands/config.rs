//! `motet config check`, `motet config reference`

use std::fmt::Write as _;
use std::process::ExitCode;

use motet_server::ServerError;
use motet_server::config::{Loaded, reference};

use super::Failure;
use crate::cli::{ConfigCommand, Configuration, Format};
use crate::print;

pub(crate) fn config(command: &ConfigCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    match command {
        ConfigCommand::Check => {
            let loaded = configuration.load()?;
            motet_server::check(&loaded.config).map_err(refused)?;
            print::answer(summary(&loaded));
        }
        ConfigCommand::Reference { format: Format::Markdown } => print::answer(reference::markdown()),
        ConfigCommand::Reference { format: Format::Toml } => print::answer(reference::toml()),
    }
    Ok(ExitCode::SUCCESS)
}

/// All that a start would refuse, a line each.
fn refused(wrong: Vec<ServerError>) -> Failure {
    let lines: Vec<String> = wrong.iter().map(|error| print::chain(error)).collect();
    lines.join("\n").into()
}

/// What a good configuration comes to: where it listens, what differs from the defaults, what is exposed.
fn summary(Loaded { config, file }: &Loaded) -> String {
    let mut text = match file {
        Some(file) => format!("{}: good\n", file.display()),
        None => "no motet.toml here: the defaults hold, with the environment and the command line\n".into(),
    };
    let _ = writeln!(text, "data in {}", config.data_dir.display());
    for listener in &config.listener {
        let reach = if listener.is_loopback() { "this machine only" } else { "other machines too" };
        let login = if config.access.admits_anonymous(listener) { "no login needed" } else { "login needed" };
        let _ = writeln!(text, "listens on {} for {} ({reach}, {login})", listener.address(), listener.protocol);
    }
    for (key, value) in reference::changes(config).iter().filter(|(key, _)| !key.starts_with("listener.")) {
        let _ = writeln!(text, "set: {key} = {value}");
    }
    for exposure in config.exposures() {
        let _ = writeln!(text, "note: {exposure}");
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use motet_server::config::{Sources, load};

    use super::*;

    #[test]
    fn a_summary_tells_listeners_changes_and_exposures() {
        let mut sources = Sources::default();
        for assignment in ["listener.0.address=*:1883", "limits.connections=9", "listener.1.protocol=mqtts"] {
            sources.set(assignment).unwrap();
        }
        expect![[r#"
            no motet.toml here: the defaults hold, with the environment and the command line
            data in ./motet-data
            listens on *:1883 for mqtt (other machines too, login needed)
            listens on localhost:8883 for mqtts (this machine only, no login needed)
            set: limits.connections = 9
            note: Clients without a login are refused on mqtt *:1883, because other machines reach it. Without a user nobody can log in there. To let clients log in: motet user add, or a [[user]]. To let anybody in: access.anonymous = "always".
            note: Nobody may publish or subscribe to anything, because other machines reach mqtt *:1883 and there is no [[access.rule]]. To allow everything to whoever has logged in: [[access.rule]] with who = ["users"] and allow = ["all"].
            note: Passwords and messages can cross the network in clear text on mqtt *:1883. To encrypt them: protocol = "mqtts" or "https" with a certificate in [tls].
        "#]].assert_eq(&summary(&load(&sources).unwrap()));
    }

    #[test]
    fn defaults_differ_in_nothing() {
        expect![[r#"
            no motet.toml here: the defaults hold, with the environment and the command line
            data in ./motet-data
            listens on localhost:1883 for mqtt (this machine only, no login needed)
            listens on localhost:8883 for mqtts (this machine only, no login needed)
            listens on localhost:5672 for amqp (this machine only, no login needed)
            listens on localhost:5671 for amqps (this machine only, no login needed)
            listens on localhost:8080 for http (this machine only, no login needed)
            listens on localhost:8083 for ws (this machine only, no login needed)
            listens on localhost:15672 for management (this machine only, no login needed)
        "#]]
        .assert_eq(&summary(&load(&Sources::default()).unwrap()));
    }
}
