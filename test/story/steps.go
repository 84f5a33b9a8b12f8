package story

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// sha256File returns the hex digest of a file's bytes.
func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hashing %s: %w", path, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hashing %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Build makes a build folder of the sample app. note goes into a file of its
// own, so that another note is another build.
func (w *World) Build(note string) (string, error) {
	dir := filepath.Join(w.Dir, "build-"+note)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making a build: %w", err)
	}
	app, err := os.ReadFile(filepath.Join(w.Bin, "sampleapp"))
	if err != nil {
		return "", fmt.Errorf("making a build: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "web"), app, 0o755); err != nil {
		return "", fmt.Errorf("making a build: %w", err)
	}
	return dir, os.WriteFile(filepath.Join(dir, "NOTE"), []byte(note+"\n"), 0o644)
}

// Push pushes a build folder to a channel and returns the build's id.
func (w *World) Push(ctx context.Context, dir, channel string) (string, error) {
	o, err := w.mustRun(ctx, Tool{Name: "deployctl", Args: []string{
		"push", "--config", w.Config, "--app", "web", "--channel", channel, dir}})
	return o.LastLine(), err
}

// BakeTool is the call of bake-ami that installs the lab's Chef package, and
// that bakes although there may be an image of the same inputs;
// it proves nothing, because the story does.
func (w *World) BakeTool(role string, args ...string) Tool {
	return Tool{Name: "bake-ami", Args: append([]string{
		"--config", w.Config, "--role", role,
		"--chef-package", w.ChefPackage, "--chef-package-sha256", w.ChefSHA256,
		"--rebake", "--no-prove", "--state-dir", filepath.Join(w.Dir, "state")}, args...)}
}

// Launch describes an instance to start.
type Launch struct {
	ImageID  string
	UserData string
	Profile  string // instance profile; empty: web
	Tags     map[string]string
	Spot     bool // buy it on the spot market, so that it can be interrupted
}

// Instance is a launched instance.
type Instance struct {
	ID, Addr string
	Launched time.Time
}

// Start launches an instance through the EC2 API.
func (w *World) Start(ctx context.Context, l Launch) (Instance, error) {
	in := &ec2.RunInstancesInput{
		ImageId: aws.String(l.ImageID), MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		InstanceType:       types.InstanceTypeT3Small,
		IamInstanceProfile: &types.IamInstanceProfileSpecification{Name: aws.String("web")},
		MetadataOptions: &types.InstanceMetadataOptionsRequest{
			HttpTokens: types.HttpTokensStateRequired, InstanceMetadataTags: types.InstanceMetadataTagsStateEnabled},
	}
	if l.Profile != "" {
		in.IamInstanceProfile.Name = aws.String(l.Profile)
	}
	if l.UserData != "" {
		in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte(l.UserData)))
	}
	if len(l.Tags) > 0 {
		spec := types.TagSpecification{ResourceType: types.ResourceTypeInstance}
		for k, v := range l.Tags {
			spec.Tags = append(spec.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
		}
		in.TagSpecifications = []types.TagSpecification{spec}
	}
	if l.Spot {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot}
	}
	start := time.Now()
	out, err := w.EC2.RunInstances(ctx, in)
	if err != nil {
		return Instance{}, fmt.Errorf("launching %s: %w", l.ImageID, err)
	}
	i := out.Instances[0]
	return Instance{ID: aws.ToString(i.InstanceId), Addr: aws.ToString(i.PrivateIpAddress), Launched: start}, nil
}

// Terminate ends instances and waits until EC2 calls them terminated.
func (w *World) Terminate(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := w.EC2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids}); err != nil {
		return fmt.Errorf("terminating %v: %w", ids, err)
	}
	return Until(ctx, 200*time.Millisecond, func() error {
		out, err := w.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: ids})
		if err != nil {
			return err
		}
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				if i.State.Name != types.InstanceStateNameTerminated {
					return fmt.Errorf("%s is %s", aws.ToString(i.InstanceId), i.State.Name)
				}
			}
		}
		return nil
	})
}

// Until calls f every so often until it returns nil; when ctx ends first, the
// last error says what was missing. That of a call which the end cut off says
// nothing.
func Until(ctx context.Context, every time.Duration, f func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last error
	for {
		err := f()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}

// Answer is what the sample app says of itself.
type Answer struct {
	App     string `json:"app"`
	Release string `json:"release"`
}

// Answers waits until the app answers through the instance's port 80.
func (w *World) Answers(ctx context.Context, addr string) (Answer, error) {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}}
	var a Answer
	err := Until(ctx, 100*time.Millisecond, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the app at %s answers %s", addr, resp.Status)
		}
		a = Answer{}
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			return err
		}
		if a.Release == "" {
			return errors.New("the app names no release")
		}
		return nil
	})
	return a, err
}
