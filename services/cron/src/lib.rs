//! What is done by the clock: message retention, per-conversation destruct, expired objects. Any number of replicas may run: every
//! step can be repeated and works in small pieces.

use std::{sync::Arc, time::Duration};

use bson::doc;
use config::Live;
use model::Clock;
use notification::To;
use objects::Objects;
use protocol::{Result, content_type::CONVERSATION_CHANGED, sdkws::ConversationUpdateTips};
use rpc::{Context, Peers};
use store::{DAY_MS, DateTime, Store, conversations::Conversation, seqs::Bound};
use tokio_util::sync::CancellationToken;

const PERIOD: Duration = Duration::from_secs(3600);
const MESSAGES_PER_STEP: i64 = 1000;
const ROWS_PER_STEP: i64 = 100;

/// The jobs.
pub struct Cron {
    /// Messages, conversations, object names.
    pub store: Store,
    /// The bucket, if there is one.
    pub objects: Option<Objects>,
    /// What expires when.
    pub config: Live,
    /// For notifications.
    pub peers: Peers,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Cron {
    /// Runs every job now and then every hour, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tell("retention", self.remove_old_messages(&stop).await);
            tell("destruct", self.destruct(&stop).await);
            tell("objects", self.remove_old_objects(&stop).await);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Messages older than `retainDays`. A conversation's lowest seq rises before its messages go: nobody sees a hole.
    async fn remove_old_messages(&self, stop: &CancellationToken) -> Result<u64> {
        let mut removed = 0;
        let config = self.config.now();
        if config.retain_days > 0 {
            let before = self.clock.now_ms() - i64::from(config.retain_days) * DAY_MS;
            while !stop.is_cancelled() {
                let step = self.store.remove_oldest_messages(before, MESSAGES_PER_STEP).await?;
                removed += step;
                if step == 0 {
                    break;
                }
            }
        }
        Ok(removed)
    }

    /// Conversations whose owners want messages to vanish after a time.
    async fn destruct(&self, stop: &CancellationToken) -> Result<u64> {
        let mut done = 0;
        while !stop.is_cancelled() {
            let now = self.clock.now_ms();
            let due = self.store.conversations_to_destruct(now, ROWS_PER_STEP).await?;
            if due.is_empty() {
                break;
            }
            for row in &due {
                self.destruct_one(row, now).await?;
                done += 1;
            }
        }
        Ok(done)
    }

    async fn destruct_one(&self, row: &Conversation, now: i64) -> Result<()> {
        let (owner, id) = (&row.owner_user_id, &row.conversation_id);
        let before = now.saturating_sub(row.msg_destruct_time.saturating_mul(1000));
        let newest = self.store.newest_seq_before(id, before).await?;
        let mut fields = doc! { "latest_msg_destruct_time": DateTime::from_millis(now) };
        if newest >= row.min_seq && newest > 0 {
            self.store.set_user_bound(std::slice::from_ref(owner), id, Bound::Min, newest + 1).await?;
            fields.insert("min_seq", newest + 1);
        }
        self.store.update_conversation(owner, id, &fields).await?;
        let tips = ConversationUpdateTips { user_id: owner.clone(), conversation_id_list: vec![id.clone()] };
        let context = Context::system(format!("cron-destruct-{}", model::random_id()));
        notification::tell(&self.peers, &context, owner, To::User(owner), CONVERSATION_CHANGED, &tips).await;
        Ok(())
    }

    /// Objects of the configured kinds. The name goes first: an object without a name is only space, a name without one is an error.
    async fn remove_old_objects(&self, stop: &CancellationToken) -> Result<u64> {
        let mut removed = 0;
        let config = self.config.now();
        let (Some(objects), days) = (&self.objects, config.object.expire_days) else { return Ok(0) };
        if days == 0 {
            return Ok(0);
        }
        let before = self.clock.now_ms() - i64::from(days) * DAY_MS;
        while !stop.is_cancelled() {
            let types = &config.object.delete_types;
            let old = self.store.old_objects(types, before, ROWS_PER_STEP).await?;
            if old.is_empty() {
                break;
            }
            for row in &old {
                if self.store.forget_object(&row.name, &row.key).await? {
                    objects.delete(&row.key).await?;
                }
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn tell(job: &str, outcome: Result<u64>) {
    match outcome {
        Ok(0) => {}
        Ok(count) => tracing::info!(job, count, "cron.done"),
        Err(error) => tracing::warn!(job, %error, "cron.failed: tried again in an hour"),
    }
}
