//! How the services answer about accounts, notifications, files and hooks.

use super::*;

impl Cluster {
    pub(super) fn of_accounts(&mut self, method: &str, payload: Bytes) -> Result<Bytes> {
        match method {
            UnregisterUserReq::METHOD => {
                for user in read::<UnregisterUserReq>(payload).user_ids {
                    self.users.remove(&user).unwrap();
                    self.erased.push(user);
                }
                told(&UnregisterUserResp::default())
            }
            PageFindDisableUsersReq::METHOD => {
                let PageFindDisableUsersReq { status, pagination, .. } = read(payload);
                let of = |user_id: &String| DisabledUser {
                    user_id: user_id.clone(),
                    status,
                    ..Default::default()
                };
                let all: Vec<DisabledUser> = match status {
                    1 => {
                        self.users.iter().filter(|(_, listed)| listed.banned).map(|(id, _)| of(id)).collect()
                    }
                    _ => self.erased.iter().map(of).collect(),
                };
                let (page, total) = (pagination.unwrap(), all.len() as i64);
                let (rows, skipped) = (page.show_number as usize, (page.page_number - 1) as usize);
                let users = all.into_iter().skip(skipped * rows).take(rows).collect();
                told(&PageFindDisableUsersResp { users, total })
            }
            SearchNotificationAccountReq::METHOD => {
                let keyword = read::<SearchNotificationAccountReq>(payload).keyword;
                let users = self.users.values().filter_map(|listed| listed.user.as_ref());
                let found =
                    users.filter(|user| user.app_manger_level >= 3 && user.nickname.contains(&keyword));
                let account = |user: &UserInfo| NotificationAccountInfo {
                    user_id: user.user_id.clone(),
                    nick_name: user.nickname.clone(),
                    app_manger_level: user.app_manger_level,
                    ..Default::default()
                };
                let notification_accounts: Vec<_> = found.map(account).collect();
                let total = notification_accounts.len() as i64;
                told(&SearchNotificationAccountResp { total, notification_accounts })
            }
            _ => {
                let AddNotificationAccountReq { user_id, nick_name, face_url, app_manger_level } =
                    read(payload);
                let user = UserInfo {
                    user_id: user_id.clone(),
                    nickname: nick_name,
                    face_url,
                    app_manger_level,
                    ..Default::default()
                };
                self.users.insert(user_id.clone(), ListedUser { user: Some(user), banned: false });
                told(&AddNotificationAccountResp { user_id, ..Default::default() })
            }
        }
    }

    pub(super) fn of_storage(&mut self, method: &str, payload: Bytes) -> Result<Bytes> {
        match method {
            ListObjectsReq::METHOD => {
                let ListObjectsReq { user_id, after_name, limit } = read(payload);
                let found = self.files.iter().filter(|(name, user)| **user == user_id && **name > after_name);
                let listed =
                    |name: &String| ListedObject { name: name.clone(), size: 7, ..Default::default() };
                let objects = found.take(limit as usize).map(|(name, _)| listed(name)).collect();
                told(&ListObjectsResp { objects, bytes_today: 5_000, max_bytes_per_day: 1_000_000 })
            }
            DeleteObjectReq::METHOD => {
                let gone = self.files.remove(&read::<DeleteObjectReq>(payload).name);
                gone.ok_or_else(|| ErrorCode::RecordNotFound.with("no object"))?;
                told(&DeleteObjectResp::default())
            }
            ListHooksReq::METHOD => {
                let ListHooksReq { after_id, limit } = read(payload);
                let listed =
                    |id: &String| ListedHook { id: id.clone(), since_time: NOW, ..Default::default() };
                let found = self.hooks.iter().filter(|id| **id > after_id).take(limit as usize);
                told(&ListHooksResp { hooks: found.map(listed).collect() })
            }
            _ => {
                self.replayed.extend(read::<ReplayHooksReq>(payload).ids);
                Ok(Bytes::new())
            }
        }
    }

    /// One of the same sender, receiver and id is stored once.
    pub(super) fn send(&mut self, message: MsgData) -> Result<Bytes> {
        assert_eq!((message.content_type, message.session_type), (1400, 4));
        let MsgData { recv_id, client_msg_id, .. } = message;
        if !self.away_from.is_empty() && recv_id >= self.away_from {
            return Err(protocol::Error::unreachable("no answer"));
        }
        if self.refused.contains(&recv_id) {
            return Err(protocol::Error::args("blocked"));
        }
        self.notified.insert((recv_id, client_msg_id));
        told(&SendMsgResp::default())
    }
}
