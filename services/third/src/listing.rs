//! Lists for administrators: the files of a user, and *after* hooks that were set aside. Both continue behind a key.

use futures::TryStreamExt;
use protocol::{
    Error, ErrorCode, Result, bounds, check,
    extension::{
        DeleteObjectReq, DeleteObjectResp, ListHooksReq, ListHooksResp, ListObjectsReq, ListObjectsResp,
        ListedHook, ListedObject, ReplayHooksReq, ReplayHooksResp,
    },
};
use rpc::Context;
use store::{
    jobs::{Job, Jobs},
    millis,
    objects::Object,
};
use webhooks::Kept;

use crate::Third;

fn limit(given: i32) -> Result<i64> {
    if (1..=bounds::LISTED).contains(&given) {
        return Ok(given.into());
    }
    Err(Error::args(format!("limit must be between 1 and {}", bounds::LISTED)))
}

impl Third {
    pub(crate) async fn list_objects(
        &self,
        context: &Context,
        request: ListObjectsReq,
    ) -> Result<ListObjectsResp> {
        context.require_admin()?;
        let ListObjectsReq { user_id: user, after_name, limit: most } = &request;
        check::non_empty("userID", user)?;
        check::at_most("userID", user, check::MAX_ID_BYTES)?;
        check::at_most("afterName", after_name, bounds::NAME_BYTES)?;
        let rows = self.store.objects_of(user, after_name, limit(*most)?).await?;
        Ok(ListObjectsResp {
            objects: rows.into_iter().map(listed).collect(),
            bytes_today: self.store.uploaded(user, self.clock.now_ms()).await?,
            max_bytes_per_day: self.limits.max_bytes_per_day,
        })
    }

    /// The content goes before its last name, so that a death between the two leaves something to find it by.
    pub(crate) async fn delete_object(
        &self,
        context: &Context,
        request: DeleteObjectReq,
    ) -> Result<DeleteObjectResp> {
        context.require_admin()?;
        check::non_empty("name", &request.name)?;
        let row = self.store.object(&request.name).await?;
        let row = row.ok_or_else(|| ErrorCode::RecordNotFound.with(format!("no object {}", request.name)))?;
        let is_shared = self.store.has_other_name(&row.key, &row.name).await?;
        if !is_shared {
            self.bucket()?.delete(&row.key).await?;
        }
        self.store.forget_object(&row.name, &row.key).await?;
        tracing::info!(target: "audit", by = context.user_id(), object = row.name, user = row.user_id, "object.deleted");
        Ok(DeleteObjectResp { is_shared })
    }

    pub(crate) async fn list_hooks(&self, context: &Context, request: ListHooksReq) -> Result<ListHooksResp> {
        context.require_admin()?;
        check::at_most("afterID", &request.after_id, bounds::NAME_BYTES)?;
        let jobs = self.store.jobs_after(Kept::KIND, &request.after_id, limit(request.limit)?).await?;
        let jobs: Vec<ListedHook> = jobs.map_ok(waiting).try_collect().await?;
        Ok(ListHooksResp { hooks: jobs })
    }

    /// They are anybody's from now on: push looks for such every few seconds.
    pub(crate) async fn replay_hooks(
        &self,
        context: &Context,
        request: ReplayHooksReq,
    ) -> Result<ReplayHooksResp> {
        context.require_admin()?;
        let ids = &request.ids;
        let is_hook =
            |id: &String| id.starts_with(&format!("{}/", Kept::KIND)) && id.len() <= bounds::NAME_BYTES;
        if !(1..=bounds::LISTED as usize).contains(&ids.len()) || !ids.iter().all(is_hook) {
            return Err(Error::args(format!("ids must be between 1 and {} ids of the list", bounds::LISTED)));
        }
        self.store.hold(ids, self.clock.now_ms()).await?;
        tracing::info!(target: "audit", by = context.user_id(), count = ids.len(), "webhook.replayed");
        Ok(ReplayHooksResp {})
    }
}

fn listed(row: Object) -> ListedObject {
    ListedObject {
        size: row.size,
        create_time: millis(row.create_time),
        name: row.name,
        content_type: row.content_type,
        group: row.group,
    }
}

/// Not its body: that is for the receiver.
fn waiting(job: Job) -> ListedHook {
    let record = Kept::read(&job.payload);
    let body = record.as_ref().map_or(0, |record| record.body().len());
    ListedHook {
        hook: record.map(|record| record.hook().to_owned()).unwrap_or_default(),
        id: job.id,
        since_time: job.made_ms,
        next_time: job.free_ms,
        bytes: i64::try_from(body).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_bound() {
        assert!(limit(1).is_ok() && limit(bounds::LISTED).is_ok());
        assert!([0, -1, bounds::LISTED + 1].into_iter().all(|most| limit(most).is_err()));
    }

    #[test]
    fn a_record_that_cannot_be_read_is_listed_by_its_id() {
        let job = |payload: &[u8]| Job {
            id: "hook/afterX/1".into(),
            kind: "hook".into(),
            payload: payload.to_vec(),
            free_ms: 9,
            made_ms: 5,
        };
        let known = waiting(job(
            br#"{"hook":"afterSendGroupMsg","operation_id":"o","query":"","body":"{}","since":5,"key":"k"}"#,
        ));
        assert_eq!(
            (known.hook.as_str(), known.bytes, known.since_time, known.next_time),
            ("afterSendGroupMsg", 2, 5, 9)
        );
        let unknown = waiting(job(b"rubbish"));
        assert_eq!((unknown.hook.as_str(), unknown.id.as_str()), ("", "hook/afterX/1"));
    }
}
