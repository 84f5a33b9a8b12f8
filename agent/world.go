package agent

import (
	"context"
	"io"
	"net/http"
	"time"

	"bakehouse/internal/chefapi"
)

// Metadata is the instance metadata service. Calls are retried by the agent.
type Metadata interface {
	// InstanceID is one quick read; it names the instance that runs us.
	InstanceID(ctx context.Context) (string, error)
	// Identity reads the identity document and, where they are on, the tags.
	Identity(ctx context.Context) (Identity, error)
	// Notice reads what is announced about the instance's future.
	Notice(ctx context.Context) (Notice, error)
}

// Secrets fetches a secret by reference: ssm:, secretsmanager: or file:.
// The caller wipes what it gets.
type Secrets interface {
	Fetch(ctx context.Context, ref string) ([]byte, error)
}

// Store reads objects of a bucket. A missing object is ErrNoObject. The reader
// belongs to the caller and is bound to ctx.
type Store interface {
	Open(ctx context.Context, bucket, key string) (io.ReadCloser, error)
	// OpenRange reads a piece, from several goroutines at once, and says what the
	// whole object is.
	OpenRange(ctx context.Context, r Range) (io.ReadCloser, Object, error)
}

// Chef is a Chef server as one client sees it; *chefapi.Client is the real one.
type Chef interface {
	CreateClient(ctx context.Context, name string, publicPEM []byte) error
	ClientExists(ctx context.Context, name string) (bool, error)
	CreateNode(ctx context.Context, n chefapi.Node) error
	Node(ctx context.Context, name string) (chefapi.Node, error)
	UpdateNode(ctx context.Context, n chefapi.Node) error
	// SetNormal sets keys of normal[section] of a node and leaves all else as it is.
	SetNormal(ctx context.Context, name, section string, values map[string]any) error
	// Deleting what is not there is no error.
	DeleteNode(ctx context.Context, name string) error
	DeleteClient(ctx context.Context, name string) error
}

// Command is a program to run. The agent runs chef-client, cinc-client,
// systemctl, systemd-run and the programs that the configuration names.
type Command struct {
	Path string // absolute, or a name to look up
	Args []string
	Env  []string  // added to the agent's own environment
	Out  io.Writer // takes stdout and stderr; nil drops them
}

// Runner runs programs to their end. A non-zero end is an *ExitError; when ctx
// ends, the program gets SIGTERM and after a grace SIGKILL, its children too.
type Runner interface {
	Run(ctx context.Context, c Command) error
}

// Doer sends one HTTP request; *http.Client is the real one.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Disk is what the agent asks of a file system besides files.
type Disk interface {
	// Free returns the bytes and inodes that a write below path may use.
	// limited is false where the file system does not count inodes.
	Free(path string) (bytes, inodes uint64, limited bool, err error)
	// Busy says whether a program runs, or works, below dir.
	Busy(dir string) (bool, error)
	// Chown gives everything below dir to the user and the user's own group.
	Chown(dir, user string) error
}

// Clock is time, so that tests need not wait.
type Clock interface {
	Now() time.Time
	// Sleep waits d, or returns ctx's error when that ends first.
	Sleep(ctx context.Context, d time.Duration) error
}

// Events watches a run. Calls come from one goroutine at a time.
type Events interface {
	StageStarted(Stage)
	StageDone(s Stage, took time.Duration, err error)
	Note(line string)
	// Output takes what the Chef client prints, as it prints it.
	Output() io.Writer
}

// Point names a durable step: something that is still true after a power cut.
type Point string

// The points inside stages. "after STAGE" follows each stage's record.
const (
	KeyWritten      Point = "key written"
	KeyRecorded     Point = "key recorded"
	ClientCreated   Point = "client created"
	NodeCreated     Point = "node created"
	ConfigWritten   Point = "client.rb written"
	Converged       Point = "chef run ended"
	Unpacked        Point = "unpacked beside"
	ReleaseInPlace  Point = "release in place"
	Switched        Point = "current switched"
	UnitStarted     Point = "unit started"
	BuildRefused    Point = "build refused"
	RolledBack      Point = "rolled back"
	RebootRequested Point = "reboot recorded"

	HookAnswered   Point = "launch hook answered"
	StackSignalled Point = "stack signalled"
	UnitWritten    Point = "unit rendered"

	LeaveRecorded Point = "leave recorded"
	NodeDeleted   Point = "node deleted"
	ClientDeleted Point = "client deleted"
)

// LeavingPoints lists the points that a leave passes, in that order.
func LeavingPoints() []Point { return []Point{LeaveRecorded, NodeDeleted, ClientDeleted} }

// GroupPoints lists what a first boot that belongs to a stack and a group
// passes after Points, in that order.
func GroupPoints() []Point { return []Point{StackSignalled, HookAnswered} }

// Points lists every point that an uneventful first boot with an app passes, in
// that order.
func Points() []Point {
	return []Point{
		after(Identify),
		KeyWritten, KeyRecorded, ClientCreated, NodeCreated, after(Register),
		ConfigWritten, Converged, after(Converge),
		Unpacked, ReleaseInPlace, Switched, after(Pull),
		UnitStarted, after(Start),
	}
}

func after(s Stage) Point { return Point("after " + string(s)) }
