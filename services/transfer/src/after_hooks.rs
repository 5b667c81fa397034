//! After hooks about messages. They are queued in the batch that stores the messages, which is retried until all of it is done:
//! no process that crashes and no sender that disconnects loses one.

use config::Hook;
use protocol::content_type::{session, status};
use rpc::Context;
use webhooks::Webhooks;

use crate::expand::{Outgoing, State};

/// Whether records must be asked which request sent them.
pub(crate) fn names_requests(webhooks: &Webhooks) -> bool {
    webhooks.wants(Hook::AfterSendSingleMsg) || webhooks.wants(Hook::AfterSendGroupMsg)
}

/// The webhooks about a batch, in order.
pub(crate) fn records(webhooks: &Webhooks, outgoing: &[Outgoing]) -> Vec<(String, Vec<u8>)> {
    let mut records = Vec::new();
    for item in outgoing.iter().filter(|item| item.state != State::Done) {
        records.extend(sent(webhooks, item));
        records.extend(saved(webhooks, item));
    }
    records
}

fn sent(webhooks: &Webhooks, item: &Outgoing) -> Option<(String, Vec<u8>)> {
    let hook = match item.message.session_type {
        session::SINGLE => Hook::AfterSendSingleMsg,
        session::GROUP => Hook::AfterSendGroupMsg,
        _ => return None,
    };
    let context = Context::system(item.operation.clone()?);
    record(webhooks, &context, hook, item, 0)
}

fn saved(webhooks: &Webhooks, item: &Outgoing) -> Option<(String, Vec<u8>)> {
    if item.seq == 0 {
        return None;
    }
    let context = Context::system(format!("transfer-{}", item.message.server_msg_id));
    record(webhooks, &context, Hook::AfterMsgSaveDB, item, item.seq)
}

fn record(
    webhooks: &Webhooks,
    context: &Context,
    hook: Hook,
    item: &Outgoing,
    seq: i64,
) -> Option<(String, Vec<u8>)> {
    let message = &item.message;
    if !webhooks.wants_message(hook, message) {
        return None;
    }
    let mut body = webhooks::about(context, message);
    // A repeat became what is stored; hooks tell of it as of the first.
    body["seq"] = seq.into();
    body["status"] = status::SENDING.into();
    // A message reported again by a repeated batch.
    let about =
        format!("{}/{}/{}/{}", item.conversation, item.seq, message.server_msg_id, message.client_msg_id);
    webhooks.record(context, hook, &webhooks::reply_query(message), body, &about)
}

#[cfg(test)]
mod tests {
    use config::{Config, HookConfig};
    use protocol::sdkws::MsgData;
    use serde_json::Value;

    use super::*;
    use crate::expand::{Accepted, expand};

    fn webhooks(on: &[Hook]) -> Webhooks {
        let mut config = Config::default();
        config.webhooks.url = "http://integrator".into();
        for hook in on {
            let settings = HookConfig { enable: true, ..Default::default() };
            config.webhooks.hooks.insert(hook.key().to_owned(), settings);
        }
        Webhooks::new(&config, None).unwrap()
    }

    fn message(session_type: i32, operation: Option<&str>) -> Accepted {
        let message = MsgData {
            send_id: "a".into(),
            recv_id: if session_type == session::SINGLE { "b".into() } else { String::new() },
            group_id: if session_type == session::GROUP { "g".into() } else { String::new() },
            client_msg_id: "c".into(),
            content_type: 101,
            content: "{}".into(),
            session_type,
            status: status::SENDING,
            ..Default::default()
        };
        Accepted { message, operation: operation.map(ToOwned::to_owned) }
    }

    fn told(records: &[(String, Vec<u8>)]) -> Vec<(String, String, i64, i64)> {
        let told = records.iter().map(|(key, payload)| {
            let record: Value = serde_json::from_slice(payload).unwrap();
            let body: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
            let operation = body["operationID"].as_str().unwrap().to_owned();
            (key.clone(), operation, body["seq"].as_i64().unwrap(), body["status"].as_i64().unwrap())
        });
        told.collect()
    }

    #[test]
    fn a_message_is_told_of_when_it_is_sent_and_when_it_is_stored() {
        let webhooks = webhooks(&[Hook::AfterSendSingleMsg, Hook::AfterSendGroupMsg, Hook::AfterMsgSaveDB]);
        let batch = vec![message(session::SINGLE, Some("o1")), message(session::GROUP, Some("o2"))];
        let mut outgoing = expand(batch);
        outgoing[0].place(5);
        outgoing[1].place(6);
        let sending = i64::from(status::SENDING);
        let expected = [
            ("afterSendSingleMsg", "o1", 0, sending),
            ("afterMsgSaveDB", "transfer-", 5, sending),
            ("afterSendGroupMsg", "o2", 0, sending),
            ("afterMsgSaveDB", "transfer-", 6, sending),
        ];
        let expected = expected.map(|(hook, by, seq, status)| (hook.to_owned(), by.to_owned(), seq, status));
        assert_eq!(told(&records(&webhooks, &outgoing)), expected);
    }

    #[test]
    fn what_is_not_stored_is_told_of_as_sent_only() {
        let webhooks = webhooks(&[Hook::AfterSendSingleMsg, Hook::AfterMsgSaveDB]);
        let mut hint = message(session::SINGLE, Some("o"));
        hint.message.options.insert(model::options::HISTORY.into(), false);
        let mut outgoing = expand(vec![hint]);
        outgoing[0].place(0);
        let told = told(&records(&webhooks, &outgoing));
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].0.as_str(), told[0].1.as_str()), ("afterSendSingleMsg", "o"));
    }

    #[test]
    fn nobody_is_told_twice() {
        let webhooks = webhooks(&[Hook::AfterSendSingleMsg, Hook::AfterMsgSaveDB]);
        // Accepted by a version that told the integrator itself; and a repeat of what is handled.
        let mut outgoing = expand(vec![message(session::SINGLE, None), message(session::SINGLE, Some("o"))]);
        outgoing[1].state = State::Done;
        outgoing[0].place(1);
        let told = told(&records(&webhooks, &outgoing));
        assert_eq!(told.iter().map(|told| told.0.as_str()).collect::<Vec<_>>(), ["afterMsgSaveDB"]);
    }
}
