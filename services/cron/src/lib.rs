//! Scheduled work: message retention, self-destructing messages, expired objects, abandoned uploads; erasing users;
//! and streams that nobody ends (docs/protocol/background.md). Any number of replicas can run: every step is idempotent and small. A run of a job ends: it handles
//! what is due at its start.

mod erase;
mod schedule;
mod streams;

use std::sync::Arc;

use bson::doc;
use config::Live;
use futures::TryStreamExt;
use model::Clock;
use notification::To;
use object_storage::Objects;
use protocol::{Result, content_type::CONVERSATION_CHANGED, sdkws::ConversationUpdateTips};
use rpc::{Context, Peers};
use store::{DAY_MS, DateTime, Store, conversations::Conversation, seqs::Bound, uploads::Upload};
use tokio_util::sync::CancellationToken;

pub use erase::tells_what_user_did;
use schedule::repeat;

const ROWS_PER_STEP: i64 = 100;
/// After so many rows that failed a run is given up: it is not the rows.
const MOST_FAILURES: u32 = 10;

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
        tokio::join!(
            repeat("retention", &stop, || self.remove_old_messages(&stop)),
            repeat("destruct", &stop, || self.destruct(&stop)),
            repeat("objects", &stop, || self.remove_old_objects(&stop)),
            repeat("uploads", &stop, || self.abort_old_uploads(&stop)),
            self.erase(&stop),
            self.end_streams(&stop),
        );
    }

    /// Messages older than `retainDays`. A conversation's lowest seq rises before its messages go: nobody sees a hole.
    async fn remove_old_messages(&self, stop: &CancellationToken) -> Result<u64> {
        let config = self.config.now();
        if config.retain_days == 0 {
            return Ok(0);
        }
        let before = self.clock.now_ms() - i64::from(config.retain_days) * DAY_MS;
        let mut pieces = self.store.messages_before(before).await?;
        let mut removed = 0;
        while let Some(old) = pieces.try_next().await? {
            removed += self.store.remove_old_messages(&old, before).await?;
            if stop.is_cancelled() {
                break;
            }
        }
        Ok(removed)
    }

    /// Conversations whose owners want messages to vanish after a time. All rows are asked for by one time: those that are due again
    /// before the run ends wait for the next one.
    async fn destruct(&self, stop: &CancellationToken) -> Result<u64> {
        let now = self.clock.now_ms();
        let mut due = self.store.conversations_to_destruct(now).await?;
        let (mut done, mut failed) = (0, 0);
        while let Some(row) = due.try_next().await? {
            match self.destruct_one(&row, now).await {
                Ok(()) => done += 1,
                Err(error) if failed < MOST_FAILURES => {
                    tracing::warn!(owner = row.owner_user_id, conversation = row.conversation_id, %error, "cron.row_failed");
                    failed += 1;
                }
                Err(error) => return Err(error),
            }
            if stop.is_cancelled() {
                break;
            }
        }
        Ok(done)
    }

    async fn destruct_one(&self, row: &Conversation, now: i64) -> Result<()> {
        let (owner, id) = (&row.owner_user_id, &row.conversation_id);
        let before = now.saturating_sub(row.msg_destruct_time.saturating_mul(1000));
        let last = self.store.last_old_seq(id, row.min_seq.max(1), before).await?;
        let mut fields = doc! { "latest_msg_destruct_time": DateTime::from_millis(now) };
        if last > 0 {
            self.store.set_user_bound(std::slice::from_ref(owner), id, Bound::Min, last + 1).await?;
            fields.insert("min_seq", last + 1);
        }
        self.store.update_conversation(owner, id, &fields).await?;
        let tips = ConversationUpdateTips { user_id: owner.clone(), conversation_id_list: vec![id.clone()] };
        let context = Context::system(format!("cron-destruct-{}", model::random_id()));
        notification::tell(&self.peers, &context, owner, To::User(owner), CONVERSATION_CHANGED, &tips).await;
        Ok(())
    }

    /// Uploads that nobody finished: their parts take space that no name leads to.
    async fn abort_old_uploads(&self, stop: &CancellationToken) -> Result<u64> {
        let Some(objects) = &self.objects else { return Ok(0) };
        let now = self.clock.now_ms();
        let (mut removed, mut failed) = (0, 0);
        let mut old = self.store.unfinished_uploads(now).await?;
        while let Some(upload) = old.try_next().await? {
            match self.abort_one(objects, &upload).await {
                Ok(()) => removed += 1,
                Err(error) if failed < MOST_FAILURES => {
                    tracing::warn!(key = upload.key, %error, "cron.upload_not_aborted");
                    failed += 1;
                }
                Err(error) => return Err(error),
            }
            if stop.is_cancelled() {
                break;
            }
        }
        Ok(removed)
    }

    async fn abort_one(&self, objects: &Objects, upload: &Upload) -> Result<()> {
        if !upload.is_form() {
            objects.abort_upload(&upload.key, &upload.id).await?;
        } else if !self.store.has_name(&upload.key).await? {
            objects.delete(&upload.key).await?;
        }
        Ok(self.store.forget_upload(&upload.id).await?)
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
