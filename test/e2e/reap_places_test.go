//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/reap"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	ownAccount   = "123456789012" // the emulator's, for keys that no role gave
	otherAccount = "222222222222"
	otherRole    = "arn:aws:iam::" + otherAccount + ":role/bakehouse-reaper"
)

// home is where the lab's guests run.
func home() reap.Place { return reap.Place{Account: ownAccount, Region: "us-east-1"} }

// in is EC2 in a place, with the keys that sts:AssumeRole gives for its account.
func in(p reap.Place) *ec2.Client {
	cfg := s.world.AWS.Copy()
	if p.Account != ownAccount {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), otherRole))
	}
	return ec2.NewFromConfig(cfg, func(o *ec2.Options) { o.Region = p.Region })
}

// bare launches instances in a place where the lab boots no guests: they are
// the emulator's alone.
func bare(ctx context.Context, t *testing.T, p reap.Place, n int32) (ids []string) {
	t.Helper()
	images, err := s.world.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"099720109477"}})
	if err != nil || len(images.Images) == 0 {
		t.Fatalf("the lab's base image: %v", err)
	}
	out, err := in(p).RunInstances(ctx, &ec2.RunInstancesInput{ImageId: images.Images[0].ImageId, InstanceType: "t3.small", MinCount: &n, MaxCount: &n})
	if err != nil {
		t.Fatalf("launching in %s: %v", p, err)
	}
	for _, i := range out.Instances {
		ids = append(ids, aws.ToString(i.InstanceId))
	}
	t.Cleanup(func() {
		end, cancel := ending(10 * time.Second)
		defer cancel()
		_, _ = in(p).TerminateInstances(end, &ec2.TerminateInstancesInput{InstanceIds: ids})
	})
	return ids
}

// kill terminates instances.
func kill(ctx context.Context, t *testing.T, p reap.Place, ids ...string) {
	t.Helper()
	if _, err := in(p).TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids}); err != nil {
		t.Fatal(err)
	}
}

// fileWith is the lab's configuration with a section more.
func fileWith(t *testing.T, section string) string {
	t.Helper()
	lab, err := os.ReadFile(s.world.Config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bakehouse.yaml")
	write(t, path, string(lab)+section)
	return path
}

// bothAccounts is a reaper's section that reads two accounts.
const bothAccounts = "reaper:\n  regions: [us-east-1, eu-west-1]\n  accounts:\n    main: {id: \"" + ownAccount + "\"}\n" +
	"    other: {id: \"" + otherAccount + "\", role_arn: \"" + otherRole + "\"}\n"

func TestReaperSeesAllRegionsAndAccounts(t *testing.T) {
	r := theStory(t)
	ctx := deadline(t, 2*time.Minute)
	state, config := t.TempDir(), fileWith(t, bothAccounts)
	places := []reap.Place{{Account: ownAccount, Region: "eu-west-1"}, {Account: otherAccount, Region: "us-east-1"}, {Account: otherAccount, Region: "eu-west-1"}}
	fleet := map[reap.Place][]string{}
	for _, p := range places {
		fleet[p] = bare(ctx, t, p, 2)
		bookkeeper(ctx, t, s.world.Chef, p, fleet[p]...)
		for _, id := range fleet[p] {
			t.Cleanup(func() { forget(id) })
		}
	}
	for range 2 { // the second run removes what other tests left
		if _, o := reapOnce(t, state, "--config", config); o.Code != 0 {
			t.Fatalf("exit %d\n%s", o.Code, o.Stderr)
		}
	}
	for _, p := range places {
		kill(ctx, t, p, fleet[p][0])
	}
	// A run that reads one place alone has nothing to say about the others.
	if st, o := reapOnce(t, t.TempDir()); o.Code != 0 || st.Removed != 0 || st.Counts.ByReason["other-place"] != 6 {
		t.Errorf("one region of one account: exit %d, %+v\n%s", o.Code, st, o.Stderr)
	}
	st, o := reapOnce(t, state, "--config", config)
	if o.Code != 0 || st.Removed != len(places) {
		t.Fatalf("exit %d, %+v\n%s", o.Code, st, o.Stderr)
	}
	for _, p := range places {
		mustBe(t, fleet[p][0], false)
		mustBe(t, fleet[p][1], true)
	}
	mustBe(t, r.inst.ID, true)
}

func TestReaperDoesNothingWhereItDoesNotBelong(t *testing.T) {
	r := theStory(t)
	ctx := deadline(t, 2*time.Minute)
	state := t.TempDir()
	looked(t, state)
	id := deadNode(ctx, t)
	const other = "reaper:\n  accounts:\n    other: {id: \"%s\", role_arn: \"" + otherRole + "\"}\n"
	for _, c := range []struct {
		what, section, region string
		code                  int
		says                  string
	}{
		{"a wrong region", "", "eu-west-1", 0, "other-place"},
		{"a wrong account", fmt.Sprintf(other, otherAccount), "us-east-1", 0, "other-place"},
		{"a role of another account than configured", fmt.Sprintf(other, "333333333333"), "us-east-1", 2, "333333333333"},
	} {
		st, o := reapOnce(t, state, "--config", fileWith(t, c.section), "--region", c.region)
		if o.Code != c.code || !strings.Contains(o.Stdout+o.Stderr, c.says) || st.Removed != 0 {
			t.Errorf("%s: exit %d, want %d:\n%s%s", c.what, o.Code, c.code, o.Stdout, o.Stderr)
		}
		mustBe(t, r.inst.ID, true)
		mustBe(t, id, true)
	}
	if st, o := reapOnce(t, state); o.Code != 0 || st.Removed != 1 {
		t.Errorf("where it belongs: exit %d, %+v\n%s", o.Code, st, o.Stderr)
	}
	mustBe(t, id, false)
}
