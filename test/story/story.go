// Package story holds the steps of the main job that the demo, the end-to-end
// tests and the benchmarks share: upload the chef-repo, push a build, bake,
// launch, wait for the app. Each step runs the built binaries as a user would,
// inside the lab (`lab run`), whose environment it reads.
package story

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"bakehouse/internal/awscfg"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/chefrepo"
	"bakehouse/test/lab/chefstandin"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// World is the lab as the steps see it.
type World struct {
	Root        string // the repository's folder
	Bin         string // where `make build` put the binaries
	Config      string // the lab's bakehouse.yaml
	Dir         string // scratch folder of this run
	ChefPackage string // .deb that bakes install: $CHEF_DEB, or the lab's stand-in
	ChefSHA256  string
	SignKey     string // private key that deployctl signs with; bakes trust its public half
	PublicKey   string
	StandIn     bool // ChefPackage is the stand-in, not Chef itself
	AWS         aws.Config
	EC2         *ec2.Client
	Chef        *chefapi.Client
}

// Open reads the environment that `lab run` gives and prepares what bakes
// need. dir is a scratch folder that the caller removes.
func Open(ctx context.Context, dir string) (*World, error) {
	if os.Getenv("BAKEHOUSE_LAB") == "" {
		return nil, errors.New("opening the lab: BAKEHOUSE_LAB is not set; run this through `bin/lab run -- ...`")
	}
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	w := &World{Root: root, Bin: filepath.Join(root, "bin"), Dir: dir, Config: filepath.Join(root, "test/lab/bakehouse.yaml")}
	if err := w.findChefPackage(ctx); err != nil {
		return nil, err
	}
	if err := w.makeSignKey(ctx); err != nil {
		return nil, err
	}
	if w.AWS, err = awscfg.Load(ctx, awscfg.Options{UserAgent: "bakehouse-story"}); err != nil {
		return nil, err
	}
	w.EC2 = ec2.NewFromConfig(w.AWS)
	key, err := os.ReadFile(os.Getenv("CHEF_CLIENT_KEY"))
	if err != nil {
		return nil, fmt.Errorf("reading the Chef key: %w", err)
	}
	w.Chef, err = chefapi.New(chefapi.Config{ServerURL: os.Getenv("CHEF_SERVER_URL"), ClientName: os.Getenv("CHEF_CLIENT_NAME"), Key: key})
	return w, err
}

// moduleRoot walks up from the working directory to the folder of go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("finding the repository: no go.mod above the working directory")
}

// findChefPackage takes $CHEF_DEB, or builds the stand-in's package.
func (w *World) findChefPackage(ctx context.Context) (err error) {
	if w.ChefPackage = os.Getenv("CHEF_DEB"); w.ChefPackage != "" {
		w.ChefSHA256, err = sha256File(w.ChefPackage)
		return err
	}
	w.StandIn = true
	w.ChefPackage, w.ChefSHA256, err = chefstandin.BuildDeb(ctx, w.Dir)
	return err
}

// Env is the environment that a tool of ours runs with: this process's, both
// halves of the key for builds, and the tool's own.
func (w *World) Env(t Tool) []string {
	return append(append(os.Environ(), "BAKEHOUSE_SIGN_KEY="+w.SignKey, "BAKEHOUSE_PUBLIC_KEYS="+w.PublicKey), t.Env...)
}

// makeSignKey makes this run's key for builds. Run hands both halves to every
// tool in the environment, as a CI job would.
func (w *World) makeSignKey(ctx context.Context) error {
	path := filepath.Join(w.Dir, "sign.pem")
	o, err := w.mustRun(ctx, Tool{Name: "deployctl", Args: []string{"keygen", path}})
	w.SignKey, w.PublicKey = path, o.LastLine()
	return err
}

// Upload brings the Chef server in line with the roles and cookbooks of the
// chef-repo in dir, a path from the repository's root.
func (w *World) Upload(ctx context.Context, dir string) (chefapi.Uploaded, error) {
	repo, err := chefrepo.Open(filepath.Join(w.Root, dir))
	if err != nil {
		return chefapi.Uploaded{}, err
	}
	return w.Chef.Upload(ctx, repo)
}

// Outcome is how a tool ended.
type Outcome struct {
	Code   int
	Stdout string
	Stderr string
	Took   time.Duration
}

// LastLine returns the last non-empty line of stdout.
func (o Outcome) LastLine() string {
	lines := strings.Split(strings.TrimSpace(o.Stdout), "\n")
	return lines[len(lines)-1]
}

// Tool is one call of a built binary.
type Tool struct {
	Name string
	Args []string
	Env  []string  // added to (and winning over) the lab's
	Dir  string    // working directory; empty: the scratch folder
	Live io.Writer // gets stderr as it comes; a *os.File gets all of it, and Outcome none; nil: nobody
	// Started, when set, is given the running process.
	Started func(p *os.Process)
}

// Run runs a tool to its end. A non-zero exit is an Outcome, not an error.
func (w *World) Run(ctx context.Context, t Tool) (Outcome, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(w.Bin, t.Name), t.Args...)
	cmd.Env = w.Env(t)
	cmd.Dir = t.Dir
	if cmd.Dir == "" {
		cmd.Dir = w.Dir
	}
	// A killed test must not leave a bake behind: give it time to undo.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 60 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if file, ok := t.Live.(*os.File); ok {
		cmd.Stderr = file // the tool itself sees whether that is a terminal
	} else if t.Live != nil {
		cmd.Stderr = io.MultiWriter(&stderr, t.Live)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return Outcome{}, fmt.Errorf("starting %s: %w", t.Name, err)
	}
	if t.Started != nil {
		t.Started(cmd.Process)
	}
	err := cmd.Wait()
	out := Outcome{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(start)}
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		return out, unended(ctx, t, out, err)
	}
	return out, nil
}

// unended is the error of a tool that could not run to its end. Of one that was
// interrupted as its time was up, it says where it was by then.
func unended(ctx context.Context, t Tool, o Outcome, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("running %s: %w", t.Name, err)
	}
	lines := strings.Split(strings.TrimSpace(o.Stderr), "\n")
	return fmt.Errorf("running %s %s: %w; it said last:\n%s", t.Name, strings.Join(t.Args, " "), context.Cause(ctx),
		strings.Join(lines[max(0, len(lines)-8):], "\n"))
}

// mustRun is Run for steps whose failure ends the story.
func (w *World) mustRun(ctx context.Context, t Tool) (Outcome, error) {
	o, err := w.Run(ctx, t)
	if err == nil && o.Code != 0 {
		err = fmt.Errorf("running %s %s: exit code %d\n%s", t.Name, strings.Join(t.Args, " "), o.Code, o.Stderr)
	}
	return o, err
}

// Guest runs a shell script as root inside a running instance, by way of its
// namespaces: it needs no SSH, so it changes nothing that a test looks at.
func (w *World) Guest(ctx context.Context, instanceID, script string) (string, error) {
	o, err := w.mustRun(ctx, Tool{Name: "lab", Args: []string{"exec", instanceID, "--", "sh", "-c", script}})
	return o.Stdout, err
}
