package deploy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Host is a machine that a build can be rolled out to.
type Host struct {
	Instance string   `json:"instance"` // EC2 instance id
	Node     string   `json:"node"`     // Chef node name
	Addr     string   `json:"addr"`     // IP address that the operator's machine reaches it by
	Zone     string   `json:"zone"`
	Group    string   `json:"group,omitempty"`     // Auto Scaling group; empty: in none
	Targets  []Target `json:"targets,omitempty"`   // its places in target groups, when the rollout minds them
	HostKeys []string `json:"host_keys,omitempty"` // SSH host keys that its Chef node holds, as in authorized_keys
}

// Node is a Chef node as far as choosing hosts needs it.
type Node struct {
	Name        string
	Instance    string // EC2 instance id; empty: it names none
	Environment string
	Roles       []string // of its run list, expanded where Chef has run
	HostKeys    []string
}

// Instance is an EC2 instance as far as choosing hosts needs it.
type Instance struct {
	State     string // EC2's name: running, stopped…
	Addr      string // the kind of address that was asked for; empty: it has none
	Zone      string
	Group     string // Auto Scaling group by its tag
	Lifecycle string // what the group says: InService, Terminating:Wait…; empty: the group does not list it
}

// Inventory is what Chef, EC2 and Auto Scaling said.
type Inventory struct {
	Nodes     []Node
	Instances map[string]Instance // by id; one that is missing is unknown to EC2 in this region and account
	Matched   map[string]bool     // node names that the query found; nil: no query was asked
	Coverage  string              // how complete the view of Chef is, in words
}

// Wish says which hosts are wanted. The zero value wants every host.
type Wish struct {
	Role        string
	Environment string
	Query       string   // Chef search
	Only        []string // node names, instance ids or addresses; empty: all
	Zone        string
	Limit       int // at most so many; 0: all
}

// Excluded is a node that is not chosen, and why.
type Excluded struct {
	Node     string `json:"node"`
	Instance string `json:"instance,omitempty"`
	Reason   string `json:"reason"`

	named bool // by Wish.Only
}

// Selection is the chosen hosts, sorted by zone and instance id, and why each
// other node is not among them.
type Selection struct {
	Hosts    []Host     `json:"hosts"`
	Excluded []Excluded `json:"excluded"`
	Coverage string     `json:"coverage"`
}

// Choose picks the hosts that w wants. It looks at nothing but its arguments.
func Choose(inv Inventory, w Wish) Selection {
	s := Selection{Hosts: []Host{}, Excluded: []Excluded{}, Coverage: inv.Coverage}
	taken, named := map[string]string{}, map[string]bool{}
	nodes := slices.SortedFunc(slices.Values(inv.Nodes), func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	for _, n := range nodes {
		i, known := inv.Instances[n.Instance]
		for _, name := range w.names(n, i) {
			named[name] = true
		}
		why := cmp.Or(wished(n, i, w), queried(n, inv, w), alive(n, i, known), twin(n, taken))
		if why != "" {
			_, another := taken[n.Instance]
			s.Excluded = append(s.Excluded, Excluded{Node: n.Name, Instance: n.Instance, Reason: why, named: len(w.names(n, i)) > 0 && !another})
			continue
		}
		taken[n.Instance] = n.Name
		s.Hosts = append(s.Hosts, Host{Instance: n.Instance, Node: n.Name, Addr: i.Addr, Zone: i.Zone, Group: i.Group, HostKeys: n.HostKeys})
	}
	for _, name := range w.Only {
		if !named[name] {
			s.Excluded = append(s.Excluded, Excluded{Node: name, named: true, Reason: "named by --hosts, but no Chef node has that name, instance id or address"})
		}
	}
	slices.SortFunc(s.Hosts, func(a, b Host) int { return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Instance, b.Instance)) })
	return s.limit(w)
}

// limit keeps the first hosts, which are the same ones every time.
func (s Selection) limit(w Wish) Selection {
	n := w.Limit
	if n <= 0 || n >= len(s.Hosts) {
		return s
	}
	for _, h := range s.Hosts[n:] {
		s.Excluded = append(s.Excluded, Excluded{Node: h.Node, Instance: h.Instance, Reason: fmt.Sprintf("beyond --limit %d", n), named: len(w.Only) > 0})
	}
	s.Hosts = s.Hosts[:n]
	return s
}

// names lists those of w.Only that mean n.
func (w Wish) names(n Node, i Instance) (out []string) {
	for _, name := range w.Only {
		if name != "" && (name == n.Name || name == n.Instance || name == i.Addr) {
			out = append(out, name)
		}
	}
	return out
}

// wished says what of n is not as w wants it.
func wished(n Node, i Instance, w Wish) string {
	switch {
	case len(w.Only) > 0 && len(w.names(n, i)) == 0:
		return "not named by --hosts"
	case w.Role != "" && len(n.Roles) == 0:
		return "it has no role, want " + w.Role
	case w.Role != "" && !slices.Contains(n.Roles, w.Role):
		return "its role is " + strings.Join(n.Roles, ", ") + ", not " + w.Role
	case w.Environment != "" && n.Environment != w.Environment:
		return "its environment is " + n.Environment + ", not " + w.Environment
	}
	return wrongZone(i, w)
}

func wrongZone(i Instance, w Wish) string {
	if w.Zone == "" || i.Zone == w.Zone || i.Zone == "" { // without a zone it is gone, which alive tells
		return ""
	}
	return "its zone is " + i.Zone + ", not " + w.Zone
}

func queried(n Node, inv Inventory, w Wish) string {
	if inv.Matched == nil || inv.Matched[n.Name] {
		return ""
	}
	return "the search for " + w.Query + " does not find it"
}

// alive says why an instance cannot take a build now.
func alive(n Node, i Instance, known bool) string {
	switch {
	case n.Instance == "":
		return "the node names no EC2 instance"
	case !known:
		return "EC2 knows no such instance in this region and account: chef-reaper removes the node"
	case i.State != "running":
		return "the instance is " + i.State
	case i.Group != "" && i.Lifecycle == "":
		return "group " + i.Group + " does not list it"
	case i.Group != "" && i.Lifecycle != "InService":
		return "in group " + i.Group + " it is " + i.Lifecycle
	case i.Addr == "":
		return "the instance has no address of the kind asked for"
	}
	return ""
}

// twin finds the second node of one instance.
func twin(n Node, taken map[string]string) string {
	if other, ok := taken[n.Instance]; ok {
		return "node " + other + " names the same instance"
	}
	return ""
}
