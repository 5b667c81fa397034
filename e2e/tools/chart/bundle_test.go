package main

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	interfaces "github.com/operator-framework/api/pkg/validation/interfaces"
)

// The bundle of the chart as it is passes the validators of the Operator Framework.
func TestBundleIsValid(t *testing.T) {
	helm := exec.Command("helm", "template", name, "../../../charts/openim-operator", "-n", "openim-system")
	text, err := helm.Output()
	if err != nil {
		t.Fatal(err)
	}
	all, err := read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(all.definitions) != 2 || len(all.deployments) != 1 || len(all.aggregated) != 3 || len(all.everywhere) < 10 || len(all.here) != 1 {
		t.Fatalf("not all of the chart: %d definitions, %d Deployments, %d and %d rules, %d roles for others",
			len(all.definitions), len(all.deployments), len(all.everywhere), len(all.here), len(all.aggregated))
	}
	folder := t.TempDir()
	if err := all.write("0.1.0", folder); err != nil {
		t.Fatal(err)
	}
	bundle, err := manifests.GetBundleFromDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	// Not the one that pulls the image.
	validators := interfaces.Validators{
		validation.ClusterServiceVersionValidator, validation.CustomResourceDefinitionValidator, validation.BundleValidator,
		validation.OperatorHubV2Validator, validation.StandardCapabilitiesValidator, validation.StandardCategoriesValidator,
		validation.GoodPracticesValidator,
	}
	for _, result := range validators.Validate(bundle.ObjectsToValidate()...) {
		for _, problem := range result.Errors {
			t.Errorf("%s: %s", result.Name, problem.Error())
		}
		for _, remark := range result.Warnings {
			t.Logf("%s: %s", result.Name, remark.Error())
		}
	}
}
