package bake

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/bake/ami"
	"bakehouse/bake/publish"
	"bakehouse/internal/fault"
)

// fakeSSM keeps parameters; refuse names an action that fails.
type fakeSSM struct {
	values map[string]string
	refuse string
}

func (f *fakeSSM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in struct{ Name, Value string }
	err := json.NewDecoder(r.Body).Decode(&in)
	value, have := f.values[in.Name]
	switch {
	case err != nil || action == f.refuse:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"AccessDeniedException"}`)
	case action == "PutParameter":
		f.values[in.Name] = in.Value
		fmt.Fprint(w, `{"Version":1}`)
	case action == "GetParameter" && have:
		fmt.Fprintf(w, `{"Parameter":{"Name":%q,"Value":%q,"Type":"String","DataType":"aws:ec2:image"}}`, in.Name, value)
	case action == "GetParameter":
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"ParameterNotFound"}`)
	default:
		fmt.Fprint(w, `{}`)
	}
}

// publishing gives a world an SSM to publish in, and asks for it.
func publishing(t *testing.T, f *fakes) *fakeSSM {
	t.Helper()
	params := &fakeSSM{values: map[string]string{}}
	srv := httptest.NewServer(params)
	t.Cleanup(srv.Close)
	client := ssm.New(ssm.Options{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")})
	f.Publish = func(string) publish.API { return publish.API{EC2: f.EC2.(*ec2.Client), SSM: client} }
	f.in.Publish = publish.Wishes{Parameters: []string{"/ami/web"}}
	return params
}

func TestABakePublishesLast(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	params := publishing(t, f)
	params.values["/ami/web"] = "ami-before"
	p := f.plan(t)
	if p.Publish == nil || len(p.Publish.Changes) != 1 || p.Publish.Changes[0].Was != "ami-before" || params.values["/ami/web"] != "ami-before" {
		t.Fatalf("the plan says %+v; the parameter is %v", p.Publish, params.values)
	}
	if names := p.stepNames(); names[len(names)-1] != publishStep || names[len(names)-2] != "keep image" {
		t.Errorf("steps are %v", names)
	}
	r, err := f.Bake(t.Context(), p)
	if err != nil || params.values["/ami/web"] != r.ImageID || r.Published == nil || r.Published.Changes[0].Was != "ami-before" {
		t.Errorf("%v: parameter %v, report %+v", err, params.values, r.Published)
	}
}

func TestAnImageThatCannotBePublishedIsKept(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	params := publishing(t, f)
	p := f.plan(t)
	params.refuse = "PutParameter"
	r, err := f.Bake(t.Context(), p)
	if fault.KindOf(err) != fault.Unpublished || r.ImageID == "" || r.Result != "unpublished" {
		t.Fatalf("%v: report %q with image %q", err, r.Result, r.ImageID)
	}
	if want := "bake-ami publish " + r.ImageID + " --region us-east-1 --publish-ssm /ami/web"; !strings.Contains(fault.NextOf(err), want) {
		t.Errorf("next is %q, want %q", fault.NextOf(err), want)
	}
	if got := f.left(t); !slices.Equal(got, []string{r.ImageID, r.Snapshots[0]}) {
		t.Errorf("left are %v, want only the image and its snapshot", got)
	}
	if f.ec2.images[1].tags[ami.TagExpires] != "" {
		t.Error("the kept image still expires")
	}
	// What is there now is reused and published.
	params.refuse = ""
	if r, err = f.Bake(t.Context(), f.plan(t)); err != nil || !r.Reused || params.values["/ami/web"] != r.ImageID {
		t.Errorf("the second bake: %v, reused %v, parameter %v", err, r.Reused, params.values)
	}
}

func TestASignalWhilePublishingKeepsTheImage(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	publishing(t, f)
	p := f.plan(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	f.reporter.start = func(step string) {
		if step == publishStep {
			cancel(errBoom)
		}
	}
	r, err := f.Bake(ctx, p)
	if fault.KindOf(err) != fault.Unpublished || !strings.Contains(err.Error(), errBoom.Error()) || r.ImageID == "" || len(f.left(t)) != 2 {
		t.Errorf("%v: image %q, left %v", err, r.ImageID, f.left(t))
	}
}

func TestWhatCannotBePublishedIsRefusedBeforeTheLaunch(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	publishing(t, f).refuse = "GetParameter"
	if _, err := f.Resolve(t.Context(), f.in); fault.KindOf(err) != fault.AWS || f.ec2.called("RunInstances") > 0 {
		t.Errorf("a parameter that cannot be read: %v", err)
	}
	f.in.Publish.Parameters = []string{"aws/x"}
	if _, err := f.Resolve(t.Context(), f.in); fault.KindOf(err) != fault.Usage {
		t.Errorf("a name that SSM would refuse: %v", err)
	}
}

// timesOut bakes until the image is awaited, and lets the time run out there.
func timesOut(t *testing.T, f *fakes) (Report, error) {
	t.Helper()
	f.ec2.stuck = true
	p := f.plan(t)
	f.Clock = &expiring{stoppedClock: f.Clock.(*stoppedClock), step: func() bool { return f.reporter.running() == awaitStep }}
	return f.Bake(t.Context(), p)
}

// expiring is a clock whose sleeps end with a time-out once step says so.
type expiring struct {
	*stoppedClock
	step func() bool
}

func (c *expiring) Sleep(ctx context.Context, d time.Duration) error {
	if c.step() {
		return bakeTooLong(d)
	}
	return c.stoppedClock.Sleep(ctx, d)
}

func (r *fakeReporter) running() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.steps[len(r.steps)-1]
}

func TestABakeThatRunsOutOfTimeWhileItsImageIsMadeIsResumed(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	clock := f.Clock
	failed, err := timesOut(t, f)
	if fault.KindOf(err) != fault.Timeout || !strings.Contains(fault.NextOf(err), "bake-ami resume "+failed.BakeID) || failed.ImageID != "" {
		t.Fatalf("%v (%s)", err, fault.NextOf(err))
	}
	if f.ec2.called("DeregisterImage")+f.ec2.called("TerminateInstances") > 0 {
		t.Error("something was undone")
	}
	bakes, err := readJournals(f.StateDir)
	if err != nil || !bakes[failed.BakeID].Kept || bakes[failed.BakeID].alive {
		t.Fatalf("%v: journal %+v", err, bakes)
	}
	f.ec2.stuck, f.Clock = false, clock
	found, err := FindResumable(f.StateDir, "")
	if err != nil || found.BakeID != failed.BakeID || found.Inputs.Role != "web" || found.Image != f.ec2.images[1].id {
		t.Fatalf("%v: %+v", err, found)
	}
	r, err := f.Resume(t.Context(), found)
	if err != nil || r.Result != "done" || r.BakeID != failed.BakeID || r.ImageID != found.Image {
		t.Fatalf("resuming: %v: %+v", err, r)
	}
	if got := f.left(t); !slices.Equal(got, []string{r.ImageID, r.Snapshots[0]}) || f.ec2.images[1].tags[ami.TagExpires] != "" {
		t.Errorf("left are %v; image tags %v", got, f.ec2.images[1].tags)
	}
	if f.ec2.called("CreateImage") != 1 || f.ec2.called("RunInstances") != 1 {
		t.Error("resuming made something again")
	}
	if _, err := FindResumable(f.StateDir, ""); fault.KindOf(err) != fault.Usage {
		t.Errorf("there is something to resume still: %v", err)
	}
}

func TestAResumedBakeThatFailsUndoesEverything(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	clock := f.Clock
	if _, err := timesOut(t, f); err == nil {
		t.Fatal("it did not time out")
	}
	f.ec2.stuck, f.Clock = false, clock
	found, err := FindResumable(f.StateDir, "")
	if err != nil {
		t.Fatal(err)
	}
	f.ec2.refuse["ModifyImageAttribute"] = "UnauthorizedOperation"
	r, err := f.Resume(t.Context(), found)
	if fault.KindOf(err) != fault.AWS || r.Result != "failed" || len(f.left(t)) > 0 {
		t.Errorf("%v: %s, left %v", err, r.Result, f.left(t))
	}
}

func TestWhatCannotBeResumedIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
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
	f.ec2.mu.Lock()
	image := f.ec2.images[1]
	f.ec2.images = f.ec2.images[:1]
	f.ec2.mu.Unlock()
	before := f.left(t)
	if _, err := f.Resume(t.Context(), found); fault.KindOf(err) != fault.Usage || !strings.Contains(fault.NextOf(err), "abort") || !slices.Equal(f.left(t), before) {
		t.Errorf("an image that is gone: %v, left %v, before %v", err, f.left(t), before)
	}
	f.ec2.images = append(f.ec2.images, image)
	file := filepath.Join(f.StateDir, "bakes", failed.BakeID+".plan")
	if err := os.WriteFile(file, []byte(`{"plan":{"bake_id":"other"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, id := range map[string]string{"not what the bake wrote": failed.BakeID, "journal is not in": bakeA} {
		if _, err := FindResumable(f.StateDir, id); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", id, err, want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := FindResumable(f.StateDir, failed.BakeID); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "before it made an image") {
		t.Errorf("a bake without an image: %v", err)
	}
}

func TestNothingSecretIsWrittenDownForAResume(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	failed, err := timesOut(t, f)
	if err == nil {
		t.Fatal("it did not time out")
	}
	path := filepath.Join(f.StateDir, "bakes", failed.BakeID+".plan")
	b, err := os.ReadFile(path)
	info, serr := os.Stat(path)
	if err != nil || serr != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v: %v", err, serr, info.Mode())
	}
	if text := string(b); strings.Contains(text, "PRIVATE KEY") || !strings.Contains(text, "ssh-ed25519") {
		t.Errorf("it holds\n%s", text)
	}
}
