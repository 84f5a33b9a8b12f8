//go:build e2e

package e2e

import (
	"debug/elf"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// fault sets a rule at the gateway for one tool's calls, until the test ends.
func fault(t *testing.T, tool story.Tool, r gateway.Rule) int {
	t.Helper()
	r.Caller = keyOf(tool)
	id, err := setRule(deadline(t, 10*time.Second), r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestLaunching bakes side by side, each bake in trouble of its own.
func TestLaunching(t *testing.T) {
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("bakes", func(t *testing.T) {
		t.Run("no capacity", func(t *testing.T) { t.Parallel(); noCapacity(t) })
		t.Run("slow EC2", func(t *testing.T) { t.Parallel(); slowEC2(t) })
		t.Run("kept on failure", func(t *testing.T) { t.Parallel(); keptOnFailure(t) })
	})
	_, _ = control(deadline(t, 10*time.Second), http.MethodDelete, "faults", nil)
	unchanged(t, before)
}

// noCapacity finds room only for on-demand, in the second subnet: spot comes
// first, an earlier type in every subnet before a later one, and the SDK
// repeats none of them. The volume's settings and its key travel with every
// launch; the image is encrypted without a second copy, protected, and ages.
func noCapacity(t *testing.T) {
	subnets, key := someSubnets(t, 2), someKey(t)
	tool, calls := ownCalls(t, s.world.BakeTool("harmless", "--spot", "--instance-type", "t3.small", "--instance-type", "t3.medium",
		"--subnet", subnets[0], "--subnet", subnets[1], "--root-volume-gb", "16", "--root-volume-type", "gp3", "--root-volume-iops", "3500",
		"--root-volume-throughput", "250", "--kms-key", key, "--protect", "--deprecate-after", "90d", "--output", "json"))
	const refusals = 5 // 2 types × 2 subnets of spot, then the first of on-demand
	fault(t, tool, gateway.Rule{Service: "ec2", Action: "RunInstances", Times: refusals, Code: "InsufficientInstanceCapacity", Status: http.StatusInternalServerError})
	o := runTool(t, tool)
	var r struct {
		ImageID   string   `json:"image_id"`
		Snapshots []string `json:"snapshots"`
		Launch    struct {
			Placement struct{ Market, Subnet string } `json:"placement"`
		}
		Tried []struct {
			Market string `json:"market"`
			Type   string `json:"instance_type"`
			Subnet string `json:"subnet"`
		}
	}
	if err := json.Unmarshal([]byte(o.Stdout), &r); o.Code != 0 || err != nil {
		t.Fatalf("exit code %d, %v\n%s", o.Code, err, tail(o.Stderr))
	}
	t.Cleanup(func() { removeProtected(t, r.ImageID) })
	var tried, want []string
	for _, at := range r.Tried {
		tried = append(tried, at.Market+" "+at.Type+" "+at.Subnet)
	}
	for _, kind := range []string{"spot t3.small ", "spot t3.medium ", "on-demand t3.small "} {
		want = append(want, kind+subnets[0], kind+subnets[1])
	}
	if !slices.Equal(tried, want[:refusals]) {
		t.Errorf("tried %v, want %v", tried, want[:refusals])
	}
	launches := callsTo(calls(), "RunInstances")
	if len(launches) != refusals+1 || launches[refusals].Status != http.StatusOK {
		t.Errorf("%d launches, want %d: the SDK must not repeat what has no capacity", len(launches), refusals+1)
	}
	for _, l := range launches {
		for param, value := range map[string]string{"Ebs.VolumeSize": "16", "Ebs.VolumeType": "gp3", "Ebs.Iops": "3500", "Ebs.Throughput": "250", "Ebs.Encrypted": "true", "Ebs.KmsKeyId": key} {
			if got := l.Params["BlockDeviceMapping.1."+param]; got != value {
				t.Errorf("%s is %q in the launch, want %s", param, got, value)
			}
		}
	}
	tokens := map[string]bool{}
	for _, l := range launches {
		tokens[l.Params["ClientToken"]] = true
	}
	if len(tokens) != len(launches) {
		t.Errorf("%d launches share %d client tokens", len(launches), len(tokens))
	}
	checkAging(t, r.ImageID)
	checkKey(t, r.Snapshots, key)
	if n := len(callsTo(calls(), "CopyImage")); n > 0 {
		t.Errorf("%d copies of the image were made to encrypt it", n)
	}
}

// someKey makes a KMS key and returns its ARN.
func someKey(t *testing.T) string {
	t.Helper()
	made, err := kms.NewFromConfig(s.world.AWS).CreateKey(deadline(t, 20*time.Second), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(made.KeyMetadata.Arn)
}

// checkKey sees that an image's snapshots are encrypted with a key.
func checkKey(t *testing.T, snapshots []string, key string) {
	t.Helper()
	if len(snapshots) == 0 {
		t.Fatal("the report names no snapshot")
	}
	out, err := s.world.EC2.DescribeSnapshots(deadline(t, 10*time.Second), &ec2.DescribeSnapshotsInput{SnapshotIds: snapshots})
	if err != nil {
		t.Fatal(err)
	}
	for _, sn := range out.Snapshots {
		if !aws.ToBool(sn.Encrypted) || aws.ToString(sn.KmsKeyId) != key {
			t.Errorf("snapshot %s: encrypted %v with %q, want %s", aws.ToString(sn.SnapshotId), aws.ToBool(sn.Encrypted), aws.ToString(sn.KmsKeyId), key)
		}
	}
}

// checkAging sees that an image is protected and that EC2 stops offering it.
func checkAging(t *testing.T, id string) {
	t.Helper()
	out, err := s.world.EC2.DescribeImages(deadline(t, 10*time.Second), &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, aws.ToString(out.Images[0].DeprecationTime))
	if left := time.Until(at); err != nil || left < 89*24*time.Hour || left > 90*24*time.Hour {
		t.Errorf("the image is deprecated at %v, %v", at, err)
	}
	if _, err := s.world.EC2.DeregisterImage(deadline(t, 10*time.Second), &ec2.DeregisterImageInput{ImageId: aws.String(id)}); err == nil {
		t.Error("a protected image could be deregistered")
	}
}

// removeProtected takes a protected image away.
func removeProtected(t *testing.T, id string) {
	t.Helper()
	ctx := deadline(t, 20*time.Second)
	_, err := s.world.EC2.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: aws.String(id)})
	if err == nil {
		_, err = s.world.EC2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id), DeleteAssociatedSnapshots: aws.Bool(true)})
	}
	if err != nil {
		t.Error(err)
	}
}

// someSubnets are ids of default subnets.
func someSubnets(t *testing.T, n int) (ids []string) {
	t.Helper()
	out, err := s.world.EC2.DescribeSubnets(deadline(t, 10*time.Second), &ec2.DescribeSubnetsInput{Filters: filter("default-for-az", "true")})
	if err != nil || len(out.Subnets) < n {
		t.Fatalf("%d subnets, %v", len(out.Subnets), err)
	}
	for _, sn := range out.Subnets[:n] {
		ids = append(ids, aws.ToString(sn.SubnetId))
	}
	return ids
}

// keptOnFailure gets into the builder of a bake that failed, by the command
// that it printed.
func keptOnFailure(t *testing.T) {
	tool, _ := ownCalls(t, s.world.BakeTool("broken-converge", "--keep-on-failure"))
	o := runTool(t, tool)
	if o.Code != 3 {
		t.Errorf("exit code %d:\n%s", o.Code, tail(o.Stderr))
	}
	for _, what := range []string{"the last 40 lines of the builder's console", "lines of the converge", "kept, as asked: ", "remove it: bake-ami abort "} {
		if !strings.Contains(o.Stderr, what) {
			t.Errorf("%q is not said:\n%s", what, o.Stderr)
		}
	}
	way := regexp.MustCompile(`(ssh -i \S+ -o \S+ \S+@\S+)`).FindString(o.Stderr)
	if way == "" {
		t.Fatalf("no way in:\n%s", o.Stderr)
	}
	argv := append(strings.Fields(way), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "sudo", "cat", "/etc/machine-id")
	out, err := exec.CommandContext(deadline(t, 20*time.Second), argv[0], argv[1:]...).CombinedOutput()
	if err != nil || len(strings.TrimSpace(string(out))) != 32 {
		t.Errorf("%s: %v\n%s", way, err, out)
	}
	id := regexp.MustCompile(`bake-ami abort ([0-9A-Z]{26})`).FindStringSubmatch(o.Stderr)
	if id == nil {
		t.Fatal("nothing names the bake")
	}
	end := runTool(t, story.Tool{Name: "bake-ami", Args: []string{"abort", "--config", s.world.Config, "--state-dir", filepath.Join(s.world.Dir, "state"), id[1]}})
	if end.Code != 0 {
		t.Errorf("abort: exit code %d:\n%s", end.Code, tail(end.Stderr))
	}
}

// theBase is the id of the lab's base image.
func theBase(t *testing.T) string {
	t.Helper()
	out, err := s.world.EC2.DescribeImages(deadline(t, 10*time.Second), &ec2.DescribeImagesInput{Owners: []string{"099720109477"}})
	if err != nil || len(out.Images) == 0 {
		t.Fatalf("no base image: %v", err)
	}
	return aws.ToString(out.Images[0].ImageId)
}

// TestTheAgentFollowsTheArchitecture looks at the agent that stands beside
// bake-ami for arm64. The lab has no image for it, and its guests could not run
// one: which file is taken is bake's own test.
func TestTheAgentFollowsTheArchitecture(t *testing.T) {
	path := filepath.Join(s.world.Bin, "boot-agent-arm64")
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	static := !slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC })
	if program.Machine != elf.EM_AARCH64 || !static {
		t.Errorf("%s is for %v, static: %v", path, program.Machine, static)
	}
	if o := runBake(t, "harmless", "--arch", "arm64", "--base", theBase(t), "--dry-run"); o.Code != 2 || !strings.Contains(o.Stderr, "arm64") {
		t.Errorf("an amd64 base for arm64: exit code %d:\n%s", o.Code, tail(o.Stderr))
	}
}
