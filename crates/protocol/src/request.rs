//! The methods of the services as types. `services.proto` declares them; the build implements [`Request`] for the request of each.

use prost::Name;

/// The request of one method: its type says which service has the method, how the method is called on the wire, and what it answers.
pub trait Request: Name + Default + 'static {
    /// What the method answers.
    type Response: Name + Default + 'static;
    /// The name of the service, as in `/openim.<service>/<method>`.
    const SERVICE: &'static str;
    /// The name of the method on the wire.
    const METHOD: &'static str;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{internal, sdkws, services::METHODS};

    #[test]
    fn a_request_knows_its_method() {
        assert_eq!(internal::GatewayPushReq::SERVICE, "gateway");
        assert_eq!(internal::GatewayPushReq::METHOD, "push");
        assert_eq!((sdkws::GetMaxSeqReq::SERVICE, sdkws::GetMaxSeqReq::METHOD), ("msg", "GetMaxSeq"));
    }

    #[test]
    fn methods_are_called_on_the_wire_as_pods_of_the_version_before_call_them() {
        let names: BTreeSet<String> = METHODS
            .iter()
            .flat_map(|(service, methods)| methods.iter().map(move |method| format!("{service}/{method}")))
            .collect();
        let mut sum = flate2::Crc::new();
        sum.update(names.iter().map(String::as_str).collect::<Vec<_>>().join("\n").as_bytes());
        // Only a method that is added changes these.
        assert_eq!((names.len(), sum.sum()), (181, 0x6fc7_e291));
    }

    /// Of every message with a JSON form: the name in JSON and the number of each field.
    fn fields() -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        for entry in std::fs::read_dir(env!("OUT_DIR")).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            if !file.ends_with(".rs") || file == "openim.rs" {
                continue;
            }
            let (mut message, mut number) = (String::new(), String::new());
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let quoted = |key: &str| Some(line.split_once(key)?.1.split('"').next()?.to_owned());
                if let Some(name) = line.trim().strip_prefix("pub struct ") {
                    message = name.split(' ').next().unwrap_or_default().to_owned();
                }
                number = quoted("tag = \"").unwrap_or(number);
                if let Some(name) = quoted("rename = \"") {
                    fields.insert(format!("{file} {message}.{name} = {number}"));
                }
            }
        }
        fields
    }

    #[test]
    fn fields_have_the_names_in_json_and_the_numbers_of_the_version_before() {
        let fields = fields();
        let some = "openim.user.rs GetAllUserIdResp.userIDs = 2";
        assert!(fields.contains(some), "{:?}", fields.iter().take(3).collect::<Vec<_>>());
        let mut sum = flate2::Crc::new();
        sum.update(fields.into_iter().collect::<Vec<_>>().join("\n").as_bytes());
        // Only a field that is added changes these.
        assert_eq!((sum.amount(), sum.sum()), (76907, 0x2157_1aeb));
    }
}
