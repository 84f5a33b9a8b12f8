package imds

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	sdk "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/jonboulle/clockwork"
)

// guests is a directory that a test edits.
type guests struct {
	mu     sync.Mutex
	byAddr map[netip.Addr]Instance
}

func (g *guests) ByAddr(a netip.Addr) (Instance, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	in, ok := g.byAddr[a]
	return in, ok
}

func start() time.Time { return time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC) }

func example() Instance {
	return Instance{
		ID: "i-0abc", ImageID: "ami-0abc", Type: "t3.small", PrivateIP: netip.MustParseAddr("172.31.0.4"), MAC: "02:00:00:67:29:e8",
		AccountID: "123456789012", Region: "us-east-1", Zone: "us-east-1a", ZoneID: "use1-az6", Architecture: "x86_64",
		ReservationID: "r-0abc", LaunchTime: start(), KeyName: "me", PublicKey: "ssh-ed25519 AAAA me\n",
		Groups: []Group{{"sg-1", "web"}, {"sg-2", "ssh"}}, InterfaceID: "eni-1", SubnetID: "subnet-1", SubnetCIDR: "172.31.0.0/20",
		VPCID: "vpc-1", VPCCIDR: "172.31.0.0/16", RootDevice: "/dev/sda1", UserData: []byte("#cloud-config\n"),
		Tags:           map[string]string{"bakehouse:channel": "production", "Name": "web one", "with space": "x"},
		Role:           &Role{Name: "web", ProfileARN: "arn:aws:iam::123456789012:instance-profile/web", ProfileID: "AIPA0"},
		TokensRequired: true, TagsInMetadata: true,
	}
}

// service for one guest; ask makes requests from its address.
type lab struct {
	t     *testing.T
	dir   *guests
	clock *clockwork.FakeClock
	h     http.Handler
	addr  netip.Addr
}

func newLab(t *testing.T, change ...func(*Instance)) *lab {
	t.Helper()
	in := example()
	for _, fn := range change {
		fn(&in)
	}
	l := &lab{t: t, clock: clockwork.NewFakeClockAt(start()), addr: in.PrivateIP}
	l.dir = &guests{byAddr: map[netip.Addr]Instance{in.PrivateIP: in}}
	l.h = New(l.dir, l.clock)
	return l
}

func (l *lab) ask(method, path string, header ...string) (int, string) {
	l.t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = netip.AddrPortFrom(l.addr, 40000).String()
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	l.h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func (l *lab) token() string {
	l.t.Helper()
	code, body := l.ask("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if code != http.StatusOK {
		l.t.Fatalf("token: HTTP %d", code)
	}
	return body
}

func (l *lab) get(path string) string {
	l.t.Helper()
	code, body := l.ask("GET", path, "X-aws-ec2-metadata-token", l.token())
	if code != http.StatusOK {
		l.t.Errorf("GET %s: HTTP %d", path, code)
	}
	return body
}

func (l *lab) wantStatus(what string, want int, method, path string, header ...string) {
	l.t.Helper()
	if got, _ := l.ask(method, path, header...); got != want {
		l.t.Errorf("%s: HTTP %d, want %d", what, got, want)
	}
}

func TestTokensAreRequiredBoundAndExpire(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const path, ttl, tok = "/latest/meta-data/instance-id", "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
	l.wantStatus("no token", 401, "GET", path)
	l.wantStatus("made-up token", 401, "GET", path, tok, "xyz")
	for _, bad := range []string{"", "0", "21601", "x"} {
		l.wantStatus("ttl "+bad, 400, "PUT", "/latest/api/token", ttl, bad)
	}
	l.wantStatus("token through a proxy", 403, "PUT", "/latest/api/token", ttl, "60", "X-Forwarded-For", "10.0.0.1")
	l.wantStatus("token by GET", 405, "GET", "/latest/api/token", ttl, "60")
	mine := l.token()
	l.wantStatus("own token", 200, "GET", path, tok, mine)
	other := example()
	other.ID, other.PrivateIP = "i-0other", netip.MustParseAddr("172.31.0.5")
	l.dir.mu.Lock()
	l.dir.byAddr[other.PrivateIP] = other
	l.dir.mu.Unlock()
	l.addr = other.PrivateIP
	l.wantStatus("another guest's token", 401, "GET", path, tok, mine)
	l.addr = example().PrivateIP
	l.clock.Advance(59 * time.Second)
	l.wantStatus("token of 59 s", 200, "GET", path, tok, mine)
	l.clock.Advance(time.Second)
	l.wantStatus("token of 60 s", 401, "GET", path, tok, mine)
}

func TestVersionOneWhereAllowed(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(in *Instance) { in.TokensRequired = false })
	l.wantStatus("no token", 200, "GET", "/2009-04-04/meta-data/instance-id")
	l.wantStatus("a wrong token", 401, "GET", "/latest/meta-data/instance-id", "X-aws-ec2-metadata-token", "x")
	l.wantStatus("a write", 405, "POST", "/latest/meta-data/instance-id")
	l.wantStatus("an unknown version", 404, "GET", "/2001-01-01/meta-data/")
	l.wantStatus("an unknown leaf", 404, "GET", "/latest/meta-data/public-ipv4")
	l.wantStatus("half a name", 404, "GET", "/latest/meta-data/instance")
	l.addr = netip.MustParseAddr("172.31.0.9")
	l.wantStatus("a stranger", 404, "GET", "/latest/meta-data/instance-id")
}

func TestDisabledEndpoint(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(in *Instance) { in.EndpointDisabled = true })
	l.wantStatus("token", 403, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
}

func TestListingsAreEC2s(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const macs = "/latest/meta-data/network/interfaces/macs/"
	for path, want := range map[string]string{
		"/latest/":                                          "dynamic/\nmeta-data/\nuser-data",
		"/latest/meta-data/public-keys/":                    "0=me",
		"/latest/meta-data/public-keys/0/":                  "openssh-key",
		"/latest/meta-data/public-keys/0/openssh-key":       "ssh-ed25519 AAAA me",
		"/latest/meta-data/iam/":                            "info\nsecurity-credentials/",
		"/latest/meta-data/iam/security-credentials/":       "web",
		"/latest/meta-data/placement":                       "availability-zone\navailability-zone-id\nregion",
		"/latest/meta-data/tags/instance/":                  "Name\nbakehouse:channel",
		"/latest/meta-data/tags/instance/bakehouse:channel": "production",
		"/2021-03-23/meta-data/tags/instance/Name":          "web one",
		"/latest/meta-data/block-device-mapping/":           "ami\nroot",
		"/latest/meta-data/local-hostname":                  "ip-172-31-0-4.ec2.internal",
		"/latest/meta-data/security-groups":                 "web\nssh",
		"/latest/meta-data/events/maintenance/scheduled":    "[]",
		"/latest/dynamic/instance-identity":                 "document",
		"/latest/user-data":                                 "#cloud-config\n",
		macs:                                                "02:00:00:67:29:e8/",
		macs + "02:00:00:67:29:e8/local-ipv4s":              "172.31.0.4",
		macs + "02:00:00:67:29:e8/subnet-ipv4-cidr-block":   "172.31.0.0/20",
		"/latest/meta-data/network/interfaces":              "macs/",
		"/latest/meta-data/instance-life-cycle":             "on-demand",
		"/latest/meta-data/events/":                         "maintenance/",
		"/latest/meta-data/network/interfaces/macs/02:00:00:67:29:e8/security-group-ids": "sg-1\nsg-2",
	} {
		if got := l.get(path); got != want {
			t.Errorf("GET %s: %q, want %q", path, got, want)
		}
	}
	l.wantStatus("tags before they existed", 404, "GET", "/2009-04-04/meta-data/tags/", "X-aws-ec2-metadata-token", l.token())
}

// TestEverythingListedIsThere walks the tree as cloud-init does: a listed name
// that answers 404 would fail the whole crawl.
func TestEverythingListedIsThere(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2009-04-04", "2021-03-23", "latest"} {
		l := newLab(t, func(in *Instance) {
			in.SpotAction = &SpotAction{"terminate", start()}
			in.LifecycleState, in.Rebalance = "InService", start()
			in.Maintenance = []Event{{ID: "e", Code: "system-reboot", NotBefore: start(), NotAfter: start()}}
		})
		leaves := 0
		var walk func(dir string)
		walk = func(dir string) {
			for _, name := range strings.Split(l.get(dir), "\n") {
				if index, _, ok := strings.Cut(name, "="); ok {
					name = index + "/"
				}
				if strings.HasSuffix(name, "/") {
					walk(dir + name)
				} else if l.get(dir+name) != "" {
					leaves++
				}
			}
		}
		walk("/" + version + "/meta-data/")
		if leaves < 40 {
			t.Errorf("%s has %d leaves only", version, leaves)
		}
	}
}

func TestNothingThatIsNotSo(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(in *Instance) { in.UserData, in.Role, in.PublicKey, in.TagsInMetadata = nil, nil, "", false })
	for _, path := range []string{
		"user-data", "meta-data/iam/info", "meta-data/iam/", "meta-data/public-keys/", "meta-data/tags/instance/",
		"meta-data/spot/instance-action", "meta-data/spot/termination-time", "meta-data/autoscaling/target-lifecycle-state",
		"meta-data/events/recommendations/rebalance", "meta-data/public-hostname",
	} {
		l.wantStatus(path, 404, "GET", "/latest/"+path, "X-aws-ec2-metadata-token", l.token())
	}
}

func TestNotices(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(in *Instance) {
		in.Spot, in.LifecycleState, in.Rebalance = true, "Terminated", start()
		in.SpotAction = &SpotAction{"terminate", start().Add(2 * time.Minute)}
	})
	for path, want := range map[string]string{
		"spot/instance-action":               `"time": "2026-03-01T12:32:00Z"`,
		"spot/termination-time":              "2026-03-01T12:32:00Z",
		"autoscaling/target-lifecycle-state": "Terminated",
		"instance-life-cycle":                "spot",
		"events/recommendations/rebalance":   `"noticeTime": "2026-03-01T12:30:00Z"`,
	} {
		if got := l.get("/latest/meta-data/" + path); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestAccessKeysTellGuestsApart(t *testing.T) {
	t.Parallel()
	a, b := AccessKeyID("i-1"), AccessKeyID("i-2")
	if a == b || len(a) != 20 || !strings.HasPrefix(a, "ASIA") || a != AccessKeyID("i-1") {
		t.Errorf("access keys %q and %q", a, b)
	}
}

// TestSDKReadsIt has the SDK's own client as the oracle.
func TestSDKReadsIt(t *testing.T) {
	t.Parallel()
	in := example()
	in.PrivateIP = netip.MustParseAddr("127.0.0.1")
	clock := clockwork.NewFakeClockAt(start())
	server := httptest.NewServer(New(&guests{byAddr: map[netip.Addr]Instance{in.PrivateIP: in}}, clock))
	t.Cleanup(server.Close)
	client := sdk.New(sdk.Options{Endpoint: server.URL, EnableFallback: aws.FalseTernary})
	ctx := context.Background()
	doc, err := client.GetInstanceIdentityDocument(ctx, nil)
	if err != nil || doc.InstanceID != in.ID || doc.Region != in.Region || doc.AccountID != in.AccountID || !doc.PendingTime.Equal(start()) {
		t.Errorf("identity document: %v, %+v", err, doc)
	}
	region, err := client.GetRegion(ctx, nil)
	if err != nil || region.Region != "us-east-1" {
		t.Errorf("region: %v, %+v", err, region)
	}
	info, err := client.GetIAMInfo(ctx, nil)
	if err != nil || info.InstanceProfileArn != in.Role.ProfileARN {
		t.Errorf("IAM info: %v, %+v", err, info)
	}
	data, err := client.GetUserData(ctx, nil)
	if err != nil {
		t.Fatalf("user data: %v", err)
	}
	defer data.Content.Close()
	if text, err := io.ReadAll(data.Content); err != nil || string(text) != "#cloud-config\n" {
		t.Errorf("user data: %v, %q", err, text)
	}
	keys, err := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = client }).Retrieve(ctx)
	if err != nil || keys.AccessKeyID != AccessKeyID(in.ID) || keys.SessionToken == "" {
		t.Errorf("role credentials: %v, %+v", err, keys)
	}
}

func TestCredentialsAreRenewed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	read := func() (c credentials) {
		if err := json.Unmarshal([]byte(l.get("/latest/meta-data/iam/security-credentials/web")), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := read()
	l.clock.Advance(5 * time.Hour)
	second := read()
	if second.Expiration.Sub(l.clock.Now()) < 5*time.Hour || !second.Expiration.After(first.Expiration) || second.AccessKeyID != first.AccessKeyID {
		t.Errorf("credentials went from %v to %v", first.Expiration, second.Expiration)
	}
}
