//! What has to be done in the other services although they, or this process, may go at any time: the end of somebody's sessions, and what
//! newcomers get. It is noted before it is begun, and whoever finds the note carries it on.

use std::{sync::Arc, time::Duration};

use store::{
    accounts::{Account, Attribute, DefaultFriend, DefaultGroup, SessionKind},
    jobs::Job,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{App, answer::Result};

/// How long whoever noted it is left alone with it.
const OWN_MS: i64 = 60_000;
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What is to be done for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    /// End all sessions, here and in the IM services.
    LogOut,
    /// Make the default friends, and bring him into the default groups.
    Welcome,
    /// Give the IM services the name and the portrait of the profile.
    Profile,
}

impl Later {
    const ALL: [Self; 3] = [Self::LogOut, Self::Welcome, Self::Profile];

    fn kind(self) -> &'static str {
        match self {
            Self::LogOut => "account-log-out",
            Self::Welcome => "account-welcome",
            Self::Profile => "account-profile",
        }
    }

    fn id(self, user: &str) -> String {
        format!("{}:{user}", self.kind())
    }
}

/// Looks for what others have left until `stop`.
pub(crate) async fn carry_on(app: Arc<App>, stop: CancellationToken) {
    loop {
        for what in Later::ALL {
            if let Err(error) = app.carry_on_all(what).await {
                tracing::warn!(?what, %error, "account.not_carried_on");
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

impl App {
    /// Notes what is about to be done.
    pub(crate) async fn note_down(&self, what: Later, user: &str) -> Result<()> {
        let now = self.clock.now_ms();
        let job = Job {
            id: what.id(user),
            kind: what.kind().to_owned(),
            payload: user.as_bytes().to_vec(),
            free_ms: now + OWN_MS,
            made_ms: now,
        };
        Ok(self.accounts.jobs().put(&[job]).await?)
    }

    /// Does it now; what fails is retried.
    pub(crate) async fn carry_out(
        &self,
        operation_id: &str,
        what: Later,
        user: &str,
    ) -> protocol::Result<()> {
        match what {
            Later::LogOut => self.log_out(operation_id, user).await?,
            Later::Welcome => self.welcome(operation_id, user).await?,
            Later::Profile => self.show_profile(operation_id, user).await?,
        }
        self.done(what, user).await
    }

    /// Nothing is left to do.
    pub(crate) async fn done(&self, what: Later, user: &str) -> protocol::Result<()> {
        self.accounts.jobs().done(&[what.id(user)]).await
    }

    async fn carry_on_all(&self, what: Later) -> protocol::Result<()> {
        let now = self.clock.now_ms();
        for job in self.accounts.jobs().free(what.kind(), now).await? {
            if !self.accounts.jobs().claim(&job, now + OWN_MS).await? {
                continue;
            }
            let user = String::from_utf8_lossy(&job.payload).into_owned();
            let operation_id = model::random_id();
            let span = tracing::error_span!("job", job = what.kind(), operation_id);
            let carried = self.carry_out(&operation_id, what, &user).instrument(span.clone());
            if let Err(error) = carried.await {
                span.in_scope(|| tracing::warn!(user, %error, "account.tried_in_vain"));
            }
        }
        Ok(())
    }

    /// Chat tokens first: with one he would get another IM token.
    async fn log_out(&self, operation_id: &str, user: &str) -> protocol::Result<()> {
        self.accounts.end_sessions(SessionKind::User, &[user.to_owned()]).await?;
        self.im.log_out(operation_id, user).await
    }

    async fn show_profile(&self, operation_id: &str, user: &str) -> protocol::Result<()> {
        let Some(profile) = self.accounts.one::<Attribute>(user).await? else { return Ok(()) };
        // A portrait that only the IM services know stays.
        let face = (!profile.face_url.is_empty()).then_some(profile.face_url);
        self.im.update(operation_id, user, Some(profile.nickname), face).await
    }

    async fn welcome(&self, operation_id: &str, user: &str) -> protocol::Result<()> {
        // The registration was not completed.
        if self.accounts.one::<Account>(user).await?.is_none() {
            return Ok(());
        }
        for friend in self.accounts.all::<DefaultFriend>(bson::doc! {}).await? {
            if friend.user_id != user {
                skip_refused("friend", self.im.make_friends(operation_id, user, &friend.user_id).await)?;
            }
        }
        for group in self.accounts.all::<DefaultGroup>(bson::doc! {}).await? {
            skip_refused("group", self.im.invite(operation_id, &group.group_id, user).await)?;
        }
        Ok(())
    }
}

/// A friend or group that is gone does not keep the others away; a service that is gone is asked again.
fn skip_refused(what: &'static str, outcome: protocol::Result<()>) -> protocol::Result<()> {
    match outcome {
        Err(error) if !error.unreachable && error.code != protocol::ErrorCode::Internal => {
            tracing::warn!(what, %error, "account.default_refused");
            Ok(())
        }
        outcome => outcome,
    }
}
