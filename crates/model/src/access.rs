//! Who can read a conversation. It follows from the conversation's id and from the present and former members of its group. A
//! user's row only holds settings: it grants no right, whoever wrote it.

use protocol::{content_type::session, sdkws::MsgData};

use crate::conversation_id as ids;

/// What a user is to a conversation, besides its id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// The user is a member of the group.
    pub member: bool,
    /// The user's window ends at a seq: a former member can still read what came before leaving.
    pub closed: bool,
}

/// The right to read a conversation. It may still hide some of its messages: [`Access::shows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    group: bool,
}

/// The group whose chat, or whose notifications, a conversation is. An id `n_…` may name a group or a pair.
pub fn group_behind(conversation: &str) -> Option<&str> {
    let (kind, rest) = conversation.split_once('_')?;
    (matches!(kind, "sg" | "n") && !rest.is_empty()).then_some(rest)
}

/// Whether `user` may read `conversation`.
pub fn of(user: &str, conversation: &str, part: Part) -> Option<Access> {
    let (kind, _) = conversation.split_once('_')?;
    if user.is_empty() {
        return None;
    }
    let pair = matches!(kind, "si" | "sn" | "n") && ids::pair_contains(conversation, user);
    let group = group_behind(conversation).is_some() && (part.member || part.closed);
    (pair || group).then_some(Access { group })
}

impl Access {
    /// Whether a message of the conversation is for `user`. Where ids of users or groups contain `_`, a conversation's id may stand for
    /// several pairs or groups: a message of a pair is for these two, one of a group for its members.
    pub fn shows(self, user: &str, conversation: &str, message: &MsgData) -> bool {
        if message.session_type == session::GROUP {
            return self.group && group_behind(conversation) == Some(message.group_id.as_str());
        }
        message.send_id == user || message.recv_id == user
    }
}

/// Whom a user's row says the conversation is with.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Whose row it is.
    pub owner: &'a str,
    /// The conversation's id.
    pub conversation: &'a str,
    /// conversationType.
    pub kind: i32,
    /// The other user of a pair.
    pub peer: &'a str,
    /// The group.
    pub group: &'a str,
}

impl Claim<'_> {
    /// Whether the id belongs to these participants. A row for which this is false was planted and grants nothing.
    pub fn holds(&self) -> bool {
        match self.kind {
            session::SINGLE => {
                !self.peer.is_empty() && self.conversation == ids::single(self.owner, self.peer)
            }
            session::GROUP => !self.group.is_empty() && self.conversation == ids::group(self.group),
            session::NOTIFICATION if self.peer.is_empty() => {
                ids::account_of(self.conversation, self.owner).is_some()
            }
            session::NOTIFICATION => self.conversation == ids::account(self.owner, self.peer),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOBODY: Part = Part { member: false, closed: false };
    const MEMBER: Part = Part { member: true, closed: false };
    const LEFT: Part = Part { member: false, closed: true };

    fn direct(from: &str, to: &str) -> MsgData {
        MsgData {
            send_id: from.into(),
            recv_id: to.into(),
            session_type: session::SINGLE,
            ..Default::default()
        }
    }

    fn in_group(from: &str, group: &str) -> MsgData {
        MsgData {
            send_id: from.into(),
            group_id: group.into(),
            session_type: session::GROUP,
            ..Default::default()
        }
    }

    #[test]
    fn a_pair_reads_what_it_says_and_nobody_else_does() {
        for id in ["si_alice_bob", "sn_alice_bob", "n_alice_bob"] {
            for user in ["alice", "bob"] {
                let access = of(user, id, NOBODY).unwrap();
                assert!(access.shows(user, id, &direct("alice", "bob")), "{id}");
            }
            for stranger in ["carol", "ali", "", "alice_bob", "_"] {
                assert_eq!(of(stranger, id, NOBODY), None, "{stranger} {id}");
            }
        }
    }

    #[test]
    fn a_group_is_read_by_members_and_until_they_left_by_former_ones() {
        for id in ["sg_team", "n_team"] {
            assert!(of("alice", id, MEMBER).unwrap().shows("alice", id, &in_group("bob", "team")));
            assert!(of("alice", id, LEFT).unwrap().shows("alice", id, &in_group("bob", "team")));
            assert_eq!(of("alice", id, NOBODY), None);
        }
        // Being in the window of a pair is no membership.
        assert_eq!(of("alice", "si_bob_carol", LEFT), None);
        assert_eq!(of("alice", "si_bob_carol", MEMBER), None);
        for nonsense in ["", "sg_", "n_", "xx_alice_bob", "alice", "si_", "sn_alice"] {
            assert_eq!(of("alice", nonsense, MEMBER), None, "{nonsense}");
        }
    }

    #[test]
    fn a_group_named_like_a_pair_and_the_pair_do_not_see_each_other() {
        let id = "n_alice_bob";
        let owner = of("mallory", id, MEMBER).unwrap();
        assert!(owner.shows("mallory", id, &in_group("mallory", "alice_bob")));
        assert!(!owner.shows("mallory", id, &direct("alice", "bob")));
        let alice = of("alice", id, NOBODY).unwrap();
        assert!(alice.shows("alice", id, &direct("bob", "alice")));
        assert!(!alice.shows("alice", id, &in_group("mallory", "alice_bob")));
    }

    #[test]
    fn two_pairs_under_one_id_do_not_see_each_other() {
        let id = "si_a_b_c";
        for (user, own, foreign) in
            [("a", direct("a", "b_c"), direct("a_b", "c")), ("c", direct("a_b", "c"), direct("b_c", "a"))]
        {
            let access = of(user, id, NOBODY).unwrap();
            assert!(access.shows(user, id, &own) && !access.shows(user, id, &foreign), "{user}");
        }
    }

    fn claim<'a>(
        owner: &'a str,
        conversation: &'a str,
        kind: i32,
        peer: &'a str,
        group: &'a str,
    ) -> Claim<'a> {
        Claim { owner, conversation, kind, peer, group }
    }

    #[test]
    fn a_planted_row_does_not_hold() {
        let rows = [
            // As `set_conversations` once made them for anybody.
            claim("eve", "si_alice_bob", session::NOTIFICATION, "", ""),
            claim("eve", "si_alice_bob", session::NOTIFICATION, "alice", ""),
            claim("eve", "sg_team", session::NOTIFICATION, "", ""),
            claim("eve", "sg_team", session::NOTIFICATION, "", "team"),
            claim("eve", "sn_alice_bob", session::NOTIFICATION, "", ""),
            claim("eve", "n_team", session::NOTIFICATION, "", "team"),
            // As they may be written into the database by hand.
            claim("eve", "si_alice_bob", session::SINGLE, "alice", ""),
            claim("eve", "sg_team", session::GROUP, "", "other"),
            claim("eve", "n_alice_bob", session::SINGLE, "alice", ""),
            claim("eve", "sg_team", 2, "", "team"),
            claim("eve", "sn_eve_a_b", session::NOTIFICATION, "", ""),
        ];
        for row in rows {
            assert!(!row.holds(), "{row:?}");
        }
        // A row of a group that was written by hand holds, and opens nothing: being a member counts.
        assert!(claim("eve", "sg_team", session::GROUP, "", "team").holds());
        assert_eq!(of("eve", "sg_team", NOBODY), None);
    }

    proptest! {
        #[test]
        fn rows_that_the_server_makes_hold(
            a in "[a-z0-9_]{1,6}", b in "[a-z0-9_]{1,6}", group in "[a-z0-9_]{1,6}"
        ) {
            let (single, chat, account) = (ids::single(&a, &b), ids::group(&group), ids::account(&a, &b));
            let single = claim(&a, &single, session::SINGLE, &b, "");
            let chat = claim(&a, &chat, session::GROUP, "", &group);
            let account = claim(&a, &account, session::NOTIFICATION, &b, "");
            prop_assert!(single.holds() && chat.holds() && account.holds());
        }

        /// Whatever the ids are: who is neither of the two sees no message of a pair, in no conversation.
        #[test]
        fn no_third_user_sees_a_message_of_a_pair(
            a in "[ab_]{1,4}", b in "[ab_]{1,4}", eve in "[ab_]{0,4}", prefix in "si|sn|n|sg",
            member: bool, closed: bool,
        ) {
            prop_assume!(eve != a && eve != b);
            let id = ids::single(&a, &b).replacen("si", &prefix, 1);
            let shown = of(&eve, &id, Part { member, closed }).is_some_and(|access| access.shows(&eve, &id, &direct(&a, &b)));
            prop_assert!(!shown);
        }

        /// Whoever never was a member sees no message of a group, in no conversation.
        #[test]
        fn no_stranger_sees_a_message_of_a_group(
            group in "[ab_]{1,5}", eve in "[ab_]{1,5}", prefix in "si|sn|n|sg", id in "[ab_]{1,5}"
        ) {
            for id in [format!("{prefix}_{group}"), format!("{prefix}_{id}")] {
                let shown = of(&eve, &id, NOBODY).is_some_and(|access| access.shows(&eve, &id, &in_group("x", &group)));
                prop_assert!(!shown, "{}", id);
            }
        }
    }
}
