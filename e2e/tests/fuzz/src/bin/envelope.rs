//! What services say to each other, and what they keep in Kafka.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use protocol::{
    internal::{Call, Reply},
    push::PushMsgReq,
};

fn survives<M: Message + Default + PartialEq + std::fmt::Debug>(input: &[u8]) {
    if let Ok(message) = M::decode(input) {
        let bytes = message.encode_to_vec();
        assert_eq!(bytes, M::decode(bytes.as_slice()).expect("what was written is read").encode_to_vec());
    }
}

fuzz_target!(|input: &[u8]| {
    survives::<Call>(input);
    survives::<Reply>(input);
    survives::<PushMsgReq>(input);
});
