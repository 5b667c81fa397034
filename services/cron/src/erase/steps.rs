//! The steps of an erasure, by stage. Each is limited and idempotent.

use std::ops::RangeInclusive;

use bson::doc;
use futures::{TryStreamExt, future::join_all};
use model::platform::Platform;
use notification::To;
use prost::Message;
use protocol::{
    Error, Result,
    auth::ForceLogoutReq,
    content_type::FRIEND_DELETED,
    group::{DismissGroupReq, QuitGroupReq, TransferGroupOwnerReq},
    sdkws::{FriendDeletedTips, FromToUserId, MsgData},
};
use rpc::Context;
use store::{
    erasures::{Erasure, Stage, Step},
    groups::{DISMISSED, Member, role},
    user_data::{Telling, own_rows},
};
use webhooks::Kept;

use super::{hooks, scrub::scrubbed};
use crate::Cron;

/// Friends, files and conversations of a step.
const FEW: i64 = 100;
/// Messages that are blanked at once.
const MESSAGES: i64 = 500;
/// Seqs that are looked through at once.
const SEQS: i64 = 2000;
/// How the cursor begins among hooks that wait; the job of the last one follows.
const HOOKS: &str = "hooks\0";
/// contentTypes that hold copies of messages: forwarded ones and quotes.
const COPIES: [i32; 2] = [107, 114];
/// contentTypes of notifications that name users.
const NOTIFICATIONS: std::ops::Range<i32> = 1200..1600;

/// The conversations of the user whose job is held; looked up once.
#[derive(Default)]
pub(super) struct Conversations(Option<Vec<String>>);

/// The conversations from a place on, and how far the first of them is done. A place is a conversation that is done, or one and how far.
fn rest<'a>(all: &'a [String], cursor: &'a str) -> (&'a [String], Option<&'a str>) {
    let (conversation, within) = match cursor.split_once('\0') {
        Some((conversation, within)) => (conversation, Some(within)),
        None => (cursor, None),
    };
    let is_done = |id: &String| match within {
        Some(_) => id.as_str() < conversation,
        None => !cursor.is_empty() && id.as_str() <= conversation,
    };
    let left = &all[all.partition_point(is_done)..];
    (left, within.filter(|_| left.first().is_some_and(|id| id == conversation)))
}

fn system(job: &Erasure) -> Context {
    Context::system(format!("{}-erase", job.operation_id))
}

impl Cron {
    pub(super) async fn step(&self, job: &Erasure, conversations: &mut Conversations) -> Result<Step> {
        match job.stage {
            Stage::Doors => self.close_doors(job).await,
            Stage::Groups => self.leave_a_group(job).await,
            Stage::Friends => self.leave_friends(job).await,
            Stage::Messages => {
                let all = self.conversations(job, conversations).await?;
                self.blank(job, all).await
            }
            Stage::Traces => {
                let all = self.conversations(job, conversations).await?;
                self.remove_traces(job, all).await
            }
            Stage::Windows => {
                let all = self.conversations(job, conversations).await?;
                self.forget_windows(job, all).await
            }
            Stage::Rows => self.remove_rows(job).await,
            Stage::Files => self.remove_files(job).await,
        }
    }

    async fn conversations<'c>(&self, job: &Erasure, known: &'c mut Conversations) -> Result<&'c [String]> {
        if known.0.is_none() {
            known.0 = Some(self.store.conversations_ever(&job.user_id).await?);
        }
        Ok(known.0.as_deref().unwrap_or_default())
    }

    /// Without a profile a user can neither log in, send nor receive. Then existing sessions are closed.
    async fn close_doors(&self, job: &Erasure) -> Result<Step> {
        let user = &job.user_id;
        self.store.remove_user(user).await?;
        let context = system(job);
        let told = join_all(Platform::NUMBERS.map(async |platform_id| {
            let request = ForceLogoutReq { user_id: user.clone(), platform_id };
            self.peers.call(&context, &request).await
        }));
        told.await.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Step { erased: vec![], cursor: None })
    }

    /// Leaves one group; one that cannot be left keeps the others from nothing.
    async fn leave_a_group(&self, job: &Erasure) -> Result<Step> {
        let user = &job.user_id;
        let mut memberships = self.store.memberships(user).await?;
        memberships.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        let Some(member) = memberships.into_iter().find(|member| member.group_id > job.cursor) else {
            return Ok(Step::last("groups", 0));
        };
        let left = match self.leave(job, &member).await {
            Ok(()) => 1,
            Err(error) => {
                tracing::warn!(user, group = member.group_id, %error, "erase.group_not_left: retrying in the next pass");
                0
            }
        };
        Ok(Step { erased: vec![("groups", left)], cursor: Some(member.group_id) })
    }

    async fn leave(&self, job: &Erasure, member: &Member) -> Result<()> {
        let (user, group_id) = (&job.user_id, member.group_id.clone());
        let context = system(job);
        let Some(group) = self.store.group(&group_id).await? else {
            return Ok(self.store.remove_members(&group_id, std::slice::from_ref(user)).await?);
        };
        // The notification contains only the id of the leaving user.
        let nameless = doc! { "nickname": "", "face_url": "", "ex": "" };
        self.store.update_member(&group_id, user, &nameless).await?;
        if member.role_level == role::OWNER {
            match self.successor(&group_id, user).await? {
                Some(successor) if group.status != DISMISSED => {
                    let request = TransferGroupOwnerReq {
                        group_id: group_id.clone(),
                        old_owner_user_id: user.clone(),
                        new_owner_user_id: successor,
                    };
                    self.peers.call(&context, &request).await?;
                }
                _ => return self.dismiss(&context, group_id, group.status == DISMISSED).await,
            }
        }
        let request = QuitGroupReq { group_id, user_id: user.clone() };
        self.peers.call(&context, &request).await?;
        Ok(())
    }

    /// Nobody is left who could own it.
    async fn dismiss(&self, context: &Context, group_id: String, is_dismissed: bool) -> Result<()> {
        let request = DismissGroupReq { group_id, ..Default::default() };
        if !is_dismissed {
            self.peers.call(context, &request).await?;
        }
        let request = DismissGroupReq { delete_member: true, ..request };
        self.peers.call(context, &request).await?;
        Ok(())
    }

    /// Who owns a group after its owner: the administrator who has been there longest, else the member who has.
    async fn successor(&self, group: &str, owner: &str) -> Result<Option<String>> {
        for roles in [[role::ADMIN], [role::ORDINARY]] {
            let found = self.store.first_member_by_role(group, &roles).await?;
            if let Some(member) = found.filter(|member| member.user_id != owner) {
                return Ok(Some(member.user_id));
            }
        }
        Ok(None)
    }

    /// Friends are notified as for a removal.
    async fn leave_friends(&self, job: &Erasure) -> Result<Step> {
        let user = &job.user_id;
        let owners = self.store.some_owners_of_friend(user, FEW).await?;
        for owner in &owners {
            let Some(version) = self.store.delete_friend(owner, user).await? else { continue };
            let tips = FriendDeletedTips {
                from_to_user_id: Some(FromToUserId { from_user_id: owner.clone(), to_user_id: user.clone() }),
                friend_version: version.number(),
                friend_version_id: version.id(),
            };
            notification::tell(&self.peers, &system(job), owner, To::User(owner), FRIEND_DELETED, &tips)
                .await;
        }
        let count = owners.len() as u64;
        let more = count == FEW as u64;
        Ok(Step { erased: vec![("friends", count)], cursor: more.then(|| "more".to_owned()) })
    }

    async fn blank(&self, job: &Erasure, all: &[String]) -> Result<Step> {
        let user = &job.user_id;
        let (left, mut within) = rest(all, &job.cursor);
        let (mut blanked, mut cursor) = (0, None);
        for (looked, id) in left.iter().enumerate() {
            if blanked >= MESSAGES as u64 || looked as i64 >= FEW {
                return Ok(Step { erased: vec![("messages", blanked)], cursor });
            }
            let after = within.take().map(|within| format!("{id}\0{within}"));
            let (count, last) = self.store.blank_messages_of(user, id, after.as_deref(), MESSAGES).await?;
            blanked += count;
            if last.is_some() {
                // The key begins with the conversation.
                return Ok(Step { erased: vec![("messages", blanked)], cursor: last });
            }
            cursor = Some(id.clone());
        }
        Ok(Step::last("messages", blanked))
    }

    async fn remove_traces(&self, job: &Erasure, all: &[String]) -> Result<Step> {
        let (left, within) = rest(all, &job.cursor);
        let Some(id) = left.first() else { return Ok(Step::last("marks", 0)) };
        let seqs = self.store.conversation_seqs(std::slice::from_ref(id)).await?;
        let (first, last) = seqs.get(id).map_or((1, 0), |seqs| (seqs.min.max(1), seqs.last()));
        let from = within.and_then(|seq| seq.parse().ok()).unwrap_or(1).max(first);
        let to = last.min(from + SEQS - 1);
        let (mut marks, mut copies) = (0, 0);
        if from <= to {
            marks = self.store.remove_marks(&job.user_id, id, &(from..=to)).await?;
            copies = self.scrub(&job.user_id, id, &(from..=to)).await?;
        }
        let cursor = if to < last { format!("{id}\0{}", to + 1) } else { id.clone() };
        Ok(Step { erased: vec![("marks", marks), ("copies", copies)], cursor: Some(cursor) })
    }

    async fn scrub(&self, user: &str, conversation: &str, seqs: &RangeInclusive<i64>) -> Result<u64> {
        let mut telling = self.store.telling_messages(conversation, seqs, &COPIES, NOTIFICATIONS).await?;
        let mut count = 0;
        while let Some(found) = telling.try_next().await? {
            if let Some(kept) = without(&found, user)?
                && self.store.replace_telling(&found, kept.message, kept.edited).await?
            {
                count += 1;
            }
        }
        Ok(count)
    }

    async fn forget_windows(&self, job: &Erasure, all: &[String]) -> Result<Step> {
        let (left, _) = rest(all, &job.cursor);
        let few = &left[..left.len().min(FEW as usize)];
        let Some(last) = few.last() else { return Ok(Step::last("readPositions", 0)) };
        let count = self.store.forget_windows(&job.user_id, few).await?;
        Ok(Step { erased: vec![("readPositions", count)], cursor: Some(last.clone()) })
    }

    /// A thousand rows of one kind; the cursor is the kind. After all kinds, hooks that wait: a version that does not know them starts again.
    async fn remove_rows(&self, job: &Erasure) -> Result<Step> {
        if let Some(after) = job.cursor.strip_prefix(HOOKS) {
            return self.scrub_hooks(&job.user_id, after).await;
        }
        let kinds = own_rows(&job.user_id);
        let at = kinds.iter().position(|own| own.kind == job.cursor).unwrap_or(0);
        let count = self.store.remove_own(&kinds[at]).await?;
        let next = if count > 0 { kinds.get(at) } else { kinds.get(at + 1) };
        let cursor = next.map_or(HOOKS, |own| own.kind).to_owned();
        Ok(Step { erased: vec![(kinds[at].kind, count)], cursor: Some(cursor) })
    }

    /// Of the jobs, hooks alone hold what users said; the others have ids at most.
    async fn scrub_hooks(&self, user: &str, after: &str) -> Result<Step> {
        let mut jobs = self.store.jobs_after(Kept::KIND, after, FEW).await?;
        let (mut looked, mut scrubbed, mut last) = (0, 0, None);
        while let Some(job) = jobs.try_next().await? {
            looked += 1;
            let kept = Kept::read(&job.payload);
            let payload =
                kept.and_then(|kept| hooks::without(kept.body(), user).and_then(|body| kept.with_body(body)));
            if let Some(payload) = payload
                && self.store.replace_payload(&job, payload).await?
            {
                scrubbed += 1;
            }
            last = Some(job.id);
        }
        let cursor = last.filter(|_| looked == FEW).map(|last| format!("{HOOKS}{last}"));
        Ok(Step { erased: vec![("hooks", scrubbed)], cursor })
    }

    /// The content goes before its last name, so that a death between the two leaves something to find it by. Content that others have
    /// names for stays for them.
    async fn remove_files(&self, job: &Erasure) -> Result<Step> {
        let found = self.store.objects_of(&job.user_id, &job.cursor, FEW).await?;
        let (mut names, mut contents) = (0, 0);
        for row in &found {
            if !self.store.has_other_name(&row.key, &row.name).await?
                && let Some(objects) = &self.objects
            {
                objects.delete(&row.key).await?;
                contents += 1;
            }
            self.store.forget_object(&row.name, &row.key).await?;
            names += 1;
        }
        let cursor = found.last().map(|row| row.name.clone());
        Ok(Step { erased: vec![("files", names), ("fileContents", contents)], cursor })
    }

    /// Whether the last pass left nothing. Then also the lists by which conversations were found go.
    pub(super) async fn nothing_is_left(&self, user: &str) -> Result<bool> {
        if !self.store.memberships(user).await?.is_empty() || self.store.user(user).await?.is_some() {
            return Ok(false);
        }
        self.store.forget_lists(user).await?;
        Ok(true)
    }
}

/// What is kept of a message that told of a user.
struct Scrubbed {
    /// The encoded MsgData.
    message: Vec<u8>,
    /// The content that replaced what was sent, where that told of the user.
    edited: Option<Vec<u8>>,
}

/// A message and its edit without the data of `user`; `None` if they contain none.
fn without(found: &Telling, user: &str) -> Result<Option<Scrubbed>> {
    if found.encoded().is_empty() {
        return Ok(None);
    }
    let mut message = MsgData::decode(found.encoded())
        .map_err(|error| Error::internal(format!("a message does not decode: {error}")))?;
    let content = scrubbed(&message.content, user);
    let edited = found.edited().and_then(|edited| scrubbed(edited, user));
    if content.is_none() && edited.is_none() {
        return Ok(None);
    }
    if let Some(content) = content {
        message.content = content.into();
    }
    Ok(Some(Scrubbed { message: message.encode_to_vec(), edited }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_list_goes_on_after_what_is_done_and_within_what_is_not() {
        let all = ids(&["n_a_b", "sg_1", "si_a_b"]);
        assert_eq!(rest(&all, ""), (&all[..], None));
        assert_eq!(rest(&all, "sg_1"), (&all[2..], None));
        assert_eq!(rest(&all, "sg_1\0a\0c1"), (&all[1..], Some("a\0c1")));
        assert_eq!(rest(&all, "sg_0\x00100"), (&all[1..], None), "what was in the middle of is gone");
        assert_eq!(rest(&all, "si_a_b"), (&all[3..], None));
    }

    proptest! {
        #[test]
        fn every_conversation_is_met_once(names in prop::collection::btree_set("[a-c]{1,3}", 0..20)) {
            let all: Vec<String> = names.into_iter().collect();
            let (mut met, mut cursor) = (vec![], String::new());
            while let Some(id) = rest(&all, &cursor).0.first().cloned() {
                let within = format!("{id}\x005");
                prop_assert_eq!(rest(&all, &within).0.first(), Some(&id));
                prop_assert_eq!(rest(&all, &within).1, Some("5"));
                met.push(id.clone());
                cursor = id;
            }
            prop_assert_eq!(met, all);
        }
    }
}
