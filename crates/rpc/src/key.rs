//! How services authenticate each other's calls and responses: HMACs with keys derived from the cluster's secret.
//!
//! A call's HMAC covers caller, method, body and time; a response's covers the call's, so that it answers only this call. Clocks
//! may differ by [`EARLIER`] one way and [`OLDEST`] the other. Older services had one MAC that covered only caller and operation
//! id, and unsigned responses: they are accepted only while the configuration allows it (docs/adr/0018-keys.md).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use config::{Config, Purpose, Service};
use hmac::{Hmac, Mac};
use model::{Clock, SystemClock};
use prost::Message;
use protocol::internal::{Call, Caller, Reply};
use sha2::{Digest, Sha256};

/// A call that was sent longer ago is refused: a call ends after ten seconds, the rest is for clocks that differ.
const OLDEST_MS: i64 = 30_000;
/// Maximum lead of the caller's clock.
const EARLIER_MS: i64 = 10_000;

/// What is derived from one secret.
struct Derived {
    calls: Hmac<Sha256>,
    answers: Hmac<Sha256>,
    /// Key of older services.
    legacy: Hmac<Sha256>,
}

/// Signs calls and answers, and knows those of others. Clones are one key.
#[derive(Clone)]
pub struct InternalKey(Arc<Inner>);

struct Inner {
    /// The first one signs; each is accepted.
    derived: Vec<Derived>,
    takes_legacy: AtomicBool,
    clock: Arc<dyn Clock>,
}

/// A service and one of its methods.
type Of<'a> = (Service, &'a str);

/// What a verified call is answered with.
pub(crate) struct Verified {
    /// Which of the keys the caller has; `None`: a service from before, which looks at no signature.
    by: Option<usize>,
    signature: Bytes,
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes any key"))
}

impl Derived {
    fn all(config: &Config) -> Vec<Self> {
        let of = |purpose| config.keys(purpose).into_iter().map(|key| keyed(&key));
        let legacy = config.secrets().map(|secret| {
            let mut mac = keyed(secret.as_bytes());
            mac.update(b"openim internal call v1");
            keyed(&mac.finalize().into_bytes())
        });
        let both = of(Purpose::InternalCalls).zip(of(Purpose::InternalAnswers));
        both.zip(legacy).map(|((calls, answers), legacy)| Self { calls, answers, legacy }).collect()
    }
}

/// Each part with its length before it: no two lists of parts are the same bytes.
fn over<const N: usize>(key: &Hmac<Sha256>, parts: [&[u8]; N]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

/// `digest` is that of the payload.
fn of_call(key: &Hmac<Sha256>, (service, method): Of<'_>, call: &Call, digest: &[u8]) -> Hmac<Sha256> {
    let none = Caller::default();
    let caller = call.caller.as_ref().unwrap_or(&none);
    over(
        key,
        [
            &caller.kind.to_be_bytes(),
            caller.user_id.as_bytes(),
            &caller.platform_id.to_be_bytes(),
            call.operation_id.as_bytes(),
            service.name().as_bytes(),
            method.as_bytes(),
            digest,
            &call.sent_at.to_be_bytes(),
        ],
    )
}

fn of_reply(key: &Hmac<Sha256>, signature: &[u8], reply: &Reply) -> Hmac<Sha256> {
    over(
        key,
        [
            signature,
            &reply.err_code.to_be_bytes(),
            reply.err_msg.as_bytes(),
            reply.err_dlt.as_bytes(),
            &Sha256::digest(&reply.payload),
            &[u8::from(reply.unreachable)],
        ],
    )
}

fn of_legacy(key: &Hmac<Sha256>, call: &Call) -> Hmac<Sha256> {
    let mut mac = key.clone();
    mac.update(&call.caller.as_ref().map(Message::encode_to_vec).unwrap_or_default());
    mac.update(&[0]);
    mac.update(call.operation_id.as_bytes());
    mac
}

fn bytes_of(mac: Hmac<Sha256>) -> Bytes {
    Bytes::copy_from_slice(&mac.finalize().into_bytes())
}

impl InternalKey {
    /// The keys of a cluster, by the secrets of its configuration.
    pub fn of(config: &Config) -> Self {
        Self::with_clock(config, Arc::new(SystemClock))
    }

    pub(crate) fn with_clock(config: &Config, clock: Arc<dyn Clock>) -> Self {
        let takes_legacy = AtomicBool::new(config.takes_legacy_calls());
        Self(Arc::new(Inner { derived: Derived::all(config), takes_legacy, clock }))
    }

    /// Takes over whether services before this are understood.
    pub fn take_over(&self, config: &Config) {
        self.0.takes_legacy.store(config.takes_legacy_calls(), Ordering::Release);
    }

    fn takes_legacy(&self) -> bool {
        self.0.takes_legacy.load(Ordering::Acquire)
    }

    /// Signs a call that is about to be sent.
    pub(crate) fn sign(&self, of: Of<'_>, mut call: Call) -> Call {
        // There is one for each secret, and `secret` is required.
        let Some(own) = self.0.derived.first() else { return call };
        call.sent_at = self.0.clock.now_ms();
        call.signature = bytes_of(of_call(&own.calls, of, &call, &Sha256::digest(&call.payload)));
        if self.takes_legacy() {
            call.mac = bytes_of(of_legacy(&own.legacy, &call));
        }
        call
    }

    /// Whether a call is from who holds the secret, for this very method, and of now.
    ///
    /// # Errors
    /// Why not, for the caller's log.
    pub(crate) fn verify(&self, of: Of<'_>, call: &Call) -> Result<Verified, String> {
        let refused = || "the calling service does not hold this cluster's secret".to_owned();
        let signature = call.signature.clone();
        if signature.is_empty() {
            let mut known = self.0.derived.iter();
            let legacy = known.any(|key| of_legacy(&key.legacy, call).verify_slice(&call.mac).is_ok());
            return if !legacy {
                Err(refused())
            } else if self.takes_legacy() {
                Ok(Verified { by: None, signature })
            } else {
                Err("the calling service does not sign its calls: upgrade it (docs/adr/0018-keys.md)".into())
            };
        }
        let digest = Sha256::digest(&call.payload);
        let is_by = |key: &Derived| of_call(&key.calls, of, call, &digest).verify_slice(&signature).is_ok();
        let by = self.0.derived.iter().position(is_by).ok_or_else(refused)?;
        let age = self.0.clock.now_ms().saturating_sub(call.sent_at);
        if !(-EARLIER_MS..=OLDEST_MS).contains(&age) {
            return Err(format!(
                "the call is {age} ms old by the caller's clock, allowed are {} to {OLDEST_MS}: synchronize the clocks of the nodes",
                -EARLIER_MS
            ));
        }
        Ok(Verified { by: Some(by), signature })
    }

    /// Signs the answer to a call.
    pub(crate) fn answer(&self, call: &Verified, mut reply: Reply) -> Reply {
        if let Some(key) = call.by.and_then(|by| self.0.derived.get(by)) {
            reply.signature = bytes_of(of_reply(&key.answers, &call.signature, &reply));
        }
        reply
    }

    /// Whether an answer is to the call with this signature, from who holds the secret.
    pub(crate) fn believes(&self, signature: &[u8], reply: &Reply) -> bool {
        if reply.signature.is_empty() {
            return self.takes_legacy();
        }
        let own = self.0.derived.first();
        own.is_some_and(|own| of_reply(&own.answers, signature, reply).verify_slice(&reply.signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use protocol::{
        Request,
        auth::{ForceLogoutReq, ParseTokenReq},
    };

    use super::*;
    use crate::Context;

    struct At(AtomicI64);

    impl Clock for At {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn config(secret: &str, other: &str) -> Config {
        Config { secret: secret.into(), other_secret: other.into(), ..Default::default() }
    }

    fn key(config: &Config) -> (InternalKey, Arc<At>) {
        let clock = Arc::new(At(AtomicI64::new(1_000_000)));
        (InternalKey::with_clock(config, clock.clone()), clock)
    }

    const SECRET: &str = "a secret of the cluster";
    const ANOTHER: &str = "another secret of sixteen";

    const PARSE: Of<'_> = (Service::Auth, ParseTokenReq::METHOD);

    fn call() -> Call {
        let caller = Some(Context::system("op").caller);
        let payload = Bytes::from_static(b"body");
        Call { caller, operation_id: "op".into(), payload, ..Default::default() }
    }

    #[test]
    fn a_recorded_call_is_good_for_nothing_else_and_not_for_long() {
        let (key, clock) = key(&config(SECRET, ""));
        let good = key.sign(PARSE, call());
        let is_taken = |service, method, call: &Call| key.verify((service, method), call).is_ok();
        assert!(is_taken(Service::Auth, ParseTokenReq::METHOD, &good));
        assert!(!is_taken(Service::Auth, ForceLogoutReq::METHOD, &good), "another method");
        assert!(!is_taken(Service::User, ParseTokenReq::METHOD, &good), "another service");
        let changes: [fn(&mut Call); 6] = [
            |call| call.payload = Bytes::from_static(b"another body"),
            |call| call.operation_id = "another".into(),
            |call| call.caller = Some(Context::anonymous("op").caller),
            |call| call.caller = None,
            |call| call.sent_at += 1,
            |call| call.signature = Bytes::new(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut changed = good.clone();
            change(&mut changed);
            assert!(!is_taken(Service::Auth, ParseTokenReq::METHOD, &changed), "{index}");
        }
        for (later, taken) in [(OLDEST_MS, true), (60_000, false), (-EARLIER_MS, true), (-60_000, false)] {
            clock.0.store(1_000_000 + later, Ordering::Relaxed);
            assert_eq!(is_taken(Service::Auth, ParseTokenReq::METHOD, &good), taken, "{later} ms later");
        }
    }

    #[test]
    fn an_answer_is_to_one_call_and_from_who_holds_the_secret() {
        let (key, _) = key(&config(SECRET, ""));
        let (one, mut another) = (key.sign(PARSE, call()), call());
        another.operation_id = "another".into();
        let another = key.sign(PARSE, another);
        let verified = key.verify(PARSE, &one).unwrap();
        let reply = Reply { payload: Bytes::from_static(b"an administrator"), ..Default::default() };
        let good = key.answer(&verified, reply.clone());
        assert!(key.believes(&one.signature, &good));
        assert!(!key.believes(&another.signature, &good), "of another call");
        assert!(!key.believes(&one.signature, &reply), "without");
        let changes: [fn(&mut Reply); 4] = [
            |reply| reply.payload = Bytes::from_static(b"another"),
            |reply| reply.err_code = 1,
            |reply| reply.err_dlt = "x".into(),
            |reply| reply.unreachable = true,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut changed = good.clone();
            change(&mut changed);
            assert!(!key.believes(&one.signature, &changed), "{index}");
        }
        // What a caller signs is no answer.
        let echoed = Reply { signature: one.signature.clone(), ..reply };
        assert!(!key.believes(&one.signature, &echoed));
    }

    #[test]
    fn services_from_before_are_understood_while_the_configuration_says_so() {
        let mut old_and_new = config(SECRET, "");
        old_and_new.signed_calls_only = Some(false);
        let (both, _) = key(&old_and_new);
        let (strict, _) = key(&config(SECRET, ""));
        let new = both.sign(PARSE, call());
        assert!(!new.mac.is_empty(), "services from before look at it");
        assert!(strict.sign(PARSE, call()).mac.is_empty(), "nobody sees it any more");
        let old = Call { signature: Bytes::new(), sent_at: 0, ..new.clone() };
        let verified = both.verify(PARSE, &old).unwrap();
        assert!(both.answer(&verified, Reply::default()).signature.is_empty());
        assert!(strict.verify(PARSE, &old).is_err());
        assert!(
            both.believes(&new.signature, &Reply::default())
                && !strict.believes(&new.signature, &Reply::default())
        );
        // A wrong signature does not become good because there is a MAC beside it.
        let wrong = Call { signature: Bytes::from_static(b"wrong"), ..new.clone() };
        assert!(both.verify(PARSE, &wrong).is_err());
        // It changes while they run.
        both.take_over(&config(SECRET, ""));
        assert!(both.verify(PARSE, &old).is_err());
        assert!(!both.believes(&new.signature, &Reply::default()));
        assert!(both.verify(PARSE, &new).is_ok());
    }

    #[test]
    fn a_mac_of_services_from_before_is_what_they_make() {
        // By `printf '\x08\x03\x00op' | openssl dgst -sha256 -mac HMAC -macopt hexkey:K`, K that of "openim internal call v1" with the secret.
        let mut config = config(SECRET, "");
        config.signed_calls_only = Some(false);
        let signed = key(&config).0.sign(PARSE, call());
        assert_eq!(
            hex::encode(&signed.mac),
            "ce1063eb84a4b584a4466a93d9ae8b98312b5e4293a8f41da54bc11a2875473e"
        );
    }

    #[test]
    fn while_secrets_change_who_has_either_is_understood_and_others_are_not() {
        let all = [config(SECRET, ""), config(SECRET, ANOTHER), config(ANOTHER, SECRET), config(ANOTHER, "")];
        let understands = |one: usize, another: usize| {
            let (caller, callee) = (key(&all[one]).0, key(&all[another]).0);
            let call = caller.sign(PARSE, call());
            let verified = callee.verify(PARSE, &call).ok()?;
            Some(caller.believes(&call.signature, &callee.answer(&verified, Reply::default())))
        };
        for step in 0..all.len() {
            for near in step.saturating_sub(1)..(step + 2).min(all.len()) {
                assert_eq!(understands(step, near), Some(true), "{step} calls {near}");
            }
        }
        assert_eq!((understands(0, 3), understands(3, 0)), (None, None));
    }
}
