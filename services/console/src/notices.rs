//! What a page says after an action: an address names it by a word, so that nobody can have a page say something else.

use crate::texts::Text;

const ALL: [(&str, Text); 20] = [
    ("forced-out", Text::DoneForcedOut),
    ("banned", Text::DoneBanned),
    ("unbanned", Text::DoneUnbanned),
    ("group-muted", Text::DoneGroupMuted),
    ("group-unmuted", Text::DoneGroupUnmuted),
    ("dismissed", Text::DoneDismissed),
    ("member-muted", Text::DoneMemberMuted),
    ("member-unmuted", Text::DoneMemberUnmuted),
    ("member-removed", Text::DoneMemberRemoved),
    ("revoked", Text::DoneRevoked),
    ("log-deleted", Text::DoneLogDeleted),
    ("erased", Text::DoneErased),
    ("account-created", Text::DoneAccountCreated),
    ("notified", Text::DoneNotified),
    ("broadcast-begun", Text::DoneBroadcastBegun),
    ("broadcast-stopping", Text::DoneBroadcastStopping),
    ("file-deleted", Text::DoneFileDeleted),
    ("name-deleted", Text::DoneNameDeleted),
    ("replayed", Text::DoneReplayed),
    ("signed-out", Text::DoneSignedOut),
];

/// The text of a word.
pub(crate) fn text(word: &str) -> Option<Text> {
    ALL.iter().find(|(known, _)| *known == word).map(|(_, text)| *text)
}

/// The word of a text.
pub(crate) fn word(text: Text) -> &'static str {
    ALL.iter().find(|(_, known)| *known == text).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_only_what_it_knows() {
        assert_eq!(text(word(Text::DoneBanned)), Some(Text::DoneBanned));
        assert_eq!(text("<script>"), None);
        let mut words: Vec<&str> = ALL.iter().map(|(word, _)| *word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ALL.len());
    }
}
