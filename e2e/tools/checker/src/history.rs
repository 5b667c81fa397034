//! The rules. Pure: a history in, the anomalies out. A history is looked at in rounds, each of which begins when everything of the previous one was
//! read; of what was read only a digest is kept.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use protocol::{content_type::status, sdkws::MsgData};

/// Kinds of content from here on are the server's own: notifications.
const NOTIFICATIONS: i32 = 1000;

/// What one sender did in one conversation: ids in the order of sending, each acknowledged before the next was sent.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// Acknowledged clientMsgIDs, in order.
    pub acknowledged: Vec<String>,
    /// Ids whose outcome stayed unknown.
    pub unknown: HashSet<String>,
    /// Ids that were refused with an error that says why.
    pub refused: HashSet<String>,
    /// Ids that were neither accepted nor refused: every connection ended without an answer.
    pub unanswered: HashSet<String>,
    /// How many messages it sent in the rounds before; their ids end with their number, from 1.
    pub before: u64,
}

impl Sent {
    fn is_of_an_earlier_round(&self, id: &str) -> bool {
        let number = id.rsplit_once('-').and_then(|(_, number)| number.parse::<u64>().ok());
        number.is_some_and(|number| number <= self.before)
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// Acknowledged and not there.
    Lost(String),
    /// There under two seqs.
    Duplicate(String),
    /// Later than a message that was sent after it.
    Reordered(String),
    /// A seq below the newest that has no message.
    Gap(i64),
    /// Two readers see different messages under a seq.
    Divergent(i64),
    /// Nobody sent it.
    Alien(String),
    /// A connection that stayed open was not pushed it.
    Unheard(String),
    /// Something else was pushed under a seq than what is stored there.
    PushedOther(i64),
    /// Refused and there all the same.
    KeptThoughRefused(String),
    /// Neither taken nor refused.
    NoWord(String),
    /// What is stored under a seq is no longer what was read there before.
    Changed(i64),
    /// The newest seq fell to this one.
    Fell(i64),
    /// A stream ended with another text than was appended.
    OtherText(String),
    /// Reported as lost, and there in a later round.
    Late(String),
}

impl Anomaly {
    /// The name of its kind, as `--only` takes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lost(_) => "lost",
            Self::Duplicate(_) => "doubled",
            Self::Reordered(_) => "reordered",
            Self::Gap(_) => "gap",
            Self::Divergent(_) => "divergent",
            Self::Alien(_) => "alien",
            Self::Unheard(_) => "unheard",
            Self::PushedOther(_) => "pushedOther",
            Self::KeptThoughRefused(_) => "keptThoughRefused",
            Self::NoWord(_) => "noWord",
            Self::Changed(_) => "changed",
            Self::Fell(_) => "fell",
            Self::OtherText(_) => "otherText",
            Self::Late(_) => "late",
        }
    }

    /// All names.
    pub const KINDS: [&'static str; 14] = [
        "lost",
        "doubled",
        "reordered",
        "gap",
        "divergent",
        "alien",
        "unheard",
        "pushedOther",
        "keptThoughRefused",
        "noWord",
        "changed",
        "fell",
        "otherText",
        "late",
    ];
}

/// A short name of a message: its id and its content.
pub fn digest(client_msg_id: &str, content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (client_msg_id, content).hash(&mut hasher);
    hasher.finish().max(1)
}

/// What was read of a conversation so far: a digest of each message, by its seq.
#[derive(Debug, Default)]
pub struct Seen(Vec<u64>);

impl Seen {
    /// The newest seq that was read.
    pub fn newest(&self) -> i64 {
        self.0.len() as i64
    }

    /// Remembers messages that were read, up to the newest seq.
    pub fn extend(&mut self, messages: &[MsgData], newest: i64) {
        self.0.resize(usize::try_from(newest).unwrap_or(0).max(self.0.len()), 0);
        for message in messages {
            let place = usize::try_from(message.seq - 1).ok().and_then(|index| self.0.get_mut(index));
            if let Some(place) = place {
                *place = digest(&message.client_msg_id, &message.content);
            }
        }
    }

    /// Whether something else was read under the seq. What was not read yet may be anything.
    pub fn differs(&self, seq: i64, digest: u64) -> bool {
        let known = usize::try_from(seq - 1).ok().and_then(|index| self.0.get(index));
        known.is_some_and(|known| *known != digest)
    }

    /// The seqs after `after` and up to `until` where the messages are no longer those that were read.
    pub fn changed(&self, after: i64, until: i64, messages: &[MsgData]) -> Vec<Anomaly> {
        let found: HashMap<i64, u64> = messages
            .iter()
            .map(|message| (message.seq, digest(&message.client_msg_id, &message.content)))
            .collect();
        let now = |seq: i64| found.get(&seq).copied().unwrap_or(0);
        (after + 1..=until.min(self.newest()))
            .filter(|seq| self.differs(*seq, now(*seq)))
            .map(Anomaly::Changed)
            .collect()
    }
}

/// Remembers what a round found lost. When it is there in a later round, it is late and not there twice.
pub fn tell_late_from_doubled(lost: &mut HashSet<String>, anomalies: Vec<Anomaly>) -> Vec<Anomaly> {
    let told = |anomaly| match anomaly {
        Anomaly::Duplicate(id) if lost.remove(&id) => Anomaly::Late(id),
        Anomaly::Lost(id) => {
            lost.insert(id.clone());
            Anomaly::Lost(id)
        }
        other => other,
    };
    anomalies.into_iter().map(told).collect()
}

/// Checks what each reader pulled of one conversation, after the seq `after`, against what its senders did in this round.
pub fn check(after: i64, sent: &BTreeMap<String, Sent>, readers: &[Vec<MsgData>]) -> Vec<Anomaly> {
    let acknowledged: HashSet<&str> =
        sent.values().flat_map(|sent| &sent.acknowledged).map(String::as_str).collect();
    let mut anomalies: Vec<Anomaly> =
        sent.values().flat_map(|sent| &sent.unanswered).cloned().map(Anomaly::NoWord).collect();
    let mut by_seq: HashMap<i64, &str> = HashMap::new();
    for reader in readers {
        let mut seq_of: HashMap<&str, i64> = HashMap::new();
        let mut next = after + 1;
        for message in reader {
            anomalies.extend((next..message.seq).map(Anomaly::Gap));
            if message.seq < next || message.status == status::DELETED {
                anomalies.push(Anomaly::Gap(message.seq));
                next = next.max(message.seq + 1);
                continue;
            }
            next = message.seq + 1;
            let id = message.client_msg_id.as_str();
            if *by_seq.entry(message.seq).or_insert(id) != id {
                anomalies.push(Anomaly::Divergent(message.seq));
            }
            if message.content_type >= NOTIFICATIONS {
                continue;
            }
            // The first copy has the place in the order; a later one is a duplicate and nothing else.
            if *seq_of.entry(id).or_insert(message.seq) != message.seq {
                anomalies.push(Anomaly::Duplicate(id.to_owned()));
            }
            let by = sent.get(&message.send_id);
            let own = by.filter(|_| id.starts_with(&message.send_id));
            if own.is_some_and(|sent| sent.is_of_an_earlier_round(id)) {
                anomalies.push(Anomaly::Duplicate(id.to_owned()));
            } else if by.is_some_and(|sent| sent.refused.contains(id)) {
                anomalies.push(Anomaly::KeptThoughRefused(id.to_owned()));
            } else if !by.is_some_and(|sent| {
                acknowledged.contains(id) || sent.unknown.contains(id) || sent.unanswered.contains(id)
            }) {
                anomalies.push(Anomaly::Alien(id.to_owned()));
            }
        }
        for sender in sent.values() {
            let mut last = 0;
            for id in &sender.acknowledged {
                match seq_of.get(id.as_str()) {
                    None => anomalies.push(Anomaly::Lost(id.clone())),
                    Some(seq) if *seq < last => anomalies.push(Anomaly::Reordered(id.clone())),
                    Some(seq) => last = *seq,
                }
            }
        }
    }
    anomalies.sort();
    anomalies.dedup();
    anomalies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: i64, id: &str) -> MsgData {
        MsgData {
            seq,
            send_id: "a".into(),
            client_msg_id: id.into(),
            status: status::SUCCESS,
            ..Default::default()
        }
    }

    fn sent(ids: &[&str]) -> BTreeMap<String, Sent> {
        let acknowledged = ids.iter().map(|id| (*id).to_owned()).collect();
        BTreeMap::from([("a".to_owned(), Sent { acknowledged, ..Default::default() })])
    }

    #[test]
    fn what_was_lost_and_comes_later_is_late_once() {
        let mut lost = HashSet::new();
        let of_round = |anomaly: &Anomaly, lost: &mut HashSet<String>| {
            tell_late_from_doubled(lost, vec![anomaly.clone()])
        };
        let (missing, twice) = (Anomaly::Lost("m".into()), Anomaly::Duplicate("m".into()));
        assert_eq!(of_round(&twice, &mut lost), std::slice::from_ref(&twice), "it was not lost");
        assert_eq!(of_round(&missing, &mut lost), [missing]);
        assert_eq!(of_round(&twice, &mut lost), [Anomaly::Late("m".into())]);
        assert_eq!(of_round(&twice, &mut lost), [twice], "it comes a second time");
    }

    #[test]
    fn a_good_history_has_no_anomaly() {
        let reader = vec![message(1, "m1"), message(2, "m2")];
        assert_eq!(check(0, &sent(&["m1", "m2"]), &[reader.clone(), reader]), []);
    }

    #[test]
    fn every_broken_promise_is_seen() {
        let all = sent(&["m1", "m2"]);
        let hole = MsgData { seq: 2, status: status::DELETED, ..Default::default() };
        for (reader, expected) in [
            (vec![message(1, "m1")], Anomaly::Lost("m2".into())),
            (vec![message(1, "m1"), message(2, "m1"), message(3, "m2")], Anomaly::Duplicate("m1".into())),
            (vec![message(1, "m2"), message(2, "m1")], Anomaly::Reordered("m2".into())),
            (vec![message(1, "m1"), hole, message(3, "m2")], Anomaly::Gap(2)),
            (vec![message(1, "m1"), message(3, "m2")], Anomaly::Gap(2)),
            (vec![message(1, "m1"), message(2, "m2"), message(3, "x")], Anomaly::Alien("x".into())),
        ] {
            assert!(
                check(0, &all, std::slice::from_ref(&reader)).contains(&expected),
                "{expected:?} in {reader:?}"
            );
        }
        let one = vec![message(1, "m1"), message(2, "m2")];
        let other = vec![message(1, "m2"), message(2, "m1")];
        assert!(check(0, &all, &[one, other]).contains(&Anomaly::Divergent(1)));
    }

    #[test]
    fn a_second_copy_is_a_duplicate_and_does_not_reorder_what_is_between() {
        let reader = vec![message(1, "m1"), message(2, "m2"), message(3, "m1")];
        assert_eq!(check(0, &sent(&["m1", "m2"]), &[reader]), [Anomaly::Duplicate("m1".into())]);
    }

    #[test]
    fn a_seq_that_is_missing_is_one_anomaly_and_hides_nothing() {
        let reader = vec![message(1, "m1"), message(3, "m2"), message(4, "m3")];
        assert_eq!(check(0, &sent(&["m1", "m2", "m3"]), &[reader]), [Anomaly::Gap(2)]);
    }

    #[test]
    fn an_unknown_outcome_may_go_either_way() {
        let mut all = sent(&["m1"]);
        all.get_mut("a").unwrap().unknown.insert("m2".into());
        assert_eq!(check(0, &all, &[vec![message(1, "m1")]]), []);
        assert_eq!(check(0, &all, &[vec![message(1, "m1"), message(2, "m2")]]), []);
    }

    #[test]
    fn what_was_refused_must_not_be_there() {
        let mut all = sent(&["m1"]);
        all.get_mut("a").unwrap().refused.insert("m2".into());
        assert_eq!(check(0, &all, &[vec![message(1, "m1")]]), []);
        let both = vec![message(1, "m1"), message(2, "m2")];
        assert_eq!(check(0, &all, &[both]), [Anomaly::KeptThoughRefused("m2".into())]);
    }

    #[test]
    fn a_message_that_got_no_word_is_told_whether_it_is_there_or_not() {
        let mut all = sent(&["m1"]);
        all.get_mut("a").unwrap().unanswered.insert("m2".into());
        for reader in [vec![message(1, "m1")], vec![message(1, "m1"), message(2, "m2")]] {
            assert_eq!(check(0, &all, &[reader]), [Anomaly::NoWord("m2".into())]);
        }
    }

    #[test]
    fn a_late_repeat_of_an_earlier_round_is_a_duplicate() {
        let mut all = sent(&["a-3"]);
        all.get_mut("a").unwrap().before = 2;
        assert_eq!(check(2, &all, &[vec![message(3, "a-3")]]), []);
        let reader = vec![message(3, "a-3"), message(4, "a-1")];
        assert_eq!(check(2, &all, &[reader]), [Anomaly::Duplicate("a-1".into())]);
    }

    #[test]
    fn notifications_of_the_server_are_not_asked_who_sent_them() {
        let notice = MsgData { content_type: 1501, send_id: "admin".into(), ..message(1, "x") };
        assert_eq!(check(0, &sent(&["m1"]), &[vec![notice, message(2, "m1")]]), []);
    }

    #[test]
    fn what_was_read_once_must_stay_as_it_was() {
        let first = MsgData { content: "one".into(), ..message(1, "m1") };
        let read = [first, message(2, "m2")];
        let mut seen = Seen::default();
        seen.extend(&read, 2);
        assert_eq!(seen.changed(0, 2, &read), []);
        assert_eq!(seen.changed(0, 2, &[message(1, "m1"), message(2, "m2")]), [Anomaly::Changed(1)]);
        assert_eq!(seen.changed(1, 2, &[]), [Anomaly::Changed(2)]);
        assert_eq!(seen.changed(0, 5, &read), [], "what was not read yet may be anything");
    }

    #[test]
    fn every_kind_has_its_name() {
        let all = [
            Anomaly::Lost(String::new()),
            Anomaly::Duplicate(String::new()),
            Anomaly::Reordered(String::new()),
            Anomaly::Gap(1),
            Anomaly::Divergent(1),
            Anomaly::Alien(String::new()),
            Anomaly::Unheard(String::new()),
            Anomaly::PushedOther(1),
            Anomaly::KeptThoughRefused(String::new()),
            Anomaly::NoWord(String::new()),
            Anomaly::Changed(1),
            Anomaly::Fell(1),
            Anomaly::OtherText(String::new()),
            Anomaly::Late(String::new()),
        ];
        assert_eq!(all.map(|anomaly| anomaly.kind()), Anomaly::KINDS);
    }
}
