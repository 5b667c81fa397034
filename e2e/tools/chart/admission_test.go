package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/google/cel-go/cel"
	"sigs.k8s.io/yaml"
)

// expression is one of a policy's, as the API server's own compiler takes it.
type expression struct {
	name, text string
	types      []*cel.Type
}

func (e expression) GetName() string          { return e.name }
func (e expression) GetExpression() string    { return e.text }
func (e expression) ReturnTypes() []*cel.Type { return e.types }

// policy is what the chart renders with values.
func policy(t *testing.T, values string) admissionv1.ValidatingAdmissionPolicy {
	t.Helper()
	helm := exec.Command("helm", "template", name, "../../../charts/openim-operator", "-s", "templates/admission.yaml", "-f", "-")
	helm.Stdin = strings.NewReader(values)
	text, err := helm.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, document := range strings.Split(string(text), "\n---\n") {
		var policy admissionv1.ValidatingAdmissionPolicy
		if err := yaml.UnmarshalStrict([]byte(strings.TrimPrefix(document, "---\n")), &policy); err == nil && policy.Kind == "ValidatingAdmissionPolicy" {
			return policy
		}
	}
	t.Fatalf("no policy in %s", text)
	return admissionv1.ValidatingAdmissionPolicy{}
}

// refused is what the API server says of a request; empty: it lets it through.
func refused(t *testing.T, policy admissionv1.ValidatingAdmissionPolicy, object, before map[string]any, mayApprove bool) string {
	t.Helper()
	compiler, err := plugincel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		t.Fatal(err)
	}
	has := plugincel.OptionalVariableDeclarations{HasAuthorizer: true}
	for _, variable := range policy.Spec.Variables {
		stored := compiler.CompileAndStoreVariable(expression{variable.Name, variable.Expression, []*cel.Type{cel.AnyType, cel.DynType}}, has, environment.StoredExpressions)
		if stored.Error != nil {
			t.Fatalf("%s: %v", variable.Name, stored.Error)
		}
	}
	var conditions, messages []plugincel.ExpressionAccessor
	for _, validation := range policy.Spec.Validations {
		conditions = append(conditions, expression{"", validation.Expression, []*cel.Type{cel.BoolType}})
		text := validation.MessageExpression
		if text == "" {
			text = "'" + validation.Message + "'"
		}
		messages = append(messages, expression{"", text, []*cel.Type{cel.StringType}})
	}
	kind := schema.GroupVersionKind{Group: "openim.io", Version: "v1alpha1", Kind: "OpenIMCluster"}
	resource := schema.GroupVersionResource{Group: "openim.io", Version: "v1alpha1", Resource: "openimclusters"}
	asked := &admission.VersionedAttributes{VersionedKind: kind, VersionedObject: &unstructured.Unstructured{Object: object}}
	operation := admission.Create
	if before != nil {
		operation = admission.Update
		asked.VersionedOldObject = &unstructured.Unstructured{Object: before}
	}
	asked.Attributes = admission.NewAttributesRecord(asked.VersionedObject, asked.VersionedOldObject, kind, "team", "chat", resource, "", operation, nil, false, &user.DefaultInfo{Name: "jane"})
	rights := authorizer.AuthorizerFunc(func(_ context.Context, asked authorizer.Attributes) (authorizer.Decision, string, error) {
		if mayApprove && asked.GetVerb() == "update" && asked.GetResource() == "openimclusters" && asked.GetSubresource() == "approval" && asked.GetNamespace() == "team" {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "", nil
	})
	evaluate := func(expressions []plugincel.ExpressionAccessor) []plugincel.EvaluationResult {
		request := plugincel.CreateAdmissionRequest(asked.Attributes, metav1.GroupVersionResource(resource), metav1.GroupVersionKind(kind))
		results, _, err := compiler.CompileCondition(expressions, has, environment.StoredExpressions).ForInput(
			compiler.CompositionEnv.CreateContext(context.Background()), asked, request, plugincel.OptionalVariableBindings{Authorizer: rights}, nil, celconfig.RuntimeCELCostBudget)
		if err != nil {
			t.Fatal(err)
		}
		for _, result := range results {
			if result.Error != nil {
				t.Fatalf("%s: %v", result.ExpressionAccessor.GetExpression(), result.Error)
			}
		}
		return results
	}
	said := evaluate(messages)
	for index, result := range evaluate(conditions) {
		if result.EvalResult.Value() != true {
			return said[index].EvalResult.Value().(string)
		}
	}
	return ""
}

// cluster is an object as the API server has it after its defaults.
func cluster(t *testing.T, text string) map[string]any {
	t.Helper()
	object := map[string]any{
		"apiVersion": "openim.io/v1alpha1", "kind": "OpenIMCluster",
		"spec": map[string]any{
			"image":   map[string]any{"repository": "registry.example.org:5000/im/openim-server"},
			"mongodb": map[string]any{}, "redis": map[string]any{}, "kafka": map[string]any{},
		},
	}
	var given map[string]any
	if err := yaml.Unmarshal([]byte(text), &given); err != nil {
		t.Fatal(err)
	}
	metadata := map[string]any{"name": "chat", "namespace": "team"}
	if annotations, ok := given["annotations"]; ok {
		metadata["annotations"] = annotations
		delete(given, "annotations")
	}
	object["metadata"] = metadata
	for field, value := range given {
		object["spec"].(map[string]any)[field] = value
	}
	return object
}

func TestImagesOfOtherRepositoriesAreRefused(t *testing.T) {
	services := policy(t, "{admissionPolicy: true, allowedRepositories: ['registry.example.org:5000/im/']}")
	policy := policy(t, "{admissionPolicy: true, allowedRepositories: ['registry.example.org:5000/im/', docker.io/library/mongo, docker.io/library/redis, docker.io/apache/kafka]}")
	for spec, named := range map[string]string{
		"{}": "",
		"mongodb: {managed: {image: 'registry.example.org:5000/im/mongo:8@sha256:0'}}":    "",
		"mongodb: {managed: {image: ''}, external: null}":                                 "",
		"redis: {external: {address: 'r:6379'}}":                                          "",
		"image: {repository: docker.io/evil/openim-server}":                               "docker.io/evil/openim-server",
		"kafka: {managed: {image: 'docker.io/apache/kafka-native:4'}}":                    "docker.io/apache/kafka-native",
		"redis: {managed: {image: 'registry.example.org:5000/imitated/redis'}}":           "registry.example.org:5000/imitated/redis",
		"mongodb: {managed: {image: 'docker.io/library/mongo@sha256:0'}, external: null}": "",
		"mongodb: {managed: {image: 'docker.io:443/library/mongo:8'}}":                    "docker.io:443/library/mongo",
	} {
		said := refused(t, policy, cluster(t, spec), nil, false)
		if (named == "") != (said == "") || !strings.Contains(said, named) {
			t.Errorf("%s: %q", spec, said)
		}
	}
	if said := refused(t, services, cluster(t, "{}"), nil, false); !strings.Contains(said, "docker.io/library/mongo") || !strings.Contains(said, "docker.io/apache/kafka") {
		t.Errorf("images that are not named: %q", said)
	}
}

func TestApprovingIsARightOfItsOwn(t *testing.T) {
	policy := policy(t, "admissionPolicy: true")
	plain, approved := cluster(t, "{}"), cluster(t, "annotations: {openim.io/approved-plan: abc}")
	edited := cluster(t, "{annotations: {openim.io/approved-plan: abc}, kafka: {managed: {}}}")
	for name, request := range map[string]struct {
		object, before map[string]any
		mayApprove, ok bool
	}{
		"creating":                    {plain, nil, false, true},
		"creating with an approval":   {approved, nil, false, false},
		"approving":                   {approved, plain, false, false},
		"approving with the right to": {approved, plain, true, true},
		"editing what was approved":   {edited, approved, false, true},
		"taking an approval back":     {plain, approved, false, true},
	} {
		said := refused(t, policy, request.object, request.before, request.mayApprove)
		if (said == "") != request.ok || (!request.ok && !strings.Contains(said, "openimclusters/approval")) {
			t.Errorf("%s: %q", name, said)
		}
	}
}
