//go:build lab

package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/lab/moto"
)

const baseImage = "ami-0ba5e000000000001"

// machines is a hypervisor that does what the test says.
type machines struct {
	mu        sync.Mutex
	states    map[string]string
	removed   []string
	nudges    int
	snapshots chan error // one value ends one Snapshot
	copies    chan error // one value ends one CopyImage
}

func (m *machines) State(id string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.states[id]
	return s, ok
}

func (m *machines) set(id, state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.states[id] = state
}

func (m *machines) Snapshot(ctx context.Context, _, _ string, _ bool) error {
	select {
	case err := <-m.snapshots:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *machines) RemoveImage(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removed = append(m.removed, id)
}

func (m *machines) Console(id string) []byte { return []byte("console of " + id) }

func (m *machines) Nudge() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nudges++
}

// clock is a clock that the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bench is one gateway before the shared moto, with clients.
type bench struct {
	t        *testing.T
	ctx      context.Context
	url      string
	machines *machines
	clock    *clock
	records  *syncBuffer
	cfg      aws.Config
	ec2      *ec2.Client
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newBench(t *testing.T, upstream *url.URL) *bench {
	t.Helper()
	b := &bench{
		t: t, machines: &machines{states: map[string]string{}, snapshots: make(chan error, 8), copies: make(chan error, 8)},
		clock: &clock{t: time.Now()}, records: &syncBuffer{},
	}
	g, err := gateway.New(gateway.Config{
		Upstream: upstream, Machines: b.machines, Recorder: b.records, Now: b.clock.now,
		Parameters: map[string]string{ubuntuParameter: baseImage},
		Caller: func(key string, _ netip.Addr) string {
			return map[string]string{"AKIDOPERATOR": "operator"}[key]
		},
	})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	server := httptest.NewServer(g)
	t.Cleanup(func() {
		server.Close()
		if err := g.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	var cancel context.CancelFunc
	b.ctx, cancel = context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	b.url = server.URL
	b.cfg = aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 3,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDOPERATOR", "secret", ""),
	}
	b.ec2 = ec2.NewFromConfig(b.cfg)
	return b
}

// run launches one instance and returns it.
func (b *bench) run(change ...func(*ec2.RunInstancesInput)) types.Instance {
	b.t.Helper()
	in := &ec2.RunInstancesInput{
		ImageId: aws.String(baseImage), InstanceType: types.InstanceTypeT3Small, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	}
	for _, fn := range change {
		fn(in)
	}
	out, err := b.ec2.RunInstances(b.ctx, in)
	if err != nil {
		b.t.Fatalf("RunInstances: %v", err)
	}
	return out.Instances[0]
}

// describe returns the one instance with the id.
func (b *bench) describe(id string, filters ...types.Filter) *types.Instance {
	b.t.Helper()
	out, err := b.ec2.DescribeInstances(b.ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}, Filters: filters})
	if err != nil {
		b.t.Fatalf("DescribeInstances: %v", err)
	}
	if len(out.Reservations) == 0 {
		return nil
	}
	return &out.Reservations[0].Instances[0]
}

// wantCode fails unless err carries the AWS error code.
func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func (b *bench) post(path, body string) {
	b.t.Helper()
	res, err := http.Post(b.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		b.t.Fatalf("POST %s: %v", path, err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		text, _ := io.ReadAll(res.Body)
		b.t.Fatalf("POST %s: HTTP %d: %s", path, res.StatusCode, text)
	}
}

// calls returns the records with the action.
func (b *bench) calls(action string) []gateway.Record {
	b.t.Helper()
	res, err := http.Get(b.url + "/_lab/calls?since=0")
	if err != nil {
		b.t.Fatalf("GET /_lab/calls: %v", err)
	}
	defer res.Body.Close()
	var out []gateway.Record
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		var r gateway.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			b.t.Fatalf("record %q: %v", lines.Text(), err)
		}
		if r.Action == action {
			out = append(out, r)
		}
	}
	return out
}

// startMoto starts the one real moto of the tests and stops it behind them.
func startMoto(t *testing.T) *url.URL {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	command, err := moto.Find(ctx, t.TempDir())
	if err != nil {
		t.Fatalf("finding moto: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	log := &syncBuffer{}
	server, err := moto.Start(ctx, moto.Config{Command: command, Dir: t.TempDir(), Port: port, Log: log, Image: moto.Image{
		ID: baseImage, Name: "base", Description: "base", OwnerID: "099720109477", Architecture: "x86_64",
		RootDevice: "/dev/sda1",
	}})
	if err != nil {
		t.Fatalf("starting moto: %v\n%s", err, log)
	}
	t.Cleanup(func() {
		if err := server.Stop(5 * time.Second); err != nil {
			t.Errorf("stopping moto: %v", err)
		}
		if t.Failed() {
			t.Logf("moto said:\n%s", tail(log.String(), 4000))
		}
	})
	return server.URL()
}

// TestGateway holds every case against the one real moto.
func TestGateway(t *testing.T) {
	t.Parallel()
	upstream := startMoto(t)
	all := cases()
	maps.Copy(all, otherCases())
	t.Run("cases", func(t *testing.T) {
		for name, test := range all {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(newBench(t, upstream))
			})
		}
	})
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func cases() map[string]func(*bench) {
	return map[string]func(*bench){
		"launch gives a private address only":    testLaunch,
		"all instances are listed, or in pages":  testManyInstances,
		"launch reads an empty subnet as none":   testEmptySubnet,
		"launch is idempotent by client token":   testClientToken,
		"launch copies the template":             testTemplate,
		"states follow the machine":              testStates,
		"state filters see the true state":       testStateFilters,
		"terminated instances vanish":            testVanish,
		"terminated instances cannot be started": testIncorrectState,
		"interfaces and groups are freed":        testSecurityGroup,
		"termination follows the machine":        testTermination,
		"console comes from the machine":         testConsole,
		"metadata options are kept":              testMetadataOptions,
		"public addresses are refused":           testAllocateAddress,
	}
}

func otherCases() map[string]func(*bench) {
	return map[string]func(*bench){
		"image is pending until its snapshot ends":   testImage,
		"image fails when its snapshot fails":        testImageFails,
		"image names are unique and well-formed":     testImageNames,
		"image attributes are kept":                  testImageAttributes,
		"deregistering deletes snapshots":            testDeregister,
		"base snapshot is nobody's own":              testOwnSnapshots,
		"copies are of their region":                 testCopy,
		"copies are encrypted by a key of there":     testCopyEncrypted,
		"shares are told":                            testShares,
		"who uses an image is told":                  testReferences,
		"parameters are found by data type and tag":  testParameterFilters,
		"unknown actions are refused once":           testUnknownAction,
		"dry run launches nothing":                   testDryRun,
		"dry runs of other calls do nothing":         testDryRunsDoNothing,
		"public parameters are answered":             testParameters,
		"alarms over CBOR":                           testAlarms,
		"targets are probed and drain":               testTargets,
		"a stack keeps the first signal":             testStackSignals,
		"metrics over CBOR":                          testMetrics,
		"CBOR errors carry their code":               testCBORErrors,
		"objects stream and keep their checksums":    testObjects,
		"conditional writes have one winner":         testConditionalWrites,
		"multipart completion honours If-Match":      testMultipart,
		"records name service, action and caller":    testRecords,
		"fault: error on the nth call":               testFaultNth,
		"fault: lost reply takes effect once":        testFaultLost,
		"fault: latency and clearing":                testFaultLatency,
		"role sessions and buckets pass through":     testPassThrough,
		"two launches at once with one token":        testClientTokenRace,
		"instances launched together share an order": testMaxCount,
		"launch keeps the caller's interface":        testOwnInterface,
		"launch keeps the instance profile":          testProfile,
		"aws-chunked uploads are taken apart":        testChunkedUpload,
		"guests' credentials are of the account":     testGuestCredentials,
	}
}
