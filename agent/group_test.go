package agent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"bakehouse/internal/fault"
)

// fakeGroups notes what it is told, as "RESULT hook of group for instance".
type fakeGroups struct {
	mu    sync.Mutex
	told  []string
	beats int
	beat  func()
	err   error
}

func (g *fakeGroups) Heartbeat(context.Context, Hook) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.beats++; g.beat != nil {
		g.beat()
	}
	return errors.New("throttled") // a lost heartbeat must not matter
}

func (g *fakeGroups) Signal(_ context.Context, s Signal) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return g.err
	}
	g.told = append(g.told, s.Status+" "+s.Resource+" of stack "+s.Stack+" for "+s.Instance)
	return nil
}

func (g *fakeGroups) Complete(_ context.Context, h Hook, result string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return g.err
	}
	g.told = append(g.told, result+" "+h.Name+" of "+h.Group+" for "+h.Instance)
	return nil
}

// inGroup is a world whose instance has a launch hook to answer.
func inGroup(t *testing.T, target string) *world {
	t.Helper()
	w := newWorld(t)
	w.conf.Group.LaunchHook, w.conf.Group.TerminateHook = "ready", "bye"
	w.notice = func(int) (Notice, error) { return Notice{Target: target}, nil }
	return w
}

const saidReady = "CONTINUE ready of web-asg for " + testInstance

func TestLaunchHookIsToldOfSuccessOnce(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "InService")
	w.boot()
	w.boot()
	if !slices.Equal(w.groups.told, []string{saidReady}) {
		t.Errorf("the group was told %q, want once that the instance is ready", w.groups.told)
	}
}

func TestLaunchHookIsToldOfFailure(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "InService")
	w.chefRun = exits(43)
	w.fails(fault.Chef, "configuration")
	if want := strings.Replace(saidReady, "CONTINUE", "ABANDON", 1); !slices.Equal(w.groups.told, []string{want}) {
		t.Errorf("the group was told %q, want %q", w.groups.told, want)
	}
}

func TestLaunchHookIsNotToldOfWhatIsNotOver(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "InService")
	w.chefRun = exits(37)
	if err := w.agent().FirstBoot(context.Background()); !errors.Is(err, ErrRebooting) || len(w.groups.told) > 0 {
		t.Errorf("a reboot: %v, the group was told %q", err, w.groups.told)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.chefRun = func(int, io.Writer) error { cancel(); return &ExitError{Code: 1} }
	if err := w.agent().FirstBoot(ctx); err == nil || len(w.groups.told) > 0 {
		t.Errorf("a stop: %v, the group was told %q", err, w.groups.told)
	}
}

func TestLaunchHookKilledAroundItsAnswerIsAnswered(t *testing.T) {
	t.Parallel()
	for _, p := range []Point{after(Start), HookAnswered} {
		w := inGroup(t, "InService")
		w.trace = killAt(p)
		if err := w.agent().FirstBoot(context.Background()); !errors.Is(err, errKilled) {
			t.Fatalf("killed at %q: %v", p, err)
		}
		w.boot()
		if last := w.groups.told[len(w.groups.told)-1]; last != saidReady || w.journal().Hook == nil {
			t.Errorf("killed at %q: the group was told %q", p, w.groups.told)
		}
	}
}

func TestHeartbeatsGoOutWhileFirstBootWorks(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "InService")
	w.beats = make(chan struct{})
	beaten := make(chan struct{}, 3)
	w.groups.beat = func() { beaten <- struct{}{} }
	w.chefRun = func(int, io.Writer) error {
		for range 3 {
			w.beats <- struct{}{}
			<-beaten
		}
		return nil
	}
	w.boot()
	if w.groups.beats != 3 {
		t.Errorf("%d heartbeats, want 3", w.groups.beats)
	}
	if !slices.Contains(w.notes, "the last heartbeat for the launch hook failed: throttled") {
		t.Errorf("nobody was told that they failed: %q", w.notes)
	}
}

func TestLaunchThatTakesTooLongIsAbandoned(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "InService")
	w.conf.Group.LaunchWithin = 1 // a nanosecond
	err := w.agent().FirstBoot(context.Background())
	if fault.KindOf(err) != fault.Timeout || !strings.Contains(fault.NextOf(err), "launch_within") {
		t.Errorf("error is %v, want a time-out that names the setting", err)
	}
	if len(w.groups.told) != 1 || !strings.HasPrefix(w.groups.told[0], resultAbandon) || w.journal().Failure() == nil {
		t.Errorf("the group was told %q, the journal's failure is %+v", w.groups.told, w.journal().Failure())
	}
}

func TestInstanceWithoutAGroupHasNobodyToTell(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "")
	w.id.Tags = nil
	w.boot()
	w.boot()
	if len(w.groups.told) > 0 || w.journal().Hook == nil {
		t.Errorf("told %q, journal says %+v", w.groups.told, w.journal().Hook)
	}
}

func TestRightThatIsMissingForTheHook(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "InService")
	w.groups.err = &apiError{code: "AccessDenied"}
	err := w.agent().FirstBoot(context.Background())
	if fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), "CompleteLifecycleAction") {
		t.Errorf("error is %v, want one that names the missing right", err)
	}
	w.groups.err = nil
	w.boot()
	if !slices.Equal(w.groups.told, []string{saidReady}) {
		t.Errorf("with the right given, the group was told %q", w.groups.told)
	}
}

func TestWarmPoolIsPreparedAndRefreshedWhenTakenIntoService(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "Warmed:Stopped")
	w.boot()
	j := w.journal()
	if j.finished(Start) || !j.Warm || !j.finished(Pull) || w.endState().Started {
		t.Errorf("in the warm pool: start %v, warm %v; want prepared and not started", j.record(Start).State, j.Warm)
	}
	if stateOf(j, false) != Waiting {
		t.Errorf("the status is %q", stateOf(j, false))
	}
	w.boot() // booted once more in the pool
	if len(w.groups.told) != 1 {
		t.Errorf("the group was told %q, want once", w.groups.told)
	}
	newer := w.push("pushed while it waited")
	w.notice = func(int) (Notice, error) { return Notice{Target: "InService"}, nil }
	w.boot()
	if s := w.endState(); !s.Started || s.Current != "releases/"+string(newer) {
		t.Errorf("in service: started %v, current %s; want %s", s.Started, s.Current, newer)
	}
	if len(w.groups.told) != 2 || w.journal().Warm {
		t.Errorf("the group was told %q, warm is %v", w.groups.told, w.journal().Warm)
	}
}

func TestAWarmInstanceStaysInItsPoolUntilItsGroupSaysOtherwise(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "Warmed:Stopped")
	warmed := w.notice
	w.notice = func(n int) (Notice, error) {
		if n < 3 {
			return Notice{}, errors.New("connection refused")
		}
		return warmed(n)
	}
	w.boot()
	if j := w.journal(); !j.Warm || j.finished(Start) {
		t.Errorf("first boot in the pool: warm %v, start %s", j.Warm, j.record(Start).State)
	}
	w.notice = func(int) (Notice, error) { return Notice{}, errors.New("connection refused") }
	if err := w.agent().FirstBoot(context.Background()); fault.KindOf(err) != fault.AWS {
		t.Errorf("without a word of the group: %v", err)
	}
	if j := w.journal(); !j.Warm || j.finished(Start) {
		t.Errorf("and then: warm %v, start %s", j.Warm, j.record(Start).State)
	}
}

func TestWatchWakesARunningWarmInstance(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "Warmed:Running")
	w.boot()
	ctx, cancel := context.WithCancel(context.Background())
	w.notice = func(n int) (Notice, error) {
		if w.looks > 10 {
			cancel()
		}
		return Notice{Target: "InService"}, nil
	}
	if err := w.agent().Watch(ctx); err != nil {
		t.Fatal(err)
	}
	woken := slices.DeleteFunc(w.runs, func(r string) bool { return r != "systemctl restart --no-block bakehouse-first-boot.service" })
	if len(woken) != 1 {
		t.Errorf("first boot was woken %d times, want once", len(woken))
	}
}

func TestABuildPromotedDuringTheLaunchIsServed(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "InService")
	var newer string
	w.health = func(n int) (int, error) {
		if n == 1 {
			newer = string(w.push("promoted while the first build was started"))
		}
		return http.StatusOK, nil
	}
	w.boot()
	if s := w.endState(); s.Current != "releases/"+newer {
		t.Errorf("the group was told while %s was current, want %s", s.Current, newer)
	}
}

func TestTerminateHookIsAnsweredAfterLeaving(t *testing.T) {
	t.Parallel()
	w := inGroup(t, "InService")
	w.boot()
	w.notice = func(int) (Notice, error) { return Notice{Target: "Terminated"}, nil }
	if err := w.agent().Watch(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.isGone()
	if last := w.groups.told[len(w.groups.told)-1]; last != "CONTINUE bye of web-asg for "+testInstance {
		t.Errorf("the group was told %q", w.groups.told)
	}
}

func TestLifecycleCallsAreSignedForms(t *testing.T) {
	t.Parallel()
	var got url.Values
	status, body := http.StatusOK, "<CompleteLifecycleActionResponse/>"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/autoscaling/aws4_request") {
			t.Errorf("request with %v, %q", err, r.Header.Get("Authorization"))
		}
		got = r.PostForm
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	l := &lifecycle{&jsonAPI{cfg: aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")},
		http: server.Client(), now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }}}
	h := Hook{Group: "web-asg", Name: "ready", Instance: testInstance}
	if err := l.Complete(context.Background(), h, resultContinue); err != nil {
		t.Fatal(err)
	}
	want := url.Values{"Action": {"CompleteLifecycleAction"}, "Version": {"2011-01-01"}, "AutoScalingGroupName": {"web-asg"},
		"LifecycleHookName": {"ready"}, "InstanceId": {testInstance}, "LifecycleActionResult": {"CONTINUE"}}
	if got.Encode() != want.Encode() {
		t.Errorf("sent %s, want %s", got.Encode(), want.Encode())
	}
	status, body = http.StatusBadRequest, "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>No active Lifecycle Action found</Message></Error></ErrorResponse>"
	if err := l.Complete(context.Background(), h, resultContinue); err != nil {
		t.Errorf("an action that nobody waits for: %v, want no error", err)
	}
	if err := l.Heartbeat(context.Background(), h); err == nil || !strings.Contains(err.Error(), "ValidationError: No active") {
		t.Errorf("heartbeat without an action: %v", err)
	}
	status, body = http.StatusForbidden, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
	if err := l.Complete(context.Background(), h, resultContinue); err == nil {
		t.Error("a refusal was taken for an answer")
	}
}
