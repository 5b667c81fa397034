//! Unregistering users permanently. The call logs the user out and leaves the rest to `cron`, which erases the data step by step.

use futures::future::join_all;
use model::platform::Platform;
use protocol::{
    Error, ErrorCode, Result,
    auth::ForceLogoutReq,
    check,
    extension::{Erasure, UnregisterUserReq, UnregisterUserResp},
};
use rpc::Context;
use store::{erasures, millis, users::User};

use crate::Users;

/// Most users in one call.
const MAX_USERS: usize = 100;
/// appMangerLevel of the lowest system account.
const SYSTEM_ACCOUNT: i32 = 3;

/// What erasing does not reach; said with every report.
pub const REMAINS: [&str; 5] = [
    "backups, until you delete them: a restore into this database erases the user again, a restore into another does not",
    "copies on other users' devices, and data sent to webhooks and push vendors",
    "Kafka's records and the services' logs, until their retention ends",
    "copies that others forwarded to conversations the user was never in, and files that others also uploaded",
    "the id in names of conversations, and as founder or operator of groups",
];

/// Why a user may not be erased. `job` is one that was begun before.
///
/// # Errors
/// `Args` or `UserNotFound`, with what to do.
pub fn may_erase(
    id: &str,
    user: Option<&User>,
    is_admin: bool,
    job: Option<&erasures::Erasure>,
) -> Result<()> {
    if is_admin {
        return Err(Error::args(format!(
            "userIDs: {id} is an administrator of this cluster; remove it from adminUserIDs first"
        )));
    }
    if user.is_some_and(|user| user.app_manger_level >= SYSTEM_ACCOUNT) {
        return Err(Error::args(format!("userIDs: {id} is a notification or robot account, not a person")));
    }
    if user.is_none() && job.is_none() {
        return Err(ErrorCode::UserNotFound.with(format!("user {id} is not registered")));
    }
    Ok(())
}

fn report(job: erasures::Erasure) -> Erasure {
    Erasure {
        state: job.state().to_owned(),
        begin_time: millis(job.begun),
        end_time: job.ended.map_or(0, millis),
        user_id: job.user_id,
        erased: job.erased,
        problem: job.problem,
    }
}

impl Users {
    pub(crate) async fn unregister(
        &self,
        context: &Context,
        request: UnregisterUserReq,
    ) -> Result<UnregisterUserResp> {
        context.require_admin()?;
        check::ids("userIDs", &request.user_ids, MAX_USERS)?;
        let users = self.store.users(&request.user_ids).await?;
        let jobs = self.store.erasures(&request.user_ids).await?;
        for id in &request.user_ids {
            let user = users.iter().find(|user| user.user_id == *id);
            let job = jobs.iter().find(|job| job.user_id == *id);
            may_erase(id, user, self.config.is_admin(id), job)?;
        }
        for user in &users {
            self.begin_to_erase(context, &user.user_id).await?;
        }
        let jobs = self.store.erasures(&request.user_ids).await?;
        Ok(UnregisterUserResp {
            users: jobs.into_iter().map(report).collect(),
            remains: REMAINS.map(str::to_owned).to_vec(),
        })
    }

    /// The job first: after a crash another process continues.
    async fn begin_to_erase(&self, context: &Context, user: &str) -> Result<()> {
        let (by, operation_id) = (context.user_id(), context.operation_id.as_str());
        let job = erasures::Erasure::new(user, by, operation_id, self.clock.now_ms());
        self.store.begin_erasure(&job).await?;
        tracing::info!(target: "audit", user, by, "user.erasure_begun");
        self.store.remove_user(user).await?;
        self.routes.facts_changed(&[format!("user:{user}")]).await;
        // Existing sessions are closed now; if that fails, the job does it.
        let system = context.as_system();
        let told = join_all(Platform::NUMBERS.map(async |platform_id| {
            let request = ForceLogoutReq { user_id: user.to_owned(), platform_id };
            self.peers.call(&system, &request).await
        }));
        // One that auth refuses, as an old one does for a platform that it does not know, keeps no other from being called.
        if let Some(Err(error)) = told.await.into_iter().find(Result::is_err) {
            tracing::warn!(user, %error, "user.not_logged_out: the erasure job will");
        }
        Ok(())
    }

    /// Ids of users being erased cannot be used yet.
    pub(crate) async fn check_not_being_erased(&self, ids: &[String]) -> Result<()> {
        match self.store.being_erased(ids).await? {
            None => Ok(()),
            Some(id) => Err(ErrorCode::Registered.with(format!(
                "user {id} is being erased; the id can be registered again when /user/unregister_user \
                 reports the state erased"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use store::DateTime;

    use super::*;

    fn user(level: i32) -> User {
        User {
            user_id: "alice".into(),
            nickname: "Alice".into(),
            face_url: String::new(),
            ex: String::new(),
            app_manger_level: level,
            global_recv_msg_opt: 0,
            status: 0,
            create_time: DateTime::from_millis(0),
        }
    }

    #[test]
    fn people_are_erased_and_what_runs_the_cluster_is_not() {
        let job = erasures::Erasure::new("alice", "root", "op", 0);
        assert!(may_erase("alice", Some(&user(0)), false, None).is_ok());
        assert!(may_erase("alice", None, false, Some(&job)).is_ok(), "asked again, it tells how far it is");
        let refused = |user: Option<&User>, admin| may_erase("alice", user, admin, None).unwrap_err();
        assert_eq!(refused(None, false).code, ErrorCode::UserNotFound);
        assert!(refused(Some(&user(2)), true).detail.contains("adminUserIDs"));
        assert!(refused(Some(&user(3)), false).detail.contains("account"));
    }

    #[test]
    fn a_report_says_how_far_it_is() {
        let mut job = erasures::Erasure::new("alice", "root", "op", 5);
        job.erased.insert("messages".into(), 3);
        let told = report(job.clone());
        assert_eq!((told.state.as_str(), told.begin_time, told.end_time), ("erasing", 5, 0));
        assert_eq!(told.erased["messages"], 3);
        job.ended = Some(DateTime::from_millis(9));
        assert_eq!((report(job.clone()).state.as_str(), report(job).end_time), ("erased", 9));
    }
}
