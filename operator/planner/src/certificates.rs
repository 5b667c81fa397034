//! Who has read the current certificates, when those in use expire, and whether pods are restarted for others now. A renewal needs no
//! approval: nobody may be there to give it before the old certificate expires. Pure.

use std::collections::BTreeMap;

use crds::Reason;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use topology::{Component, Extra, Service};

use crate::{
    authority::{self, Leaf},
    model::{
        certificates::{Certificates, Current, Ends, of_servers},
        cluster::Cluster,
        names::CERTIFICATE,
        observed::Observed,
        plan::Gate,
        pod_template::annotation,
        secret::{key, services_speak_tls},
        workload::Rollout,
    },
    window,
};

/// This long before a certificate in use expires, pods are restarted whatever the rollout policy says.
const URGENT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The same of the authority, whose replacement restarts everything three times.
pub(crate) const AUTHORITY_URGENT: SignedDuration = SignedDuration::from_hours(365 * 24);

type Data = BTreeMap<String, String>;

/// A template with the annotation of another one: what is rendered again is no reason to restart pods.
pub(crate) fn noted_as(mut template: PodTemplateSpec, live: &PodTemplateSpec) -> PodTemplateSpec {
    let annotations = template.metadata.get_or_insert_default().annotations.get_or_insert_default();
    match annotation(live, CERTIFICATE) {
        "" => _ = annotations.remove(CERTIFICATE),
        read => _ = annotations.insert(CERTIFICATE.to_owned(), read.to_owned()),
    }
    template
}

/// What the pods of a managed server have read.
fn read_by_server(live: &Rollout) -> &str {
    let recorded = live.asked.as_ref().map(|asked| asked.certificate.as_str());
    recorded.unwrap_or_else(|| annotation(&live.template, CERTIFICATE))
}

/// Who uses which certificates.
pub(crate) fn assess(cluster: &Cluster, observed: &Observed) -> Certificates {
    let current = Current::of(cluster, &observed.credentials);
    let wanted = of_servers(&observed.credentials);
    let services = Service::ALL.into_iter().filter(|service| {
        let live = observed.deployment(cluster, *service);
        live.is_some_and(|live| current.is_late(&live.template) || !live.is_done())
    });
    let console = Some(Extra::Console).filter(|console| {
        let live = observed.deployments.get(&cluster.part(console));
        live.is_some_and(|live| current.is_late(&live.template) || !live.is_done())
    });
    let servers = cluster.servers().into_iter().map(|(server, _)| server).filter(|server| {
        observed.stateful_set(cluster, *server).is_some_and(|live| {
            let is_changing = !live.current || !live.settled || live.ready < live.desired;
            read_by_server(live) != wanted || is_changing
        })
    });
    let late: Vec<Component> = services
        .map(Component::from)
        .chain(console.map(Component::from))
        .chain(servers.map(Component::from))
        .collect();
    Certificates { ends: ends(cluster, &observed.credentials, !late.is_empty()), current, late }
}

/// When the certificate in the Secret expires, or the one before it while pods may use that one.
fn end_in_use(data: &Data, leaf: &Leaf, some_are_late: bool) -> Option<Timestamp> {
    let end = authority::end_of(data.get(leaf.certificate)?)?;
    let replaced = data.get(leaf.before).and_then(|text| text.parse::<Timestamp>().ok());
    Some(replaced.filter(|_| some_are_late).map_or(end, |replaced| replaced.min(end)))
}

fn ends(cluster: &Cluster, data: &Data, some_are_late: bool) -> Option<Ends> {
    if !services_speak_tls(cluster, data) {
        return None;
    }
    let leaves = [&authority::OF_SERVICES, &authority::OF_SERVERS];
    let earliest = leaves.into_iter().filter_map(|leaf| end_in_use(data, leaf, some_are_late)).min()?;
    Some(Ends { authority: authority::end_of(data.get(key::AUTHORITY)?)?, earliest })
}

/// The Secret's data when nobody uses the certificates any more that were replaced, and it still says when they expire: pods that are replaced for
/// another reason later do not have them. The keys stay, as a sign that there were some.
pub fn forgotten(data: &Data, certificates: &Certificates) -> Option<Data> {
    let earlier = [&authority::OF_SERVICES, &authority::OF_SERVERS].map(|leaf| leaf.before);
    let mut after = data.clone();
    for name in earlier {
        if let Some(end) = after.get_mut(name) {
            end.clear();
        }
    }
    (certificates.late.is_empty() && after != *data).then_some(after)
}

/// How much the restart of pods for other certificates may disturb.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// They wait, as all other changes do.
    #[default]
    Held,
    /// One service or server after the other, when it disturbs nothing.
    InTurn,
    /// The certificates expire soon: also outside of windows, while the rollout is paused, and where another change has failed.
    Soon,
    /// They have expired and it shows: pods refuse each other, so there is nothing to wait for.
    Expired,
}

/// Whether pods that have other certificates are restarted now.
#[derive(Debug, Clone, Default)]
pub struct Renewal {
    /// What they are to read.
    pub current: Current,
    /// Whether they may be restarted for it, if for nothing else.
    pub urgency: Urgency,
}

impl Renewal {
    /// What follows from the rollout policy, which holds other changes because of `held`.
    pub fn of(
        cluster: &Cluster,
        observed: &Observed,
        certificates: &Certificates,
        held: Option<&Gate>,
    ) -> Self {
        let now = observed.now;
        let ends = certificates.ends;
        let expired = ends.is_some_and(|ends| ends.earliest <= now);
        let soon = |ends: Ends| ends.earliest - URGENT <= now || ends.authority - AUTHORITY_URGENT <= now;
        let in_window = || window::next(&cluster.spec.rollout.windows, now).is_none();
        let urgency = match held.map(|gate| gate.reason) {
            _ if expired && shows(cluster, observed) => Urgency::Expired,
            _ if ends.is_some_and(soon) => Urgency::Soon,
            None => Urgency::InTurn,
            Some(Reason::AwaitingApproval) if in_window() => Urgency::InTurn,
            Some(_) => Urgency::Held,
        };
        Self { current: certificates.current.clone(), urgency }
    }
}

/// Whether anything is unavailable. A clock that is ahead calls certificates expired that everybody accepts.
fn shows(cluster: &Cluster, observed: &Observed) -> bool {
    // Not the console, which may have reasons of its own.
    let mut services = Service::ALL.into_iter().filter_map(|service| observed.deployment(cluster, service));
    observed.dependencies.iter().any(|dependency| !dependency.has_all_copies())
        || services.any(|live| live.ready < live.desired)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authority::{complete, complete_servers, tests::DAY},
        credentials::{self, server_names},
        plan::plan,
        rotation::tests::settled,
        validate::{tests::object, validate},
    };

    fn cluster(spec: &str) -> Cluster {
        let mut cluster = validate(&object(spec)).unwrap();
        cluster.ran = cluster.version.clone();
        cluster
    }

    fn with_certificates(cluster: &Cluster, mut data: Data, now: Timestamp) -> Data {
        complete(&cluster.name, &mut data, now).unwrap();
        complete_servers(server_names(cluster), &mut data, now).unwrap();
        credentials::complete(cluster, data)
    }

    /// A cluster whose pods have the certificates of day 0, and whose Secret has those of another day.
    fn renewed_on(cluster: &Cluster, day: i64) -> Observed {
        let first = with_certificates(cluster, Data::new(), Timestamp::UNIX_EPOCH);
        let now = Timestamp::UNIX_EPOCH + DAY * i32::try_from(day).unwrap();
        let renewed = with_certificates(cluster, first.clone(), now);
        assert_ne!(renewed[key::CERTIFICATE], first[key::CERTIFICATE]);
        Observed { credentials: renewed, now, ..settled(cluster, first) }
    }

    fn started(cluster: &Cluster, observed: &Observed) -> Option<(String, String)> {
        plan(cluster, observed).started.map(|change| (change.component, change.reason))
    }

    #[test]
    fn a_renewal_needs_no_approval_and_changes_nothing_else() {
        let approved = cluster("rollout: {approval: Required}");
        let mut observed = renewed_on(&approved, 310);
        let servers = started(&approved, &observed).unwrap();
        assert_eq!(servers, ("kafka".to_owned(), "certificate".to_owned()));
        let mark = of_servers(&observed.credentials);
        for set in observed.stateful_sets.values_mut() {
            let annotations =
                set.template.metadata.get_or_insert_default().annotations.get_or_insert_default();
            annotations.insert(CERTIFICATE.to_owned(), mark.clone());
        }
        // Somebody edited the spec meanwhile, and nobody approves that.
        let edited = cluster("{rollout: {approval: Required}, config: {multiLoginPolicy: 4}}");
        let service = Service::ALL[0];
        let before = observed.deployments[&edited.part(service)].template.clone();
        assert_eq!(started(&edited, &observed), Some((service.to_string(), "certificate".to_owned())));
        let plan = plan(&edited, &observed);
        let name = Some(edited.part(service));
        let applied = plan.apply.iter().find(|object| {
            object.metadata.name == name
                && object.types.as_ref().is_some_and(|types| types.kind == "Deployment")
        });
        let applied: PodTemplateSpec =
            serde_json::from_value(applied.unwrap().data["spec"]["template"].clone()).unwrap();
        assert_ne!(applied, before);
        assert_eq!(noted_as(applied, &before), before, "only the certificate");
        assert!(
            plan.blockers.iter().any(|blocker| blocker.reason == Reason::AwaitingApproval),
            "the edit waits"
        );
    }

    #[test]
    fn a_renewal_waits_for_a_window_until_the_last_month() {
        // 1970-01-01 was a Thursday, and so is every seventh day after it.
        for policy in ["windows: [{days: [Fri], start: '02:00', minutes: 60}]", "paused: true"] {
            let held = cluster(&format!("rollout: {{{policy}}}"));
            let mut observed = renewed_on(&held, 308);
            assert_eq!(started(&held, &observed), None, "{policy}");
            observed.now += DAY * 28;
            assert!(started(&held, &observed).is_some(), "{policy}: expires in less than a month");
        }
    }

    #[test]
    fn what_expires_first_is_what_pods_use_and_not_what_the_secret_has() {
        let cluster = cluster("{}");
        let mut observed = renewed_on(&cluster, 310);
        let day = |end: Timestamp| end.duration_since(Timestamp::UNIX_EPOCH).as_hours() / 24;
        assert_eq!(day(assess(&cluster, &observed).ends.unwrap().earliest), 365);
        assert_eq!(day(assess(&cluster, &observed).ends.unwrap().authority), 20 * 365);
        observed = Observed { now: observed.now, ..settled(&cluster, observed.credentials) };
        assert_eq!(day(assess(&cluster, &observed).ends.unwrap().earliest), 310 + 365);
        assert!(assess(&cluster, &observed).late.is_empty());
        observed.credentials = credentials::complete(&cluster, Data::new());
        assert_eq!(assess(&cluster, &observed).ends, None, "no TLS");
    }

    #[test]
    fn pods_of_an_operator_before_are_restarted_only_for_what_was_issued_since() {
        let cluster = cluster("{}");
        let first = with_certificates(&cluster, Data::new(), Timestamp::UNIX_EPOCH);
        let unnoted = PodTemplateSpec::default();
        assert!(!Current::of(&cluster, &first).is_late(&unnoted));
        let renewed = with_certificates(&cluster, first, Timestamp::UNIX_EPOCH + DAY * 310);
        let current = Current::of(&cluster, &renewed);
        assert!(current.is_late(&unnoted));
        assert!(!current.is_late(&current.noted(unnoted)));
    }

    #[test]
    fn certificates_that_have_expired_are_replaced_at_once_only_where_it_shows() {
        let paused = cluster("rollout: {paused: true}");
        let mut observed = renewed_on(&paused, 400);
        let urgency = |observed: &Observed, cluster: &Cluster| {
            let certificates = assess(cluster, observed);
            let gate = Gate { reason: Reason::Paused, message: String::new() };
            Renewal::of(cluster, observed, &certificates, Some(&gate)).urgency
        };
        assert_eq!(urgency(&observed, &paused), Urgency::Soon, "the clock may be wrong");
        observed.dependencies[0].reachable = false;
        assert_eq!(urgency(&observed, &paused), Urgency::Expired);
        let mut young = renewed_on(&paused, 310);
        young.dependencies[0].reachable = false;
        assert_eq!(urgency(&young, &paused), Urgency::Held);
        let first = with_certificates(&paused, Data::new(), Timestamp::UNIX_EPOCH);
        let nineteen = Timestamp::UNIX_EPOCH + DAY * (19 * 365);
        let old = Observed { now: nineteen, ..settled(&paused, with_certificates(&paused, first, nineteen)) };
        assert_eq!(urgency(&old, &paused), Urgency::Soon, "the authority expires within a year");
    }
}
