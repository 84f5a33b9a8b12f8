//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// reapStatus is what the tests read of chef-reaper's JSON.
type reapStatus struct {
	Run     string `json:"run"`
	Outcome string `json:"outcome"`
	Removed int    `json:"removed"`
	Counts  struct {
		Live, Orphaned, Reap int
		ByReason             map[string]int `json:"by_reason"`
	} `json:"counts"`
}

// reaper is the call of a chef-reaper command on that state. What the tests
// let die is seconds old, and on a quick machine less than one: the guard of
// age is as small as the tool takes.
func reaper(state, command string, args ...string) story.Tool {
	return story.Tool{Name: "chef-reaper", Args: append([]string{command, "--config", s.world.Config, "--state", state, "--min-age", "1ms", "--max-percent", "100", "--output", "json"}, args...)}
}

// reapOnce runs chef-reaper once and reads what it says.
func reapOnce(t *testing.T, state string, args ...string) (reapStatus, story.Outcome) {
	t.Helper()
	o := runTool(t, reaper(state, "run", append([]string{"--once"}, args...)...))
	var st reapStatus
	if o.Stdout != "" {
		if err := json.Unmarshal([]byte(o.LastLine()), &st); err != nil {
			t.Fatalf("%v in %q", err, o.Stdout)
		}
	}
	return st, o
}

// bucketState is a place of the test's own in the lab's bucket.
func bucketState(t *testing.T) string {
	return fmt.Sprintf("s3://bakehouse-builds/reaper/%s-%d", t.Name(), time.Now().UnixNano())
}

// looked makes the first run on a ledger, which deletes nothing, and one that
// removes what other tests left.
func looked(t *testing.T, state string) {
	t.Helper()
	if st, o := reapOnce(t, state); o.Code != 0 || st.Outcome != "looked" || st.Removed != 0 {
		t.Fatalf("the first run: exit %d, %+v\n%s", o.Code, st, o.Stderr)
	}
	if st, o := reapOnce(t, state); o.Code != 0 {
		t.Fatalf("the second run: exit %d, %+v\n%s", o.Code, st, o.Stderr)
	}
}

// group launches guests and waits until each is a node.
func group(ctx context.Context, t *testing.T, n int) (all []story.Instance) {
	t.Helper()
	for range n {
		all = append(all, launch(ctx, t, story.Launch{}))
	}
	for _, i := range all {
		if err := complete(ctx, i.ID); err != nil {
			t.Fatal(err, diagnose(i.ID))
		}
	}
	return all
}

// isRegistered says whether node and client of that name are there.
func isRegistered(t *testing.T, name string) (node, client bool) {
	t.Helper()
	ctx := deadline(t, 10*time.Second)
	_, err := s.world.Chef.Node(ctx, name)
	if client, cerr := s.world.Chef.ClientExists(ctx, name); cerr == nil {
		return err == nil, client
	}
	t.Fatalf("asking for client %s", name)
	return
}

// mustBe fails unless node and client of that name are both there, or neither.
func mustBe(t *testing.T, name string, there bool) {
	t.Helper()
	if node, client := isRegistered(t, name); node != there || client != there {
		t.Errorf("%s: node there: %v, client there: %v, want both %v", name, node, client, there)
	}
}

func TestReaperRemovesTheDeadAndLeavesTheLiving(t *testing.T) {
	r := theStory(t)
	ctx := deadline(t, 4*time.Minute)
	guests, state := group(ctx, t, 4), bucketState(t)
	looked(t, state)
	if err := s.world.Terminate(ctx, guests[0].ID, guests[1].ID); err != nil {
		t.Fatal(err)
	}
	stop(ctx, t, guests[2].ID)
	if o := runTool(t, reaper(state, "plan", "--exit-code")); o.Code != 10 || !strings.Contains(o.Stdout, guests[0].ID) {
		t.Errorf("plan --exit-code ends with %d:\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
	mustBe(t, guests[0].ID, true) // a plan changes nothing
	file := filepath.Join(t.TempDir(), "status.json")
	st, o := reapOnce(t, state, "--status-file", file)
	if o.Code != 0 || st.Removed < 2 {
		t.Fatalf("exit %d, %+v\n%s", o.Code, st, o.Stderr)
	}
	for n, g := range guests {
		mustBe(t, g.ID, n > 1)
	}
	mustBe(t, r.inst.ID, true)
	var kept reapStatus
	if err := readJSON(file, &kept); err != nil || kept.Run != st.Run {
		t.Errorf("the status file holds %+v (%v), want %+v", kept, err, st)
	}
	undone(t, state, st.Run, guests[0].ID)
}

// undone puts one of a run's nodes back, and sees that it stays.
func undone(t *testing.T, state, run, name string) {
	t.Helper()
	if o := runTool(t, reaper(state, "undo", run, name)); o.Code != 0 {
		t.Fatalf("undo ends with %d:\n%s", o.Code, o.Stderr)
	}
	mustBe(t, name, true)
	n, err := s.world.Chef.Node(deadline(t, 10*time.Second), name)
	if err != nil || n.Automatic["platform"] == nil {
		t.Errorf("the restored node is not whole: %v, %v", n, err)
	}
	if _, o := reapOnce(t, state); o.Code != 0 {
		t.Errorf("exit %d:\n%s", o.Code, o.Stderr)
	}
	mustBe(t, name, true)
	o := runTool(t, reaper(state, "explain", name))
	if !strings.Contains(o.Stdout, `"restored"`) {
		t.Errorf("explain says %s%s", o.Stdout, o.Stderr)
	}
}

// stop stops an instance and waits until EC2 says so.
func stop(ctx context.Context, t *testing.T, id string) {
	t.Helper()
	if _, err := s.world.EC2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	err := story.Until(ctx, 200*time.Millisecond, func() error {
		out, err := s.world.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		if err == nil && out.Reservations[0].Instances[0].State.Name != "stopped" {
			err = fmt.Errorf("%s is %s", id, out.Reservations[0].Instances[0].State.Name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnEventStartsTheNextRun(t *testing.T) {
	theStory(t)
	ctx := deadline(t, 2*time.Minute)
	state := bucketState(t)
	looked(t, state)
	id := deadNode(ctx, t)
	queue := sqs.NewFromConfig(s.world.AWS)
	q, err := queue.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("bakehouse-reaper")})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "status.json")
	tool := reaper(state, "run", "--every", "1h", "--queue", aws.ToString(q.QueueUrl), "--status-file", file)
	started := make(chan *os.Process, 1)
	tool.Started = func(p *os.Process) { started <- p }
	ended := make(chan story.Outcome, 1)
	go func() { o, _ := s.world.Run(ctx, tool); ended <- o }()
	process := <-started
	first, err := removedBy(ctx, file, "", id)
	if err != nil {
		t.Fatal(err)
	}
	second := deadNode(ctx, t)
	if _, err := queue.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: q.QueueUrl, MessageBody: aws.String("forged")}); err != nil {
		t.Fatal(err)
	}
	if _, err := removedBy(ctx, file, first, second); err != nil {
		t.Error(err)
	}
	if err := process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if o := <-ended; o.Code != 0 {
		t.Errorf("stopped between two runs, it ends with %d:\n%s", o.Code, o.Stderr)
	}
}

// removedBy waits until node and client of a name are gone and the run that
// removed them, which is another one than before, has written its status.
func removedBy(ctx context.Context, file, before, name string) (run string, err error) {
	err = story.Until(ctx, 200*time.Millisecond, func() error {
		var st reapStatus
		if err := readJSON(file, &st); err != nil {
			return err
		}
		if node, client, err := registered(ctx, name); err != nil || node || client || st.Run == before || st.Removed == 0 {
			return fmt.Errorf("%s: node there: %v, client there: %v, %v; the last run: %+v", name, node, client, err, st)
		}
		run = st.Run
		return nil
	})
	return run, err
}
