//! Who receives a message.

use std::sync::Arc;

use model::options;
use protocol::{
    Result,
    content_type::{self as kind, session},
    sdkws::{MemberKickedTips, MemberQuitTips, MsgData, NotificationElem},
};

use crate::Push;

/// A group's members at one version.
#[derive(Clone)]
pub(crate) struct Members {
    version: u64,
    users: Arc<Vec<String>>,
}

impl Push {
    pub(crate) async fn receivers(&self, message: &MsgData) -> Result<Vec<String>> {
        let sender_sync = options::is_set(&message.options, options::SENDER_SYNC);
        if message.session_type != session::GROUP {
            let mut users = vec![message.recv_id.clone()];
            if sender_sync && message.send_id != message.recv_id {
                users.push(message.send_id.clone());
            }
            return Ok(users);
        }
        let mut users = self.members(&message.group_id).await?.to_vec();
        users.extend(
            just_removed(message).into_iter().filter(|user| !users.contains(user)).collect::<Vec<_>>(),
        );
        if !sender_sync {
            users.retain(|user| *user != message.send_id);
        }
        Ok(users)
    }

    /// The members now: cached by version, and the version is asked for every time.
    async fn members(&self, group: &str) -> Result<Arc<Vec<String>>> {
        let version = self.store.member_version(group).await?.number();
        if let Some(members) = self.members.get(group).await
            && members.version == version
        {
            return Ok(members.users);
        }
        let users = Arc::new(self.store.member_ids(group).await?);
        self.members.insert(group.to_owned(), Members { version, users: users.clone() }).await;
        Ok(users)
    }
}

/// Those who left with this very message must hear of it too.
fn just_removed(message: &MsgData) -> Vec<String> {
    let Ok(content) = serde_json::from_slice::<NotificationElem>(&message.content) else { return vec![] };
    match message.content_type {
        kind::MEMBER_QUIT => serde_json::from_str::<MemberQuitTips>(&content.detail)
            .ok()
            .and_then(|tips| tips.quit_user)
            .map(|user| vec![user.user_id])
            .unwrap_or_default(),
        kind::MEMBER_KICKED => serde_json::from_str::<MemberKickedTips>(&content.detail)
            .map(|tips| tips.kicked_user_list.into_iter().map(|user| user.user_id).collect())
            .unwrap_or_default(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use protocol::{go_json, sdkws::GroupMemberFullInfo};

    use super::*;

    #[test]
    fn the_kicked_hear_that_they_are() {
        let kicked = GroupMemberFullInfo { user_id: "u9".into(), ..Default::default() };
        let tips = MemberKickedTips { kicked_user_list: vec![kicked], ..Default::default() };
        let content = go_json::to_text(&NotificationElem { detail: go_json::to_text(&tips) });
        let mut message =
            MsgData { content: content.into(), content_type: kind::MEMBER_KICKED, ..Default::default() };
        assert_eq!(just_removed(&message), ["u9"]);
        message.content_type = 101;
        assert!(just_removed(&message).is_empty());
    }
}
