//! Detects that a topic was deleted and recreated while it is read. The client continues at its old offset and would skip earlier
//! records of the new topic. Only its log shows it: of the topic ids in metadata it keeps only the newest.

/// Of a topic that was not known before.
const NONE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Whether a line of the client's log (`debug=metadata`) says that a topic has another id than before.
pub(crate) fn says(line: &str, topic: &str) -> bool {
    let told = line.split_once(&format!("Topic {topic} changed id from "));
    told.and_then(|(_, ids)| ids.split_once(" to "))
        .is_some_and(|(old, new)| old != NONE && old != new.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_id_is_another_topic() {
        let line =
            |old: &str| format!("[thrd:main]: Topic toPush changed id from {old} to S2Fma2FLYWZrYUthZmthS2E");
        assert!(says(&line("b3BlbmltT3BlbmltT3BlbQ"), "toPush"));
        assert!(!says(&line("b3BlbmltT3BlbmltT3BlbQ"), "toTransfer"));
        assert!(!says(&line(NONE), "toPush"), "it is seen for the first time");
        assert!(!says(&line("S2Fma2FLYWZrYUthZmthS2E"), "toPush"));
        assert!(!says("[thrd:main]: Topic toPush [0] Leader 1 Epoch 0", "toPush"));
    }
}
