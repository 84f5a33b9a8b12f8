package agent

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/agentconf"
)

// Whoever can open the lock's file can lock it: the app's user must not be able
// to bar the deploy that replaces the app.
func TestTheLockIsRootsAloneAndStillSeenByAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := filepath.Join(w.root, agentconf.StateDir, "lock")
	w.write(agentconf.StateDir+"/lock", "", 0o644) // of an older agent
	unlock, err := w.agent().lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the lock is %v, %v", info.Mode(), err)
	}
	if !listed(path) || !locked(path) {
		t.Errorf("held, and told as %v to others, as %v to root", listed(path), locked(path))
	}
	unlock()
	if listed(path) || locked(path) || listed(path+"-none") {
		t.Errorf("given back, and told as %v to others, as %v to root", listed(path), locked(path))
	}
}

// dated notes requests that may take for ever.
type dated struct {
	t *testing.T
	*http.Client
}

func (d dated) Do(r *http.Request) (*http.Response, error) {
	if _, ends := r.Context().Deadline(); !ends && r.Header.Get("Range") == "" {
		d.t.Errorf("%s %s has no time limit", r.Method, r.URL.Path)
	}
	return d.Client.Do(r)
}

// S3 may fall silent after the header, where no time-out of the client looks.
func TestEverySmallObjectHasATimeLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.overHTTP(func(int, http.ResponseWriter, *http.Request) bool { return false })
	cloud, _ := a.deps.Cloud(context.Background(), "")
	store := cloud.Store.(*objects)
	o := store.s3.Options()
	timed := &objects{s3.New(s3.Options{Region: o.Region, BaseEndpoint: o.BaseEndpoint, UsePathStyle: true, HTTPClient: dated{t, http.DefaultClient},
		Retryer: aws.NopRetryer{}, Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")})}
	a.deps.Cloud = func(context.Context, string) (Cloud, error) {
		return Cloud{Secrets: w, Store: timed, Papers: timed, Groups: &w.groups, Stacks: &w.groups}, nil
	}
	if err := a.FirstBoot(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, _ = timed.Read(ctx, "builds", "web/x", Paper{}, 10)
	_, _ = timed.List(ctx, "builds", "web/")
	_ = timed.Write(ctx, "builds", "web/x", "", nil)
}
