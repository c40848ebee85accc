//! `[hook]`

use std::path::PathBuf;
use std::time::Duration;

use crate::config::section::Conflict;

choice! {
    /// What holds when the service does not answer.
    pub enum HookFailure {
        /// Nothing is allowed.
        Deny = "deny",
        /// Everything is allowed, and every login is let in.
        Allow = "allow",
    }
}

section! {
    /// A service of yours that says who a client is and what it may, asked by POST with JSON. See docs/http-hook.md.
    pub struct Hook {
        /// Asked about logins of users that have no account here.
        authenticate_url: Option<String> = None, example "\"https://app.example.org/motet/login\"";
        /// Asked about what no access rule decides.
        authorize_url: Option<String> = None, example "\"https://app.example.org/motet/may\"";
        /// How long an answer may take; then the question counts as failed. Clients wait about ten seconds.
        timeout: Duration = Duration::from_secs(3), within Duration::from_millis(10)..=Duration::from_secs(60);
        /// Questions on their way at the same time; beyond it a question counts as failed.
        in_flight: u32 = 256, within 1..=65_536;
        /// How long an answer is remembered that does not say so itself. Zero remembers no login, and a right for a second.
        cache_ttl: Duration = Duration::from_secs(60), within Duration::ZERO..=Duration::from_secs(86_400);
        /// Answers that are remembered, of logins and of rights each; about 200 bytes per answer.
        cache_entries: u32 = 65_536, within 0..=10_000_000;
        /// What holds when the service fails: after the time-out, with an answer that is none, at the bound.
        on_failure: HookFailure = HookFailure::Deny;
        /// PEM file with the roots that the service's certificate must lead to, in place of the system's.
        ca_file: Option<PathBuf> = None, example "\"/etc/motet/app-ca.pem\"";
    }
    verified Hook::conflicts
}

impl Hook {
    /// Some question is asked.
    pub fn is_on(&self) -> bool {
        self.authenticate_url.is_some() || self.authorize_url.is_some()
    }

    fn conflicts(&self) -> Vec<Conflict> {
        let urls = [("authenticate_url", &self.authenticate_url), ("authorize_url", &self.authorize_url)];
        let wrong = urls.into_iter().filter_map(|(key, url)| Some((key, url.as_deref()?)));
        wrong
            .filter(|(_, url)| !crate::outcall::is_url(url))
            .map(|(key, url)| Conflict {
                key,
                wrong: format!("is {url:?}"),
                expected: "a URL that begins http:// or https://".into(),
                remedy: "write the whole URL of the service".into(),
            })
            .collect()
    }
}
