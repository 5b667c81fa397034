//! The running version, and which may follow it. Pure.

use semver::Version;
use topology::Service;

use crate::model::{cluster::Cluster, observed::Observed, pod_template::version_of};

/// The lowest version that runs. While services are being changed it is the one from before; while a cluster is being made, that of the
/// first pods that serve; before that none, so that a version without an image can be corrected. It does not fall behind data that newer
/// services may have changed: one that was made older than the others, in a cluster that never ran, is what has to follow.
pub fn running(cluster: &Cluster, observed: &Observed) -> String {
    let found = || Service::ALL.into_iter().map(|service| observed.deployment(cluster, service));
    let done: Option<Vec<&str>> = found()
        .map(|found| found.filter(|live| live.is_done()).map(|live| version_of(&live.template)))
        .collect();
    if let Some(lowest) = done.and_then(lowest).filter(|lowest| !is_downgrade(&cluster.ran, lowest)) {
        return lowest.to_owned();
    }
    if !cluster.ran.is_empty() {
        return cluster.ran.clone();
    }
    let serving = found().flatten().filter(|live| live.ready > 0).map(|live| version_of(&live.template));
    lowest(serving.collect()).unwrap_or_default().to_owned()
}

fn lowest(versions: Vec<&str>) -> Option<&str> {
    versions.into_iter().min_by(|a, b| match (Version::parse(a), Version::parse(b)) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    })
}

/// Whether it goes back further than to a patch of the same minor version.
fn is_downgrade(from: &str, to: &str) -> bool {
    let minor = |text| Version::parse(text).map(|version| (version.major, version.minor));
    matches!((minor(from), minor(to)), (Ok(from), Ok(to)) if to < from)
}

/// Services of neighbouring minor versions work together and on the same data; others do not. Tags that are not versions are the user's
/// own business.
pub fn upgrade_problem(running: &str, wanted: &str) -> Option<String> {
    let (from, to) = (Version::parse(running).ok()?, Version::parse(wanted).ok()?);
    let refuse =
        |why: &str, remedy: String| Some(format!("spec.version: {running} to {wanted} {why}; {remedy}"));
    if to.major != from.major {
        return refuse(
            "changes the major version",
            "read its release notes and restore a backup into a new cluster".into(),
        );
    }
    if is_downgrade(running, wanted) {
        return refuse(
            "is a downgrade: the data may already have been migrated",
            format!("stay with {running} or a newer version"),
        );
    }
    if to.minor > from.minor + 1 {
        return refuse("skips versions", format!("set {}.{}.0 first", from.major, from.minor + 1));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::Container;

    use super::*;
    use crate::{
        model::workload::Rollout,
        validate::{tests::object, validate},
    };

    #[test]
    fn versions_follow_one_another() {
        for (running, wanted, refused) in [
            ("1.4.2", "1.4.9", false),
            ("1.4.2", "1.4.0", false),
            ("1.4.2", "1.5.0", false),
            ("1.4.2", "1.6.0", true),
            ("1.4.2", "1.3.9", true),
            ("1.4.2", "2.0.0", true),
            ("1.4.2", "nightly", false),
            ("", "9.0.0", false),
        ] {
            assert_eq!(upgrade_problem(running, wanted).is_some(), refused, "{running} to {wanted}");
        }
    }

    fn of_image(image: &str) -> Rollout {
        let mut live = Rollout::default();
        let container = Container { image: Some(image.to_owned()), ..Default::default() };
        live.template.spec.get_or_insert_default().containers.push(container);
        live
    }

    #[test]
    fn a_cluster_that_is_half_made_has_the_version_of_what_serves() {
        let cluster = validate(&object("version: 1.2.0")).unwrap();
        let with_ready = |ready: i32| {
            let live = Rollout { desired: 1, ready, ..of_image(&cluster.image) };
            Observed { deployments: BTreeMap::from([(cluster.part("auth"), live)]), ..Default::default() }
        };
        assert_eq!(running(&cluster, &with_ready(0)), "");
        assert_eq!(running(&cluster, &with_ready(1)), "1.2.0");
    }

    #[test]
    fn what_runs_does_not_fall_behind_the_data() {
        let mut cluster = validate(&object("version: 1.2.9")).unwrap();
        let all = |relation: &str| {
            let mut observed = Observed::default();
            for service in Service::ALL {
                let version = if service == Service::Relation { relation } else { "1.2.1" };
                let live = Rollout { current: true, ..of_image(&format!("openim-server:{version}")) };
                observed.deployments.insert(cluster.part(service), live);
            }
            observed
        };
        let (older, patch) = (all("1.0.0"), all("1.2.0"));
        cluster.ran = "1.2.1".into();
        assert_eq!(running(&cluster, &older), "1.2.1", "relation has to follow the others");
        assert_eq!(running(&cluster, &patch), "1.2.0");
    }
}
