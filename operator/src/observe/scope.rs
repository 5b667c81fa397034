//! The namespaces that the operator sees, and requests to them.

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource,
    api::{ApiResource, GroupVersionKind, TypeMeta},
    core::DynamicResourceScope,
};

/// The scopes of requests: each of the namespaces, or everything if there are none.
pub(crate) fn scopes(namespaces: &[String]) -> Vec<Option<&str>> {
    if namespaces.is_empty() {
        return vec![None];
    }
    namespaces.iter().map(|namespace| Some(namespace.as_str())).collect()
}

/// One namespace, or all of them.
pub(crate) fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The same for kinds of third parties.
pub(crate) fn foreign<K>(client: &Client, namespace: Option<&str>, kind: &ApiResource) -> Api<K>
where
    K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, kind),
        None => Api::all_with(client.clone(), kind),
    }
}

/// The resource of a kind.
pub(crate) fn resource(types: &TypeMeta) -> ApiResource {
    let (group, version) = types.api_version.split_once('/').unwrap_or_default();
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_namespace_is_all_of_them() {
        assert_eq!(scopes(&[]), [None]);
        assert_eq!(scopes(&["a".into(), "b".into()]), [Some("a"), Some("b")]);
    }
}
