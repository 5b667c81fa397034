//! `openim-server erase-user` and `export-user`: an administrator's duties to a user, which need only the database.

use std::{
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::{Context, bail};
use bson::Document;
use futures::TryStreamExt;
use jiff::Timestamp;
use prost::Message;
use protocol::sdkws::MsgData;
use serde_json::{Value, json};
use store::{erasures::Erasure, messages::StoredMessage, user_data};
use webhooks::Kept;

use crate::commands::open;

/// Names of files that are read at once.
const FILES: i64 = 500;

/// Begins to erase a user, or says how far that is. `cron` does the rest.
pub(crate) async fn erase(directory: &Path, user: &str) -> anyhow::Result<()> {
    let (store, config) = open(directory).await?;
    let ids = [user.to_owned()];
    let profile = store.user(user).await?;
    let job = store.erasures(&ids).await?.pop();
    user::may_erase(user, profile.as_ref(), config.is_admin(user), job.as_ref())
        .map_err(|error| anyhow::anyhow!("{}", error.detail))?;
    if profile.is_some() {
        let now = Timestamp::now().as_millisecond();
        let job = Erasure::new(user, "openim-server", &model::random_id(), now);
        store.begin_erasure(&job).await?;
        store.remove_user(user).await?;
    }
    let job = store.erasures(&ids).await?.pop().context("the job has been deleted: run this again")?;
    let report = json!({
        "userID": job.user_id, "state": job.state(), "begun": store::millis(job.begun), "ended": job.ended.map(store::millis),
        "erased": job.erased, "problem": job.problem, "remains": user::REMAINS,
    });
    println!("{report}");
    Ok(())
}

/// One line of an export.
fn line(kind: &str, mut row: Document, secret: &[&str]) -> Value {
    for field in secret {
        row.remove(field);
    }
    json!({ "kind": kind, "row": row })
}

/// A message as it was sent, with what became of it.
fn message_line(conversation: &str, stored: &StoredMessage) -> Value {
    let mut row = json!({ "conversationID": conversation, "seq": stored.seq(), "sendTime": stored.time() });
    match MsgData::decode(stored.encoded()) {
        Ok(message) if !stored.encoded().is_empty() => {
            row["contentType"] = message.content_type.into();
            row["recvID"] = message.recv_id.into();
            row["groupID"] = message.group_id.into();
            row["content"] = String::from_utf8_lossy(&message.content).into();
        }
        // Removed for everybody: there is nothing to export.
        _ => row["removed"] = true.into(),
    }
    if let Some(edit) = &stored.edit {
        row["editedContent"] = String::from_utf8_lossy(edit.content()).into();
    }
    if let Some(revoke) = &stored.revoke {
        row["revokedAt"] = revoke.time.into();
    }
    json!({ "kind": "messages", "row": row })
}

/// An after hook that waits to tell of what the user did; `None` when it tells of others.
fn hook_line(kept: &Kept, user: &str) -> Option<Value> {
    let is_own = cron::tells_what_user_did(kept.body(), user);
    is_own.then(|| json!({ "kind": "hooks", "row": { "hook": kept.hook(), "since": kept.since_ms(), "body": kept.body() } }))
}

/// Writes all there is of a user, a JSON object a line. Whatever the user has, a few documents are in memory.
pub(crate) async fn export(directory: &Path, user: &str) -> anyhow::Result<()> {
    let (store, _) = open(directory).await?;
    let Some(profile) = store.user(user).await? else { bail!("user {user} is not registered") };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut lines = 0_u64;
    let mut put = |line: Value| -> anyhow::Result<()> {
        lines += 1;
        writeln!(out, "{line}")?;
        Ok(())
    };
    put(line("profiles", bson::serialize_to_document(&profile)?, &[]))?;
    for own in user_data::own_rows(user) {
        let mut rows = store.find_own(&own).await?;
        while let Some(row) = rows.try_next().await? {
            put(line(own.kind, row, own.secret))?;
        }
    }
    for member in store.memberships(user).await? {
        put(line("groups", bson::serialize_to_document(&member)?, &[]))?;
    }
    let mut after = String::new();
    loop {
        let files = store.objects_of(user, &after, FILES).await?;
        let Some(last) = files.last() else { break };
        after.clone_from(&last.name);
        for file in &files {
            put(line("files", bson::serialize_to_document(file)?, &["key"]))?;
        }
    }
    let mut jobs = store.jobs_after(Kept::KIND, "", 0).await?;
    while let Some(job) = jobs.try_next().await? {
        if let Some(line) = Kept::read(&job.payload).and_then(|kept| hook_line(&kept, user)) {
            put(line)?;
        }
    }
    for conversation in store.conversations_ever(user).await? {
        let mut messages = store.messages_of(user, &conversation).await?;
        while let Some(message) = messages.try_next().await? {
            put(message_line(&conversation, &message))?;
        }
        let mut reactions = store.reactions_by(user, &conversation).await?;
        while let Some((seq, row)) = reactions.try_next().await? {
            let reaction = row.get_str("e").unwrap_or_default();
            put(
                json!({ "kind": "reactions", "row": { "conversationID": conversation, "seq": seq, "reaction": reaction } }),
            )?;
        }
        if let Some(read) =
            store.user_seqs(user, std::slice::from_ref(&conversation)).await?.get(&conversation)
        {
            put(
                json!({ "kind": "readPositions", "row": { "conversationID": conversation, "read": read.read } }),
            )?;
        }
    }
    // Without this line somebody or something cut the file off.
    let end = json!({ "kind": "end", "row": { "userID": user, "lines": lines } });
    writeln!(out, "{end}")?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn what_lets_somebody_in_is_left_out() {
        let row = doc! { "_id": "digest", "user_id": "alice", "platform_id": 1 };
        let told = line("tokens", row, &["_id"]);
        assert_eq!(told, json!({ "kind": "tokens", "row": { "user_id": "alice", "platform_id": 1 } }));
    }
}
