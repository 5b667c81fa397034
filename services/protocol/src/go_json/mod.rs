//! JSON as Go's encoding/json writes it for OpenIM: empty lists are `null`, every field is present, bytes are base64,
//! wrapper messages are bare values (contract: protobuf.json `jsonRules`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wrappers;

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

/// Standard base64 with padding; `null` reads as empty.
pub mod base64_bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes bytes as base64 text.
    pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads base64 text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        STANDARD.decode(&text).map(Bytes::from).map_err(D::Error::custom)
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
            serde_json::from_str(r#"{"userInfo":{"userID":"u1","nickname":"n","ex":null}}"#).unwrap();
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
        assert_eq!(serde_json::from_str::<sdkws::MsgData>(&text).unwrap(), message);
    }

    #[test]
    fn null_scalars_and_unknown_keys_are_accepted() {
        let parsed: conversation::Conversation =
            serde_json::from_str(r#"{"ownerUserID":null,"recvMsgOpt":2,"whatever":{}}"#).unwrap();
        assert_eq!(parsed.recv_msg_opt, 2);
    }
}
