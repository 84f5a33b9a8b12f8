package bake

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/chefapi"
)

// proverEC2 has one instance of a bake, until it is terminated.
type proverEC2 struct {
	sweptEC2
	id    string // empty: none
	ended func()
}

func (f *proverEC2) DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	if f.id == "" {
		return &ec2.DescribeInstancesOutput{}, nil
	}
	return &ec2.DescribeInstancesOutput{Reservations: []types.Reservation{{Instances: []types.Instance{{InstanceId: aws.String(f.id), Tags: f.tags}}}}}, nil
}

func (f *proverEC2) TerminateInstances(context.Context, *ec2.TerminateInstancesInput, ...func(*ec2.Options)) (*ec2.TerminateInstancesOutput, error) {
	if f.ended != nil {
		f.ended()
	}
	return &ec2.TerminateInstancesOutput{}, nil
}

// proverChef has nodes and clients of instances.
type proverChef struct {
	sweptChef
	names  []string
	refuse bool
}

func (c *proverChef) NodeNames(context.Context) ([]string, error) {
	if c.refuse {
		return nil, chefapi.ErrForbidden
	}
	return c.names, nil
}
func (c *proverChef) ClientNames(context.Context) ([]string, error) { return c.names, nil }

// sweepProver sweeps a bake whose proving instance is as the arguments say, and
// returns what went from the Chef server.
func sweepProver(t *testing.T, api *proverEC2, chef *proverChef, journaled func(*journal) error) (gone []string, journals int, err error) {
	t.Helper()
	dir := t.TempDir()
	clock := &stoppedClock{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	if journaled != nil {
		j, err := openJournal(dir, Plan{BakeID: bakeA}, clock.Now)
		if err == nil {
			err = journaled(j)
		}
		if err != nil {
			t.Fatal(err)
		}
		j.lock.Close() // its process died
	}
	api.tags = []types.Tag{{Key: aws.String(ami.TagBakeID), Value: aws.String(bakeA)}, {Key: aws.String(ami.TagExpires), Value: aws.String("2026-05-01T13:00:00Z")}}
	s := Sweeper{EC2: func(string) SweepEC2 { return api }, Chef: chef, Reporter: &fakeReporter{}, Clock: clock, StateDir: dir}
	p, err := s.Plan(t.Context(), []string{"us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Apply(t.Context(), p)
	left, jerr := readJournals(dir)
	if jerr != nil {
		t.Fatal(jerr)
	}
	return chef.gone, len(left), err
}

const proverID = "i-0123456789abcdef0"

// A bake that was killed during its proof leaves what the proving instance made
// on the Chef server, under a name that only the journal knows.
func TestASweepRemovesWhatAProverRegistered(t *testing.T) {
	t.Parallel()
	both := []string{"client web-" + proverID, "node web-" + proverID}
	for name, c := range map[string]struct {
		id      string
		journal func(*journal) error
		late    bool // it registers while the sweep looks
	}{
		"instance, node and client are known": {id: proverID, journal: func(j *journal) error {
			for _, err := range []error{j.intend(KindInstance, "t-prove"), j.made(KindInstance, "t-prove", proverID), j.intend(KindChefClient, "web-"+proverID), j.intend(KindChefNode, "web-"+proverID)} {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		"the instance is gone already": {journal: func(j *journal) error {
			if err := j.intend(KindChefClient, "web-"+proverID); err != nil {
				return err
			}
			return j.intend(KindChefNode, "web-"+proverID)
		}},
		"only the launch is known": {id: proverID, journal: func(j *journal) error { return j.intend(KindInstance, "t-prove") }},
		"it registers late":        {id: proverID, journal: func(j *journal) error { return j.intend(KindInstance, "t-prove") }, late: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			others := []string{"web-i-0ffffffffffffffff", "admin", "web"}
			chef := &proverChef{names: append([]string{"web-" + proverID}, others...)}
			api := &proverEC2{id: c.id}
			if c.late {
				chef.names = others
				api.ended = func() { chef.names = append([]string{"web-" + proverID}, others...) }
			}
			gone, journals, err := sweepProver(t, api, chef, c.journal)
			if err != nil || !slices.Equal(gone, both) || journals != 0 {
				t.Errorf("from Chef went %v, %d journals stay, %v", gone, journals, err)
			}
		})
	}
}

// Without a journal the instance's own tags tell; before its expiry it may be
// of a bake that runs elsewhere.
func TestAProverOfAnotherMachineKeepsItsNodeUntilItExpires(t *testing.T) {
	t.Parallel()
	gone, _, err := sweepProver(t, &proverEC2{id: proverID}, &proverChef{names: []string{proverID}}, nil)
	if err != nil || len(gone) > 0 {
		t.Errorf("from Chef went %v, %v", gone, err)
	}
	p := proversOf([]Found{{Resource: Resource{Kind: KindInstance, ID: proverID}, BakeID: bakeA, Expires: "2020-01-01T00:00:00Z"}}, nil)
	found := p.among([]string{proverID, "x" + strings.TrimPrefix(proverID, "i-")}, nil)
	if v := decideSweep(found, nil, time.Now()); len(v) != 1 || !v[0].Remove {
		t.Errorf("expired: %+v", v)
	}
}

func TestASweepThatCannotLookAgainKeepsTheJournal(t *testing.T) {
	t.Parallel()
	chef := &proverChef{}
	api := &proverEC2{id: proverID, ended: func() { chef.refuse = true }}
	_, journals, err := sweepProver(t, api, chef, func(j *journal) error { return j.intend(KindInstance, "t-prove") })
	if err == nil || journals != 1 {
		t.Errorf("%d journals stay, %v", journals, err)
	}
}

// A bake that died right after the launch of its proving instance had not yet
// written down whose node that would be.
func TestAResumedBakeRemovesWhatAnOldProverRegistered(t *testing.T) {
	t.Parallel()
	f := newProving(t, up)
	clock := f.Clock
	failed, err := timesOut(t, f)
	if err == nil {
		t.Fatal("it did not time out")
	}
	f.ec2.stuck, f.Clock = false, clock
	found, err := FindResumable(f.StateDir, failed.BakeID)
	if err != nil {
		t.Fatal(err)
	}
	token := "bakehouse-" + failed.BakeID + "-prove"
	found.journal.Resources = append(found.journal.Resources, Resource{Kind: KindInstance, Name: token, ID: proverID, At: clock.Now()})
	f.ec2.instances = append(f.ec2.instances, &thing{id: proverID, token: token, state: "running", tags: map[string]string{}})
	f.chef.names = append(f.chef.names, "client "+proverID, "node "+proverID)
	r, err := f.Resume(t.Context(), found)
	if err != nil || r.Result != "done" || slices.Contains(f.chef.names, "client "+proverID) || slices.Contains(f.chef.names, "node "+proverID) {
		t.Errorf("%v: %s, on the Chef server are %v", err, r.Result, f.chef.names)
	}
}
