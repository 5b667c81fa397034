// Command bundle makes a bundle for the Operator Lifecycle Manager of what Helm renders of the chart, so that both install the same:
//
//	helm template openim-operator charts/openim-operator -n openim-system | bundle VERSION FOLDER
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	name       = "openim-operator"
	repository = "https://github.com/openim-cluster/openim-cluster"
)

// rendered is what of the chart goes into a bundle; accounts and bindings are the manager's.
type rendered struct {
	definitions []apiextensions.CustomResourceDefinition
	// The operator's own rights, everywhere and in its namespace.
	everywhere, here []rbacv1.PolicyRule
	// Roles that are added to Kubernetes' own.
	aggregated  []rbacv1.ClusterRole
	deployments []appsv1.Deployment
}

func read(from io.Reader) (rendered, error) {
	var all rendered
	decoder := utilyaml.NewYAMLOrJSONDecoder(from, 1<<16)
	for {
		var text json.RawMessage
		if err := decoder.Decode(&text); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		if text = bytes.TrimSpace(text); len(text) == 0 || string(text) == "null" {
			continue
		}
		if err := all.add(text); err != nil {
			return all, err
		}
	}
}

func (all *rendered) add(text []byte) error {
	var kind metav1.PartialObjectMetadata
	if err := json.Unmarshal(text, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "CustomResourceDefinition":
		return appended(&all.definitions, text)
	case "Deployment":
		return appended(&all.deployments, text)
	case "Role":
		var role rbacv1.Role
		err := json.Unmarshal(text, &role)
		all.here = append(all.here, role.Rules...)
		return err
	case "ClusterRole":
		if len(kind.Labels) > 0 {
			return appended(&all.aggregated, text)
		}
		var role rbacv1.ClusterRole
		err := json.Unmarshal(text, &role)
		all.everywhere = append(all.everywhere, role.Rules...)
		return err
	}
	return nil
}

func appended[T any](list *[]T, text []byte) error {
	var item T
	err := json.Unmarshal(text, &item)
	*list = append(*list, item)
	return err
}

// service is the ClusterServiceVersion.
func (all rendered) service(version string) (map[string]any, error) {
	strategy := v1alpha1.StrategyDetailsDeployment{
		ClusterPermissions: []v1alpha1.StrategyDeploymentPermissions{{ServiceAccountName: name, Rules: all.everywhere}},
		Permissions:        []v1alpha1.StrategyDeploymentPermissions{{ServiceAccountName: name, Rules: all.here}},
	}
	image := ""
	for _, deployment := range all.deployments {
		strategy.DeploymentSpecs = append(strategy.DeploymentSpecs, v1alpha1.StrategyDeploymentSpec{
			Name: deployment.Name, Spec: deployment.Spec, Label: deployment.Labels,
		})
		image = deployment.Spec.Template.Spec.Containers[0].Image
	}
	install, err := json.Marshal(strategy)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"apiVersion": "operators.coreos.com/v1alpha1",
		"kind":       "ClusterServiceVersion",
		"metadata": map[string]any{
			"name": name + ".v" + version,
			"annotations": map[string]string{
				"alm-examples":   `[{"apiVersion":"openim.io/v1alpha1","kind":"OpenIMCluster","metadata":{"name":"chat"},"spec":{}},{"apiVersion":"openim.io/v1alpha1","kind":"OpenIMService","metadata":{"name":"chat-msg"},"spec":{"replicas":2}}]`,
				"capabilities":   "Deep Insights",
				"categories":     "Application Runtime",
				"containerImage": image,
				"description":    "Runs OpenIM messaging clusters",
				"repository":     repository,
			},
		},
		"spec": map[string]any{
			"displayName":    "OpenIM",
			"description":    "Runs OpenIM messaging clusters from OpenIMCluster objects: the services, and MongoDB, Redis and Kafka unless yours are used.",
			"version":        version,
			"maturity":       "alpha",
			"minKubeVersion": "1.30.0",
			"keywords":       []string{"openim", "messaging", "chat"},
			"provider":       map[string]string{"name": "openim-cluster", "url": repository},
			"links":          []map[string]string{{"name": "Documentation", "url": repository + "/tree/main/docs"}},
			"installModes": []map[string]any{
				{"type": "OwnNamespace", "supported": false}, {"type": "SingleNamespace", "supported": false},
				{"type": "MultiNamespace", "supported": false}, {"type": "AllNamespaces", "supported": true},
			},
			"customresourcedefinitions": map[string]any{"owned": all.owned()},
			"install":                   map[string]any{"strategy": "deployment", "spec": json.RawMessage(install)},
		},
	}, nil
}

func (all rendered) owned() []map[string]string {
	var owned []map[string]string
	for _, definition := range all.definitions {
		for _, version := range definition.Spec.Versions {
			owned = append(owned, map[string]string{
				"name": definition.Name, "kind": definition.Spec.Names.Kind, "version": version.Name,
				"displayName": definition.Spec.Names.Kind, "description": version.Schema.OpenAPIV3Schema.Description,
			})
		}
	}
	return owned
}

func (all rendered) write(version, folder string) error {
	service, err := all.service(version)
	if err != nil {
		return err
	}
	files := map[string]any{
		filepath.Join("manifests", name+".clusterserviceversion.yaml"): service,
		filepath.Join("metadata", "annotations.yaml"): map[string]any{"annotations": map[string]string{
			"operators.operatorframework.io.bundle.mediatype.v1":       "registry+v1",
			"operators.operatorframework.io.bundle.manifests.v1":       "manifests/",
			"operators.operatorframework.io.bundle.metadata.v1":        "metadata/",
			"operators.operatorframework.io.bundle.package.v1":         name,
			"operators.operatorframework.io.bundle.channels.v1":        "alpha",
			"operators.operatorframework.io.bundle.channel.default.v1": "alpha",
		}},
	}
	for _, definition := range all.definitions {
		files[filepath.Join("manifests", definition.Name+".yaml")] = definition
	}
	for _, role := range all.aggregated {
		files[filepath.Join("manifests", role.Name+".clusterrole.yaml")] = role
	}
	for path, content := range files {
		text, err := yaml.Marshal(content)
		if err != nil {
			return err
		}
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: helm template … | bundle VERSION FOLDER")
		os.Exit(2)
	}
	all, err := read(os.Stdin)
	if err == nil {
		err = all.write(os.Args[1], os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}
