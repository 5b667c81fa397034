//! When the console gets its new template: after all services, so that it never calls methods that they do not have yet. It holds up no
//! service. Pure.

use crds::{Change, Reason};
use k8s_openapi::api::apps::v1::Deployment;
use topology::Extra;

use crate::{
    certificates::{Urgency, noted_as},
    model::{
        names::BUILT_BY,
        plan::Blocker,
        pod_template::{annotation, revision_of, template_of},
        workload::Rollout,
    },
    rollout::{self, Permissions},
};

/// What follows for this pass.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    /// To apply now.
    pub apply: Option<Deployment>,
    /// It may not be created yet.
    pub later: Option<Deployment>,
    /// What is pending.
    pub change: Option<Change>,
    /// Whether this pass begins it.
    pub started: bool,
    /// What holds it up.
    pub blocker: Option<Blocker>,
}

/// Decides, after the services.
pub(crate) fn decide(
    wanted: Deployment,
    live: Option<&Rollout>,
    services: &rollout::Decision,
    permissions: &Permissions,
) -> Decision {
    let services_are_done =
        services.changes.is_empty() && services.later.is_empty() && services.blockers.is_empty();
    let Some(live) = live else {
        return if permissions.create && services.changes.is_empty() {
            Decision { apply: Some(wanted), ..Default::default() }
        } else {
            Decision { later: Some(wanted), ..Default::default() }
        };
    };
    let new = template_of(&wanted);
    let differs = revision_of(&live.template) != revision_of(new);
    let current = &permissions.renewal.current;
    let late = current.is_late(&live.template);
    let renews = late
        && match permissions.renewal.urgency {
            Urgency::Held => false,
            Urgency::InTurn => services_are_done,
            Urgency::Soon | Urgency::Expired => true,
        };
    let reason = if differs { rollout::reason(&live.template, new) } else { rollout::RENEWED.to_owned() };
    let change = Change { component: Extra::Console.to_string(), reason, pods: live.desired };
    let begins = differs && services_are_done && permissions.held.is_none();
    let template = match () {
        () if begins => new.clone(),
        () if renews => current.noted(live.template.clone()),
        () if !differs && annotation(&live.template, BUILT_BY) == annotation(new, BUILT_BY) => {
            noted_as(new.clone(), &live.template)
        }
        () => live.template.clone(),
    };
    let under_way = !differs && !live.is_done();
    let gate = if live.stuck { Reason::RolloutFailed } else { Reason::RollingOut };
    Decision {
        apply: Some(rollout::with_template(wanted, &template)),
        later: None,
        change: (differs || late).then_some(change),
        started: begins || renews,
        blocker: under_way.then(|| rollout::blocker(Extra::Console, gate, rollout::seen(live))),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{apps::v1::DeploymentSpec, core::v1::PodTemplateSpec};

    use super::*;
    use crate::{
        certificates::Renewal,
        model::{names::REVISION, plan::Gate},
    };

    fn template(revision: &str) -> PodTemplateSpec {
        let mut template = PodTemplateSpec::default();
        let annotations = [(REVISION.to_owned(), revision.to_owned())];
        template.metadata.get_or_insert_default().annotations = Some(annotations.into());
        template
    }

    fn wanted() -> Deployment {
        let spec = DeploymentSpec { template: template("new"), ..Default::default() };
        Deployment { spec: Some(spec), ..Default::default() }
    }

    fn live(revision: &str) -> Rollout {
        let template = template(revision);
        Rollout { current: true, desired: 1, ready: 1, updated: 1, total: 1, template, ..Default::default() }
    }

    fn permissions(create: bool, held: Option<Gate>) -> Permissions {
        Permissions {
            create,
            held,
            behind: vec![],
            waits: std::collections::BTreeMap::new(),
            running: "1.0.0".into(),
            renewal: Renewal::default(),
        }
    }

    fn revision(decision: &Decision) -> &str {
        decision.apply.as_ref().map_or("", |deployment| revision_of(template_of(deployment)))
    }

    #[test]
    fn it_is_created_when_the_services_are() {
        let services = rollout::Decision::default();
        let early = decide(wanted(), None, &services, &permissions(false, None));
        assert!(early.apply.is_none() && early.later.is_some());
        assert_eq!(revision(&decide(wanted(), None, &services, &permissions(true, None))), "new");
    }

    #[test]
    fn it_changes_after_the_services_and_not_while_changes_are_held() {
        let (old, may) = (live("old"), permissions(true, None));
        let change = Change { component: "api".into(), reason: "version".into(), pods: 1 };
        let busy = rollout::Decision { changes: vec![change], ..Default::default() };
        let waits = decide(wanted(), Some(&old), &busy, &may);
        assert_eq!((revision(&waits), waits.started), ("old", false));
        assert_eq!(waits.change.as_ref().map(|change| change.component.as_str()), Some("console"));
        let done = rollout::Decision::default();
        let goes = decide(wanted(), Some(&old), &done, &may);
        assert_eq!((revision(&goes), goes.started), ("new", true));
        let gate = Gate { reason: Reason::Paused, message: "paused".into() };
        let held = decide(wanted(), Some(&old), &done, &permissions(true, Some(gate)));
        assert_eq!((revision(&held), held.started), ("old", false));
    }

    #[test]
    fn what_does_not_become_ready_is_reported() {
        let failed = Rollout { ready: 0, stuck: true, ..live("new") };
        let decision =
            decide(wanted(), Some(&failed), &rollout::Decision::default(), &permissions(true, None));
        let blocker = decision.blocker.unwrap();
        assert_eq!((blocker.component.as_str(), blocker.reason), ("console", Reason::RolloutFailed));
        assert!(decision.change.is_none());
    }
}
