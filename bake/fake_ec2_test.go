package bake

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// thing is one resource of the fake EC2.
type thing struct {
	id, name, token string
	state           string
	tags            map[string]string
	snapshot        string
	created         string     // date of an image
	params          url.Values // of the call that made it
}

// fakeEC2 speaks the part of EC2's query protocol that a bake uses. States
// move on by one with each look: pending, then what was asked for.
type fakeEC2 struct {
	mu        sync.Mutex
	next      int
	instances []*thing
	groups    []*thing
	images    []*thing
	snapshots []*thing
	calls     []string
	// refuse answers an action with an error code; lose carries it out and
	// breaks the connection, once.
	refuse map[string]string
	lose   map[string]bool
	onCall func(action string)
	deny   func(action string, p url.Values) (code string) // as refuse, by what is asked
	hide   func(id string) bool                            // leaves a thing out of answers
	onForm func(action string, get func(key string) string)
	stuck  bool // images stay pending
	// noAddress leaves the address out of the reply to a launch.
	noAddress bool
	// prompt ends an instance with the call, and makes an image with it.
	prompt bool
	answer map[string]string // in place of what the fake would say
}

func newFakeEC2(t *testing.T) (*fakeEC2, *ec2.Client) {
	t.Helper()
	f := &fakeEC2{refuse: map[string]string{}, lose: map[string]bool{}}
	f.images = []*thing{{id: "ami-base", name: "ubuntu", state: "available", snapshot: "snap-base", tags: map[string]string{}}}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return f, ec2.New(ec2.Options{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")})
}

func (f *fakeEC2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	action := r.Form.Get("Action")
	f.calls = append(f.calls, action)
	if f.onCall != nil {
		f.onCall(action)
	}
	if f.onForm != nil {
		f.onForm(action, r.Form.Get)
	}
	code := f.refuse[action]
	if f.deny != nil && code == "" {
		code = f.deny(action, r.Form)
	}
	for _, t := range slices.Concat(f.instances, f.images) {
		if f.prompt {
			if next := map[string]string{"shutting-down": "terminated", "pending": "available"}[t.state]; next != "" {
				t.state = next
			}
		}
	}
	if action == "DeleteSecurityGroup" && code == "" && f.inUse(r.Form.Get("GroupId")) {
		code = "DependencyViolation"
	}
	if code != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "<Response><Errors><Error><Code>%s</Code><Message>no</Message></Error></Errors><RequestID>r</RequestID></Response>", code)
		return
	}
	body := f.act(action, r.Form)
	if own, ok := f.answer[action]; ok {
		body = own
	}
	if f.lose[action] {
		f.lose[action] = false
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
		return
	}
	fmt.Fprintf(w, "<%sResponse>%s</%sResponse>", action, body, action)
}

func (f *fakeEC2) act(action string, p url.Values) string {
	switch action {
	case "DescribeSubnets":
		return f.subnets(p)
	case "CreateSecurityGroup":
		g := f.add(&f.groups, "sg", p, "security-group")
		g.name = p.Get("GroupName")
		return "<groupId>" + g.id + "</groupId>"
	case "DescribeSecurityGroups":
		return f.list("securityGroupInfo", f.groups, p, func(g *thing) string { return "<groupId>" + g.id + "</groupId>" })
	case "AuthorizeSecurityGroupIngress":
		f.groups[0].params.Set("opened", p.Get("IpPermissions.1.IpRanges.1.CidrIp"))
		return "<return>true</return>"
	case "DeleteSecurityGroup":
		drop(&f.groups, p.Get("GroupId"))
		return "<return>true</return>"
	case "RunInstances", "DescribeInstances", "TerminateInstances", "RebootInstances":
		return f.instance(action, p)
	}
	return f.image(action, p)
}

// inUse says that an instance that has not ended uses a group; this look, too,
// moves states on.
func (f *fakeEC2) inUse(group string) bool {
	used := false
	for _, i := range f.instances {
		if slices.Contains([]string{i.params.Get("SecurityGroupId.1"), i.params.Get("NetworkInterface.1.SecurityGroupId.1")}, group) && i.state != "terminated" {
			used = true
			f.moveOn(i)
		}
	}
	return used
}

func (f *fakeEC2) moveOn(i *thing) {
	if next := map[string]string{"pending": "running", "shutting-down": "terminated"}[i.state]; next != "" {
		i.state = next
	}
}

// subnets knows subnet-1 (default) and subnet-2 in vpc-1, subnet-3 in vpc-2;
// the first two carry the tag tier=build.
func (f *fakeEC2) subnets(p url.Values) string {
	show := func(id, vpc, cidr, zone string) string {
		return "<subnetId>" + id + "</subnetId><vpcId>" + vpc + "</vpcId><cidrBlock>" + cidr + "</cidrBlock><mapPublicIpOnLaunch>true</mapPublicIpOnLaunch><availabilityZone>" + zone + "</availabilityZone>"
	}
	one, two, three := show("subnet-1", "vpc-1", "172.31.0.0/20", "a"), show("subnet-2", "vpc-1", "172.31.16.0/20", "b"), show("subnet-3", "vpc-2", "10.0.0.0/20", "a")
	if p.Get("Filter.2.Name") == "availability-zone" { // of the default subnets
		return item("subnetSet", map[string][]string{"a": {one}, "b": {two}}[p.Get("Filter.2.Value.1")]...)
	}
	switch p.Get("Filter.1.Name") + "=" + p.Get("Filter.1.Value.1") {
	case "default-for-az=true", "subnet-id=subnet-1":
		return item("subnetSet", one)
	case "subnet-id=subnet-2":
		return item("subnetSet", two)
	case "subnet-id=subnet-3":
		return item("subnetSet", three)
	case "tag:tier=build":
		return item("subnetSet", two, one)
	}
	return item("subnetSet")
}

func (f *fakeEC2) instance(action string, p url.Values) string {
	show := func(i *thing) string {
		return "<instancesSet><item><instanceId>" + i.id + "</instanceId><privateIpAddress>172.31.0.9</privateIpAddress><ipAddress>203.0.113.9</ipAddress><instanceState><name>" + i.state + "</name></instanceState></item></instancesSet>"
	}
	switch action {
	case "RunInstances":
		i := f.add(&f.instances, "i", p, "instance")
		i.state, i.token = "pending", p.Get("ClientToken")
		if f.noAddress {
			return strings.Replace(show(i), "<privateIpAddress>172.31.0.9</privateIpAddress>", "", 1)
		}
		return show(i)
	case "DescribeInstances":
		out := f.list("reservationSet", f.instances, p, show)
		for _, i := range f.instances {
			f.moveOn(i)
		}
		return out
	}
	for _, i := range f.instances {
		if i.id == p.Get("InstanceId.1") {
			i.state = map[string]string{"TerminateInstances": "shutting-down", "RebootInstances": "running"}[action]
		}
	}
	return ""
}

func (f *fakeEC2) image(action string, p url.Values) string {
	switch action {
	case "CreateImage", "CopyImage":
		s := f.add(&f.snapshots, "snap", p, "snapshot")
		i := f.add(&f.images, "ami", p, "image")
		i.state, i.name, i.snapshot = "pending", p.Get("Name"), s.id
		return "<imageId>" + i.id + "</imageId>"
	case "DescribeImages":
		out := f.list("imagesSet", f.images, p, func(i *thing) string {
			return i.tagSet() + "<imageId>" + i.id + "</imageId><creationDate>" + i.created + "</creationDate><name>" + i.name + "</name><imageState>" + i.state + "</imageState><imageOwnerId>1</imageOwnerId><architecture>x86_64</architecture><rootDeviceName>/dev/sda1</rootDeviceName>" +
				item("blockDeviceMapping", "<deviceName>/dev/sda1</deviceName><ebs><volumeSize>8</volumeSize><encrypted>"+strconv.FormatBool(i.params.Get("Encrypted") == "true")+"</encrypted><snapshotId>"+i.snapshot+"</snapshotId></ebs>")
		})
		for _, i := range f.images {
			if !f.stuck {
				i.state = "available"
			}
		}
		return out
	case "DeregisterImage":
		drop(&f.images, p.Get("ImageId"))
	case "DescribeSnapshots":
		return f.list("snapshotSet", f.snapshots, p, func(s *thing) string {
			return s.tagSet() + "<snapshotId>" + s.id + "</snapshotId><progress>50%</progress>"
		})
	case "DeleteSnapshot":
		drop(&f.snapshots, p.Get("SnapshotId"))
	case "CreateTags":
		for _, t := range slices.Concat(f.images, f.snapshots) {
			if t.id == p.Get("ResourceId.1") || t.id == p.Get("ResourceId.2") {
				t.tags[p.Get("Tag.1.Key")] = p.Get("Tag.1.Value")
			}
		}
	case "DeleteTags":
		for _, t := range slices.Concat(f.images, f.snapshots) {
			if t.id == p.Get("ResourceId.1") || t.id == p.Get("ResourceId.2") {
				delete(t.tags, p.Get("Tag.1.Key"))
			}
		}
	}
	return "<return>true</return>"
}

// add makes a thing with the tags that the call gives for its kind.
func (f *fakeEC2) add(to *[]*thing, prefix string, p url.Values, kind string) *thing {
	f.next++
	t := &thing{id: fmt.Sprintf("%s-%d", prefix, f.next), tags: map[string]string{}, params: p}
	for s := 1; p.Has(fmt.Sprintf("TagSpecification.%d.ResourceType", s)); s++ {
		spec := fmt.Sprintf("TagSpecification.%d.", s)
		if p.Get(spec+"ResourceType") != kind {
			continue
		}
		for n := 1; p.Has(fmt.Sprintf("%sTag.%d.Key", spec, n)); n++ {
			t.tags[p.Get(fmt.Sprintf("%sTag.%d.Key", spec, n))] = p.Get(fmt.Sprintf("%sTag.%d.Value", spec, n))
		}
	}
	*to = append(*to, t)
	return t
}

// list renders those that every filter admits.
func (f *fakeEC2) list(set string, all []*thing, p url.Values, show func(*thing) string) string {
	var out []string
	for _, t := range all {
		if t.matches(p) && (f.hide == nil || !f.hide(t.id)) {
			out = append(out, show(t))
		}
	}
	return item(set, out...)
}

func (t *thing) matches(p url.Values) bool {
	for n := 1; p.Has(fmt.Sprintf("Filter.%d.Name", n)); n++ {
		name, want := p.Get(fmt.Sprintf("Filter.%d.Name", n)), p.Get(fmt.Sprintf("Filter.%d.Value.1", n))
		have := map[string]string{"instance-id": t.id, "image-id": t.id, "snapshot-id": t.id, "client-token": t.token, "name": t.name, "group-name": t.name}[name]
		if tag, ok := strings.CutPrefix(name, "tag:"); ok {
			have = t.tags[tag]
		}
		if _, ok := t.tags[want]; ok && name == "tag-key" {
			continue
		}
		if name != "vpc-id" && have != want {
			return false
		}
	}
	return true
}

func (t *thing) tagSet() string {
	var tags []string
	for _, k := range slices.Sorted(maps.Keys(t.tags)) {
		tags = append(tags, "<key>"+k+"</key><value>"+t.tags[k]+"</value>")
	}
	return item("tagSet", tags...)
}

func item(set string, items ...string) string {
	out := ""
	for _, i := range items {
		out += "<item>" + i + "</item>"
	}
	return "<" + set + ">" + out + "</" + set + ">"
}

func drop(from *[]*thing, id string) {
	*from = slices.DeleteFunc(*from, func(t *thing) bool { return t.id == id })
}

// owned lists what a bake would have left.
func (f *fakeEC2) owned() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, t := range slices.Concat(f.instances, f.groups, f.images, f.snapshots) {
		if t.state != "terminated" && t.id != "ami-base" {
			out = append(out, t.id)
		}
	}
	return out
}

// tally is called for who holds the fake's lock already.
func (f *fakeEC2) tally(action string) int {
	n := 0
	for _, c := range f.calls {
		if c == action {
			n++
		}
	}
	return n
}

// called says how often an action was called.
func (f *fakeEC2) called(action string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tally(action)
}
