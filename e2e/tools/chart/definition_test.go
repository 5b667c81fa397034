package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// definition is a CustomResourceDefinition of the chart as the API server keeps it.
func definition(t *testing.T, file string) *apiextensions.CustomResourceDefinition {
	t.Helper()
	text, err := os.ReadFile("../../../charts/openim-operator/definitions/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var read apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &read); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	scheme.Default(&read)
	kept := &apiextensions.CustomResourceDefinition{}
	if err := scheme.Convert(&read, kept, nil); err != nil {
		t.Fatal(err)
	}
	return kept
}

// The API server takes the definitions: their rules compile and cost no more than it allows.
func TestDefinitionsAreTaken(t *testing.T) {
	for _, file := range []string{"openimclusters.yaml", "openimservices.yaml"} {
		kept := definition(t, file)
		kept.Status.StoredVersions = []string{kept.Spec.Versions[0].Name}
		for _, problem := range validation.ValidateCustomResourceDefinition(context.Background(), kept) {
			t.Errorf("%s: %v", file, problem)
		}
	}
}

// What the API server says of an edit of a spec by the rules of the definition.
func TestEditsAreRefusedWithAReason(t *testing.T) {
	kept := definition(t, "openimclusters.yaml")
	internal, err := apiextensions.GetSchemaForVersion(kept, "v1alpha1")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	validator := cel.NewValidator(schema, true, celconfig.PerCallLimit)
	object := func(spec string) map[string]any {
		given := map[string]any{}
		text, err := yaml.YAMLToJSON([]byte(spec))
		if err != nil {
			t.Fatal(err)
		}
		// With whole numbers, as the API server has them.
		if err := utiljson.Unmarshal(text, &given); err != nil {
			t.Fatal(err)
		}
		object := map[string]any{"apiVersion": "openim.io/v1alpha1", "kind": "OpenIMCluster", "metadata": map[string]any{"name": "chat"}, "spec": given}
		defaulting.Default(object, schema)
		return object
	}
	for _, edit := range []struct{ before, after, said string }{
		{"", "kafka: {external: {address: [k:1], saslMechanism: PLAIN}}", "saslMechanism needs a user"},
		{"", "kafka: {external: {address: [k:1], saslMechanism: SCRAM-SHA-512, secretName: k}}", ""},
		{"", "redis: {external: {address: 'r:1', username: chat}}", "username needs a password"},
		{"", "redis: {external: {address: 'r:1', username: chat, secretName: r}}", ""},
		{"", "redis: {external: {address: 'r:1', username: null}}", ""},
		{"", "kafka: {external: {address: [k:1], saslMechanism: null}}", ""},
		{"", "redis: {managed: null, external: {address: 'r:1'}}", ""},
		{"", "redis: {managed: {}, external: {address: 'r:1'}}", "set either managed or external"},
		// managed comes.
		{"{}", "mongodb: {managed: {storageClass: fast}}", "created with the defaults"},
		{"{}", "mongodb: {managed: {storage: 5Gi}}", "created with the defaults"},
		{"{}", "mongodb: {managed: {members: 3, storage: 20Gi}}", ""},
		{"{}", "redis: {managed: {replicas: 3}}", ""},
		{"{}", "kafka: {managed: {brokers: 3}}", "created with the defaults"},
		{"{}", "kafka: {managed: {storage: 20Gi}}", ""},
		{"kafka: {external: {address: [k:1]}}", "kafka: {managed: {brokers: 3, storageClass: fast}}", ""},
		{"mongodb: {managed: null}", "mongodb: {managed: {storageClass: fast}}", "created with the defaults"},
		// managed goes.
		{"mongodb: {managed: {storage: 20Gi}}", "mongodb: {managed: null}", "keep the previous values"},
		{"redis: {managed: {replicas: 3}}", "{}", "keep the previous values"},
		{"kafka: {managed: {brokers: 3}}", "{}", "keep the previous values"},
		{"mongodb: {managed: {storage: 20Gi}}", "{}", "keep the previous values"},
		{"mongodb: {managed: {storageClass: fast}}", "{}", "keep the previous values"},
		{"mongodb: {managed: {members: 3}}", "{}", ""},
		{"kafka: {managed: {brokers: 3, storage: 50Gi}}", "kafka: {external: {address: [k:1]}}", ""},
		// Neither.
		{"{}", "config: {logLevel: debug}", ""},
		{"redis: {managed: {replicas: 3}}", "redis: {managed: {replicas: 1}}", "cannot be removed"},
	} {
		var before any
		if edit.before != "" {
			before = object(edit.before)
		}
		problems, _ := validator.Validate(context.Background(), field.NewPath(""), schema, object(edit.after), before, celconfig.RuntimeCELCostBudget)
		said := problems.ToAggregate()
		if (said == nil) != (edit.said == "") || (said != nil && !strings.Contains(said.Error(), edit.said)) {
			t.Errorf("%q to %q: %v", edit.before, edit.after, said)
		}
	}
}
