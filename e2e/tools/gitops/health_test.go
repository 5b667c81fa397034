// What Flux, Helm and Argo CD make of a cluster's status, by the code that they use: kstatus, and the interpreter of Argo CD's health checks. The objects
// are those of operator/planner/tests/statuses.rs.
package gitops

import (
	"encoding/json"
	"os"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// expected is what each object is to be for kstatus and for Argo CD.
var expected = map[string][2]string{
	"new":                 {"InProgress", "Progressing"},
	"begun":               {"InProgress", "Progressing"},
	"waits for a server":  {"InProgress", "Progressing"},
	"rolls out":           {"InProgress", "Progressing"},
	"waits for consumers": {"InProgress", "Progressing"},
	"all run":             {"Current", "Healthy"},
	"edited since":        {"InProgress", "Progressing"},
	"backups are overdue": {"Current", "Healthy"},
	"paused":              {"InProgress", "Suspended"},
	"awaits approval":     {"InProgress", "Suspended"},
	"outside its window":  {"InProgress", "Suspended"},
	"a rollout failed":    {"Failed", "Degraded"},
	"its host is taken":   {"Failed", "Degraded"},
	"its spec is wrong":   {"Failed", "Degraded"},
}

func objects(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	text, err := os.ReadFile("../../../operator/planner/tests/golden/statuses.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != len(expected) {
		t.Fatalf("%d objects, %d expectations", len(all), len(expected))
	}
	return all
}

func TestKstatus(t *testing.T) {
	for name, object := range objects(t) {
		var read unstructured.Unstructured
		if err := read.UnmarshalJSON(object); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		result, err := status.Compute(&read)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := expected[name][0]; result.Status.String() != want {
			t.Errorf("%s: %s (%s), not %s", name, result.Status, result.Message, want)
		}
	}
}

// value is what Argo CD's health checks see of an object.
func value(state *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case map[string]any:
		table := state.NewTable()
		for name, field := range of {
			table.RawSetString(name, value(state, field))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, item := range of {
			table.Append(value(state, item))
		}
		return table
	case string:
		return lua.LString(of)
	case float64:
		return lua.LNumber(of)
	case bool:
		return lua.LBool(of)
	default:
		return lua.LNil
	}
}

func health(t *testing.T, object map[string]any) (string, string) {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	// As there: no files, no programs.
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	state.SetGlobal("obj", value(state, object))
	if err := state.DoFile("../../../config/argocd/health.lua"); err != nil {
		t.Fatal(err)
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("no table, but %v", state.Get(-1))
	}
	return table.RawGetString("status").String(), table.RawGetString("message").String()
}

func TestArgoCD(t *testing.T) {
	for name, object := range objects(t) {
		var read map[string]any
		if err := json.Unmarshal(object, &read); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found, message := health(t, read)
		if want := expected[name][1]; found != want || message == "" || message == "nil" {
			t.Errorf("%s: %s (%s), not %s", name, found, message, want)
		}
	}
	// Before the operator has seen it, by a definition without a default for the status.
	if found, _ := health(t, map[string]any{"metadata": map[string]any{"generation": 1.0}}); found != "Progressing" {
		t.Errorf("without a status: %s", found)
	}
}
