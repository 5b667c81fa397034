//! A user of a room: its connection, which reconnects whenever it ends, and what it sends.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::bail;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::{
    client::{Client, Refused},
    heard::Heard,
    history::{Seen, Sent},
    message::{Choices, Kind, Next, Target, Wish},
    run::Run,
};

/// The one platform of all clients.
pub(crate) const PLATFORM: i32 = 2;
/// Between two tries to connect.
const AGAIN: Duration = Duration::from_millis(200);
/// Connections that may end without a word on a message that is too large, before that counts as no answer: some end for another reason.
const WORDLESS: u32 = 5;
/// A message as it is cannot be taken; whatever else is refused is retried.
const ARGUMENT_ERROR: i64 = 1001;

/// An open connection, and what it is pushed.
pub(crate) struct Connection {
    pub(crate) client: Client,
    heard: Arc<Mutex<Heard>>,
}

impl Connection {
    /// Retries connecting until the caller's deadline.
    pub(crate) async fn open(
        run: &Run,
        user: &str,
        token: &str,
        is_patient: impl Fn() -> bool,
    ) -> anyhow::Result<Self> {
        loop {
            // It is open a little earlier than it is known to be: what is sent in between may be missed without fault.
            let heard = Arc::new(Mutex::new(Heard::since(Instant::now())));
            let (counts, ear, listens) = (run.counts.clone(), heard.clone(), !run.checks.stored_only);
            let on_push = move |conversation: &str, message| {
                counts.pushed.fetch_add(1, Ordering::Relaxed);
                if listens {
                    ear.lock().push(conversation, &message);
                }
            };
            let door = &run.admin.door;
            match Client::connect(door, user, token, PLATFORM, run.load.gzip, &run.tasks, on_push).await {
                Ok(client) => {
                    heard.lock().greeted(Instant::now());
                    return Ok(Self { client, heard });
                }
                Err(error) if !is_patient() => {
                    return Err(error.context(format!("{user} can no longer connect")));
                }
                Err(_) => sleep(AGAIN).await,
            }
        }
    }
}

/// A user, its connection and what it will do next.
pub(crate) struct Member {
    pub(crate) user: String,
    token: String,
    pub(crate) connection: Connection,
    /// What connections that ended in this round were pushed.
    earlier: Vec<Arc<Mutex<Heard>>>,
    choices: Choices,
    /// Messages sent so far; the number of the last one.
    number: u64,
}

/// What a member did in a round.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) sent: Sent,
    /// Acknowledged ids and when their first attempt began.
    pub(crate) begun: Vec<(String, Instant)>,
}

enum Word {
    Taken,
    Refused,
    None,
}

impl Member {
    /// Gets a token and connects, while the deadline is not over.
    pub(crate) async fn enter(
        run: &Run,
        user: String,
        choices: Choices,
        deadline: Instant,
    ) -> anyhow::Result<Self> {
        let token = run.token(&user, deadline).await?;
        let connection = Connection::open(run, &user, &token, || Instant::now() < deadline).await?;
        Ok(Self { user, token, connection, earlier: Vec::new(), choices, number: 0 })
    }

    /// A number of messages from 1 to `most`, as the seed decides.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        self.choices.up_to(most)
    }

    /// Opens another connection in place of one that has ended.
    pub(crate) async fn reconnect(&mut self, run: &Run, is_patient: impl Fn() -> bool) -> anyhow::Result<()> {
        let again = Connection::open(run, &self.user, &self.token, is_patient).await?;
        self.earlier.push(std::mem::replace(&mut self.connection, again).heard);
        Ok(())
    }

    /// Sends up to `most` numbered messages; each is repeated with its clientMsgID, and another body, until it is acknowledged or refused for good.
    pub(crate) async fn send(&mut self, run: &Run, to: Target<'_>, most: u64) -> anyhow::Result<Said> {
        let mut said = Said { sent: Sent { before: self.number, ..Sent::default() }, ..Said::default() };
        let until = self.number.saturating_add(most);
        let mut last = Instant::now();
        while self.number < until && !run.enough.is_cancelled() {
            self.number += 1;
            let id = format!("{}-{}", self.user, self.number);
            let next = self.choices.next(&run.load.mix, self.number, matches!(to, Target::Group(_)));
            let begun = Instant::now();
            match self.deliver(run, to, &id, next).await? {
                Word::Taken => {
                    run.acknowledged(last.elapsed());
                    last = Instant::now();
                    said.begun.push((id.clone(), begun));
                    said.sent.acknowledged.push(id);
                }
                Word::Refused => {
                    run.counts.refused.fetch_add(1, Ordering::Relaxed);
                    said.sent.refused.insert(id);
                }
                Word::None => _ = said.sent.unanswered.insert(id),
            }
            sleep(run.load.pause()).await;
        }
        Ok(said)
    }

    async fn deliver(&mut self, run: &Run, to: Target<'_>, id: &str, next: Next) -> anyhow::Result<Word> {
        let user = self.user.clone();
        let wish = Wish { from: &user, to, client_msg_id: id, kind: next.kind };
        let mut wordless = 0;
        for attempt in 0_u64.. {
            let message = wish.message(wish.content(self.number, attempt, next.filler));
            if attempt == 0 && next.hangs_up {
                self.connection.client.send_and_hang_up(&message).await;
                run.counts.hung_up.fetch_add(1, Ordering::Relaxed);
            }
            let error = match self.connection.client.send(&message).await {
                Ok(_) => break,
                Err(error) => error,
            };
            let is_odd = !matches!(next.kind, Kind::Plain | Kind::AtAll);
            if is_odd
                && error.downcast_ref::<Refused>().is_some_and(|Refused(code, _)| *code == ARGUMENT_ERROR)
            {
                return Ok(Word::Refused);
            }
            if !run.is_patient() {
                bail!(
                    "{user}: message {} was not acknowledged within 90 s after the end: {error:#}",
                    self.number
                );
            }
            run.counts.retried.fetch_add(1, Ordering::Relaxed);
            if !self.connection.client.is_closed() {
                sleep(Duration::from_millis(100)).await;
                continue;
            }
            wordless += u32::from(!(attempt == 0 && next.hangs_up));
            self.reconnect(run, || run.is_patient()).await?;
            if matches!(next.kind, Kind::Oversize(_)) && wordless >= WORDLESS {
                return Ok(Word::None);
            }
        }
        Ok(Word::Taken)
    }

    /// Which of these the connection should have been pushed and was not; none when it has ended, so that its client pulls.
    pub(crate) fn misses<'a>(&self, acknowledged: &'a [(String, Instant)]) -> Vec<&'a str> {
        if self.connection.client.is_closed() {
            return Vec::new();
        }
        self.connection.heard.lock().misses(acknowledged)
    }

    /// The seqs under which any connection was pushed something else than what is stored; forgets the pushes.
    pub(crate) fn told_otherwise(&mut self, conversation: &str, stored: &Seen) -> Vec<i64> {
        let mut wrong = Vec::new();
        for heard in self.earlier.drain(..) {
            wrong.extend(heard.lock().differs(conversation, stored));
        }
        let mut heard = self.connection.heard.lock();
        wrong.extend(heard.differs(conversation, stored));
        heard.forget();
        wrong
    }
}
