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
        assert_eq!((names.len(), sum.sum()), (171, 0x046b_b76a));
    }
}
