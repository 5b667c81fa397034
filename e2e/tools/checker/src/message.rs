//! What is sent: messages of several kinds, and which one comes next, as the seed decides.

use bytes::Bytes;
use protocol::{
    content_type::{AT_ALL, AT_TEXT, FROM_USER, session},
    sdkws::MsgData,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

const TEXT: i32 = 101;
/// 2023-11-14, in ms: backdated messages are up to ten years older.
const THEN: i64 = 1_700_000_000_000;
const TEN_YEARS: i64 = 10 * 365 * 24 * 3_600_000;

/// Where a message goes.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Single chat.
    User(&'a str),
    /// Group chat.
    Group(&'a str),
}

/// What is special about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// Its content has so many bytes: more than a server may take.
    Oversize(usize),
    /// It says that it was made and sent at this time, in ms.
    Backdated(i64),
    /// It names everybody in the group.
    AtAll,
}

/// A message to be sent, whatever its content.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The sender.
    pub from: &'a str,
    /// The receivers.
    pub to: Target<'a>,
    /// Its id.
    pub client_msg_id: &'a str,
    /// What is special about it.
    pub kind: Kind,
}

impl Wish<'_> {
    /// The message with this content.
    pub fn message(&self, content: Bytes) -> MsgData {
        let (session_type, recv_id, group_id) = match self.to {
            Target::User(user) => (session::SINGLE, user, ""),
            Target::Group(group) => (session::GROUP, "", group),
        };
        let mut message = MsgData {
            send_id: self.from.to_owned(),
            recv_id: recv_id.to_owned(),
            group_id: group_id.to_owned(),
            client_msg_id: self.client_msg_id.to_owned(),
            sender_platform_id: 5,
            session_type,
            msg_from: FROM_USER,
            content_type: TEXT,
            content,
            status: 1,
            ..Default::default()
        };
        match self.kind {
            Kind::Plain | Kind::Oversize(_) => {}
            Kind::Backdated(time) => (message.create_time, message.send_time) = (time, time),
            Kind::AtAll => {
                message.content_type = AT_TEXT;
                message.at_user_id_list = vec![AT_ALL.to_owned()];
            }
        }
        message
    }

    /// The content of an attempt: retries carry another body than the first one.
    pub fn content(&self, number: u64, attempt: u64, filler: usize) -> Bytes {
        let filler = match self.kind {
            Kind::Oversize(bytes) => bytes,
            _ => filler,
        };
        let text = format!("{number} {}", "x".repeat(filler));
        let content = match self.kind {
            Kind::AtAll => json!({ "text": text, "atUserList": [AT_ALL], "attempt": attempt }),
            _ => json!({ "content": text, "attempt": attempt }),
        };
        content.to_string().into()
    }
}

/// How often messages of a kind are sent: one in so many, 0 for none.
#[derive(Debug, Clone, clap::Args)]
pub struct Mix {
    /// Each sender ends its connection right after so many messages, without waiting for the answer; 0: never.
    #[arg(long, default_value_t = 50)]
    pub hang_up_every: u64,
    /// One message in so many is larger than the server takes: it has to be refused with an error, or kept; 0: none.
    #[arg(long, default_value_t = 0)]
    pub oversize_every: u64,
    /// Bytes of its content.
    #[arg(long, default_value_t = 600_000)]
    pub oversize_bytes: usize,
    /// One message in so many says that it was sent years ago; 0: none.
    #[arg(long, default_value_t = 0)]
    pub backdate_every: u64,
    /// In groups, every member's message of this number, and its multiples, names everybody; 0: none.
    #[arg(long, default_value_t = 0)]
    pub at_all_every: u64,
    /// Most bytes of filling in a message; each has another length.
    #[arg(long, default_value_t = 0)]
    pub payload: usize,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            hang_up_every: 50,
            oversize_every: 0,
            oversize_bytes: 600_000,
            backdate_every: 0,
            at_all_every: 0,
            payload: 0,
        }
    }
}

/// The choices of one sender: the same for the same seed.
#[derive(Debug)]
pub struct Choices(StdRng);

/// What the next message is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// What is special about it.
    pub kind: Kind,
    /// Bytes of filling.
    pub filler: usize,
    /// The first attempt is not waited for.
    pub hangs_up: bool,
}

impl Choices {
    /// Of a sender of the conversation.
    pub fn of(seed: u64, conversation: usize, member: usize) -> Self {
        let own = (conversation as u64) << 32 | member as u64;
        Self(StdRng::seed_from_u64(seed ^ own.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A number from 1 to `most`.
    pub fn up_to(&mut self, most: u64) -> u64 {
        self.0.random_range(1..=most.max(1))
    }

    /// The message of this number, from 1, of a group or not.
    pub fn next(&mut self, mix: &Mix, number: u64, is_group: bool) -> Next {
        // Always as many numbers, so that one setting does not change what another one chooses.
        let (oversize, backdate, age) =
            (self.0.random::<u64>(), self.0.random::<u64>(), self.0.random_range(0..TEN_YEARS));
        let filler = self.0.random_range(0..=mix.payload);
        let is_one_in = |every: u64, drawn: u64| every > 0 && drawn.is_multiple_of(every);
        let kind = if is_group && is_one_in(mix.at_all_every, number) {
            Kind::AtAll
        } else if is_one_in(mix.oversize_every, oversize) {
            Kind::Oversize(mix.oversize_bytes)
        } else if is_one_in(mix.backdate_every, backdate) {
            Kind::Backdated(THEN - age)
        } else {
            Kind::Plain
        };
        Next { kind, filler, hangs_up: is_one_in(mix.hang_up_every, number) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(seed: u64, mix: &Mix) -> Vec<Next> {
        let mut choices = Choices::of(seed, 3, 1);
        (1..=500).map(|number| choices.next(mix, number, true)).collect()
    }

    #[test]
    fn the_same_seed_sends_the_same() {
        let mix =
            Mix { oversize_every: 20, backdate_every: 10, at_all_every: 25, payload: 100, ..Mix::default() };
        let first = chosen(7, &mix);
        assert_eq!(first, chosen(7, &mix));
        assert_ne!(first, chosen(8, &mix));
        let count = |is: fn(&Kind) -> bool| first.iter().filter(|next| is(&next.kind)).count();
        assert_eq!(count(|kind| *kind == Kind::AtAll), 20);
        assert!(count(|kind| matches!(kind, Kind::Oversize(600_000))) > 5);
        assert!(count(|kind| matches!(kind, Kind::Backdated(time) if *time < THEN)) > 15);
        assert_eq!(first.iter().filter(|next| next.hangs_up).count(), 10);
    }

    #[test]
    fn one_setting_does_not_change_what_another_chooses() {
        let sizes = |mix: &Mix| chosen(7, mix).iter().map(|next| next.filler).collect::<Vec<_>>();
        let few = Mix { payload: 100, ..Mix::default() };
        assert_eq!(sizes(&few), sizes(&Mix { oversize_every: 3, backdate_every: 2, ..few.clone() }));
    }

    #[test]
    fn a_retry_has_another_body_and_an_oversize_message_is_as_large_as_asked() {
        let wish = |kind| Wish { from: "a", to: Target::User("b"), client_msg_id: "a-1", kind };
        assert_ne!(wish(Kind::Plain).content(1, 0, 5), wish(Kind::Plain).content(1, 1, 5));
        assert!(wish(Kind::Oversize(600_000)).content(1, 0, 5).len() > 600_000);
        let dated = wish(Kind::Backdated(7)).message(Bytes::new());
        assert_eq!((dated.create_time, dated.send_time), (7, 7));
        assert_eq!(wish(Kind::AtAll).message(Bytes::new()).at_user_id_list, ["AtAllTag"]);
    }
}
