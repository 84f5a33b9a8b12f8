//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bakehouse/test/lab/chefproxy"
	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// labHost is this side's address inside the lab, which guests reach, too.
const labHost = "172.31.0.1"

// struckBake is one bake of the fault suite, with an access key and a Chef
// server address of its own, by which its calls are told from others'.
type struckBake struct {
	struck
	stage *stage // nil, but for a bake with everything
	key   string
	state string
	image string // what it printed
	proxy *chefproxy.Proxy
	began time.Time
}

// bake runs the bake with its fault, if it has one, to its end.
func (b *struckBake) bake(ctx context.Context) error {
	dir, err := os.MkdirTemp(s.world.Dir, "fault-")
	if err != nil {
		return err
	}
	b.key, b.state, b.began = "AKIA"+strings.ToUpper(filepath.Base(dir)), filepath.Join(dir, "state"), time.Now()
	front, err := b.chef()
	if err != nil {
		return err
	}
	defer front.Close()
	hit, lift, err := b.arm(ctx)
	if err != nil {
		return err
	}
	defer lift()
	tool := b.kind.tool(b.role(), append(b.wishes(), "--state-dir", b.state, "--chef-server", "http://"+front.Addr)...)
	tool.Env = []string{"AWS_ACCESS_KEY_ID=" + b.key}
	tool.Started = func(p *os.Process) { go b.signal(ctx, p, hit) }
	o, err := s.world.Run(ctx, tool)
	if err != nil {
		return err
	}
	b.code, b.took, b.stderr, b.image = o.Code, o.Took, o.Stderr, strings.TrimSpace(o.Stdout)
	if m := regexp.MustCompile(`bake ([0-9A-Z]{26}) of role`).FindStringSubmatch(o.Stderr); m != nil {
		b.bakeID = m[1]
	}
	b.hit = hit()
	return nil
}

// set makes what the bake comes upon.
func (b *struckBake) set(ctx context.Context) error {
	if b.kind != everything {
		return nil
	}
	b.stage = &stage{role: laneRole(b.lane), name: strings.ToLower("faults-" + rand.Text()[:10])}
	return b.stage.set(ctx)
}

// unset takes that away.
func (b *struckBake) unset(ctx context.Context) error {
	if b.stage == nil {
		return nil
	}
	return b.stage.strike(ctx)
}

// role is what is baked.
func (b *struckBake) role() string {
	if b.kind != plain {
		return laneRole(b.lane)
	}
	return "harmless"
}

// wishes are the bake's flags.
func (b *struckBake) wishes() []string {
	if b.stage != nil {
		return b.stage.args()
	}
	return nil
}

// chef starts the proxy before the Chef server.
func (b *struckBake) chef() (*http.Server, error) {
	u, err := url.Parse(os.Getenv("CHEF_SERVER_URL"))
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", labHost+":0")
	if err != nil {
		return nil, err
	}
	b.proxy = chefproxy.New(u, labHost)
	srv := &http.Server{Addr: l.Addr().String(), Handler: b.proxy, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }() // it ends with Close
	return srv, nil
}

// arm sets the fault; hit says whether it struck, lift takes it away.
func (b *struckBake) arm(ctx context.Context) (hit func() bool, lift func(), err error) {
	if b.fault == "" {
		return func() bool { return false }, func() {}, nil
	}
	if b.call.service == "chef" {
		faults := map[string]chefproxy.Fault{throttled: chefproxy.Throttle, refused: chefproxy.Refuse, lostReply: chefproxy.Lose,
			sigterm: chefproxy.Hold, sigkill: chefproxy.Hold}
		struck := b.proxy.Set(b.call.action, b.call.nth, faults[b.fault])
		return func() bool {
			select {
			case <-struck:
				return true
			default:
				return false
			}
		}, b.proxy.Lift, nil
	}
	rule := gateway.Rule{Service: b.call.service, Action: b.call.action, Caller: b.key, Nth: b.call.nth}
	switch b.fault {
	case throttled:
		rule.Code, rule.Status = "RequestLimitExceeded", http.StatusServiceUnavailable
	case refused:
		rule.Code, rule.Status, rule.Times = "UnauthorizedOperation", http.StatusForbidden, -1
	case lostReply:
		rule.LostReply = true
	default:
		rule.ReplyLatency = "10s"
	}
	id, err := setRule(ctx, rule)
	return func() bool { return ruleHit(s.ctx, id) }, func() { _, _ = control(s.ctx, http.MethodDelete, fmt.Sprintf("faults?id=%d", id), nil) }, err
}

// signal waits until the fault strikes and then sends what it stands for.
func (b *struckBake) signal(ctx context.Context, p *os.Process, hit func() bool) {
	sig := map[string]os.Signal{sigterm: syscall.SIGTERM, sigkill: syscall.SIGKILL}[b.fault]
	for sig != nil && ctx.Err() == nil && p.Signal(syscall.Signal(0)) == nil {
		if hit() {
			_ = p.Signal(sig)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sweep runs bake-ami sweep on the bake's journals, with no fault left.
func (b *struckBake) sweep(ctx context.Context) error {
	o, err := s.world.Run(ctx, story.Tool{Name: "bake-ami", Args: []string{"sweep", "--config", s.world.Config, "--state-dir", b.state}})
	if err == nil && o.Code != 0 {
		err = fmt.Errorf("sweep: exit %d: %s", o.Code, tail(o.Stderr))
	}
	return err
}

// calls lists the calls that the bake made, of AWS as the gateway recorded
// them and of the Chef server.
func (b *struckBake) calls(ctx context.Context) (all []callOf, err error) {
	text, err := control(ctx, http.MethodGet, "calls?since="+url.QueryEscape(b.began.UTC().Format(time.RFC3339Nano)), nil)
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	add := func(service, action string) {
		seen[service+action]++
		all = append(all, callOf{service, action, seen[service+action]})
	}
	for _, c := range b.proxy.Calls() {
		add("chef", c)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var r gateway.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, err
		}
		if r.Caller == b.key {
			add(r.Service, r.Action)
		}
	}
	return all, nil
}

// control talks to the gateway's own interface.
func control(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, os.Getenv("AWS_ENDPOINT_URL")+"/_lab/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, out.String())
	}
	return out.Bytes(), nil
}

// setRule sets a fault at the gateway.
func setRule(ctx context.Context, r gateway.Rule) (int, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	out, err := control(ctx, http.MethodPost, "faults", body)
	if err != nil {
		return 0, err
	}
	err = json.Unmarshal(out, &r)
	return r.ID, err
}

// ruleHit says whether a rule has struck. One that holds a reply back has when
// the call has taken effect.
func ruleHit(ctx context.Context, id int) bool {
	out, err := control(ctx, http.MethodGet, "faults", nil)
	var rules []gateway.Rule
	if err != nil || json.Unmarshal(out, &rules) != nil {
		return false
	}
	for _, r := range rules {
		if r.ID == id {
			return r.Held > 0 || r.Hits > 0 && r.ReplyLatency == ""
		}
	}
	return false
}

// leftOf lists what is left of a bake, but for a finished image and its
// snapshots: they carry no expiry.
func leftOf(ctx context.Context, bakeID string) (left []string, err error) {
	if bakeID == "" {
		return nil, nil // it ended before it had an id, or anything else
	}
	owned := filter("tag:bakehouse:bake-id", bakeID)
	instances, err := s.world.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: owned})
	if err != nil {
		return nil, err
	}
	var ran []string
	for _, r := range instances.Reservations {
		for _, i := range r.Instances {
			ran = append(ran, aws.ToString(i.InstanceId))
			if i.State.Name != types.InstanceStateNameTerminated {
				left = append(left, "instance "+aws.ToString(i.InstanceId)+" "+string(i.State.Name))
			}
		}
	}
	for _, region := range regions() {
		images, err := unfinished(ctx, region, owned)
		if err != nil {
			return nil, err
		}
		left = append(left, images...)
	}
	more, err := leftBeside(ctx, owned)
	if err != nil {
		return nil, err
	}
	onChef, err := leftOnChef(ctx, append(ran, "bake-"+strings.ToLower(bakeID)))
	return slices.Concat(left, more, onChef), err
}

// unfinished lists images that carry an expiry, and snapshots that carry one or
// have no image.
func unfinished(ctx context.Context, region string, owned []types.Filter) (left []string, err error) {
	images, err := ec2In(region).DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: owned})
	if err != nil {
		return nil, err
	}
	var used []string
	for _, i := range images.Images {
		if hasTag(i.Tags, "bakehouse:expires-at") {
			left = append(left, "image "+aws.ToString(i.ImageId)+" in "+region)
		}
		for _, m := range i.BlockDeviceMappings {
			if m.Ebs != nil {
				used = append(used, aws.ToString(m.Ebs.SnapshotId))
			}
		}
	}
	snapshots, err := ec2In(region).DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{Filters: owned})
	if err != nil {
		return nil, err
	}
	for _, sn := range snapshots.Snapshots {
		if id := aws.ToString(sn.SnapshotId); hasTag(sn.Tags, "bakehouse:expires-at") || !slices.Contains(used, id) {
			left = append(left, "snapshot "+id+" in "+region)
		}
	}
	return left, nil
}

// leftBeside lists volumes and security groups.
func leftBeside(ctx context.Context, owned []types.Filter) (left []string, err error) {
	volumes, err := s.world.EC2.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{Filters: owned})
	if err != nil {
		return nil, err
	}
	for _, v := range volumes.Volumes {
		left = append(left, "volume "+aws.ToString(v.VolumeId))
	}
	groups, err := s.world.EC2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: owned})
	if err != nil {
		return nil, err
	}
	for _, g := range groups.SecurityGroups {
		left = append(left, "security group "+aws.ToString(g.GroupId))
	}
	return left, nil
}

// leftOnChef lists nodes and clients with one of the names: the bake's own, and
// those of the instances that it ran.
func leftOnChef(ctx context.Context, names []string) (left []string, err error) {
	nodes, err := s.world.Chef.NodeNames(ctx)
	if err != nil {
		return nil, err
	}
	clients, err := s.world.Chef.ClientNames(ctx)
	if err != nil {
		return nil, err
	}
	for i, n := range append(nodes, clients...) {
		if slices.Contains(names, n) {
			left = append(left, map[bool]string{true: "node ", false: "client "}[i < len(nodes)]+n)
		}
	}
	return left, nil
}

// dropImages takes the finished image of a bake away.
func dropImages(ctx context.Context, bakeID string) error {
	if bakeID == "" {
		return nil
	}
	for _, region := range regions() {
		api := ec2In(region)
		images, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: filter("tag:bakehouse:bake-id", bakeID)})
		if err != nil {
			return err
		}
		for _, i := range images.Images {
			_, err := api.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: i.ImageId})
			if err == nil {
				_, err = api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: i.ImageId, DeleteAssociatedSnapshots: aws.Bool(true)})
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// removeImages is dropImages for a test.
func removeImages(t *testing.T, bakeID string) {
	t.Helper()
	if err := dropImages(deadline(t, 20*time.Second), bakeID); err != nil {
		t.Fatal(err)
	}
}
