//! JSON as Go's encoding/json reads and writes it for OpenIM. Written: empty lists are `null`, every field is present, bytes are base64,
//! wrapper messages are bare values (docs/protocol/json.md). Read ([`from_slice`]): keys match without case, `null` leaves a
//! field as it is, what comes twice is read into what is there, text that is no UTF-8 has U+FFFD in its place.

mod error;
mod lexer;
mod merge;
mod read;
mod strings;

#[cfg(test)]
mod corpus;

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

pub use error::ReadError;
pub use merge::is_set;
pub use read::from_slice;

use crate::wrappers;

/// Base64 as Go reads it: with padding, whatever the bits behind the last byte are.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Reads `null` as the zero value, as Go does.
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Writes an empty list as `null`, as Go writes a nil slice.
pub fn list<S: Serializer, T: Serialize>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    if items.is_empty() { serializer.serialize_none() } else { items.serialize(serializer) }
}

/// Bytes: written as base64, read from base64 (line ends are passed over, as in Go) or from an array of numbers.
struct Base64(Bytes);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Base64Visitor)
    }
}

struct Base64Visitor;

impl<'de> Visitor<'de> for Base64Visitor {
    type Value = Base64;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("base64 or an array of numbers below 256")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Base64, E> {
        self.visit_bytes(text.as_bytes())
    }

    fn visit_bytes<E: serde::de::Error>(self, text: &[u8]) -> Result<Base64, E> {
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let decoded = if text.iter().any(is_line_end) {
            BASE64.decode(text.iter().copied().filter(|byte| !is_line_end(byte)).collect::<Vec<u8>>())
        } else {
            BASE64.decode(text)
        };
        decoded.map(|bytes| Base64(bytes.into())).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Base64, A::Error> {
        let mut bytes = vec![];
        while let Some(byte) = numbers.next_element()? {
            bytes.push(byte);
        }
        Ok(Base64(bytes.into()))
    }
}

/// For fields of bytes.
pub mod base64_bytes {
    use base64::Engine;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{BASE64, Base64};

    /// Writes bytes as base64 text.
    pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    /// Reads base64 text or an array of numbers.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        Base64::deserialize(deserializer).map(|bytes| bytes.0)
    }
}

macro_rules! bare_value {
    ($($wrapper:ident),*) => {$(
        impl Serialize for wrappers::$wrapper {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.value.serialize(serializer)
            }
        }
        impl<'de> Deserialize<'de> for wrappers::$wrapper {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self { value: Deserialize::deserialize(deserializer)? })
            }
        }
    )*};
}
bare_value!(
    DoubleValue,
    FloatValue,
    Int64Value,
    UInt64Value,
    Int32Value,
    UInt32Value,
    BoolValue,
    StringValue
);

/// The text of a message as OpenIM's Go code would write it.
pub fn to_text<T: Serialize>(message: &T) -> String {
    // Generated messages hold strings, numbers, lists and maps with string keys: nothing here can fail to serialize.
    serde_json::to_string(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::{conversation, sdkws, user};

    #[test]
    fn every_field_is_present_and_empty_lists_are_null() {
        let text = super::to_text(&sdkws::PullMsgs::default());
        assert_eq!(text, r#"{"Msgs":null,"isEnd":false,"endSeq":0}"#);
    }

    #[test]
    fn wrappers_are_bare_values_or_null() {
        let request: user::UpdateUserInfoExReq =
            super::from_slice(br#"{"userInfo":{"userID":"u1","nickname":"n","ex":null}}"#).unwrap();
        let info = request.user_info.unwrap();
        assert_eq!(info.nickname.unwrap().value, "n");
        assert!(info.ex.is_none() && info.face_url.is_none());
    }

    #[test]
    fn bytes_are_base64_and_missing_maps_are_left_out() {
        let message = sdkws::MsgData { content: "{}".into(), ..Default::default() };
        let text = super::to_text(&message);
        assert!(text.contains(r#""content":"e30=""#), "{text}");
        assert!(!text.contains("options"), "{text}");
        assert_eq!(super::from_slice::<sdkws::MsgData>(text.as_bytes()).unwrap(), message);
    }

    #[test]
    fn null_scalars_and_unknown_keys_are_accepted() {
        let parsed: conversation::Conversation =
            super::from_slice(br#"{"ownerUserID":null,"recvMsgOpt":2,"whatever":{}}"#).unwrap();
        assert_eq!(parsed.recv_msg_opt, 2);
    }

    #[test]
    fn a_field_is_set_when_its_last_value_is_not_null() {
        for set in [r#"{"a":1,"userIDs":[]}"#, r#" {"userids":["a"]} "#, r#"{"userIDs":null,"userIds":[]}"#] {
            assert!(super::is_set(set.as_bytes(), "userIDs"), "{set}");
        }
        for unset in
            ["{}", "null", r#"{"userIDs":null}"#, r#"{"userIDs":[],"userIDs":null}"#, r#"{"ids":[]}"#]
        {
            assert!(!super::is_set(unset.as_bytes(), "userIDs"), "{unset}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        let refuse = |text: &str| {
            super::from_slice::<user::UpdateUserInfoExReq>(text.as_bytes()).unwrap_err().to_string()
        };
        assert_eq!(
            refuse(r#"{"userInfo":{"nickname":5}}"#),
            "userInfo.nickname: invalid type: a number, expected a string"
        );
        assert!(refuse(r#"{"userInfo":[]}"#).starts_with("userInfo: invalid type: an array"));
        assert!(refuse(r#"{"userInfo":{}"#).ends_with("the JSON ends early"));
        // The slower way says the same.
        assert_eq!(
            refuse(r#"{"userinfo":{"nickname":5}}"#),
            "userInfo.nickname: invalid type: a number, expected a string"
        );
    }
}
