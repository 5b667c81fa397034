//! Reads what is there. This step only performs I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::Job,
    core::v1::Secret,
};
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{
    build::labels::selector,
    plan::{Observed, Rollout},
    probe,
    validate::{Backing, Cluster},
};

fn text(secret: Secret) -> BTreeMap<String, String> {
    let data = secret.data.unwrap_or_default().into_iter();
    data.map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned())).collect()
}

async fn secret(
    client: &Client,
    cluster: &Cluster,
    name: &str,
) -> kube::Result<Option<BTreeMap<String, String>>> {
    Ok(Api::<Secret>::namespaced(client.clone(), &cluster.namespace).get_opt(name).await?.map(text))
}

/// Everything the planner must know; `credentials` are those that this pass completed.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn dereference(
    client: &Client,
    cluster: &Cluster,
    credentials: BTreeMap<String, String>,
) -> kube::Result<Observed> {
    let (client, namespace) = (client.clone(), cluster.namespace.as_str());
    let ours = ListParams::default().labels(&selector(&cluster.name));
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace).list(&ours).await?;
    let sets = Api::<StatefulSet>::namespaced(client.clone(), namespace).list(&ours).await?;
    let jobs = Api::<Job>::namespaced(client.clone(), namespace).list(&ours).await?;
    let mut missing_secrets = Vec::new();
    let mut external = BTreeMap::new();
    let mut needed: Vec<(&str, String)> = Vec::new();
    if let Backing::External(mongodb) = &cluster.mongodb {
        needed.push(("spec.mongodb.external.secretName", mongodb.secret_name.clone()));
    }
    if let Backing::External(redis) = &cluster.redis {
        needed.push(("spec.redis.external.secretName", redis.secret_name.clone()));
    }
    if let Backing::External(kafka) = &cluster.kafka {
        needed.push(("spec.kafka.external.secretName", kafka.secret_name.clone()));
    }
    if let Some(storage) = &cluster.spec.object_storage {
        needed.push(("spec.objectStorage.secretName", storage.secret_name.clone()));
    }
    if let Some(webhooks) = &cluster.spec.webhooks {
        needed.push(("spec.webhooks.signingSecretName", webhooks.signing_secret_name.clone()));
    }
    if let Some(push) = &cluster.spec.offline_push {
        needed.push(("spec.offlinePush.secretName", push.secret_name.clone()));
    }
    for (field, name) in needed.into_iter().filter(|(_, name)| !name.is_empty()) {
        match secret(&client, cluster, &name).await? {
            Some(data) => {
                external.insert(name, data);
            }
            None => {
                missing_secrets.push(format!("{field}: there is no Secret {name} in namespace {namespace}"))
            }
        }
    }
    let rollout_of_deployment = |item: &Deployment| {
        let status = item.status.clone().unwrap_or_default();
        let generation = item.metadata.generation.unwrap_or(0);
        let pod = item.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        Rollout {
            current: status.observed_generation.unwrap_or(0) >= generation,
            desired: item.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            ready: status.ready_replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            total: status.replicas.unwrap_or(0),
            version: pod
                .and_then(|pod| pod.containers.first()?.image.as_deref()?.rsplit_once(':'))
                .map(|(_, tag)| tag.to_owned())
                .unwrap_or_default(),
            init_image: String::new(),
        }
    };
    let rollout_of_set = |item: &StatefulSet| {
        let status = item.status.clone().unwrap_or_default();
        Rollout {
            current: status.observed_generation.unwrap_or(0) >= item.metadata.generation.unwrap_or(0),
            desired: item.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            ready: status.ready_replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            total: status.replicas,
            version: String::new(),
            init_image: item
                .spec
                .as_ref()
                .and_then(|spec| {
                    spec.template.spec.as_ref()?.init_containers.as_ref()?.first()?.image.clone()
                })
                .unwrap_or_default(),
        }
    };
    let deployments = deployments.iter().map(|item| (item.name_any(), rollout_of_deployment(item))).collect();
    let stateful_sets: BTreeMap<String, Rollout> =
        sets.iter().map(|item| (item.name_any(), rollout_of_set(item))).collect();
    let finished_jobs = jobs
        .iter()
        .filter(|job| job.status.as_ref().is_some_and(|status| status.succeeded.unwrap_or(0) > 0))
        .map(ResourceExt::name_any)
        .collect();
    let failed_jobs = jobs
        .iter()
        .filter(|job| job.status.as_ref().is_some_and(|status| status.failed.unwrap_or(0) > 0))
        .map(ResourceExt::name_any)
        .collect();
    let dependencies = probe::all(cluster, &credentials, &external, &stateful_sets).await;
    Ok(Observed {
        credentials,
        external,
        missing_secrets,
        deployments,
        stateful_sets,
        finished_jobs,
        failed_jobs,
        dependencies,
    })
}
