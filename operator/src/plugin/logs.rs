//! Log lines of the services for people: which to show, and how.

use std::{borrow::Cow, fmt};

use serde_json::{Map, Value};

/// Filter of log lines.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Only pods of this component; `None`: all.
    pub service: Option<String>,
    /// Only warnings and errors.
    pub problems: bool,
    /// Only lines of this operationID.
    pub operation: Option<String>,
}

/// A line of a pod. Sorted by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    time: String,
    pod: String,
    level: String,
    text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [time, level, pod, text] =
            [&self.time, &self.level, &self.pod, &self.text].map(|part| shown(part));
        write!(formatter, "{time} {level:<5} {pod:<32} {text}")
    }
}

/// A text without what a terminal obeys: lines hold what clients wrote.
fn shown(text: &str) -> Cow<'_, str> {
    // Controls, and the marks that turn the direction of writing.
    let obeyed = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().flat_map(|c| {
        let (kept, code) = if obeyed(c) { (None, Some(c.escape_default())) } else { (Some(c), None) };
        kept.into_iter().chain(code.into_iter().flatten())
    });
    Cow::Owned(escaped.collect())
}

fn take(fields: &mut Map<String, Value>, key: &str) -> String {
    match fields.remove(key) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

impl Wanted {
    /// The line, if it passes the filter. A line that is not JSON (of a server, or of a crash) has no level and always counts as a problem.
    pub fn parse(&self, pod: &str, line: &str) -> Option<Line> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
            let line = Line { time: String::new(), pod: pod.into(), level: String::new(), text: line.into() };
            return self.operation.is_none().then_some(line);
        };
        let level = take(&mut fields, "level");
        let of_operation =
            |id: &String| fields.get("operation_id").and_then(Value::as_str) == Some(id.as_str());
        if self.problems && !["WARN", "ERROR"].contains(&level.as_str())
            || !self.operation.as_ref().is_none_or(of_operation)
        {
            return None;
        }
        let time = take(&mut fields, "timestamp");
        let mut text = take(&mut fields, "message");
        fields.remove("target");
        for key in fields.keys().cloned().collect::<Vec<_>>() {
            text.push_str(&format!(" {key}={}", take(&mut fields, &key)));
        }
        Some(Line { time, pod: pod.to_owned(), level, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"timestamp":"2026-01-01T00:00:02Z","level":"WARN","message":"push.slow","gateway":"10.0.0.1","ms":12,"operation_id":"o1","target":"push"}"#;

    #[test]
    fn what_a_client_wrote_does_not_command_the_terminal() {
        for line in [
            r#"{"level":"WARN","message":"x","operation_id":"\u001b]0;owned\u0007\u001b[2Jä\u202e\n\u009b"}"#,
            "not JSON \u{1b}[31m\r\u{7}",
        ] {
            let text = Wanted::default().parse("p", line).unwrap().to_string();
            assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
        }
        let line = Wanted::default().parse("p", "\u{1b}[2Jä\n").unwrap().to_string();
        assert!(line.ends_with(r"\u{1b}[2Jä\n"), "{line}");
    }

    #[test]
    fn a_line_reads_as_a_sentence_with_its_fields() {
        let line = Wanted::default().parse("chat-push-1", LINE).unwrap();
        assert_eq!(
            line.to_string(),
            format!(
                "2026-01-01T00:00:02Z WARN  {:<32} push.slow gateway=10.0.0.1 ms=12 operation_id=o1",
                "chat-push-1"
            )
        );
        let earlier = Wanted::default().parse("z", &LINE.replace("00:02Z", "00:01Z")).unwrap();
        assert!(earlier < line);
    }

    #[test]
    fn only_what_is_asked_for_is_shown() {
        let problems = Wanted { problems: true, ..Default::default() };
        assert!(problems.parse("p", LINE).is_some());
        assert!(problems.parse("p", &LINE.replace("WARN", "INFO")).is_none());
        assert!(problems.parse("p", "thread 'main' panicked").is_some());
        let of = |id: &str| Wanted { operation: Some(id.to_owned()), ..Default::default() };
        assert!(of("o1").parse("p", LINE).is_some() && of("o2").parse("p", LINE).is_none());
        assert!(of("o1").parse("p", "not JSON").is_none());
    }
}
