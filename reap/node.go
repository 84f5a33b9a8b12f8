package reap

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"bakehouse/internal/chefapi"
)

// Node is what the decision needs of a Chef node.
type Node struct {
	Name    string
	Marker  Claim     // normal attribute bakehouse, written by the agent or the bake
	Ohai    Claim     // automatic attribute ec2, found by ohai
	CheckIn time.Time // ohai_time: end of the last converge; zero when unknown
}

// Claim is which instance a node says it belongs to. Fields may be empty.
type Claim struct {
	InstanceID string
	Account    string
	Region     string
	BakeID     string // ULID of a bake; with an InstanceID: of the instance's image
}

// nodeKeys are the attributes that ParseNode reads. Ohai's names are those of
// its ec2 plugin, which copies the instance identity document.
func nodeKeys() map[string][]string {
	return map[string][]string{
		"id":       {"bakehouse", "instance_id"},
		"account":  {"bakehouse", "account"},
		"region":   {"bakehouse", "region"},
		"bake":     {"bakehouse", "bake_id"},
		"oid":      {"ec2", "instance_id"},
		"oaccount": {"ec2", "account_id"},
		"oregion":  {"ec2", "region"},
		"seen":     {"ohai_time"},
	}
}

// nodeOf reads the attributes that nodeKeys names.
func nodeOf(name string, v map[string]any) Node {
	text := func(key string) string { s, _ := v[key].(string); return s }
	n := Node{
		Name:   name,
		Marker: Claim{InstanceID: text("id"), Account: text("account"), Region: text("region"), BakeID: text("bake")},
		Ohai:   Claim{InstanceID: text("oid"), Account: text("oaccount"), Region: text("oregion")},
	}
	seen, ok := v["seen"].(float64)
	if !ok { // an index may hold text
		seen, _ = strconv.ParseFloat(text("seen"), 64)
	}
	if s := seen; s > 0 && s < 1<<40 {
		n.CheckIn = time.UnixMilli(int64(s * 1000)).UTC()
	}
	return n
}

// parseNode reads a node's whole JSON.
func parseNode(name string, raw []byte) (Node, error) {
	v, err := chefapi.Pick(raw, nodeKeys())
	if err != nil {
		return Node{}, err
	}
	return nodeOf(name, v), nil
}

// instanceID is the form of an EC2 instance id.
var instanceID = regexp.MustCompile(`^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$`)

// idInName finds an instance id at the end of a node's or client's name.
var idInName = regexp.MustCompile(`(?:^|[^0-9a-z])(i-(?:[0-9a-f]{17}|[0-9a-f]{8}))$`)

// bakeName is how bakes call their node and client: bake-ULID, lower case.
var bakeName = regexp.MustCompile(`^bake-([0-7][0-9a-hjkmnp-tv-z]{25})$`)

// bakeOf returns the ULID in a bake's node or client name, in upper case, or "".
func bakeOf(name string) string {
	if m := bakeName.FindStringSubmatch(name); m != nil {
		return strings.ToUpper(m[1])
	}
	return ""
}

// bakeTime reads the time in a ULID: its first ten digits, in Crockford's
// base 32, are milliseconds since 1970 (https://github.com/ulid/spec).
func bakeTime(ulid string) time.Time {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	if len(ulid) != 26 {
		return time.Time{}
	}
	var ms int64
	for _, r := range ulid[:10] {
		d := strings.IndexRune(digits, r)
		if d < 0 {
			return time.Time{}
		}
		ms = ms<<5 | int64(d)
	}
	return time.UnixMilli(ms).UTC()
}
