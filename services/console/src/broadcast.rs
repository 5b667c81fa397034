//! A notification for all users, sent in the background of the instance that was asked: by key, a page of users after the other, bounded at
//! every step. Each receiver's message has the broadcast's id, so that whoever has it already gets it no second time: after a crash the same
//! broadcast is begun again behind the last user whom the audit log names.

use futures::StreamExt;
use parking_lot::Mutex;
use protocol::{Error, Result, extension::ListedUser, sdkws::MsgData};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{audit, http::Visit, texts::Text};

/// Users of a page, all of whom have been tried when the next one is read.
const PAGE: i32 = 100;
/// Messages on their way at a time.
const AT_ONCE: usize = 16;
/// Pages between two lines of the audit log.
const PAGES_A_LINE: u64 = 50;
/// appMangerLevel of the lowest system account: nobody reads there.
const SYSTEM: i32 = 3;

/// How a broadcast is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Sending,
    Sent,
    Stopped,
    /// The services did not answer.
    Failed,
}

impl State {
    pub(crate) fn text(self) -> Text {
        match self {
            Self::Sending => Text::BroadcastSending,
            Self::Sent => Text::BroadcastSent,
            Self::Stopped => Text::BroadcastStopped,
            Self::Failed => Text::BroadcastFailed,
        }
    }

    /// As the audit log has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// How far a broadcast is.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) state: State,
    pub(crate) sent: u64,
    /// Receivers whose message was refused.
    pub(crate) failed: u64,
    /// The last user who was tried.
    pub(crate) after: String,
}

/// The last broadcast of this instance, and what ends it.
#[derive(Default)]
pub(crate) struct Broadcasts(Mutex<Option<(Progress, CancellationToken)>>);

impl Broadcasts {
    pub(crate) fn last(&self) -> Option<Progress> {
        self.0.lock().as_ref().map(|(progress, _)| progress.clone())
    }

    /// One at a time.
    fn begin(&self, progress: Progress, stop: CancellationToken) -> Result<()> {
        let mut last = self.0.lock();
        if let Some((running, _)) = last.as_ref().filter(|(last, _)| last.state == State::Sending) {
            let problem = format!("broadcast {} is being sent; wait for its end, or stop it", running.id);
            return Err(Error::args(problem));
        }
        *last = Some((progress, stop));
        Ok(())
    }

    fn note(&self, progress: &Progress) {
        if let Some((last, _)) = self.0.lock().as_mut() {
            last.clone_from(progress);
        }
    }

    /// Ends the one that is being sent, after its page.
    ///
    /// # Errors
    /// `Args` when none with this id is.
    pub(crate) fn stop(&self, id: &str) -> Result<()> {
        match self.0.lock().as_ref() {
            Some((last, stop)) if last.id == id && last.state == State::Sending => {
                stop.cancel();
                Ok(())
            }
            _ => Err(Error::args(format!("this instance does not send broadcast {id}"))),
        }
    }
}

/// Begins to send a message to all users behind one.
///
/// # Errors
/// When another one is being sent.
pub(crate) fn begin(visit: &Visit, message: MsgData, after: &str) -> Result<()> {
    let app = visit.app();
    let stop = app.stopping.child_token();
    let progress = Progress {
        id: message.client_msg_id.clone(),
        account: message.send_id.clone(),
        state: State::Sending,
        sent: 0,
        failed: 0,
        after: after.to_owned(),
    };
    app.broadcasts.begin(progress.clone(), stop.clone())?;
    app.requests.spawn(send(visit.clone(), message, progress, stop).in_current_span());
    Ok(())
}

/// Page after page. A death on any line loses the progress, not the audit log's: at most so many pages are retried, and nobody gets
/// the message twice.
async fn send(visit: Visit, message: MsgData, mut progress: Progress, stop: CancellationToken) {
    let app = visit.app();
    for page in 1_u64.. {
        progress.state = match send_page(&visit, &message, &mut progress).await {
            Ok(true) => State::Sent,
            Ok(false) if stop.is_cancelled() => State::Stopped,
            Ok(false) => State::Sending,
            Err(error) => {
                tracing::warn!(broadcast = progress.id, %error, "console.broadcast_failed");
                State::Failed
            }
        };
        app.broadcasts.note(&progress);
        if progress.state != State::Sending || page % PAGES_A_LINE == 0 {
            audit::broadcast(&visit, &progress);
        }
        if progress.state != State::Sending {
            return;
        }
    }
}

/// Sends to the next users; whether they were the last.
///
/// # Errors
/// When users cannot be listed, or the services do not answer: then whoever continues begins with this page.
async fn send_page(visit: &Visit, message: &MsgData, progress: &mut Progress) -> Result<bool> {
    let users = visit.app().im.users(&visit.context, "", &progress.after, PAGE).await?;
    let is_last = users.len() < PAGE as usize;
    let last = users.iter().rev().find_map(id_of).map(str::to_owned);
    let receivers: Vec<String> =
        users.iter().filter(|user| reads(user)).filter_map(id_of).map(str::to_owned).collect();
    let (mut sent, mut failed) = (0, 0);
    for (user, outcome) in to_each(visit, message, receivers).await {
        match outcome {
            Ok(()) => sent += 1,
            Err(error) if error.unreachable => return Err(error),
            Err(error) => {
                tracing::warn!(broadcast = progress.id, user, %error, "console.not_sent");
                failed += 1;
            }
        }
    }
    progress.sent += sent;
    progress.failed += failed;
    if let Some(last) = last {
        progress.after = last;
    }
    Ok(is_last)
}

fn id_of(listed: &ListedUser) -> Option<&str> {
    listed.user.as_ref().map(|user| user.user_id.as_str())
}

/// Whether somebody reads what this user gets.
fn reads(listed: &ListedUser) -> bool {
    listed.user.as_ref().is_some_and(|user| user.app_manger_level < SYSTEM)
}

/// What became of the message of each receiver.
pub(crate) async fn to_each(
    visit: &Visit,
    message: &MsgData,
    receivers: Vec<String>,
) -> Vec<(String, Result<()>)> {
    let im = &visit.app().im;
    let each = futures::stream::iter(receivers);
    let sent = each.map(|user| async move {
        let outcome = im.send(&visit.context, MsgData { recv_id: user.clone(), ..message.clone() }).await;
        (user, outcome)
    });
    sent.buffer_unordered(AT_ONCE).collect().await
}
