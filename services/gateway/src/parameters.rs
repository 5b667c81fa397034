//! The parameters of a handshake (docs/protocol/websocket.md#parameters).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::platform::Platform;
use protocol::{
    Error, ErrorCode,
    frame::{Codec, Encoding},
    go_json,
};
use serde::Deserialize;

use crate::operation_id;

/// The parameters of a handshake.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parameters {
    pub(crate) token: String,
    #[serde(rename = "userID", alias = "sendID")]
    pub(crate) user_id: String,
    #[serde(rename = "platformID")]
    pub(crate) platform_id: i32,
    /// The client's own where it is harmless.
    #[serde(rename = "operationID")]
    pub(crate) operation_id: String,
    #[serde(default)]
    compression: String,
    #[serde(default)]
    sdk_type: String,
    #[serde(default)]
    pub(crate) send_response: bool,
}

fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Parses the query and the `compression` header.
pub(crate) fn parse(query: &str, compression_header: Option<&str>) -> Result<Parameters, Error> {
    let refuse = |detail: String| ErrorCode::ConnectionArgs.with(detail);
    let mut pairs = std::collections::HashMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.insert(percent_decode(key), percent_decode(value));
    }
    let mut parameters = if let Some(packed) = pairs.get("v") {
        let json = URL_SAFE_NO_PAD
            .decode(packed)
            .map_err(|error| refuse(format!("v is not URL-safe base64: {error}")))?;
        go_json::from_slice(&json)
            .map_err(|error| refuse(format!("v does not contain the parameters: {error}")))?
    } else {
        let required = |key: &str| match pairs.get(key) {
            Some(value) if !value.is_empty() => Ok(value.clone()),
            _ => Err(refuse(format!("{key} is required"))),
        };
        let background = pairs.get("isBackground").map_or("", String::as_str);
        if go_bool(background).is_none() {
            return Err(Error::internal(format!("isBackground must be true or false, not {background:?}")));
        }
        Parameters {
            token: required("token")?,
            user_id: required("sendID")?,
            platform_id: required("platformID")?
                .parse()
                .map_err(|_| refuse("platformID must be a number".into()))?,
            operation_id: required("operationID")?,
            compression: pairs.get("compression").cloned().unwrap_or_default(),
            sdk_type: pairs.get("sdkType").cloned().unwrap_or_default(),
            send_response: pairs.get("isMsgResp").and_then(|text| go_bool(text)).unwrap_or(false),
        }
    };
    if parameters.token.is_empty() || parameters.user_id.is_empty() {
        return Err(refuse("token and userID are required".into()));
    }
    if Platform::parse(parameters.platform_id).is_none() {
        return Err(refuse("platformID must be between 1 and 12".into()));
    }
    if !["", "go", "js"].contains(&parameters.sdk_type.as_str()) {
        return Err(refuse("sdkType must be go or js".into()));
    }
    if parameters.compression.is_empty() {
        parameters.compression = compression_header.unwrap_or_default().to_owned();
    }
    parameters.operation_id = operation_id::trusted(&parameters.operation_id).into_owned();
    Ok(parameters)
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = bytes.get(index + 1..index + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[index], hex.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                index += 3;
            }
            (b'+', _) => {
                out.push(b' ');
                index += 1;
            }
            (byte, _) => {
                out.push(byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Parameters {
    pub(crate) fn encoding(&self) -> Encoding {
        Encoding {
            codec: if self.sdk_type == "js" { Codec::Json } else { Codec::Gob },
            gzip: self.compression == "gzip",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_the_real_client_is_understood() {
        let parameters = parse(
            "compression=gzip&isBackground=false&isMsgResp=true&operationID=1795&platformID=5&\
             sendID=a%20b&token=t.t.t",
            None,
        )
        .unwrap();
        assert_eq!((parameters.user_id.as_str(), parameters.send_response), ("a b", true));
        assert_eq!(parameters.encoding(), Encoding { codec: Codec::Gob, gzip: true });
    }

    #[test]
    fn packed_parameters_are_understood() {
        let json = r#"{"token":"t","userID":"u","platformID":1,"operationID":"o","compression":"","sdkType":"js","sendResponse":false}"#;
        let parameters = parse(&format!("v={}", URL_SAFE_NO_PAD.encode(json)), Some("gzip")).unwrap();
        assert_eq!(parameters.encoding(), Encoding { codec: Codec::Json, gzip: true });
    }

    #[test]
    fn packed_parameters_are_read_like_all_other_json() {
        let read = |json: &str| parse(&format!("v={}", URL_SAFE_NO_PAD.encode(json)), None);
        let first = r#"{"Token":"t","USERID":"u","platformid":1,"operationID":"o","#;
        let again = r#""compression":null,"sdkType":"go","sdkType":"js"}"#;
        let parameters = read(&format!("{first}{again}")).unwrap();
        assert_eq!((parameters.token.as_str(), parameters.user_id.as_str()), ("t", "u"));
        assert_eq!(parameters.encoding().codec, Codec::Json);
        for json in [
            r#"["t","u",1,"o"]"#,
            r#"{"token":"t","userID":"u","platformID":1.0,"operationID":"o"}"#,
            r#"{"token":"t","userID":"u","platformID":"1","operationID":"o"}"#,
        ] {
            assert_eq!(read(json).unwrap_err().code.number(), 1602, "{json}");
        }
    }

    #[test]
    fn mistakes_get_the_codes_of_the_contract() {
        let good = "isBackground=false&operationID=1&platformID=5&sendID=a&token=t";
        assert!(parse(good, None).is_ok());
        for (query, code) in [
            ("", 500),
            ("isBackground=false&operationID=1&platformID=5&token=t", 1602),
            ("operationID=1&platformID=5&sendID=a&token=t", 500),
            ("isBackground=false&operationID=1&platformID=13&sendID=a&token=t", 1602),
            ("isBackground=false&operationID=1&platformID=x&sendID=a&token=t", 1602),
            ("v=%%%", 1602),
        ] {
            assert_eq!(parse(query, None).unwrap_err().code.number(), code, "{query}");
        }
        assert_eq!(parse(&format!("{good}&sdkType=php"), None).unwrap_err().code.number(), 1602);
    }

    #[test]
    fn an_operation_id_that_would_do_harm_is_replaced() {
        let of = |id: &str| {
            let query = format!("isBackground=false&operationID={id}&platformID=5&sendID=a&token=t");
            parse(&query, None).unwrap().operation_id
        };
        assert_eq!(of("1795"), "1795");
        assert_ne!(of("a%0Ab"), "a\nb");
    }
}
