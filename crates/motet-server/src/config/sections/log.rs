//! `[log]`

choice! {
    /// How much is logged.
    pub enum LogLevel {
        /// What failed and needs somebody.
        Error = "error",
        /// What went wrong and was dealt with.
        Warn = "warn",
        /// What an operator wants to read next day: start, stop, listeners, what was refused.
        Info = "info",
        /// Every connection: from where, who it is, how it ended.
        Debug = "debug",
        /// Every read and write of every connection by its length; never what was in it.
        Trace = "trace",
    }
}

choice! {
    /// For whom the log is written.
    pub enum LogFormat {
        /// A line for people.
        Text = "text",
        /// A JSON object per line, for collectors.
        Json = "json",
    }
}

section! {
    /// What the server says about itself, on standard error. Payloads and secrets are never in it.
    pub struct Log {
        /// How much is logged. `info` stays quiet however many clients come and go.
        level: LogLevel = LogLevel::Info;
        /// For whom: a first run is read by a person.
        format: LogFormat = LogFormat::Text;
    }
}
