//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"
)

// wait is how slow EC2 is towards one bake, and what came of it.
type wait struct {
	pending time.Duration // that the image takes at least
	unknown time.Duration // that a new id is unknown
	burst   int           // looks at images in a row that are throttled, the SDK's own attempts counted

	outcome          story.Outcome
	image            string
	made, ready      time.Time // of the image: the call, and bake-ami's first call that needs it whole
	looks, throttled int       // DescribeImages that were answered, and that were throttled
	calls, storm     int       // all calls to AWS, and those of them that were throttled
	notFound         int       // calls that named an id which EC2 did not know yet
	told             []time.Time
}

// slowEC2 bakes while EC2 knows new ids only after seconds, throttles every
// third call, and takes its time over the image. BAKEHOUSE_FAULTS_PENDING has
// it take that long, ten minutes say, in the midst of which no look at the
// image is answered for a while; the account goes to BAKEHOUSE_FAULTS.
func slowEC2(t *testing.T) {
	w := &wait{pending: 15 * time.Second, unknown: 4 * time.Second}
	if long := os.Getenv("BAKEHOUSE_FAULTS_PENDING"); long != "" {
		d, err := time.ParseDuration(long)
		if err != nil {
			t.Fatal(err)
		}
		w.pending, w.burst = d, 24 // four looks of six attempts each
	}
	w.bake(t)
	w.judge(t)
	table := w.table()
	t.Log("\n" + table)
	if file := os.Getenv("BAKEHOUSE_FAULTS"); file != "" {
		if err := os.WriteFile(file, []byte(table), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// bake sets the faults, bakes, and counts.
func (w *wait) bake(t *testing.T) {
	tool, calls := ownCalls(t, s.world.BakeTool("harmless", "--output", "json"))
	rules := []int{
		fault(t, tool, gateway.Rule{Service: "ec2", UnknownFor: w.unknown.String(), Times: -1}),
		fault(t, tool, gateway.Rule{Service: "ec2", Action: "CreateImage", PendingFor: w.pending.String(), Times: -1}),
	}
	if w.burst > 0 {
		rules = append(rules, fault(t, tool, gateway.Rule{Service: "ec2", Action: "DescribeImages", Nth: 20, Times: w.burst, Code: "RequestLimitExceeded", Status: http.StatusServiceUnavailable}))
	}
	rules = append(rules, fault(t, tool, gateway.Rule{Every: 3, Times: -1, Code: "RequestLimitExceeded", Status: http.StatusServiceUnavailable}))
	ctx, cancel := within(s.ctx, w.pending+4*time.Minute)
	defer cancel()
	var err error
	if w.outcome, err = s.world.Run(ctx, tool); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal([]byte(w.outcome.Stdout), &r); w.outcome.Code != 0 || err != nil {
		t.Fatalf("exit code %d, %v\n%s", w.outcome.Code, err, tail(w.outcome.Stderr))
	}
	w.image = r.ImageID
	t.Cleanup(func() {
		in := &ec2.DeregisterImageInput{ImageId: aws.String(r.ImageID), DeleteAssociatedSnapshots: aws.Bool(true)}
		if _, err := s.world.EC2.DeregisterImage(deadline(t, 10*time.Second), in); err != nil {
			t.Error(err)
		}
	})
	for _, id := range rules {
		if !ruleHit(s.ctx, id) {
			t.Errorf("fault %d never struck", id)
		}
	}
	w.count(calls())
	w.listen(t)
}

// count reads the recorded calls.
func (w *wait) count(calls []gateway.Record) {
	for _, c := range calls {
		w.calls++
		if strings.HasSuffix(c.Code, ".NotFound") {
			w.notFound++
		}
		throttled := c.Code == "RequestLimitExceeded"
		if throttled {
			w.storm++
		}
		switch {
		case c.Action == "DescribeImages" && throttled:
			w.throttled++
		case c.Action == "DescribeImages":
			w.looks++
		case c.Action == "CreateImage" && c.Status == http.StatusOK:
			w.made = c.Time
		case c.Action == "ModifyImageAttribute" && c.Status == http.StatusOK:
			w.ready = c.Time
		}
	}
}

// listen notes when the bake told how the wait for its image stands.
func (w *wait) listen(t *testing.T) {
	for lines := bufio.NewScanner(strings.NewReader(w.outcome.Stderr)); lines.Scan(); {
		var e struct {
			Time        time.Time
			Event, Step string
		}
		if !strings.HasPrefix(lines.Text(), "{") {
			continue // the stable lines for Jenkins
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		if e.Event == "step_progress" && e.Step == "wait for image" {
			w.told = append(w.told, e.Time)
		}
	}
}

// silence is the longest time without a word while the image was made.
func (w *wait) silence() (longest time.Duration) {
	last := w.made
	for _, at := range append(w.told, w.ready) {
		longest, last = max(longest, at.Sub(last)), at
	}
	return longest
}

// most bounds the looks: those of a wait without any trouble and a few that
// come before it. Whatever is late only makes them fewer.
func (w *wait) most() int { return 22 + int(w.pending/(10*time.Second)) }

// judge says what is not as it must be.
func (w *wait) judge(t *testing.T) {
	if waited := w.ready.Sub(w.made); waited < w.pending {
		t.Errorf("%s was taken for ready after %v of %v", w.image, waited, w.pending)
	}
	if w.looks > w.most() {
		t.Errorf("%d looks at images were answered, want %d at most", w.looks, w.most())
	}
	// Of three attempts in a row one is refused, and of the burst's each.
	if most := w.most() + w.burst; w.throttled > most {
		t.Errorf("%d looks at images were throttled, want %d at most", w.throttled, most)
	}
	if w.notFound == 0 || w.throttled < w.burst {
		t.Errorf("EC2 was not slow: %d times not found, %d looks throttled", w.notFound, w.throttled)
	}
	if quiet := w.silence(); len(w.told) < 2 || quiet > time.Minute {
		t.Errorf("of the wait, %d lines tell; the longest silence is %v", len(w.told), quiet)
	}
}

// table renders it.
func (w *wait) table() string {
	var b strings.Builder
	b.WriteString("| a bake whose image takes its time | |\n|---|---:|\n")
	row := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", what, fmt.Sprintf(format, args...))
	}
	row("image kept pending for", "%s", w.pending)
	row("new ids unknown for", "%s", w.unknown)
	row("looks in a row that were throttled", "%d", w.burst)
	row("exit code", "%d", w.outcome.Code)
	row("the whole bake took", "%s", w.outcome.Took.Round(time.Second))
	row("image taken for ready after", "%s", w.ready.Sub(w.made).Round(100*time.Millisecond))
	row("`DescribeImages` answered", "%d of at most %d", w.looks, w.most())
	row("`DescribeImages` throttled", "%d", w.throttled)
	row("calls to AWS, throttled ones counted", "%d", w.calls)
	row("of them throttled", "%d", w.storm)
	row("of them refused because an id was too new", "%d", w.notFound)
	row("lines of progress during the wait", "%d", len(w.told))
	row("longest silence", "%s", w.silence().Round(time.Second))
	return b.String()
}
