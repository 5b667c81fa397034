//! A conversation and its members, round by round: all of them send; once everything is there, two of them pull it, and it is
//! compared and dropped. At the end one reads everything again.

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::Ordering,
    time::Duration,
};

use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::{
    history::{Anomaly, Seen, Sent, check, tell_late_from_doubled},
    member::{Member, Said},
    message::{Choices, Target},
    run::Run,
};

/// How long a reader whose connection ended tries again, whatever it has waited before.
const RECONNECT: Duration = Duration::from_secs(20);
/// Between two looks at what is not there yet.
const AGAIN: Duration = Duration::from_millis(200);
/// Seqs that are read again at once.
const CHUNK: i64 = 1000;

/// A conversation.
pub(crate) struct Room {
    conversation: String,
    /// The group; empty: the two members talk to each other.
    group: String,
    members: Vec<Member>,
    seen: Seen,
    /// Acknowledged ids that were not there when their round ended.
    lost: HashSet<String>,
}

impl Room {
    /// All members get tokens and connect.
    pub(crate) async fn open(
        run: &Run,
        number: usize,
        users: &[String],
        group: String,
        deadline: Instant,
    ) -> anyhow::Result<Self> {
        let enter = users.iter().enumerate().map(|(place, user)| {
            Member::enter(run, user.clone(), Choices::of(run.load.seed, number, place), deadline)
        });
        let members = try_join_all(enter).await?;
        let conversation = match &users {
            [a, b] if group.is_empty() => model::conversation_id::single(a, b),
            _ => model::conversation_id::group(&group),
        };
        Ok(Self { conversation, group, members, seen: Seen::default(), lost: HashSet::new() })
    }

    /// Sends and checks until it is enough; how many connections were open then.
    pub(crate) async fn live(mut self, run: &Run) -> anyhow::Result<usize> {
        let whole = run.load.of_a_round(self.members.len(), &run.checks);
        // Not all rooms stop sending at the same time, unless all of them send until the end.
        let mut most = if whole == u64::MAX { whole } else { self.members[0].up_to(whole) };
        loop {
            let said = self.send(run, most).await?;
            self.verify(run, said).await?;
            if run.enough.is_cancelled() {
                break;
            }
            most = whole;
        }
        let open = self.members.iter().filter(|member| !member.connection.client.is_closed()).count();
        self.read_again(run).await?;
        self.members.iter().for_each(|member| member.connection.client.close());
        Ok(open)
    }

    async fn send(&mut self, run: &Run, most: u64) -> anyhow::Result<BTreeMap<String, Said>> {
        let users: Vec<String> = self.members.iter().map(|member| member.user.clone()).collect();
        let group = self.group.as_str();
        let sending = self.members.iter_mut().enumerate().map(|(place, member)| {
            let to = if group.is_empty() { Target::User(&users[1 - place]) } else { Target::Group(group) };
            member.send(run, to, most)
        });
        let said = try_join_all(sending).await?;
        Ok(users.iter().cloned().zip(said).collect())
    }

    async fn verify(&mut self, run: &Run, said: BTreeMap<String, Said>) -> anyhow::Result<()> {
        sleep(run.checks.quiet()).await;
        let deadline = Instant::now() + run.checks.settle();
        if !run.checks.stored_only {
            let unheard = self.unheard(&said, deadline).await;
            run.found(&self.conversation, unheard.into_iter().map(Anomaly::Unheard));
        }
        let after = self.seen.newest();
        let sent: BTreeMap<String, Sent> = said.into_iter().map(|(user, said)| (user, said.sent)).collect();
        let expected = after + sent.values().map(|sent| sent.acknowledged.len() as i64).sum::<i64>();
        let mut newest = [after; 2];
        let readers = loop {
            let mut readers = Vec::new();
            for (reader, newest) in [0, self.members.len() - 1].into_iter().zip(&mut newest) {
                readers.push(self.read(run, reader, after, expected, newest, deadline).await?);
            }
            let anomalies = check(after, &sent, &readers);
            let may_come = anomalies.iter().any(|anomaly| matches!(anomaly, Anomaly::Lost(_)));
            if may_come && Instant::now() < deadline {
                sleep(AGAIN).await;
                continue;
            }
            run.found(&self.conversation, tell_late_from_doubled(&mut self.lost, anomalies));
            break readers;
        };
        run.counts.read.fetch_add(readers[0].len() as u64, Ordering::Relaxed);
        self.seen.extend(&readers[0], newest[0].max(newest[1]));
        for member in &mut self.members {
            let wrong = member.told_otherwise(&self.conversation, &self.seen);
            run.found(&self.conversation, wrong.into_iter().map(Anomaly::PushedOther));
        }
        Ok(())
    }

    /// Waits until every connection that is still open was pushed everything; what is missing at the deadline.
    async fn unheard(&self, said: &BTreeMap<String, Said>, deadline: Instant) -> Vec<String> {
        loop {
            let of_others = |member: &Member| {
                let others = said.iter().filter(|(user, _)| **user != member.user);
                others.flat_map(|(_, said)| member.misses(&said.begun)).map(str::to_owned).collect::<Vec<_>>()
            };
            let missing: Vec<String> = self.members.iter().flat_map(of_others).collect();
            if missing.is_empty() || Instant::now() > deadline {
                return missing;
            }
            sleep(AGAIN).await;
        }
    }

    /// What a member sees of the conversation once everything is through. A kill may still be felt: it tries again.
    async fn read(
        &mut self,
        run: &Run,
        reader: usize,
        after: i64,
        expected: i64,
        newest: &mut i64,
        deadline: Instant,
    ) -> anyhow::Result<Vec<protocol::sdkws::MsgData>> {
        loop {
            let member = &mut self.members[reader];
            if member.connection.client.is_closed() {
                member.reconnect(run, || Instant::now() < deadline + RECONNECT).await?;
            }
            let client = &member.connection.client;
            let asked = async {
                let now = client.newest().await?.max_seqs.get(&self.conversation).copied().unwrap_or(0);
                if now < *newest {
                    run.found(&self.conversation, [Anomaly::Fell(now)]);
                }
                *newest = now;
                if now < expected && Instant::now() < deadline {
                    return Ok(None);
                }
                client.pull(&self.conversation, after, now).await.map(Some)
            };
            match asked.await {
                Ok(Some(read)) => return Ok(read),
                Ok(None) => {}
                Err(error) if Instant::now() > deadline + RECONNECT => {
                    return Err(error.context(format!("{} can no longer read", member.user)));
                }
                Err(_) => {}
            }
            sleep(AGAIN).await;
        }
    }

    /// Everything that was read in any round must still be there, as it was.
    async fn read_again(&mut self, run: &Run) -> anyhow::Result<()> {
        let deadline = Instant::now() + run.checks.settle();
        let mut after = 0;
        while after < self.seen.newest() {
            let until = self.seen.newest().min(after + CHUNK);
            let member = &mut self.members[0];
            if member.connection.client.is_closed() {
                member.reconnect(run, || Instant::now() < deadline).await?;
            }
            match member.connection.client.pull(&self.conversation, after, until).await {
                Ok(read) => {
                    let changed = self.seen.changed(after, until, &read);
                    // A conversation that could not be read just now is left out of an answer, as the protocol has it: whoever misses it asks again.
                    if !changed.is_empty() && Instant::now() < deadline {
                        sleep(AGAIN).await;
                        continue;
                    }
                    run.found(&self.conversation, changed);
                    after = until;
                }
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("{} cannot read again", member.user)));
                }
                Err(_) => sleep(AGAIN).await,
            }
        }
        Ok(())
    }
}
