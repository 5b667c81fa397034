//! Offline push for the members of large groups. Push puts one record into the topic, whatever the group's size. Its consumer
//! handles some members and appends a record for the rest behind what has arrived meanwhile: groups take turns, and records for
//! single users, which another consumer group reads, do not wait for them. After a crash the members of one record are handled
//! again: of a chain that is in the topic twice, the second is recognized at its first record.

use std::{sync::Arc, time::Duration};

use bus::{Batch, Handled, PartitionHandler};
use model::Clock;
use presence::Routes;
use prost::Message;
use protocol::{internal::OfflineGroup, sdkws::MsgData};
use tokio::time::sleep;

use crate::{
    OfflineQueue, message_identity,
    offline_push::{OfflinePush, is_past, on_phone},
};

/// Members that a record serves.
const MEMBERS_PER_RECORD: usize = 500;
/// Records that a partition recognises, 16 bytes each.
const HANDLED_RECORDS: usize = 20_000;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// See [`OfflineGroup`].
const FORM: u32 = 1;

/// The record of a message that nobody has been notified of yet.
pub(crate) fn record(conversation: &str, message: &MsgData, encoded: bytes::Bytes) -> OfflineGroup {
    OfflineGroup {
        form: FORM,
        conversation_id: conversation.to_owned(),
        msg_data: encoded,
        group_id: message.group_id.clone(),
        after: String::new(),
    }
}

/// What a payload is, unless it is a record with users.
pub(crate) fn read(payload: bytes::Bytes) -> Option<OfflineGroup> {
    OfflineGroup::decode(payload).ok().filter(|record| record.form == FORM)
}

/// What serving a record needs.
trait Around: Send + Sync + 'static {
    /// The next members in the order of their ids.
    async fn members(&self, group: &str, after: &str, limit: usize) -> protocol::Result<Vec<String>>;
    /// Those of them to notify: not on a phone now, and without do-not-disturb.
    async fn absent(&self, conversation: &str, users: Vec<String>) -> protocol::Result<Vec<String>>;
    /// Tells them.
    async fn tell(&self, conversation: &str, message: &MsgData, users: Vec<String>);
    /// Puts the record of the rest into the topic.
    async fn put(&self, rest: &OfflineGroup) -> protocol::Result<()>;
}

/// What a partition needs to serve large groups.
#[derive(Clone)]
pub struct GroupNotes {
    /// Vendors, members, quiet ones.
    pub offline: OfflinePush,
    /// Users on a phone.
    pub routes: Routes,
    /// Where the rest goes.
    pub queue: OfflineQueue,
}

impl Around for GroupNotes {
    async fn members(&self, group: &str, after: &str, limit: usize) -> protocol::Result<Vec<String>> {
        Ok(self.offline.store.member_ids_after(group, after, limit as i64).await?)
    }

    async fn absent(&self, conversation: &str, users: Vec<String>) -> protocol::Result<Vec<String>> {
        absent(&self.routes, &self.offline.store, conversation, users, true).await
    }

    async fn tell(&self, conversation: &str, message: &MsgData, users: Vec<String>) {
        self.offline.tell(conversation, message, users).await;
    }

    async fn put(&self, rest: &OfflineGroup) -> protocol::Result<()> {
        self.queue.put_group(rest).await?;
        Ok(())
    }
}

/// Users who are not on a phone now and, for group members, have no do-not-disturb.
pub(crate) async fn absent(
    routes: &Routes,
    store: &store::Store,
    conversation: &str,
    mut users: Vec<String>,
    asks_members: bool,
) -> protocol::Result<Vec<String>> {
    // Without the table everybody may be offline: told twice is better than not at all.
    let routes = routes.of_users(&users).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "offline_push.routes_unknown");
        vec![vec![]; users.len()]
    });
    let mut routes = routes.into_iter();
    users.retain(|_| !routes.next().is_some_and(|routes| on_phone(&routes)));
    if asks_members && !users.is_empty() {
        let quiet = store.quiet_owners(conversation, &users).await?;
        users.retain(|user| !quiet.contains(user));
    }
    Ok(users)
}

/// The handler of a partition of the offline topic that serves only large groups.
pub struct GroupNotesPartition(Serving<GroupNotes>);

struct Serving<A> {
    around: A,
    clock: Arc<dyn Clock>,
    handled: Handled,
}

impl GroupNotesPartition {
    /// Of a partition that was just assigned.
    pub fn new(around: GroupNotes, clock: Arc<dyn Clock>) -> Self {
        Self(Serving { around, clock, handled: Handled::new(HANDLED_RECORDS) })
    }
}

impl PartitionHandler for GroupNotesPartition {
    async fn handle(&mut self, batch: Batch) {
        for (_, payload) in batch.records {
            if let Some(record) = read(payload) {
                self.0.serve(record).await;
            }
        }
    }
}

impl<A: Around> Serving<A> {
    async fn serve(&mut self, mut record: OfflineGroup) {
        let message = match MsgData::decode(record.msg_data.clone()) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(%error, "offline_push.undecodable_record");
                return;
            }
        };
        let key = message_identity::of(&record.conversation_id, &message);
        let mark = self.handled.mark((key, &record.after));
        if key.is_some() && self.handled.knows(mark) {
            return;
        }
        let (conversation, group) = (&record.conversation_id, &record.group_id);
        let found = self.until_past(&message, || self.some(conversation, group, &record.after)).await;
        let Some((last, mut users)) = found else { return };
        users.retain(|user| *user != message.send_id);
        if !users.is_empty() {
            self.around.tell(conversation, &message, users).await;
        }
        if let Some(last) = last {
            record.after = last;
            // What Kafka will never take it would not have taken before.
            self.until_past(&message, || self.around.put(&record)).await;
        }
        self.handled.remember(mark);
    }

    /// Some members to notify, and the last one checked if there may be more.
    async fn some(
        &self,
        conversation: &str,
        group: &str,
        after: &str,
    ) -> protocol::Result<(Option<String>, Vec<String>)> {
        let members = self.around.members(group, after, MEMBERS_PER_RECORD).await?;
        let last = members.last().filter(|_| members.len() == MEMBERS_PER_RECORD).cloned();
        Ok((last, self.around.absent(conversation, members).await?))
    }

    /// Tries until it is done, or the message is so old that a note would be worse than none.
    async fn until_past<T, F>(&self, message: &MsgData, work: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = protocol::Result<T>>,
    {
        let mut pause = FIRST_PAUSE;
        while !is_past(message, self.clock.now_ms()) {
            match work().await {
                Ok(done) => return Some(done),
                Err(error) => {
                    tracing::error!(group = message.group_id, %error, retry_in = ?pause, "offline_push.group_failed");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use parking_lot::Mutex;
    use protocol::push::PushMsgReq;

    use super::*;

    /// A group, its topic, and the phones that rang.
    #[derive(Clone, Default)]
    struct World(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        members: Vec<String>,
        topic: VecDeque<OfflineGroup>,
        rang: Vec<String>,
        /// This many steps from now fail.
        failing: u32,
    }

    impl World {
        fn of(members: usize) -> Self {
            let world = Self::default();
            world.0.lock().members = (0..members).map(|number| format!("u{number:06}")).collect();
            world
        }

        fn partition(&self) -> Serving<World> {
            let handled = Handled::new(HANDLED_RECORDS);
            Serving { around: self.clone(), clock: Arc::new(Now), handled }
        }

        fn send(&self, server_msg_id: &str) {
            let message = MsgData {
                group_id: "g".into(),
                send_id: "u000003".into(),
                server_msg_id: server_msg_id.into(),
                send_time: 1000,
                ..Default::default()
            };
            let encoded = message.encode_to_vec().into();
            self.0.lock().topic.push_back(record("sg_g", &message, encoded));
        }

        /// Handles what is in the topic, as many records as are allowed.
        async fn run(&self, partition: &mut Serving<World>, records: usize) {
            for _ in 0..records {
                let Some(record) = self.0.lock().topic.pop_front() else { return };
                partition.serve(record).await;
            }
        }

        fn step(&self) -> protocol::Result<()> {
            let failing = &mut self.0.lock().failing;
            if *failing == 0 {
                return Ok(());
            }
            *failing -= 1;
            Err(protocol::Error::internal("not now"))
        }
    }

    struct Now;

    impl Clock for Now {
        fn now_ms(&self) -> i64 {
            2000
        }
    }

    impl Around for World {
        async fn members(&self, _: &str, after: &str, limit: usize) -> protocol::Result<Vec<String>> {
            self.step()?;
            let state = self.0.lock();
            Ok(state.members.iter().filter(|user| user.as_str() > after).take(limit).cloned().collect())
        }
        async fn absent(&self, _: &str, users: Vec<String>) -> protocol::Result<Vec<String>> {
            self.step()?;
            Ok(users)
        }
        async fn tell(&self, _: &str, _: &MsgData, users: Vec<String>) {
            self.0.lock().rang.extend(users);
        }
        async fn put(&self, rest: &OfflineGroup) -> protocol::Result<()> {
            self.step()?;
            self.0.lock().topic.push_back(rest.clone());
            Ok(())
        }
    }

    #[tokio::test]
    async fn everybody_is_told_once_and_the_sender_is_not() {
        for members in [0, 1, MEMBERS_PER_RECORD, 2 * MEMBERS_PER_RECORD + 7] {
            let world = World::of(members);
            world.send("m");
            world.run(&mut world.partition(), 100).await;
            let state = world.0.lock();
            let expected: Vec<&String> = state.members.iter().filter(|user| *user != "u000003").collect();
            assert_eq!(state.rang.iter().collect::<Vec<_>>(), expected);
            assert!(state.topic.is_empty());
        }
    }

    #[tokio::test]
    async fn groups_take_turns() {
        let world = World::of(10 * MEMBERS_PER_RECORD);
        world.send("first");
        world.send("second");
        world.run(&mut world.partition(), 2).await;
        let state = world.0.lock();
        assert_eq!(
            state.rang.len(),
            2 * (MEMBERS_PER_RECORD - 1),
            "the second does not wait for all of the first"
        );
        assert_eq!(state.topic.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_and_nobody_is_told_twice() {
        for failing in 1..6 {
            let world = World::of(MEMBERS_PER_RECORD + 1);
            world.0.lock().failing = failing;
            world.send("m");
            world.run(&mut world.partition(), 100).await;
            assert_eq!(world.0.lock().rang.len(), MEMBERS_PER_RECORD);
        }
    }

    #[tokio::test]
    async fn a_process_that_dies_in_the_middle_serves_one_record_again() {
        let all = 10 * MEMBERS_PER_RECORD;
        let world = World::of(all);
        world.send("m");
        let mut first = world.partition();
        world.run(&mut first, 4).await;
        // The rest is in the topic, and its owner dies before the offset of the fifth record is committed.
        let fifth = world.0.lock().topic.front().cloned().unwrap();
        world.run(&mut first, 1).await;
        world.0.lock().topic.push_front(fifth);
        world.run(&mut world.partition(), 100).await;
        assert_eq!(world.0.lock().rang.len(), all - 1 + MEMBERS_PER_RECORD);
    }

    #[tokio::test]
    async fn a_record_that_is_there_twice_rings_once() {
        let world = World::of(3);
        world.send("m");
        world.send("m");
        world.send("another");
        world.run(&mut world.partition(), 100).await;
        assert_eq!(world.0.lock().rang.len(), 6);
    }

    #[test]
    fn earlier_versions_pass_over_it_and_it_is_not_taken_for_theirs() {
        let message = MsgData { group_id: "g".into(), ..Default::default() };
        let new = record("sg_g", &message, message.encode_to_vec().into());
        assert!(PushMsgReq::decode(bytes::Bytes::from(new.encode_to_vec())).is_err());
        let old = PushMsgReq {
            msg_data: Some(message),
            conversation_id: "sg_g".into(),
            user_ids: vec!["a".into()],
        };
        assert!(read(old.encode_to_vec().into()).is_none() && read(bytes::Bytes::new()).is_none());
        assert_eq!(read(new.encode_to_vec().into()), Some(new));
    }
}
