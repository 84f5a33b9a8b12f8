//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/test/lab/gateway"
)

// iamOf translates a recorded call to the action that IAM asks for, where the
// two differ (docs.aws.amazon.com/service-authorization).
func iamOf(service, action string) string {
	same := map[string]string{
		"s3:HeadObject": "s3:GetObject", "s3:HeadBucket": "s3:ListBucket", "s3:ListObjectsV2": "s3:ListBucket", "s3:ListObjects": "s3:ListBucket",
		"s3:CreateMultipartUpload": "s3:PutObject", "s3:UploadPart": "s3:PutObject", "s3:CompleteMultipartUpload": "s3:PutObject",
		"sqs:DeleteMessageBatch": "sqs:DeleteMessage",
	}
	name := service + ":" + action
	if other, ok := same[name]; ok {
		return other
	}
	return name
}

// sometimes begins the reason of an action that depends on how quick a guest
// is: one run of the suite makes the call, the next does not, and both are fine.
const sometimes = "sometimes: "

// unrecorded lists actions that a policy rightly holds although this suite may
// never call them, each with the reason.
func unrecorded() map[string]map[string]string {
	return map[string]map[string]string{
		"bake-ami": {
			"iam:PassRole": "EC2 asks for it when the builder gets an instance profile",
			"autoscaling:DescribeLaunchConfigurations": "only prune, and only for old groups without a launch template",
			"ssm:CancelCommand":                        "only when a bake with --transport ssm is interrupted",
			"ec2:RebootInstances":                      sometimes + "only when a converge ends in exit code 37 and the guest's own reboot does not answer in time",
		},
		"autoscalectl": {
			"iam:PassRole":                              "EC2 asks for it when a launch template has an instance profile",
			"ec2:RunInstances":                          "Auto Scaling asks for it when a group gets a launch template",
			"ec2:CreateTags":                            "Auto Scaling asks for it when a launch template tags what it launches",
			"autoscaling:SetInstanceProtection":         "only destroy, of a group with protected instances, which none of this suite is",
			"elasticloadbalancing:DescribeTargetGroups": "only for the short form requests_per_target",
		},
		"boot-agent": {
			"secretsmanager:GetSecretValue": "only with a validator key in Secrets Manager; the lab's is in the Parameter Store",
		},
		"chef-broker": {
			"s3:ListBucket":                 "S3 says 404 for a key that is not there only to who may list; without it, 403",
			"sts:AssumeRole":                "only with --account-role",
			"secretsmanager:GetSecretValue": "only with --chef-key secretsmanager:NAME, which the Parameter Store asks for in the broker's name; the lab's key is a parameter",
		},
		"deployctl": {
			"s3:DeleteObject":   "only when gc finds a build that is old enough, which no build of this suite is",
			"ssm:CancelCommand": "only when a rollout by Run Command is interrupted",
			"kms:GetPublicKey":  "only with a signing key in KMS; the emulator has no Ed25519 keys",
			"kms:Sign":          "only with a signing key in KMS",
		},
	}
}

// policyActions reads the actions that a policy allows.
func policyActions(t *testing.T, path string) []string {
	t.Helper()
	var p struct {
		Statement []struct {
			Effect string
			Action any
		}
	}
	if err := readJSON(path, &p); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var all []string
	for _, st := range p.Statement {
		switch a := st.Action.(type) {
		case string:
			all = append(all, a)
		case []any:
			for _, one := range a {
				all = append(all, one.(string))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// calledBy gathers the actions that each of our tools called since the lab came up.
func calledBy(t *testing.T) map[string][]string {
	t.Helper()
	text, err := control(deadline(t, 20*time.Second), http.MethodGet, "calls", nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var r gateway.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.Action == "" {
			// What a query call wants stands in its body, and a killed tool's may
			// end before that; the gateway could not read such a request.
			if r.Code != "MalformedRequest" {
				t.Errorf("a call without an action was answered: %+v", r)
			}
			continue
		}
		tool, _, _ := strings.Cut(strings.TrimPrefix(r.Agent, "bakehouse-"), "/")
		if action := iamOf(r.Service, r.Action); r.Agent != "" && action != "sts:GetCallerIdentity" && !slices.Contains(all[tool], action) {
			all[tool] = append(all[tool], action)
		}
	}
	return all
}

// wholeSuite says that no -run picks tests: only then are the reasons judged.
func wholeSuite() bool { return flag.Lookup("test.run").Value.String() == "" }

// TestPoliciesAreWhatTheToolsCall runs last (files are taken by name): it
// judges the calls that all the tests before it made.
func TestPoliciesAreWhatTheToolsCall(t *testing.T) {
	theStory(t)
	files, err := filepath.Glob(filepath.Join(s.world.Root, "docs", "iam", "*.json"))
	if err != nil || len(files) < 3 {
		t.Fatalf("policies: %v, %v", files, err)
	}
	called := calledBy(t)
	for _, file := range files {
		tool := strings.TrimSuffix(filepath.Base(file), ".json")
		if strings.HasSuffix(tool, "-bucket-policy") {
			continue // a bucket's policy denies; deploy's own tests judge it
		}
		allowed, reasons := policyActions(t, file), unrecorded()[tool]
		for _, a := range called[tool] {
			if !slices.Contains(allowed, a) {
				t.Errorf("%s calls %s, which docs/iam/%s.json does not allow", tool, a, tool)
			}
		}
		for _, a := range allowed {
			switch seen := slices.Contains(called[tool], a); {
			case !seen && reasons[a] == "":
				t.Errorf("docs/iam/%s.json allows %s, which %s never called", tool, a, tool)
			case seen && reasons[a] != "" && !strings.HasPrefix(reasons[a], sometimes) && wholeSuite():
				t.Errorf("%s called %s: drop its row in unrecorded()", tool, a)
			}
		}
	}
}
