package deploy

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"bakehouse/internal/fault"
)

// scaling is Auto Scaling's instance refresh over HTTP, in its Query protocol.
// A refresh moves on by half with each look.
type scaling struct {
	mu        sync.Mutex
	templates map[string]string // version by group
	mixed     map[string]bool   // groups with a mixed policy
	refreshes []*refreshing
	calls     []string
	bad       map[string]string // group to why its refresh forward fails
	lost      bool              // the next start is done, but its answer is lost
	throttled int               // looks at refreshes that are left without an answer
	now       time.Time
}

type refreshing struct {
	id, group, status, reason, version string
	percent, looks                     int
	started                            time.Time
	form                               url.Values
}

func (r *refreshing) active() bool {
	return slices.Contains([]string{"Pending", "InProgress", "Cancelling", "RollbackInProgress"}, r.status)
}

func (s *scaling) client(t *testing.T) *autoscaling.Client {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return autoscaling.New(autoscaling.Options{Region: "us-east-1", BaseEndpoint: &server.URL, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
		})})
}

func (s *scaling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, err := url.ParseQuery(string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	action, group := form.Get("Action"), form.Get("AutoScalingGroupName")
	result, code := s.do(action, group, form)
	if action != "DescribeInstanceRefreshes" && code != "InstanceRefreshInProgress" {
		s.calls = append(s.calls, strings.TrimSpace(action+" "+group+form.Get("AutoScalingGroupNames.member.1")+" "+
			form.Get("DesiredConfiguration.LaunchTemplate.Version")+form.Get("DesiredConfiguration.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.Version")))
	}
	if code != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>refused</Message></Error></ErrorResponse>`, code)
		return
	}
	if s.lost && action == "StartInstanceRefresh" {
		s.lost = false
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, `<%[1]sResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>`, action, result)
}

func (s *scaling) do(action, group string, form url.Values) (result, code string) {
	running := slices.IndexFunc(s.refreshes, func(r *refreshing) bool { return r.group == group && r.active() })
	switch action {
	case "DescribeAutoScalingGroups":
		return s.describe(form.Get("AutoScalingGroupNames.member.1")), ""
	case "DescribeInstanceRefreshes":
		if s.throttled > 0 {
			s.throttled--
			return "", "Throttling"
		}
		return s.list(group, form.Get("InstanceRefreshIds.member.1")), ""
	case "StartInstanceRefresh":
		if running >= 0 {
			return "", "InstanceRefreshInProgress"
		}
		r := &refreshing{id: fmt.Sprintf("r-%d", len(s.refreshes)+1), group: group, status: "Pending", started: s.now, form: form,
			version: form.Get("DesiredConfiguration.LaunchTemplate.Version")}
		s.refreshes = append(s.refreshes, r)
		return "<InstanceRefreshId>" + r.id + "</InstanceRefreshId>", ""
	}
	switch {
	case running < 0:
		return "", "ActiveInstanceRefreshNotFound"
	case action == "CancelInstanceRefresh":
		s.refreshes[running].status = "Cancelling"
	case action == "RollbackInstanceRefresh" && strings.HasPrefix(s.templates[group], "$"):
		return "", "IrreversibleInstanceRefresh"
	case action == "RollbackInstanceRefresh":
		s.refreshes[running].status, s.refreshes[running].percent = "RollbackInProgress", 0
	}
	return "<InstanceRefreshId>" + s.refreshes[running].id + "</InstanceRefreshId>", ""
}

func (s *scaling) describe(group string) string {
	version, known := s.templates[group]
	text := "<LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId><Version>" + version + "</Version></LaunchTemplate>"
	switch {
	case s.mixed[group]:
		text = "<MixedInstancesPolicy><LaunchTemplate><LaunchTemplateSpecification><LaunchTemplateId>lt-1</LaunchTemplateId><Version>" + version +
			"</Version></LaunchTemplateSpecification></LaunchTemplate></MixedInstancesPolicy>"
	case !known:
		text = ""
	}
	return "<AutoScalingGroups><member><AutoScalingGroupName>" + group + "</AutoScalingGroupName>" + text + "</member></AutoScalingGroups>"
}

// list shows one refresh, or a group's latest, and moves time on.
func (s *scaling) list(group, id string) string {
	for _, r := range slices.Backward(s.refreshes) {
		if r.group != group || id != "" && r.id != id {
			continue
		}
		if id == "" {
			return s.show(r)
		}
		r.looks++
		s.move(r)
		return s.show(r)
	}
	return "<InstanceRefreshes/>"
}

func (s *scaling) move(r *refreshing) {
	for _, other := range s.refreshes { // any look at the group lets a cancelled one end
		if other.status == "Cancelling" {
			other.status = "Cancelled"
		}
	}
	switch r.status {
	case "Pending":
		r.status = "InProgress"
	case "InProgress", "RollbackInProgress":
		if r.percent += 50; r.percent >= 100 {
			r.status = map[string]string{"InProgress": "Successful", "RollbackInProgress": "RollbackSuccessful"}[r.status]
		}
		if why := s.bad[r.group]; why != "" && r.status == "InProgress" && r.id == "r-1" {
			r.status, r.reason = "Failed", why
		}
	}
}

func (s *scaling) show(r *refreshing) string {
	return fmt.Sprintf("<InstanceRefreshes><member><InstanceRefreshId>%s</InstanceRefreshId><AutoScalingGroupName>%s</AutoScalingGroupName><Status>%s</Status><StatusReason>%s</StatusReason><PercentageComplete>%d</PercentageComplete><InstancesToUpdate>3</InstancesToUpdate><StartTime>%s</StartTime></member></InstanceRefreshes>",
		r.id, r.group, r.status, r.reason, r.percent, r.started.Format(time.RFC3339))
}

// groups makes a rollout of three groups' worth of hosts.
func groups(t *testing.T, s Strategy) (*fleet, *Executor, *Rollout, *scaling) {
	t.Helper()
	f, hosts := newFleet(6)
	for i := range hosts {
		hosts[i].Group = map[bool]string{true: "big", false: "small"}[i < 4]
	}
	api := &scaling{templates: map[string]string{"big": "7", "small": "3"}, mixed: map[string]bool{}, bad: map[string]string{}, now: start()}
	x := f.executor()
	x.Engine, x.Late, x.Groups = nil, nil, Refresher{API: api.client(t), Clock: f}
	r := planned(hosts, s)
	r.Groups, r.Started = true, start()
	var err error
	if r.Waves, err = PlanGroups(hosts); err != nil {
		t.Fatal(err)
	}
	return f, x, r, api
}

func TestGroupsAreRefreshedSmallestFirst(t *testing.T) {
	t.Parallel()
	_, x, r, api := groups(t, Strategy{Canary: Amount{N: 10, Percent: true}, Wave: Amount{N: 25, Percent: true}, Pause: time.Minute})
	log := &boardLog{}
	x.Board = log
	if err := x.Run(context.Background(), r); err != nil || r.Phase != Done || r.Counts()[Replaced] != 6 {
		t.Fatalf("%v, %s, %v", err, r.Phase, r.Counts())
	}
	if want := []string{"StartInstanceRefresh small", "StartInstanceRefresh big"}; !slices.Equal(api.calls, want) {
		t.Errorf("calls %v, want %v", api.calls, want)
	}
	form := api.refreshes[0].form
	for key, want := range map[string]string{"Preferences.MinHealthyPercentage": "75", "Preferences.SkipMatching": "false", "Preferences.AutoRollback": "false",
		"Preferences.CheckpointPercentages.member.1": "10", "Preferences.CheckpointPercentages.member.2": "100", "Preferences.CheckpointDelay": "60", "Strategy": "Rolling"} {
		if form.Get(key) != want {
			t.Errorf("%s is %q, want %q", key, form.Get(key), want)
		}
	}
	if text := log.String(); !strings.Contains(text, "group small: InProgress, 50 %, 3 instances to go") || !strings.Contains(r.Summary(), "6 replaced, 0 failed") {
		t.Errorf("%s\n%s", r.Summary(), text)
	}
	var junit strings.Builder
	if err := r.JUnit(&junit); err != nil || !strings.Contains(junit.String(), `tests="6" failures="0" skipped="0"`) {
		t.Errorf("%v\n%s", err, junit.String())
	}
}

// Five minutes are twenty looks; the second storm is longer than that. It ends
// the rollout where it is, to be resumed.
func TestAStormOfThrottlingIsNoReasonToGoBack(t *testing.T) {
	t.Parallel()
	_, x, r, api := groups(t, Strategy{})
	log := &boardLog{}
	x.Board, x.Clock, api.throttled = log, &ticking{start()}, 19
	if err := x.Run(context.Background(), r); err != nil || r.Phase != Done {
		t.Errorf("%v, %s", err, r.Phase)
	}
	if text := log.String(); !strings.Contains(text, "group small: ") || !strings.Contains(text, "Throttling: refused; looking on") {
		t.Errorf("the wait is not told:\n%s", text)
	}
	_, x, r, api = groups(t, Strategy{})
	x.Clock, api.throttled = &ticking{start()}, 1000
	if err := x.Run(context.Background(), r); fault.KindOf(err) != fault.AWS || r.Phase != Rolling || api.throttled < 1000-22 {
		t.Errorf("%v, %s after %d looks", err, r.Phase, 1000-api.throttled)
	}
}

// boardLog keeps progress.
type boardLog struct {
	silent
	steps
}

func (b *boardLog) StepStarted(name string)     { b.steps.StepStarted(name) }
func (b *boardLog) StepProgress(name, d string) { b.steps.StepProgress(name, d) }
func (b *boardLog) StepDone(name string, took time.Duration, err error) {
	b.steps.StepDone(name, took, err)
}

func TestAFailedRefreshBringsEveryGroupBack(t *testing.T) {
	t.Parallel()
	f, x, r, api := groups(t, Strategy{})
	api.bad["small"] = "instances failed their health check"
	err := x.Run(context.Background(), r)
	if fault.KindOf(err) != fault.Check || r.Phase != RolledBack || !strings.Contains(err.Error(), "group small: the instance refresh is Failed: instances failed their health check; rolled back") {
		t.Fatalf("%v, %s", err, r.Phase)
	}
	if want := []string{"StartInstanceRefresh small", "StartInstanceRefresh small"}; !slices.Equal(api.calls, want) || f.channel != oldBuild {
		t.Errorf("calls %v, want %v; channel %s", api.calls, want, f.channel)
	}
	if n := r.Counts(); n[Restored] != 2 || n[Pending] != 4 {
		t.Errorf("states %v", n)
	}
}

// off is a gate that says no at its nth question.
type off struct{ left int }

func (o *off) Watched() bool { return true }
func (o *off) Ask(context.Context, *Rollout, string) (string, error) {
	if o.left--; o.left > 0 {
		return "", nil
	}
	return "alarm went off", nil
}

func TestAnAlarmRollsARefreshUnderWayBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*Rollout, *scaling)
		want    []string
	}{
		"with a version": {func(r *Rollout, _ *scaling) { r.Strategy.TemplateVersion = "8" },
			[]string{"DescribeAutoScalingGroups small", "StartInstanceRefresh small 8", "RollbackInstanceRefresh small"}},
		"without one": {func(*Rollout, *scaling) {},
			[]string{"StartInstanceRefresh small", "CancelInstanceRefresh small", "StartInstanceRefresh small"}},
		"from $Latest": {func(r *Rollout, s *scaling) { r.Strategy.TemplateVersion = "8"; s.templates["small"] = "$Latest" },
			[]string{"DescribeAutoScalingGroups small", "StartInstanceRefresh small 8", "RollbackInstanceRefresh small", "CancelInstanceRefresh small",
				"DescribeAutoScalingGroups small", "StartInstanceRefresh small $Latest"}},
		"mixed": {func(r *Rollout, s *scaling) { r.Strategy.TemplateVersion = "8"; s.mixed["small"] = true },
			[]string{"DescribeAutoScalingGroups small", "StartInstanceRefresh small 8", "RollbackInstanceRefresh small"}},
	} {
		_, x, r, api := groups(t, Strategy{})
		c.prepare(r, api)
		x.Gates = []Gate{&off{left: 1}}
		x.Clock = cancelling{x.Clock, api}
		err := x.Run(context.Background(), r)
		if fault.KindOf(err) != fault.Check || r.Phase != RolledBack || r.Counts()[Restored] != 2 || r.Reason != "group small: alarm went off" || !strings.HasPrefix(err.Error(), r.Reason+"; rolled back") {
			t.Errorf("%s: %v, %s, %v", name, err, r.Phase, r.Counts())
		}
		// Starting is tried until the cancelled one has ended.
		if !slices.Equal(slices.Compact(api.calls), c.want) {
			t.Errorf("%s: calls %v, want %v", name, api.calls, c.want)
		}
	}
}

// cancelling lets a cancelled refresh end while somebody sleeps.
type cancelling struct {
	Clock
	s *scaling
}

func (c cancelling) Sleep(ctx context.Context, d time.Duration) error {
	c.s.mu.Lock()
	for _, r := range c.s.refreshes {
		if r.status == "Cancelling" {
			r.status = "Cancelled"
		}
	}
	c.s.mu.Unlock()
	return c.Clock.Sleep(ctx, d)
}

func TestAKilledOperatorsRefreshIsTakenUp(t *testing.T) {
	t.Parallel()
	f, x, r, api := groups(t, Strategy{})
	api.lost = true // the answer dies with the operator
	if err := x.Run(context.Background(), r); err == nil || r.Phase != Rolling || r.Waves[0].Hosts[0].State != Begun {
		t.Fatalf("%v, %s", err, r.Phase)
	}
	if err := x.Run(context.Background(), r); err != nil || r.Phase != Done || len(api.refreshes) != 2 {
		t.Errorf("%v, %s, %d refreshes, want one a group", err, r.Phase, len(api.refreshes))
	}
	_, x, r, api = groups(t, Strategy{})
	ctx, cancel := context.WithCancelCause(context.Background())
	x.Clock = interrupting{f, func() { cancel(errors.New("interrupted")) }}
	if err := x.Run(ctx, r); err == nil || r.Phase != Rolling || r.Refreshes[0].ID != "r-1" {
		t.Errorf("Ctrl-C: %v, %s, %+v", err, r.Phase, r.Refreshes)
	}
	if api.refreshes[0].status == "Cancelled" {
		t.Error("Ctrl-C cancelled the refresh, which a resumed rollout is to go on with")
	}
}

// interrupting ends the context at the first pause.
type interrupting struct {
	Clock
	act func()
}

func (i interrupting) Sleep(ctx context.Context, d time.Duration) error {
	i.act()
	return context.Cause(ctx)
}

func TestAnotherOnesRefreshIsNotTouched(t *testing.T) {
	t.Parallel()
	_, x, r, api := groups(t, Strategy{})
	api.refreshes = []*refreshing{{id: "r-0", group: "small", status: "InProgress", started: start().Add(-time.Hour)}}
	err := x.Run(context.Background(), r)
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "somebody else's refresh of it is under way") || r.Phase != Rolling || len(api.refreshes) != 1 {
		t.Errorf("%v, %s, %v", err, r.Phase, api.calls)
	}
}

func TestWhatCannotBeRefreshed(t *testing.T) {
	t.Parallel()
	if _, err := PlanGroups([]Host{{Instance: "i-1"}}); fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "i-1 is in no Auto Scaling group") {
		t.Errorf("a host in no group: %v", err)
	}
	_, x, r, api := groups(t, Strategy{TemplateVersion: "8"})
	delete(api.templates, "small")
	if err := x.Run(context.Background(), r); fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "group small: it has no launch template") || len(api.refreshes) != 0 {
		t.Errorf("a group without launch template: %v, %d refreshes", err, len(api.refreshes))
	}
}
