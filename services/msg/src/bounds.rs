//! Size limits of a message and its parts. Every accepted message must fit into every later record and call; otherwise it would
//! block everybody behind it.

use protocol::{
    Error, Result,
    bounds::{
        AT_USERS as MAX_NAMED, CLIENT_MSG_ID_BYTES as MAX_CLIENT_ID_BYTES,
        CONTENT_BYTES as MAX_CONTENT_BYTES, NAME_BYTES as MAX_NAME_BYTES, OPTION_BYTES as MAX_OPTION_BYTES,
        OPTIONS as MAX_OPTIONS, PUSH_BYTES as MAX_NOTE_BYTES, RECORD_BYTES as MAX_RECORD_BYTES,
        TEXT_BYTES as MAX_TEXT_BYTES,
    },
    check,
    sdkws::MsgData,
};

/// Refuses a message with a part that is too long.
pub(crate) fn check(message: &MsgData) -> Result<()> {
    if message.content.len() > MAX_CONTENT_BYTES {
        return Err(Error::args(format!("content has more than {MAX_CONTENT_BYTES} bytes")));
    }
    for (field, text, most) in [
        ("sendID", &message.send_id, check::MAX_ID_BYTES),
        ("recvID", &message.recv_id, check::MAX_ID_BYTES),
        ("groupID", &message.group_id, check::MAX_ID_BYTES),
        ("clientMsgID", &message.client_msg_id, MAX_CLIENT_ID_BYTES),
        ("senderNickname", &message.sender_nickname, MAX_NAME_BYTES),
        ("senderFaceURL", &message.sender_face_url, MAX_TEXT_BYTES),
        ("attachedInfo", &message.attached_info, MAX_TEXT_BYTES),
        ("ex", &message.ex, MAX_TEXT_BYTES),
    ] {
        check::at_most(field, text, most)?;
    }
    check_named(&message.at_user_id_list)?;
    if message.options.len() > MAX_OPTIONS {
        return Err(Error::args(format!("options has more than {MAX_OPTIONS} keys")));
    }
    for key in message.options.keys() {
        check::at_most("a key of options", key, MAX_OPTION_BYTES)?;
    }
    let Some(info) = &message.offline_push_info else { return Ok(()) };
    for (field, text, most) in [
        ("offlinePushInfo.title", &info.title, MAX_NAME_BYTES),
        ("offlinePushInfo.desc", &info.desc, MAX_NOTE_BYTES),
        ("offlinePushInfo.ex", &info.ex, MAX_NOTE_BYTES),
        ("offlinePushInfo.iOSPushSound", &info.ios_push_sound, MAX_NAME_BYTES),
        ("offlinePushInfo.signalInfo", &info.signal_info, MAX_NOTE_BYTES),
    ] {
        check::at_most(field, text, most)?;
    }
    Ok(())
}

fn check_named(users: &[String]) -> Result<()> {
    if users.len() > MAX_NAMED {
        return Err(Error::args(format!(
            "atUserIDList has {} items, at most {MAX_NAMED} are allowed; name everybody by AtAllTag",
            users.len()
        )));
    }
    users.iter().try_for_each(|user| check::at_most("an item of atUserIDList", user, check::MAX_ID_BYTES))
}

/// Refuses a message whose record would be too long, though each part is not.
pub(crate) fn check_record(bytes: usize) -> Result<()> {
    if bytes > MAX_RECORD_BYTES {
        return Err(Error::args(format!(
            "the message has {bytes} bytes, at most {MAX_RECORD_BYTES} are allowed; shorten content, ex or attachedInfo, or upload a file"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message;
    use protocol::{internal::PushRecord, push::PushMsgReq, sdkws::OfflinePushInfo};

    use super::*;

    /// The default of Kafka's brokers, with what a batch of one record adds.
    const BROKER: usize = 1_048_588 - 100;

    fn text(bytes: usize) -> String {
        "x".repeat(bytes)
    }

    fn info(change: impl FnOnce(&mut OfflinePushInfo)) -> MsgData {
        let mut info = OfflinePushInfo::default();
        change(&mut info);
        MsgData { offline_push_info: Some(info), ..Default::default() }
    }

    /// A field, its bound, and a message in which it has so many bytes or items.
    type Row = (&'static str, usize, fn(usize) -> MsgData);

    #[test]
    fn every_field_has_a_bound_and_the_error_names_both() {
        let rows: [Row; 17] = [
            ("content", 524_288, |n| MsgData { content: text(n).into(), ..Default::default() }),
            ("sendID", 64, |n| MsgData { send_id: text(n), ..Default::default() }),
            ("recvID", 64, |n| MsgData { recv_id: text(n), ..Default::default() }),
            ("groupID", 64, |n| MsgData { group_id: text(n), ..Default::default() }),
            ("clientMsgID", 128, |n| MsgData { client_msg_id: text(n), ..Default::default() }),
            ("senderNickname", 1024, |n| MsgData { sender_nickname: text(n), ..Default::default() }),
            ("senderFaceURL", 65_536, |n| MsgData { sender_face_url: text(n), ..Default::default() }),
            ("attachedInfo", 65_536, |n| MsgData { attached_info: text(n), ..Default::default() }),
            ("ex", 65_536, |n| MsgData { ex: text(n), ..Default::default() }),
            ("atUserIDList", 1000, |n| MsgData { at_user_id_list: vec![text(64); n], ..Default::default() }),
            ("atUserIDList", 64, |n| MsgData { at_user_id_list: vec![text(n)], ..Default::default() }),
            ("options", 64, |n| MsgData {
                options: (0..n).map(|number| (number.to_string(), true)).collect(),
                ..Default::default()
            }),
            ("options", 64, |n| MsgData { options: BTreeMap::from([(text(n), true)]), ..Default::default() }),
            ("offlinePushInfo.title", 1024, |n| info(|info| info.title = text(n))),
            ("offlinePushInfo.desc", 16_384, |n| info(|info| info.desc = text(n))),
            ("offlinePushInfo.ex", 16_384, |n| info(|info| info.ex = text(n))),
            ("offlinePushInfo.iOSPushSound", 1024, |n| info(|info| info.ios_push_sound = text(n))),
        ];
        for (field, most, message) in rows {
            assert!(check(&message(most)).is_ok(), "{field}");
            let error = check(&message(most + 1)).unwrap_err();
            assert_eq!(error.code, protocol::ErrorCode::Args, "{field}");
            let told = error.to_string();
            assert!(told.contains(field) && told.contains(&most.to_string()), "{told}");
        }
    }

    #[test]
    fn whatever_is_accepted_fits_into_every_later_record() {
        let id = text(64);
        let conversation = format!("si_{id}_{id}");
        let message = MsgData { content: vec![b'x'; MAX_RECORD_BYTES].into(), ..Default::default() };
        let most = MsgData {
            content: vec![b'x'; 2 * MAX_RECORD_BYTES - message.encoded_len()].into(),
            ..Default::default()
        };
        assert_eq!(most.encoded_len(), MAX_RECORD_BYTES);
        assert!(check_record(most.encoded_len()).is_ok() && check_record(most.encoded_len() + 1).is_err());
        let placed = MsgData { seq: i64::MAX, status: 2, ..most };
        let push =
            PushRecord { conversation_id: conversation.clone(), msg_data: placed.encode_to_vec().into() };
        assert!(push.encoded_len() + conversation.len() < BROKER);
        let offline = PushMsgReq {
            msg_data: Some(placed),
            conversation_id: conversation.clone(),
            user_ids: vec![id; 500],
        };
        assert!(offline.encoded_len() + conversation.len() < BROKER);
    }

    #[test]
    fn parts_that_are_short_enough_may_be_too_long_together() {
        let message = MsgData {
            content: vec![b'x'; MAX_CONTENT_BYTES].into(),
            ex: text(MAX_TEXT_BYTES),
            attached_info: text(MAX_TEXT_BYTES),
            ..Default::default()
        };
        assert!(check(&message).is_ok());
        let error = check_record(message.encoded_len()).unwrap_err().to_string();
        assert!(error.contains("655360"), "{error}");
    }
}
