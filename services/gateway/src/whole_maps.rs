//! Maps as Go's encoder writes them: every entry has its value, also an empty one. protobuf allows to omit it, and every decoder
//! but one takes a missing value for the empty one: the pure JavaScript SDK has `undefined` for it, and fails.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};
use protocol::frame::command;

/// The field of a map entry that holds its value.
const VALUE: u32 = 2;
/// An empty value, whatever its type: no bytes, or the number 0.
const EMPTY: u8 = 0;

/// How the values of the maps in a response are encoded.
fn values(command: i64) -> Option<WireType> {
    match command {
        command::GET_NEWEST_SEQ => Some(WireType::Varint),
        command::PULL_BY_RANGE
        | command::PULL_BY_SEQS
        | command::GET_MAX_READ_SEQ
        | command::PULL_LAST_MESSAGE => Some(WireType::LengthDelimited),
        _ => None,
    }
}

/// Whether a field is a map: all are, but for the pinned conversations beside the read positions.
fn is_map(of: i64, tag: u32) -> bool {
    of != command::GET_MAX_READ_SEQ || tag == 1
}

/// The response to a command, with a value in every entry of its maps.
pub(crate) fn whole(of: i64, data: Bytes) -> Bytes {
    let Some(kind) = values(of) else { return data };
    match entries(data.clone()) {
        Some(entries)
            if entries.iter().any(|(tag, entry)| is_map(of, *tag) && lacks_value(entry.clone())) =>
        {
            rebuilt(of, &entries, kind)
        }
        _ => data,
    }
}

/// The fields of a message that consists of map entries, with their tags; `None` for any other message.
fn entries(mut data: Bytes) -> Option<Vec<(u32, Bytes)>> {
    let mut entries = Vec::new();
    while !data.is_empty() {
        let (tag, WireType::LengthDelimited) = decode_key(&mut data).ok()? else { return None };
        let length = usize::try_from(decode_varint(&mut data).ok()?).ok()?;
        if length > data.len() {
            return None;
        }
        entries.push((tag, data.split_to(length)));
    }
    Some(entries)
}

fn lacks_value(mut entry: Bytes) -> bool {
    while !entry.is_empty() {
        match decode_key(&mut entry) {
            Ok((VALUE, _)) | Err(_) => return false,
            Ok((tag, kind)) => {
                if skip_field(kind, tag, &mut entry, DecodeContext::default()).is_err() {
                    return false;
                }
            }
        }
    }
    true
}

fn rebuilt(of: i64, entries: &[(u32, Bytes)], kind: WireType) -> Bytes {
    let most = entries.iter().map(|(_, entry)| entry.len() + 16).sum();
    let mut data = BytesMut::with_capacity(most);
    for (tag, entry) in entries {
        let lacks = is_map(of, *tag) && lacks_value(entry.clone());
        encode_key(*tag, WireType::LengthDelimited, &mut data);
        encode_varint((entry.len() + if lacks { 2 } else { 0 }) as u64, &mut data);
        data.put_slice(entry);
        if lacks {
            encode_key(VALUE, kind, &mut data);
            data.put_u8(EMPTY);
        }
    }
    data.freeze()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message;
    use protocol::{
        msg::{GetConversationsHasReadAndMaxSeqResp, GetSeqMessageResp, Seqs},
        sdkws::{GetMaxSeqResp, PullMsgs},
    };

    use super::*;

    #[test]
    fn an_empty_value_is_written_as_go_writes_it() {
        let pulled = GetSeqMessageResp {
            msgs: BTreeMap::from([("si_a_b".to_owned(), PullMsgs::default())]),
            ..Default::default()
        };
        let data = whole(command::PULL_BY_SEQS, pulled.encode_to_vec().into());
        assert_eq!(&data[..], b"\x0a\x0a\x0a\x06si_a_b\x12\x00");
        let seqs = GetMaxSeqResp { max_seqs: BTreeMap::from([("a".to_owned(), 0)]), ..Default::default() };
        let data = whole(command::GET_NEWEST_SEQ, seqs.encode_to_vec().into());
        assert_eq!(&data[..], b"\x0a\x05\x0a\x01a\x10\x00");
    }

    #[test]
    fn what_is_no_map_stays_as_it_is() {
        for data in [&b"\x08\x01"[..], b"\x0a\x7f", b"", b"\x0a\x02\x0a\x09"] {
            assert_eq!(whole(command::PULL_BY_RANGE, Bytes::from_static(data)), data);
        }
        assert_eq!(whole(command::SEND_MSG, Bytes::from_static(b"\x0a\x00")), &b"\x0a\x00"[..]);
    }

    #[test]
    fn pinned_conversations_are_no_map() {
        // As a map entry this id would have a key and no value.
        let response = GetConversationsHasReadAndMaxSeqResp {
            pinned_conversation_ids: vec!["si_abcdefgt5abc_5wxyz".into()],
            ..Default::default()
        };
        let data: Bytes = response.encode_to_vec().into();
        assert_eq!(whole(command::GET_MAX_READ_SEQ, data.clone()), data);
    }

    #[test]
    fn every_entry_has_a_value_and_means_what_it_meant() {
        let numbers = [0, 1, 300];
        let pairs = numbers.into_iter().flat_map(|max| numbers.map(|read| (max, read)));
        let seqs = pairs.map(|(max_seq, has_read_seq)| {
            (format!("si_{max_seq}_{has_read_seq}"), Seqs { max_seq, has_read_seq, ..Default::default() })
        });
        let response = GetConversationsHasReadAndMaxSeqResp { seqs: seqs.collect(), ..Default::default() };
        let data = whole(command::GET_MAX_READ_SEQ, response.encode_to_vec().into());
        assert_eq!(GetConversationsHasReadAndMaxSeqResp::decode(data.clone()).unwrap(), response);
        assert!(entries(data).unwrap().into_iter().all(|(_, entry)| !lacks_value(entry)));
    }
}
