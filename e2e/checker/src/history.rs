//! The rules. Pure: a history in, the anomalies out.

use std::collections::{BTreeMap, HashMap, HashSet};

use protocol::{content_type::status, sdkws::MsgData};

/// What one sender did in one conversation: ids in the order of sending, each acknowledged before the next was sent.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// Acknowledged clientMsgIDs, in order.
    pub acknowledged: Vec<String>,
    /// Ids whose outcome stayed unknown.
    pub unknown: HashSet<String>,
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
    /// A seq below the newest that is no message.
    Gap(i64),
    /// Two readers see different messages under a seq.
    Divergent(i64),
    /// Nobody sent it.
    Alien(String),
    /// A connection that stayed open was not pushed it.
    Unheard(String),
    /// Something else was pushed under a seq than what is stored there.
    PushedOther(i64),
}

/// Checks what each reader pulled of one conversation against what its senders did.
pub fn check(sent: &BTreeMap<String, Sent>, readers: &[Vec<MsgData>]) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let mut by_seq: HashMap<i64, &str> = HashMap::new();
    for reader in readers {
        let mut seq_of: HashMap<&str, i64> = HashMap::new();
        for (index, message) in reader.iter().enumerate() {
            let expected = index as i64 + 1;
            if message.seq != expected || message.status == status::DELETED {
                anomalies.push(Anomaly::Gap(expected));
                continue;
            }
            let id = message.client_msg_id.as_str();
            if seq_of.insert(id, message.seq).is_some() {
                anomalies.push(Anomaly::Duplicate(id.to_owned()));
            }
            if *by_seq.entry(message.seq).or_insert(id) != id {
                anomalies.push(Anomaly::Divergent(message.seq));
            }
            let known = sent.get(&message.send_id).is_some_and(|sent| {
                sent.unknown.contains(id) || sent.acknowledged.iter().any(|known| known == id)
            });
            if !known {
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
    fn a_good_history_has_no_anomaly() {
        let reader = vec![message(1, "m1"), message(2, "m2")];
        assert_eq!(check(&sent(&["m1", "m2"]), &[reader.clone(), reader]), []);
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
            (vec![message(1, "m1"), message(2, "m2"), message(3, "x")], Anomaly::Alien("x".into())),
        ] {
            assert!(
                check(&all, std::slice::from_ref(&reader)).contains(&expected),
                "{expected:?} in {reader:?}"
            );
        }
        let one = vec![message(1, "m1"), message(2, "m2")];
        let other = vec![message(1, "m2"), message(2, "m1")];
        assert!(check(&all, &[one, other]).contains(&Anomaly::Divergent(1)));
    }

    #[test]
    fn an_unknown_outcome_may_go_either_way() {
        let mut all = sent(&["m1"]);
        all.get_mut("a").unwrap().unknown.insert("m2".into());
        assert_eq!(check(&all, &[vec![message(1, "m1")]]), []);
        assert_eq!(check(&all, &[vec![message(1, "m1"), message(2, "m2")]]), []);
    }
}
