//! WebSocket frames: the request and response envelope, its gob and JSON codecs, and gzip (docs/protocol/websocket.md#frames).

use std::{cell::RefCell, io::Read, sync::LazyLock};

use bytes::Bytes;
use flate2::{
    Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status, read::GzDecoder,
};
use serde::{Deserialize, Serialize};

use crate::{
    go_json,
    gob::{self, FieldKind, FieldRef, GobError, StructWriter, Value},
};

/// Largest compressed client frame the gateway reads, in bytes (docs/protocol/websocket.md#time-and-size-limits).
pub const MAX_REQUEST_BYTES: usize = 51_200;
/// Largest inflated client frame, in bytes. Upstream has no bound; 20:1 is far above what JSON and text reach.
pub const MAX_INFLATED_BYTES: usize = 1 << 20;
/// Clients drop the connection when a compressed server frame is larger (docs/protocol/websocket.md#time-and-size-limits).
pub const MAX_RESPONSE_BYTES: usize = 1 << 20;

/// Command numbers (docs/protocol/websocket.md#commands).
pub mod command {
    #![allow(missing_docs)]
    pub const GET_NEWEST_SEQ: i64 = 1001;
    pub const PULL_BY_RANGE: i64 = 1002;
    pub const SEND_MSG: i64 = 1003;
    pub const SEND_SIGNAL: i64 = 1004;
    pub const PULL_BY_SEQS: i64 = 1005;
    pub const GET_MAX_READ_SEQ: i64 = 1006;
    pub const PULL_LAST_MESSAGE: i64 = 1007;
    pub const PUSH_MSG: i64 = 2001;
    pub const KICK: i64 = 2002;
    pub const LOGOUT: i64 = 2003;
    pub const SET_BACKGROUND: i64 = 2004;
    pub const SUBSCRIBE_PRESENCE: i64 = 2005;
}

/// What a client asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// Command number, [`command`].
    pub req_identifier: i64,
    /// Unused; the handshake carries the token.
    pub token: String,
    /// The connection's user.
    #[serde(rename = "sendID")]
    pub send_id: String,
    /// Trace id.
    #[serde(rename = "operationID")]
    pub operation_id: String,
    /// Correlation id, echoed byte for byte.
    pub msg_incr: String,
    /// Protobuf of the command.
    #[serde(with = "go_json::base64_bytes")]
    pub data: Bytes,
}

/// What the gateway answers or pushes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Response {
    /// Number of the request, or of the push.
    pub req_identifier: i64,
    /// Echo; empty for pushes.
    pub msg_incr: String,
    /// Echo; for pushes the operation that caused it.
    #[serde(rename = "operationID")]
    pub operation_id: String,
    /// 0 is success.
    pub err_code: i64,
    /// Name of the error.
    pub err_msg: String,
    /// Protobuf of the answer.
    #[serde(with = "go_json::base64_bytes")]
    pub data: Bytes,
}

/// How a connection writes its structs, fixed at the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Go and WASM SDKs.
    Gob,
    /// `sdkType=js`.
    Json,
}

/// The complete encoding of a connection: one encoded frame serves every socket with the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Encoding {
    /// Struct codec.
    pub codec: Codec,
    /// gzip each binary frame.
    pub gzip: bool,
}

/// All encodings, for tables indexed by [`Encoding::index`].
pub const ENCODINGS: usize = 4;

impl Encoding {
    /// A dense index below [`ENCODINGS`].
    pub const fn index(self) -> usize {
        (matches!(self.codec, Codec::Json) as usize) * 2 + self.gzip as usize
    }

    /// Maximum size of a request, given the size of its frame.
    pub fn largest_request(self, frame: usize) -> usize {
        // Deflate makes at most 1032 bytes of one (zlib's "Maximum Expansion Factor").
        if self.gzip { frame.saturating_mul(1032).min(MAX_INFLATED_BYTES) } else { frame }
    }
}

/// Why a client frame was refused; the connection is closed without a reply.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Not gzip, or a damaged gzip stream.
    #[error("frame is not valid gzip: {0}")]
    Gzip(#[from] std::io::Error),
    /// Inflates to more than [`MAX_INFLATED_BYTES`].
    #[error("frame inflates to more than {MAX_INFLATED_BYTES} bytes")]
    Bomb,
    /// Not a gob stream of the expected struct.
    #[error(transparent)]
    Gob(#[from] GobError),
    /// Not the expected JSON.
    #[error("frame is not valid JSON: {0}")]
    Json(#[from] go_json::ReadError),
}

static REQUEST: LazyLock<StructWriter> = LazyLock::new(|| {
    StructWriter::new(
        "GeneralWsReq",
        &[
            ("ReqIdentifier", FieldKind::Int),
            ("Token", FieldKind::Text),
            ("SendID", FieldKind::Text),
            ("OperationID", FieldKind::Text),
            ("MsgIncr", FieldKind::Text),
            ("Data", FieldKind::Blob),
        ],
    )
});
static RESPONSE: LazyLock<StructWriter> = LazyLock::new(|| {
    StructWriter::new(
        "Resp",
        &[
            ("ReqIdentifier", FieldKind::Int),
            ("MsgIncr", FieldKind::Text),
            ("OperationID", FieldKind::Text),
            ("ErrCode", FieldKind::Int),
            ("ErrMsg", FieldKind::Text),
            ("Data", FieldKind::Blob),
        ],
    )
});

fn text(value: Value) -> String {
    match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::Int(_) | Value::Uint(_) => String::new(),
    }
}

fn int(value: Value) -> i64 {
    match value {
        Value::Int(number) => number,
        Value::Uint(number) => i64::try_from(number).unwrap_or(i64::MAX),
        Value::Bytes(_) => 0,
    }
}

fn blob(value: Value) -> Bytes {
    if let Value::Bytes(bytes) = value { bytes } else { Bytes::new() }
}

impl Request {
    /// Decodes a binary frame of a connection.
    pub fn decode(frame: Bytes, encoding: Encoding) -> Result<Self, FrameError> {
        let plain = inflate(frame, encoding.gzip, MAX_INFLATED_BYTES)?;
        if encoding.codec == Codec::Json {
            return Ok(go_json::from_slice(&plain)?);
        }
        let mut request = Request::default();
        gob::decode_struct(plain, |name, value| match name {
            "ReqIdentifier" => request.req_identifier = int(value),
            "Token" => request.token = text(value),
            "SendID" => request.send_id = text(value),
            "OperationID" => request.operation_id = text(value),
            "MsgIncr" => request.msg_incr = text(value),
            "Data" => request.data = blob(value),
            _ => {}
        })?;
        Ok(request)
    }

    /// Encodes a request, as clients do.
    pub fn encode(&self, encoding: Encoding) -> Bytes {
        let plain = match encoding.codec {
            Codec::Json => go_json::to_text(self).into_bytes(),
            Codec::Gob => REQUEST.encode(&[
                FieldRef::Int(self.req_identifier),
                FieldRef::Bytes(self.token.as_bytes()),
                FieldRef::Bytes(self.send_id.as_bytes()),
                FieldRef::Bytes(self.operation_id.as_bytes()),
                FieldRef::Bytes(self.msg_incr.as_bytes()),
                FieldRef::Bytes(&self.data),
            ]),
        };
        deflate(plain, encoding.gzip)
    }
}

impl Response {
    /// Encodes a binary frame.
    pub fn encode(&self, encoding: Encoding) -> Bytes {
        let plain = match encoding.codec {
            Codec::Json => go_json::to_text(self).into_bytes(),
            Codec::Gob => RESPONSE.encode(&[
                FieldRef::Int(self.req_identifier),
                FieldRef::Bytes(self.msg_incr.as_bytes()),
                FieldRef::Bytes(self.operation_id.as_bytes()),
                FieldRef::Int(self.err_code),
                FieldRef::Bytes(self.err_msg.as_bytes()),
                FieldRef::Bytes(&self.data),
            ]),
        };
        deflate(plain, encoding.gzip)
    }

    /// Decodes a server frame, as clients do; `limit` bounds the inflated size.
    pub fn decode(frame: Bytes, encoding: Encoding, limit: usize) -> Result<Self, FrameError> {
        let plain = inflate(frame, encoding.gzip, limit)?;
        if encoding.codec == Codec::Json {
            return Ok(go_json::from_slice(&plain)?);
        }
        let mut response = Response::default();
        gob::decode_struct(plain, |name, value| match name {
            "ReqIdentifier" => response.req_identifier = int(value),
            "MsgIncr" => response.msg_incr = text(value),
            "OperationID" => response.operation_id = text(value),
            "ErrCode" => response.err_code = int(value),
            "ErrMsg" => response.err_msg = text(value),
            "Data" => response.data = blob(value),
            _ => {}
        })?;
        Ok(response)
    }
}

/// A gzip header as Go writes it: deflate, no flags, no time, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const GZIP_TRAILER: usize = 8;
/// Up to this size, in bytes, what is written is stored and not compressed: for a compressor all of its state is cleared first, hundreds of
/// times as much as a text message, which hardly becomes shorter. A stored block has at most 65 535 bytes (RFC 1951, 3.2.4).
const STORED: usize = 1 << 10;
/// The last block of a stream, stored.
const STORED_BLOCK: u8 = 1;

thread_local! {
    // Making a compressor costs more than compressing a small frame: each thread keeps one.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
    static DECOMPRESSOR: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

fn inflate(frame: Bytes, gzip: bool, limit: usize) -> Result<Bytes, FrameError> {
    if !gzip {
        return Ok(frame);
    }
    let flagless = frame.len() >= GZIP_HEADER.len() + GZIP_TRAILER && frame[..4] == GZIP_HEADER[..4];
    if !flagless {
        let mut plain = Vec::new();
        GzDecoder::new(frame.as_ref()).take(limit as u64 + 1).read_to_end(&mut plain)?;
        return if plain.len() > limit { Err(FrameError::Bomb) } else { Ok(plain.into()) };
    }
    let damaged =
        |what: &'static str| FrameError::Gzip(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
    let mut input = &frame[GZIP_HEADER.len()..];
    let mut plain: Vec<u8> = Vec::with_capacity((frame.len() * 3).clamp(256, limit + 1));
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        decompressor.reset(false);
        loop {
            let before = decompressor.total_in();
            let status = decompressor
                .decompress_vec(input, &mut plain, FlushDecompress::None)
                .map_err(|_| damaged("bad deflate data"))?;
            let taken = (decompressor.total_in() - before) as usize;
            input = &input[taken..];
            if plain.len() > limit {
                return Err(FrameError::Bomb);
            }
            match status {
                Status::StreamEnd => return Ok(()),
                _ if plain.len() == plain.capacity() => {
                    plain.reserve(plain.len().min(limit + 1 - plain.len()).max(1))
                }
                _ if taken == 0 => return Err(damaged("the stream ends early")),
                _ => {}
            }
        }
    })?;
    let mut sum = Crc::new();
    sum.update(&plain);
    let expected: Vec<u8> =
        sum.sum().to_le_bytes().into_iter().chain((plain.len() as u32).to_le_bytes()).collect();
    if input.len() < GZIP_TRAILER || input[..GZIP_TRAILER] != expected {
        return Err(damaged("checksum or length differs"));
    }
    Ok(plain.into())
}

fn deflate(plain: Vec<u8>, gzip: bool) -> Bytes {
    if !gzip {
        return plain.into();
    }
    if plain.len() <= STORED {
        return stored(&plain);
    }
    let mut out = Vec::with_capacity(plain.len() / 2 + 96);
    out.extend_from_slice(&GZIP_HEADER);
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        let mut input = plain.as_slice();
        loop {
            let before = compressor.total_in();
            let status = compressor.compress_vec(input, &mut out, FlushCompress::Finish);
            input = &input[(compressor.total_in() - before) as usize..];
            match status {
                Ok(Status::StreamEnd) => break,
                // The output is full: more room, and on.
                _ => out.reserve(plain.len() / 2 + 64),
            }
        }
    });
    put_trailer(&mut out, &plain);
    out.into()
}

/// A gzip stream of one stored block; `plain` has at most 65 535 bytes.
fn stored(plain: &[u8]) -> Bytes {
    let length = plain.len() as u16;
    let mut out = Vec::with_capacity(GZIP_HEADER.len() + 5 + plain.len() + GZIP_TRAILER);
    out.extend_from_slice(&GZIP_HEADER);
    out.push(STORED_BLOCK);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(plain);
    put_trailer(&mut out, plain);
    out.into()
}

/// The checksum and the length of what was compressed.
fn put_trailer(out: &mut Vec<u8>, plain: &[u8]) {
    let mut sum = Crc::new();
    sum.update(plain);
    out.extend_from_slice(&sum.sum().to_le_bytes());
    out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOB: Encoding = Encoding { codec: Codec::Gob, gzip: false };

    fn unhex(text: &str) -> Bytes {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect::<Vec<_>>()
            .into()
    }

    /// The frame that the real WASM client accepted (docs/protocol/websocket.md#gob).
    #[test]
    fn a_response_has_the_bytes_the_real_client_accepts() {
        let expected = unhex(
            "60ff81030101045265737001ff82000106010d5265714964656e7469666965720104000107\
             4d7367496e6372010c00010b4f7065726174696f6e4944010c000107457272436f64650104\
             0001064572724d7367010c00010444617461010a00000015ff8201fe07d2010475315f3101\
             026f700302080100",
        );
        let response = Response {
            req_identifier: 1001,
            msg_incr: "u1_1".into(),
            operation_id: "op".into(),
            data: Bytes::from_static(&[8, 1]),
            ..Default::default()
        };
        assert_eq!(response.encode(GOB), expected);
        assert_eq!(Response::decode(expected, GOB, 1 << 20).unwrap(), response);
    }

    #[test]
    fn a_json_frame_may_have_nulls_and_keys_in_another_case() {
        let frame = br#"{"ReqIdentifier":1003,"token":null,"SendId":"u","operationID":null,
                 "msgIncr":"u_1","data":[8,1]}"#;
        let json = Encoding { codec: Codec::Json, gzip: false };
        let request = Request::decode(Bytes::from_static(frame), json).unwrap();
        assert_eq!(
            (request.req_identifier, request.send_id.as_str(), request.msg_incr.as_str()),
            (1003, "u", "u_1")
        );
        assert_eq!(request.data.as_ref(), [8, 1]);
        assert!(Request::decode(Bytes::from_static(br#"[1003,"","u"]"#), json).is_err());
    }

    #[test]
    fn a_small_frame_that_inflates_without_end_is_refused() {
        let bomb = deflate(vec![0; MAX_INFLATED_BYTES + 1], true);
        assert!(bomb.len() < MAX_REQUEST_BYTES);
        let refused = Request::decode(bomb, Encoding { codec: Codec::Gob, gzip: true });
        assert!(matches!(refused, Err(FrameError::Bomb)), "{refused:?}");
    }

    #[test]
    fn small_frames_are_stored_and_large_ones_compressed() {
        let gzipped = |bytes: usize| deflate(vec![b'x'; bytes], true).len();
        for bytes in [0, 1, STORED] {
            assert_eq!(gzipped(bytes), bytes + 23);
        }
        assert!(gzipped(STORED + 1) < 100);
    }

    fn any_request() -> impl Strategy<Value = Request> {
        (any::<i64>(), ".{0,20}", ".{0,20}", ".{0,20}", prop::collection::vec(any::<u8>(), 0..300)).prop_map(
            |(req_identifier, send_id, operation_id, msg_incr, data)| Request {
                req_identifier,
                token: String::new(),
                send_id,
                operation_id,
                msg_incr,
                data: data.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn every_request_survives_every_encoding(request in any_request(), json: bool, gzip: bool) {
            let encoding = Encoding { codec: if json { Codec::Json } else { Codec::Gob }, gzip };
            prop_assert_eq!(Request::decode(request.encode(encoding), encoding).unwrap(), request);
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), gzip: bool, json: bool) {
            let encoding = Encoding { codec: if json { Codec::Json } else { Codec::Gob }, gzip };
            let _outcome = Request::decode(bytes.into(), encoding);
        }

        #[test]
        fn a_damaged_gzip_frame_is_refused_or_unharmed(request in any_request(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let encoding = Encoding { codec: Codec::Gob, gzip: true };
            let mut bytes = request.encode(encoding).to_vec();
            // Bytes 4 to 9 of the header hold a time and hints that nobody reads.
            let position = 10 + at.index(bytes.len() - 10);
            bytes[position] ^= 1 << bit;
            // The last byte of a deflate stream may have bits that mean nothing.
            if let Ok(decoded) = Request::decode(bytes.into(), encoding) {
                prop_assert_eq!(decoded, request);
            }
        }

        #[test]
        fn what_this_writes_others_read(plain in prop::collection::vec(any::<u8>(), 0..5000)) {
            let mut back = Vec::new();
            GzDecoder::new(deflate(plain.clone(), true).as_ref()).read_to_end(&mut back).unwrap();
            prop_assert_eq!(back, plain);
        }

        #[test]
        fn a_truncated_frame_is_refused(request in any_request(), cut in 1_usize..200) {
            let whole = request.encode(GOB);
            let kept = whole.len().saturating_sub(cut);
            prop_assert!(Request::decode(whole.slice(..kept), GOB).is_err());
        }
    }
}
