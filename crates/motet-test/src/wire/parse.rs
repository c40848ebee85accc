//! From lines to steps.

use super::value::{Value, parse_number};
use std::time::Duration;

/// A conversation.
#[derive(Debug)]
pub struct Script {
    /// What went wrong is told with it.
    pub name: String,
    /// Steps with the number of their line.
    pub steps: Vec<(usize, Step)>,
    /// Settings of the machine, by name.
    pub config: Vec<(String, u64)>,
}

/// One line of a conversation.
#[derive(Debug)]
pub enum Step {
    /// A client sends a packet.
    Sends(String, Line),
    /// A client sends bytes.
    SendsBytes(String, Vec<u8>),
    /// A client closes the carrier without a word.
    HangsUp(String),
    /// The server answers a client.
    Answers(String, Line),
    /// The server has closed a client's connection, and everything it sent was read.
    Closed(String),
    /// The server has sent nothing more to a client.
    Nothing(String),
    /// Time passes.
    Waits(Duration),
}

/// A packet by name, with its fields in order.
#[derive(Debug)]
pub struct Line {
    pub(super) packet: String,
    pub(super) tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `name=value`, or `name` which is `name=1`.
    Field(String, Value),
    /// `!name`
    Absent(String),
    /// A string by itself.
    Text(Vec<u8>),
}

/// Why a script cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{script}:{line}: {reason}")]
pub struct ScriptError {
    /// The script's name.
    pub script: String,
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The first line that is not a step.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScriptError> {
        let mut script = Script { name: name.to_owned(), steps: Vec::new(), config: Vec::new() };
        for (at, line) in text.lines().enumerate() {
            let words = words(line);
            let read = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [] => continue,
                ["config", ref settings @ ..] => settings.iter().try_for_each(|setting| {
                    let (name, value) = setting.split_once('=').ok_or("a setting has a value")?;
                    script.config.push((name.to_owned(), parse_number(value)?));
                    Ok(())
                }),
                ref words => step(words).map(|step| script.steps.push((at + 1, step))),
            };
            read.map_err(|reason: String| ScriptError { script: name.to_owned(), line: at + 1, reason })?;
        }
        Ok(script)
    }

    /// The longest time it waits in one step.
    pub fn longest_wait(&self) -> Duration {
        let waits = self.steps.iter().filter_map(|(_, step)| match step {
            Step::Waits(time) => Some(*time),
            _ => None,
        });
        waits.max().unwrap_or_default()
    }
}

/// Splits at white space outside of quotes, up to a comment.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            '#' if !quoted => break,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => {
                quoted ^= c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                words.last_mut().expect("begins with one").push(c);
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn step(words: &[&str]) -> Result<Step, String> {
    if let [time] = words
        && let Some(time) = time.strip_prefix('+')
    {
        return wait(time).map(Step::Waits);
    }
    let (who, client, rest) = match words {
        [who @ ("C:" | "S:"), rest @ ..] => (&who[..1], "", rest),
        [who @ ("C" | "S"), client, rest @ ..] if client.ends_with(':') => (*who, client.trim_end_matches(':'), rest),
        _ => return Err("a step begins with `C:`, `S:`, `C name:`, `S name:` or `+`".to_owned()),
    };
    let client = client.to_owned();
    Ok(match (who, rest) {
        ("C", ["hangs", "up"]) => Step::HangsUp(client),
        ("C", ["hex", bytes @ ..]) => Step::SendsBytes(client, hex(bytes)?),
        ("S", ["nothing"]) => Step::Nothing(client),
        ("S", ["closed"]) => Step::Closed(client),
        ("C", [packet, fields @ ..]) => Step::Sends(client, packet_line(packet, fields)?),
        (_, [packet, fields @ ..]) => Step::Answers(client, packet_line(packet, fields)?),
        (_, []) => return Err("nothing is said".to_owned()),
    })
}

fn packet_line(packet: &str, fields: &[&str]) -> Result<Line, String> {
    let tokens = fields.iter().map(|field| token(field)).collect::<Result<_, _>>()?;
    Ok(Line { packet: packet.to_owned(), tokens })
}

fn token(word: &str) -> Result<Token, String> {
    if word.starts_with('"') {
        let Value::Text(text) = Value::parse(word)? else { return Err("not a string".to_owned()) };
        return Ok(Token::Text(text));
    }
    if let Some(name) = word.strip_prefix('!') {
        return Ok(Token::Absent(name.to_owned()));
    }
    Ok(match word.split_once('=') {
        Some((name, value)) => Token::Field(name.to_owned(), Value::parse(value)?),
        None => Token::Field(word.to_owned(), Value::Number(1)),
    })
}

fn wait(time: &str) -> Result<Duration, String> {
    if let Some(millis) = time.strip_suffix("ms") {
        return parse_number(millis).map(Duration::from_millis);
    }
    let secs = time.strip_suffix('s').ok_or("time is `+5s` or `+100ms`")?;
    parse_number(secs).map(Duration::from_secs)
}

fn hex(words: &[&str]) -> Result<Vec<u8>, String> {
    let digits: String = words.concat();
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return Err("bytes have two digits each".to_owned());
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| format!("`{}`", &digits[at..at + 2])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_step_is_read() {
        let text = "# all\nC: PUBLISH topic=\"a # b\" qos=1 retain # end\nS sub: PUBLISH !dup\nC: hex 30 0a\n+5s\n+20ms\n\
                    C sub: hangs up\nS sub: closed\nS: nothing\nconfig receive_maximum=2\n";
        let script = Script::parse("all", text).unwrap();
        assert_eq!(script.steps.len(), 8);
        assert_eq!(script.config, [("receive_maximum".to_owned(), 2)]);
        assert_eq!(script.longest_wait(), Duration::from_secs(5));
        let (2, Step::Sends(client, line)) = &script.steps[0] else { panic!("{:?}", script.steps[0]) };
        assert_eq!((client.as_str(), line.packet.as_str(), line.tokens.len()), ("", "PUBLISH", 3));
        assert_eq!(line.tokens[0], Token::Field("topic".into(), Value::Text(b"a # b".to_vec())));
    }

    #[test]
    fn an_error_names_script_and_line() {
        for wrong in ["X: PUBLISH", "C: hex 3", "C: PUBLISH qos=x", "+5", "C:"] {
            let error = Script::parse("s", &format!("\n{wrong}")).unwrap_err();
            assert_eq!((error.line, error.to_string().starts_with("s:2: ")), (2, true), "{error}");
        }
    }
}
