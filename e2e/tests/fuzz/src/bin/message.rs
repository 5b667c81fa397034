//! A message as a client sends it: its conversation, its options, and its JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{conversation_id, options};
use prost::Message;
use protocol::{go_json, sdkws::MsgData};

fuzz_target!(|input: &[u8]| {
    let Ok(mut message) = MsgData::decode(input) else { return };
    let text = go_json::to_text(&message);
    let again: MsgData = go_json::from_slice(text.as_bytes()).expect("what was written is read");
    // An empty sub-message is written with all its fields, an empty map is left out: the text is the same.
    assert_eq!(go_json::to_text(&again), text);
    let pair = [
        conversation_id::single(&message.send_id, &message.recv_id),
        conversation_id::single(&message.recv_id, &message.send_id),
    ];
    assert_eq!(pair[0], pair[1]);
    let kind = message.content_type;
    options::adjust_for_content_type(&mut message.options, kind);
    if kind == protocol::content_type::TYPING {
        assert!(!options::is_set(&message.options, options::HISTORY));
    }
});
