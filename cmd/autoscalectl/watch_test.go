package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/mattn/go-runewidth"

	"bakehouse/autoscale"
)

// looks lets a watch look once more after each step, and presses Ctrl-C after
// the last.
func (d *desk) looks(steps ...func()) *[]time.Duration {
	pauses := &[]time.Duration{}
	d.sleep = func(ctx context.Context, pause time.Duration) error {
		*pauses = append(*pauses, pause)
		if n := len(*pauses); n <= len(steps) {
			steps[n-1]()
			return nil
		}
		d.signals <- os.Interrupt
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return pauses
}

func (d *desk) resize(most int32) func() {
	return func() {
		if _, err := d.hand().as.UpdateAutoScalingGroup(context.Background(), &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), MaxSize: &most}); err != nil {
			d.t.Fatal(err)
		}
	}
}

func TestWatchTellsChangesAndStopsCleanly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want(0, "", "apply", "--yes", "FILE")
	pauses := d.looks(d.resize(7), func() {}, d.resize(8))
	out := d.want(0, "web: max 4 -> 7\n", "watch", "--interval", "30s", "FILE")
	if strings.Count(out, "web: max") != 2 || strings.Count(out, "\n") != strings.Count(out, "web: ") || strings.Contains(out, "\x1b") {
		t.Errorf("a change is not one line:\n%s", out)
	}
	for _, p := range *pauses {
		if p != 30*time.Second {
			t.Errorf("pauses are %v", *pauses)
		}
	}
	d.looks(d.resize(9))
	var last autoscale.StatusChange
	for line := range strings.Lines(d.want(0, "", "watch", "--output", "json", "FILE")) {
		if err := json.Unmarshal([]byte(line), &last); err != nil || last.Group != "web" || last.Time.IsZero() {
			t.Errorf("%q is no change: %v", line, err)
		}
	}
	if last.What != "max 8 -> 9" {
		t.Errorf("the last change is %+v", last)
	}
}

func TestWatchOutlivesABusyAWS(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want(0, "", "apply", "--yes", "FILE")
	pauses := d.looks(func() { d.aws.Fail("DescribeAutoScalingGroups", "Throttling", "Throttling") }, func() {}, d.resize(7))
	d.want(0, "web: max 4 -> 7\n", "watch", "FILE")
	if want := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 5 * time.Second}; len(*pauses) != 4 || (*pauses)[1] != want[1] || (*pauses)[2] != want[2] || (*pauses)[3] != want[3] {
		t.Errorf("pauses are %v, want %v", *pauses, want)
	}
	d.looks(func() { d.aws.Fail("DescribeAutoScalingGroups", "AccessDenied") }, func() {})
	d.want(5, "AccessDenied", "watch", "FILE")
}

func TestWatchRedrawsWithinTheTerminal(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.colors = true
	d.want(0, "", "apply", "--yes", "FILE")
	d.looks(d.resize(7))
	out := d.want(0, "Ctrl-C ends", "watch", "FILE")
	frames := strings.Split(out, "\x1b[J")
	if len(frames) != 2 || !strings.Contains(frames[1], "(1-7)") {
		t.Fatalf("the screen was drawn %d times:\n%q", len(frames), out)
	}
	var b strings.Builder
	s := screen{out: &b, size: func() (int, int) { return 20, 5 }, live: true}
	for range 2 {
		if err := s.draw(func(s *screen) error {
			_, err := s.Write([]byte(strings.Repeat("\x1b[31mabcdefghij\x1b[0m klmnopqrst\n", 9)))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	_, second, _ := strings.Cut(b.String(), "\x1b[4A\r\x1b[J")
	lines := strings.Split(strings.TrimSuffix(second, "\n"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[3], "… 6 more lines") || lines[0] != "\x1b[31mabcdefghij\x1b[0m klmnopqr" {
		t.Errorf("drawn into 5 rows of 20: %q", lines)
	}
	if w := runewidth.StringWidth(lines[3]); w > 19 {
		t.Errorf("the last line has %d columns", w)
	}
}
