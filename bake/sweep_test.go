package bake

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

const (
	bakeA = "01JD0000000000000000000000"
	bakeB = "01JD0000000000000000000001"
)

func TestSweepTakesOnlyWhatIsLostAndOurs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	past, future := now.Add(-time.Minute).Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339)
	dead, alive := map[string]oldBake{bakeA: {}}, map[string]oldBake{bakeA: {alive: true}}
	ec2Thing := func(kind Kind, bake, expires string) Found {
		return Found{Resource: Resource{Kind: kind, ID: "x"}, Region: "r", BakeID: bake, Expires: expires}
	}
	chefThing := func(bake, expires string) Found {
		return Found{Resource: Resource{Kind: KindChefClient, Name: "bake-x"}, BakeID: bake, Expires: expires}
	}
	for _, c := range []struct {
		name   string
		found  Found
		bakes  map[string]oldBake
		remove bool
		why    string
	}{
		{"expired", ec2Thing(KindInstance, bakeA, past), nil, true, "expired"},
		{"not yet expired", ec2Thing(KindVolume, bakeA, future), nil, false, "expires in"},
		{"not yet expired, but its bake died here", ec2Thing(KindInstance, bakeA, future), dead, true, "died"},
		{"expired, but its bake runs here", ec2Thing(KindImage, bakeA, past), alive, false, "runs on this machine"},
		{"not yet expired, and kept on purpose", ec2Thing(KindInstance, bakeA, future), map[string]oldBake{bakeA: {journalFile: journalFile{Kept: true}}}, false, "expires in"},
		{"expired, though kept", ec2Thing(KindInstance, bakeA, past), map[string]oldBake{bakeA: {journalFile: journalFile{Kept: true}}}, true, "expired"},
		{"another bake died here", ec2Thing(KindImage, bakeB, future), dead, false, "expires in"},
		{"a finished image", ec2Thing(KindImage, bakeA, ""), nil, false, "finished"},
		{"a finished image of a bake that died here", ec2Thing(KindImage, bakeA, ""), dead, false, "finished"},
		{"no bake id", ec2Thing(KindInstance, "", past), nil, false, "none of ours"},
		{"somebody else's id", ec2Thing(KindInstance, "bake-7", past), nil, false, "none of ours"},
		{"an expiry that is no time", ec2Thing(KindSecurityGroup, bakeA, "tomorrow"), nil, false, "cannot be read"},
		{"a client whose node expired", chefThing(bakeA, past), nil, true, "expired"},
		{"a client whose node did not", chefThing(bakeA, future), nil, false, "expires in"},
		{"an old client without a node", chefThing(bakeA, ""), nil, true, "expired"},
		{"a young client without a node", chefThing("01KQHB2H80"+bakeA[10:], ""), nil, false, "expires in"},
	} {
		v := decideSweep([]Found{c.found}, c.bakes, now)[0]
		if v.Remove != c.remove || !strings.Contains(v.Reason, c.why) {
			t.Errorf("%s: remove %v (%s), want %v (%s)", c.name, v.Remove, v.Reason, c.remove, c.why)
		}
	}
}

func TestAbortTakesOneBakesUnfinishedWork(t *testing.T) {
	t.Parallel()
	found := []Found{
		{Resource: Resource{Kind: KindChefNode, Name: "n"}, BakeID: bakeA},
		{Resource: Resource{Kind: KindSecurityGroup, ID: "sg"}, Region: "r", BakeID: bakeA, Expires: "x"},
		{Resource: Resource{Kind: KindInstance, ID: "i"}, Region: "r", BakeID: bakeA, Expires: "x"},
		{Resource: Resource{Kind: KindImage, ID: "finished"}, Region: "r", BakeID: bakeA},
		{Resource: Resource{Kind: KindInstance, ID: "other"}, Region: "r", BakeID: bakeB, Expires: "x"},
	}
	p := SweepPlan{Verdicts: decideAbort(found, bakeA)}
	var order []string
	for _, v := range p.doomed() {
		order = append(order, orName(v.Resource))
	}
	if !slices.Equal(order, []string{"i", "sg", "n"}) {
		t.Errorf("it would remove %v, want the instance, what it uses, then the node", order)
	}
	if text := p.Text(); strings.Contains(text, "other") || !strings.Contains(text, "keep") {
		t.Errorf("the plan reads\n%s", text)
	}
}

func TestOnlyOurNamesOnTheChefServerAreOurs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"bake-" + strings.ToLower(bakeA): bakeA, "bake-" + bakeA: "", "bake-1": "", "bake-": "", "i-0123": "", "x" + strings.ToLower(bakeA): "",
	} {
		if got := bakeOfNode(name); got != want {
			t.Errorf("node %s belongs to bake %q, want %q", name, got, want)
		}
	}
}

func TestAJournalTellsWhetherItsBakeLives(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job [main]") // a folder's name is no pattern
	j, err := openJournal(dir, Plan{BakeID: bakeA}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.intend(KindImage, "web-1"); err != nil {
		t.Fatal(err)
	}
	bakes, err := readJournals(dir)
	if err != nil || !bakes[bakeA].alive || len(bakes[bakeA].Resources) != 1 {
		t.Fatalf("while it runs: %+v, %v", bakes, err)
	}
	if _, err := openJournal(dir, Plan{BakeID: bakeA}, time.Now); fault.KindOf(err) != fault.Usage || !strings.Contains(fault.NextOf(err), "bake-ami abort "+bakeA) {
		t.Errorf("a second process is told %v, next %q", err, fault.NextOf(err))
	}
	if err := j.close(); err != nil { // as when the process dies: something is left
		t.Fatal(err)
	}
	if bakes, err = readJournals(dir); err != nil || bakes[bakeA].alive || bakes[bakeA].BakeID == "" {
		t.Fatalf("after its end: %+v, %v", bakes, err)
	}
	if err := bakes[bakeA].forget(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "bakes")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bakes", "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readJournals(dir); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "x.json") {
		t.Errorf("a broken journal is %v", err)
	}
}

// sweptEC2 has one resource of each kind, all of one bake.
type sweptEC2 struct {
	SweepEC2
	tags   []types.Tag
	gone   []string
	refuse string // id that cannot be removed
	guard  string // what EC2 says of the images' protection; empty: nothing
	opened []string
}

func (f *sweptEC2) drop(id *string) error {
	if *id == f.refuse {
		return &refused{}
	}
	f.gone = append(f.gone, *id)
	return nil
}

type refused struct{}

func (*refused) Error() string        { return "no" }
func (*refused) ErrorCode() string    { return "UnauthorizedOperation" }
func (*refused) ErrorMessage() string { return "no" }

func (f *sweptEC2) DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	return &ec2.DescribeInstancesOutput{Reservations: []types.Reservation{{Instances: []types.Instance{{InstanceId: aws.String("i"), Tags: f.tags}}}}}, nil
}
func (f *sweptEC2) DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error) {
	return &ec2.DescribeImagesOutput{Images: []types.Image{{ImageId: aws.String("ami"), Tags: f.tags, DeregistrationProtection: aws.String(f.guard)},
		{ImageId: aws.String("finished"), Tags: f.tags[:1], DeregistrationProtection: aws.String(f.guard)}}}, nil
}
func (f *sweptEC2) DisableImageDeregistrationProtection(_ context.Context, in *ec2.DisableImageDeregistrationProtectionInput, _ ...func(*ec2.Options)) (*ec2.DisableImageDeregistrationProtectionOutput, error) {
	if f.refuse == "unprotect" {
		return nil, &refused{}
	}
	f.opened = append(f.opened, *in.ImageId)
	return &ec2.DisableImageDeregistrationProtectionOutput{}, nil
}
func (f *sweptEC2) DescribeSnapshots(context.Context, *ec2.DescribeSnapshotsInput, ...func(*ec2.Options)) (*ec2.DescribeSnapshotsOutput, error) {
	return &ec2.DescribeSnapshotsOutput{Snapshots: []types.Snapshot{{SnapshotId: aws.String("snap"), Tags: f.tags}}}, nil
}
func (f *sweptEC2) DescribeVolumes(context.Context, *ec2.DescribeVolumesInput, ...func(*ec2.Options)) (*ec2.DescribeVolumesOutput, error) {
	return &ec2.DescribeVolumesOutput{Volumes: []types.Volume{{VolumeId: aws.String("vol"), Tags: f.tags}}}, nil
}
func (f *sweptEC2) DescribeSecurityGroups(context.Context, *ec2.DescribeSecurityGroupsInput, ...func(*ec2.Options)) (*ec2.DescribeSecurityGroupsOutput, error) {
	return &ec2.DescribeSecurityGroupsOutput{SecurityGroups: []types.SecurityGroup{{GroupId: aws.String("sg"), Tags: f.tags}}}, nil
}
func (f *sweptEC2) TerminateInstances(_ context.Context, in *ec2.TerminateInstancesInput, _ ...func(*ec2.Options)) (*ec2.TerminateInstancesOutput, error) {
	return &ec2.TerminateInstancesOutput{}, f.drop(&in.InstanceIds[0])
}
func (f *sweptEC2) DeregisterImage(_ context.Context, in *ec2.DeregisterImageInput, _ ...func(*ec2.Options)) (*ec2.DeregisterImageOutput, error) {
	if strings.HasPrefix(f.guard, "enabled") && !slices.Contains(f.opened, *in.ImageId) {
		return nil, &refused{}
	}
	return &ec2.DeregisterImageOutput{}, f.drop(in.ImageId)
}
func (f *sweptEC2) DeleteSnapshot(_ context.Context, in *ec2.DeleteSnapshotInput, _ ...func(*ec2.Options)) (*ec2.DeleteSnapshotOutput, error) {
	return &ec2.DeleteSnapshotOutput{}, f.drop(in.SnapshotId)
}
func (f *sweptEC2) DeleteSecurityGroup(_ context.Context, in *ec2.DeleteSecurityGroupInput, _ ...func(*ec2.Options)) (*ec2.DeleteSecurityGroupOutput, error) {
	return &ec2.DeleteSecurityGroupOutput{}, f.drop(in.GroupId)
}
func (f *sweptEC2) DeleteVolume(_ context.Context, in *ec2.DeleteVolumeInput, _ ...func(*ec2.Options)) (*ec2.DeleteVolumeOutput, error) {
	return &ec2.DeleteVolumeOutput{}, f.drop(in.VolumeId)
}

// sweptChef has node and client of the same bake, and names like ours that are not.
type sweptChef struct{ gone []string }

func (c *sweptChef) NodeNames(context.Context) ([]string, error) {
	return []string{"bake-" + strings.ToLower(bakeA), "bake-" + strings.ToLower(bakeB), "i-1"}, nil
}
func (c *sweptChef) ClientNames(context.Context) ([]string, error) {
	return []string{"admin", "bake-" + strings.ToLower(bakeA)}, nil
}
func (c *sweptChef) Node(_ context.Context, name string) (chefapi.Node, error) {
	if name == "bake-"+strings.ToLower(bakeB) {
		return chefapi.Node{}, nil // nothing of ours in it
	}
	return chefapi.Node{Normal: map[string]any{"bakehouse": map[string]any{"bake_id": bakeA, "expires_at": "2020-01-01T00:00:00Z"}}}, nil
}
func (c *sweptChef) DeleteNode(_ context.Context, name string) error {
	c.gone = append(c.gone, "node "+name)
	return nil
}
func (c *sweptChef) DeleteClient(_ context.Context, name string) error {
	c.gone = append(c.gone, "client "+name)
	return nil
}

func newSweeper(t *testing.T) (*sweptEC2, *sweptChef, Sweeper) {
	t.Helper()
	api, chef := &sweptEC2{tags: []types.Tag{{Key: aws.String(ami.TagBakeID), Value: aws.String(bakeA)},
		{Key: aws.String(ami.TagExpires), Value: aws.String("2020-01-01T00:00:00Z")}}}, &sweptChef{}
	return api, chef, Sweeper{EC2: func(string) SweepEC2 { return api }, Chef: chef, Reporter: &fakeReporter{}, Clock: &stoppedClock{}, StateDir: t.TempDir()}
}

func TestSweepRemovesEverythingOfADeadBake(t *testing.T) {
	t.Parallel()
	api, chef, s := newSweeper(t)
	s.Clock = &stoppedClock{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	p, err := s.Plan(t.Context(), []string{"us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(api.gone)+len(chef.gone) > 0 {
		t.Fatalf("planning removed %v %v", api.gone, chef.gone)
	}
	if left, err := s.Apply(t.Context(), p); err != nil || len(left) > 0 {
		t.Fatalf("left %v: %v", left, err)
	}
	name := "bake-" + strings.ToLower(bakeA)
	if want := []string{"i", "i", "ami", "snap", "vol", "sg"}; !slices.Equal(api.gone, want) {
		t.Errorf("removed from EC2 %v, want %v", api.gone, want)
	}
	if want := []string{"client " + name, "node " + name}; !slices.Equal(chef.gone, want) {
		t.Errorf("removed from Chef %v, want %v", chef.gone, want)
	}
}

func TestASweepTakesTheProtectionOffWhatItRemovesAlone(t *testing.T) {
	t.Parallel()
	for guard, want := range map[string][]string{"enabled-without-cooldown": {"ami"}, "disabled": nil} {
		api, _, s := newSweeper(t)
		api.guard = guard
		s.Clock = &stoppedClock{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
		p, err := s.Plan(t.Context(), []string{"us-east-1"})
		if err != nil {
			t.Fatal(err)
		}
		if left, err := s.Apply(t.Context(), p); err != nil || len(left) > 0 || !slices.Contains(api.gone, "ami") {
			t.Errorf("%s: left %v, %v; removed %v", guard, left, err, api.gone)
		}
		if !slices.Equal(api.opened, want) {
			t.Errorf("%s: the protection of %v went, want that of %v", guard, api.opened, want)
		}
	}
	api, _, s := newSweeper(t)
	api.guard, api.refuse = "enabled-without-cooldown", "unprotect"
	s.Clock = &stoppedClock{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	p, err := s.Plan(t.Context(), []string{"us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := s.Apply(t.Context(), p); len(left) != 1 || left[0].ID != "ami" || !strings.Contains(err.Error(), "taking the protection off") {
		t.Errorf("what cannot be unprotected: left %v, %v", left, err)
	}
}

func TestASweepThatFailsTriesTheRestAndListsWhatRemains(t *testing.T) {
	t.Parallel()
	api, chef, s := newSweeper(t)
	api.refuse = "snap"
	p, err := s.PlanAbort(t.Context(), []string{"eu-west-1"}, bakeA)
	if err != nil {
		t.Fatal(err)
	}
	left, err := s.Apply(t.Context(), p)
	if fault.KindOf(err) != fault.Leftover || len(left) != 1 || !strings.Contains(err.Error(), "aws ec2 delete-snapshot --region eu-west-1 --snapshot-id snap") {
		t.Errorf("left %v: %v", left, err)
	}
	if !slices.Contains(api.gone, "sg") || len(chef.gone) != 2 {
		t.Errorf("it stopped: removed %v %v", api.gone, chef.gone)
	}
	if _, err := s.Plan(t.Context(), nil); fault.KindOf(err) != fault.Usage {
		t.Errorf("a sweep of no region is %v", err)
	}
	var known *fault.Error
	if !errors.As(err, &known) {
		t.Errorf("%v has no kind", err)
	}
}

// lateEC2 does not show its instance at the first look.
type lateEC2 struct {
	*sweptEC2
	looks int
}

func (f *lateEC2) DescribeInstances(ctx context.Context, in *ec2.DescribeInstancesInput, o ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	if f.looks++; f.looks == 1 {
		return &ec2.DescribeInstancesOutput{}, nil
	}
	return f.sweptEC2.DescribeInstances(ctx, in, o...)
}

// A bake that dies right after its launch leaves an id that EC2 does not list
// under its tags yet. Forgotten now, nothing on this machine would name it again.
func TestASweepLooksAgainForWhatWasMadeAMomentAgo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		age   time.Duration
		looks int
	}{"new": {10 * time.Second, 2}, "old": {time.Hour, 1}} {
		api, _, s := newSweeper(t)
		late := &lateEC2{sweptEC2: api}
		s.EC2 = func(string) SweepEC2 { return late }
		now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
		s.Clock = &stoppedClock{now: now}
		j, err := openJournal(s.StateDir, Plan{BakeID: bakeA}, func() time.Time { return now.Add(-c.age) })
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.intend(KindInstance, "builder"), j.made(KindInstance, "builder", "i"), j.close()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.PlanAbort(t.Context(), []string{"us-east-1"}, bakeA); err != nil || late.looks != c.looks {
			t.Errorf("%s: looked %d times, want %d: %v", name, late.looks, c.looks, err)
		}
	}
}
