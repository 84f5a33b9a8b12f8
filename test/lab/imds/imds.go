// Package imds is the lab's instance metadata service: what a guest sees at
// http://169.254.169.254. It knows a guest by its source address, speaks
// version 2 of the protocol (session tokens) and version 1 where an instance
// allows it, and lists directories as EC2 does, because cloud-init walks
// them: whatever is listed must be there.
//
// The hop limit is not enforced: a handler cannot see how many hops its reply
// takes, and the lab's guests run no containers that would need one more.
//
// Rules: "Instance metadata and user data" in the Amazon EC2 User Guide.
package imds

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Directory finds the instance that has an address. It is called for every
// request, from many goroutines, so that a change shows at once.
type Directory interface {
	ByAddr(netip.Addr) (Instance, bool)
}

// Clock tells the time, for tokens and credentials.
type Clock interface {
	Now() time.Time
}

// Group is a security group.
type Group struct{ ID, Name string }

// Role is an instance profile with its role.
type Role struct {
	Name       string // of the role
	ProfileARN string
	ProfileID  string // AIPA…
}

// SpotAction is the two-minute notice of a spot instance.
type SpotAction struct {
	Action string // terminate, stop or hibernate
	Time   time.Time
}

// Event is one scheduled maintenance event.
type Event struct {
	ID, Code, Description, State string
	NotBefore, NotAfter          time.Time
}

// Instance is all that the service says about one guest. Empty fields are
// left out of the tree where EC2 leaves them out.
type Instance struct {
	ID, ImageID, Type    string
	Hostname             string // private DNS name; empty: made from PrivateIP
	PrivateIP            netip.Addr
	MAC                  string
	AccountID            string
	Region, Zone, ZoneID string
	Architecture         string // x86_64 or arm64
	ReservationID        string
	LaunchIndex          int
	LaunchTime           time.Time
	KeyName, PublicKey   string // PublicKey in authorized_keys form
	Groups               []Group
	InterfaceID          string
	SubnetID, SubnetCIDR string
	VPCID, VPCCIDR       string
	RootDevice           string // for example /dev/sda1
	Spot                 bool
	UserData             []byte // as launched, not base64; nil: none
	Tags                 map[string]string
	Role                 *Role

	EndpointDisabled bool // MetadataOptions.HttpEndpoint=disabled
	TokensRequired   bool // MetadataOptions.HttpTokens=required
	TagsInMetadata   bool // MetadataOptions.InstanceMetadataTags=enabled

	SpotAction     *SpotAction
	Rebalance      time.Time // of a rebalance recommendation; zero: none
	LifecycleState string    // of an Auto Scaling instance: InService, Terminated, …
	Maintenance    []Event
}

// versions of the API, oldest first. Tags came with 2021-03-23.
func versions() []string {
	return []string{
		"2009-04-04", "2011-01-01", "2014-11-05", "2016-09-02", "2018-09-24", "2019-10-01", "2020-10-27",
		"2021-01-03", tagsSince, "2021-07-15", "2022-09-24", "latest",
	}
}

const tagsSince = "2021-03-23"

// New returns the service. It keeps session tokens in memory.
func New(dir Directory, clock Clock) http.Handler { return NewSigned(dir, clock, nil) }

// NewSigned is New with identity documents that a signs.
func NewSigned(dir Directory, clock Clock, a *Authority) http.Handler {
	return &service{dir: dir, clock: clock, authority: a, tokens: tokens{issued: map[string]token{}}}
}

type service struct {
	dir    Directory
	clock  Clock
	tokens tokens

	authority *Authority // nil: documents are not signed
}

// ServeHTTP answers one guest's request.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "EC2ws")
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		refuse(w, http.StatusBadRequest)
		return
	}
	in, ok := s.dir.ByAddr(peer.Addr().Unmap())
	switch {
	case !ok:
		refuse(w, http.StatusNotFound) // no instance of ours
	case in.EndpointDisabled:
		refuse(w, http.StatusForbidden)
	case strings.TrimSuffix(r.URL.Path, "/") == "/latest/api/token":
		s.issue(w, r, in)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		refuse(w, http.StatusMethodNotAllowed)
	case !s.allowed(r, in):
		refuse(w, http.StatusUnauthorized)
	default:
		s.show(w, r, in)
	}
}

// issue answers PUT /latest/api/token.
func (s *service) issue(w http.ResponseWriter, r *http.Request, in Instance) {
	if r.Method != http.MethodPut {
		refuse(w, http.StatusMethodNotAllowed)
		return
	}
	if r.Header.Get("X-Forwarded-For") != "" { // a request through an open proxy
		refuse(w, http.StatusForbidden)
		return
	}
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	if err != nil || ttl < 1 || ttl > maxTTL {
		refuse(w, http.StatusBadRequest)
		return
	}
	w.Header().Set(ttlHeader, strconv.Itoa(ttl))
	answer(w, s.tokens.issue(in.ID, s.clock.Now(), time.Duration(ttl)*time.Second))
}

// allowed reports whether r carries a token of this instance, or none where
// none is needed. A wrong token is refused even then, as EC2 does.
func (s *service) allowed(r *http.Request, in Instance) bool {
	given := r.Header.Get(tokenHeader)
	if given == "" {
		return !in.TokensRequired
	}
	return s.tokens.valid(given, in.ID, s.clock.Now())
}

func (s *service) show(w http.ResponseWriter, r *http.Request, in Instance) {
	path := strings.Trim(r.URL.Path, "/")
	if path == "" {
		answer(w, strings.Join(versions(), "\n"))
		return
	}
	version, rest, _ := strings.Cut(path, "/")
	if !slices.Contains(versions(), version) {
		refuse(w, http.StatusNotFound)
		return
	}
	t := build(in, s.clock.Now(), version >= tagsSince) // "latest" sorts behind every date
	if err := s.sign(t); err != nil {
		refuse(w, http.StatusInternalServerError)
		return
	}
	if content, ok := t.read(rest); ok {
		answer(w, content)
		return
	}
	refuse(w, http.StatusNotFound)
}

// sign puts the signatures beside the identity document.
func (s *service) sign(t tree) error {
	if s.authority == nil {
		return nil
	}
	const at = "dynamic/instance-identity/"
	leaves, err := s.authority.signatures(t.leaves[at+"document"])
	for name, content := range leaves {
		t.leaves[at+name] = content
	}
	return err
}

func answer(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write([]byte(body)) // a guest that left has no use for it
}

func refuse(w http.ResponseWriter, status int) {
	text := strconv.Itoa(status) + " - " + http.StatusText(status)
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("<html><head><title>" + text + "</title></head><body><h1>" + text + "</h1></body></html>\n"))
}
