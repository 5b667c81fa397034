//! Which service a request goes to, and whether a service takes all requests that `services.proto` declares for it.

use config::Service;
use protocol::{Request, services::METHODS};

/// The service that takes a request; a service that does not exist does not compile.
pub(crate) const fn service_of<R: Request>() -> Service {
    let mut place = 0;
    while place < Service::RPC.len() {
        if is_same(Service::RPC[place].name(), R::SERVICE) {
            return Service::RPC[place];
        }
        place += 1;
    }
    panic!("services.proto declares a service that Service::RPC does not have")
}

/// Whether handlers take exactly the methods of a service: `handled` is [`Request::SERVICE`] and [`Request::METHOD`] of each.
pub const fn is_complete(service: Service, handled: &[(&str, &str)]) -> bool {
    let mut place = 0;
    while place < handled.len() {
        if !is_same(handled[place].0, service.name()) {
            return false;
        }
        place += 1;
    }
    let declared = declared(service);
    let mut place = 0;
    while place < declared.len() {
        if !has(handled, declared[place]) {
            return false;
        }
        place += 1;
    }
    // A method that has two handlers would make up for one that has none.
    handled.len() == declared.len()
}

const fn declared(service: Service) -> &'static [&'static str] {
    let mut place = 0;
    while place < METHODS.len() {
        if is_same(METHODS[place].0, service.name()) {
            return METHODS[place].1;
        }
        place += 1;
    }
    &[]
}

const fn has(handled: &[(&str, &str)], method: &str) -> bool {
    let mut place = 0;
    while place < handled.len() {
        if is_same(handled[place].1, method) {
            return true;
        }
        place += 1;
    }
    false
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut place = 0;
    while place < one.len() {
        if one[place] != other[place] {
            return false;
        }
        place += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use protocol::{auth, internal, msg};

    use super::*;

    #[test]
    fn a_request_goes_to_the_service_that_declares_it() {
        assert_eq!(service_of::<internal::RevokeTokenReq>(), Service::Auth);
        assert_eq!(service_of::<internal::MarkMentionsReq>(), Service::Conversation);
        assert_eq!(service_of::<msg::SendMsgReq>(), Service::Msg);
    }

    #[test]
    fn a_service_without_a_method_or_with_a_foreign_one_is_incomplete() {
        let all: Vec<(&str, &str)> = declared(Service::Auth).iter().map(|method| ("auth", *method)).collect();
        assert!(is_complete(Service::Auth, &all));
        assert!(!is_complete(Service::Auth, &all[1..]));
        let twice = [&all[1..], &all[1..2]].concat();
        assert!(!is_complete(Service::Auth, &twice));
        let foreign = [all.as_slice(), &[("msg", auth::ParseTokenReq::METHOD)]].concat();
        assert!(!is_complete(Service::Auth, &foreign));
        assert!(is_complete(Service::Push, &[]), "push has no methods");
    }
}
