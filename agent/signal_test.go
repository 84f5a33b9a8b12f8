package agent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"bakehouse/internal/fault"
)

// inStack is a world whose instance belongs to a stack and has a launch hook.
func inStack(t *testing.T, target string) *world {
	t.Helper()
	w := inGroup(t, target)
	w.conf.Group.SignalStack = true
	w.id.Tags[TagStack], w.id.Tags[TagLogical] = "shop", "WebGroup"
	return w
}

const signalled = "SUCCESS WebGroup of stack shop for " + testInstance

func TestStackIsSignalledOnceBeforeTheGroup(t *testing.T) {
	t.Parallel()
	w := inStack(t, "InService")
	w.boot()
	w.boot()
	if !slices.Equal(w.groups.told, []string{signalled, saidReady}) {
		t.Errorf("told %q, want the stack and then the group, once each", w.groups.told)
	}
	if j := w.journal(); j.Signal == nil || j.Signal.Status != signalSuccess {
		t.Errorf("the journal says %+v", j.Signal)
	}
}

func TestStackIsSignalledOfFailure(t *testing.T) {
	t.Parallel()
	w := inStack(t, "InService")
	w.chefRun = exits(43)
	w.fails(fault.Chef, "configuration")
	want := []string{strings.Replace(signalled, "SUCCESS", "FAILURE", 1), strings.Replace(saidReady, "CONTINUE", "ABANDON", 1)}
	if !slices.Equal(w.groups.told, want) {
		t.Errorf("told %q, want %q", w.groups.told, want)
	}
}

func TestWarmInstanceSignalsWhenItServes(t *testing.T) {
	t.Parallel()
	w := inStack(t, "Warmed:Running")
	w.boot()
	if !slices.Equal(w.groups.told, []string{saidReady}) {
		t.Errorf("in the warm pool: told %q, want the group alone", w.groups.told)
	}
	w.notice = func(int) (Notice, error) { return Notice{Target: "InService"}, nil }
	w.boot()
	if !slices.Equal(w.groups.told, []string{saidReady, signalled, saidReady}) {
		t.Errorf("in service: told %q", w.groups.told)
	}
}

func TestInstanceOfNoStackHasNobodyToSignal(t *testing.T) {
	t.Parallel()
	w := inStack(t, "InService")
	delete(w.id.Tags, TagStack)
	w.boot()
	if !slices.Equal(w.groups.told, []string{saidReady}) || !strings.Contains(strings.Join(w.notes, "\n"), "no stack to signal") {
		t.Errorf("told %q, notes %q", w.groups.told, w.notes)
	}
}

func TestRightThatIsMissingForTheSignal(t *testing.T) {
	t.Parallel()
	w := inStack(t, "InService")
	w.conf.Group.LaunchHook = ""
	w.groups.err = &apiError{code: "AccessDenied"}
	err := w.agent().FirstBoot(context.Background())
	if fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), "cloudformation:SignalResource on stack shop") {
		t.Errorf("error is %v, want one that names the missing right", err)
	}
	w.groups.err = nil
	w.boot()
	if !slices.Equal(w.groups.told, []string{signalled}) {
		t.Errorf("with the right given: told %q", w.groups.told)
	}
}

// Every point of a first boot that a stack and a group wait for, with the unit
// that the agent renders.
func TestKilledAnywhereInAGroupTellsEveryoneTheSame(t *testing.T) {
	t.Parallel()
	points := slices.Concat(Points(), []Point{UnitWritten}, GroupPoints())
	reference := inStack(t, "InService")
	reference.renders()
	reference.boot()
	for _, p := range points {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			w := inStack(t, "InService")
			w.renders()
			w.trace = killAt(p)
			if err := w.agent().FirstBoot(context.Background()); !errors.Is(err, errKilled) {
				t.Fatalf("the first run ended with %v, want it killed", err)
			}
			w.boot()
			told := slices.Compact(slices.Clone(w.groups.told)) // a repeated answer is refused by AWS, and no harm
			if !slices.Equal(told, []string{signalled, saidReady}) {
				t.Errorf("told %q", w.groups.told)
			}
			if got, want := w.endState(), reference.endState(); !reflect.DeepEqual(got, want) {
				t.Errorf("end state is\n%+v\nwant\n%+v", got, want)
			}
			if w.read("/etc/systemd/system/web.service") != reference.read("/etc/systemd/system/web.service") {
				t.Error("the unit differs")
			}
		})
	}
}

func TestSignalIsASignedForm(t *testing.T) {
	t.Parallel()
	var got url.Values
	status, body := http.StatusOK, "<SignalResourceResponse/>"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/cloudformation/aws4_request") {
			t.Errorf("request with %v, %q", err, r.Header.Get("Authorization"))
		}
		got = r.PostForm
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	c := &stacks{&jsonAPI{cfg: aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")},
		http: server.Client(), now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }}}
	s := Signal{Stack: "shop", Resource: "WebGroup", Instance: testInstance, Status: signalSuccess}
	if err := c.Signal(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	want := url.Values{"Action": {"SignalResource"}, "Version": {"2010-05-15"}, "StackName": {"shop"}, "LogicalResourceId": {"WebGroup"}, "UniqueId": {testInstance}, "Status": {"SUCCESS"}}
	if got.Encode() != want.Encode() {
		t.Errorf("sent %s, want %s", got.Encode(), want.Encode())
	}
	status, body = http.StatusBadRequest, "<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack:shop is in CREATE_COMPLETE state and can not be signaled</Message></Error></ErrorResponse>"
	if err := c.Signal(context.Background(), s); err != nil {
		t.Errorf("a stack that waits no more: %v, want no error", err)
	}
	status, body = http.StatusForbidden, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
	if err := c.Signal(context.Background(), s); err == nil {
		t.Error("a refusal was taken for a success")
	}
}
