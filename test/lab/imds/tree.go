package imds

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tree is the content of every leaf by its path below the version.
// Directories are what their leaves imply.
type tree struct {
	leaves map[string]string
	key    string // name of the public key
}

// read returns a leaf's content, or a directory's listing: one name a line,
// sorted, directories with a slash, no newline at the end. EC2 answers alike
// with and without a slash at the end of the path.
func (t tree) read(path string) (string, bool) {
	if content, ok := t.leaves[path]; ok {
		return content, true
	}
	prefix := path + "/"
	if path == "" {
		prefix = ""
	}
	names := map[string]bool{}
	for leaf := range t.leaves {
		rest, below := strings.CutPrefix(leaf, prefix)
		if !below {
			continue
		}
		name, _, deeper := strings.Cut(rest, "/")
		if deeper {
			name += "/"
		}
		names[name] = true
	}
	if len(names) == 0 {
		return "", false
	}
	if path == "meta-data/public-keys" {
		return "0=" + t.key, true // 0=NAME, unlike any other directory
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), "\n"), true
}

// put sets a leaf of meta-data unless its content is empty.
func (t tree) put(path, content string) {
	if content != "" {
		t.leaves["meta-data/"+path] = content
	}
}

// build makes the instance's tree as of now.
func build(in Instance, now time.Time, tags bool) tree {
	t := tree{leaves: map[string]string{}, key: in.KeyName}
	t.addBasics(in)
	t.addNetwork(in)
	t.addRole(in, now)
	t.addNotices(in)
	if in.PublicKey != "" {
		t.put("public-keys/0/openssh-key", strings.TrimSpace(in.PublicKey))
	}
	if tags && in.TagsInMetadata {
		for key, value := range in.Tags {
			if !strings.ContainsAny(key, "/ ") { // EC2 refuses to show such keys
				t.leaves["meta-data/tags/instance/"+key] = value
			}
		}
	}
	if in.UserData != nil {
		t.leaves["user-data"] = string(in.UserData)
	}
	t.leaves["dynamic/instance-identity/document"] = document(in)
	return t
}

func (t tree) addBasics(in Instance) {
	for path, content := range map[string]string{
		"ami-id":                         in.ImageID,
		"ami-launch-index":               strconv.Itoa(in.LaunchIndex),
		"ami-manifest-path":              "(unknown)",
		"block-device-mapping/ami":       in.RootDevice,
		"block-device-mapping/root":      in.RootDevice,
		"hostname":                       hostname(in),
		"instance-action":                "none",
		"instance-id":                    in.ID,
		"instance-life-cycle":            lifeCycle(in),
		"instance-type":                  in.Type,
		"local-hostname":                 hostname(in),
		"local-ipv4":                     in.PrivateIP.String(),
		"mac":                            in.MAC,
		"placement/availability-zone":    in.Zone,
		"placement/availability-zone-id": in.ZoneID,
		"placement/region":               in.Region,
		"profile":                        "default-hvm",
		"reservation-id":                 in.ReservationID,
		"security-groups":                groups(in, func(g Group) string { return g.Name }),
		"services/domain":                "amazonaws.com",
		"services/partition":             "aws",
		"system":                         "nitro",
	} {
		t.put(path, content)
	}
}

func (t tree) addNetwork(in Instance) {
	if in.MAC == "" {
		return
	}
	at := "network/interfaces/macs/" + in.MAC + "/"
	for path, content := range map[string]string{
		"device-number":          "0",
		"interface-id":           in.InterfaceID,
		"local-hostname":         hostname(in),
		"local-ipv4s":            in.PrivateIP.String(),
		"mac":                    in.MAC,
		"owner-id":               in.AccountID,
		"security-group-ids":     groups(in, func(g Group) string { return g.ID }),
		"security-groups":        groups(in, func(g Group) string { return g.Name }),
		"subnet-id":              in.SubnetID,
		"subnet-ipv4-cidr-block": in.SubnetCIDR,
		"vpc-id":                 in.VPCID,
		"vpc-ipv4-cidr-block":    in.VPCCIDR,
		"vpc-ipv4-cidr-blocks":   in.VPCCIDR,
		"network-card":           "0",
	} {
		t.put(at+path, content)
	}
}

func (t tree) addRole(in Instance, now time.Time) {
	if in.Role == nil {
		return
	}
	t.put("iam/info", render(map[string]any{
		"Code": "Success", "LastUpdated": now.UTC().Truncate(time.Hour),
		"InstanceProfileArn": in.Role.ProfileARN, "InstanceProfileId": in.Role.ProfileID,
	}))
	t.put("iam/security-credentials/"+in.Role.Name, render(credentialsOf(in.ID, now)))
}

// addNotices adds what announces the end of an instance or of its peace.
func (t tree) addNotices(in Instance) {
	events := []map[string]string{}
	const layout = "2 Jan 2006 15:04:05 GMT" // maintenance has a date form of its own
	for _, e := range in.Maintenance {
		events = append(events, map[string]string{
			"EventId": e.ID, "Code": e.Code, "Description": e.Description, "State": e.State,
			"NotBefore": e.NotBefore.UTC().Format(layout), "NotAfter": e.NotAfter.UTC().Format(layout),
		})
	}
	t.put("events/maintenance/scheduled", render(events))
	t.put("events/maintenance/history", "[]")
	if !in.Rebalance.IsZero() {
		t.put("events/recommendations/rebalance", render(map[string]string{"noticeTime": stamp(in.Rebalance)}))
	}
	t.put("autoscaling/target-lifecycle-state", in.LifecycleState)
	if a := in.SpotAction; a != nil {
		t.put("spot/instance-action", render(map[string]string{"action": a.Action, "time": stamp(a.Time)}))
		if a.Action == "terminate" {
			t.put("spot/termination-time", stamp(a.Time))
		}
	}
}

// document is the identity document.
func document(in Instance) string {
	b, _ := json.MarshalIndent(map[string]any{ // strings and nils always render
		"accountId": in.AccountID, "architecture": in.Architecture, "availabilityZone": in.Zone,
		"billingProducts": nil, "devpayProductCodes": nil, "marketplaceProductCodes": nil,
		"imageId": in.ImageID, "instanceId": in.ID, "instanceType": in.Type, "kernelId": nil,
		"pendingTime": stamp(in.LaunchTime), "privateIp": in.PrivateIP.String(), "ramdiskId": nil,
		"region": in.Region, "version": "2017-09-30",
	}, "", "  ")
	return string(b)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func render(v any) string {
	b, _ := json.MarshalIndent(v, "", "  ") // plain strings and times always render
	return string(b)
}

// hostname follows EC2's IP naming: ip-172-31-0-4.ec2.internal in us-east-1.
func hostname(in Instance) string {
	if in.Hostname != "" {
		return in.Hostname
	}
	domain := in.Region + ".compute.internal"
	if in.Region == "us-east-1" {
		domain = "ec2.internal"
	}
	return "ip-" + strings.ReplaceAll(in.PrivateIP.String(), ".", "-") + "." + domain
}

func lifeCycle(in Instance) string {
	if in.Spot {
		return "spot"
	}
	return "on-demand"
}

func groups(in Instance, field func(Group) string) string {
	var out []string
	for _, g := range in.Groups {
		out = append(out, field(g))
	}
	return strings.Join(out, "\n")
}
