//! A client's frame, in every encoding: it is refused or understood, within its bounds, and what was understood survives being written.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use protocol::frame::{Codec, Encoding, MAX_INFLATED_BYTES, Request, Response};

fuzz_target!(|input: &[u8]| {
    let Some((first, frame)) = input.split_first() else { return };
    let codec = if first & 1 == 0 { Codec::Gob } else { Codec::Json };
    let encoding = Encoding { codec, gzip: first & 2 == 2 };
    let frame = Bytes::copy_from_slice(frame);
    if let Ok(request) = Request::decode(frame.clone(), encoding) {
        assert!(request.data.len() <= MAX_INFLATED_BYTES.max(frame.len()));
        let again = Request::decode(request.encode(encoding), encoding).expect("what was written is read");
        assert_eq!(request, again);
    }
    // What raw clients read of the server.
    if let Ok(response) = Response::decode(frame, encoding, MAX_INFLATED_BYTES) {
        let again = Response::decode(response.encode(encoding), encoding, 4 * MAX_INFLATED_BYTES);
        assert_eq!(response, again.expect("what was written is read"));
    }
});
