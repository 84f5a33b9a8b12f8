package reap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/chefapi"
)

// machine is an instance as it truly is.
type machine struct {
	id         string
	place      Place
	state      string
	launched   time.Time
	ended      time.Time // when it was terminated
	listedFrom time.Time // EC2 shows it from then on
	hidden     time.Time // left out of answers until then, though it exists
	lastShown  time.Time // by an answer that reached a run
	absentFrom time.Time // first answer of those in a row that left it out
}

// object is a node or client on the fake Chef server.
type object struct {
	owner string // instance id
	raw   json.RawMessage
}

// fakeWorld is EC2, a Chef server and a store, with all their lies. Its
// judgement of each delete is the property that the reaper has to keep.
type fakeWorld struct {
	mu       sync.Mutex
	now      time.Time
	machines map[string]*machine
	nodes    map[string]object
	clients  map[string]object
	index    map[string]map[string]any // what a search shows; may lag
	store    map[string]Document
	serial   int
	grace    time.Duration

	failEC2, failChef bool // the next listing fails
	lostDeletes       int  // deletes that take effect and answer with an error
	failDeletes       int  // deletes that do nothing and answer with an error
	noRights          bool
	between           func() // runs after Chef was listed, before EC2 is
	wrong             []string
	deleted           int
}

func newWorld(grace time.Duration) *fakeWorld {
	return &fakeWorld{now: noon(), machines: map[string]*machine{}, nodes: map[string]object{}, clients: map[string]object{},
		index: map[string]map[string]any{}, store: map[string]Document{}, grace: grace}
}

func (f *fakeWorld) clock() time.Time { f.mu.Lock(); defer f.mu.Unlock(); return f.now }

// launch makes a machine; withNode says whether its agent comes as far as that.
func (f *fakeWorld) launch(place Place, lag time.Duration, withNode bool) *machine {
	f.serial++
	m := &machine{id: fmt.Sprintf("i-%017x", f.serial), place: place, state: "running", launched: f.now, listedFrom: f.now.Add(lag)}
	f.machines[m.id] = m
	f.clients[m.id] = object{m.id, json.RawMessage(fmt.Sprintf(`{"name":%q,"public_key":"K"}`, m.id))}
	if withNode {
		f.converge(m)
	}
	return m
}

// converge saves the machine's node, as the agent and Chef do.
func (f *fakeWorld) converge(m *machine) {
	raw := fmt.Sprintf(`{"name":%q,"normal":{"bakehouse":{"instance_id":%q,"account":%q,"region":%q}},"automatic":{"ohai_time":%d}}`,
		m.id, m.id, m.place.Account, m.place.Region, f.now.Unix())
	f.nodes[m.id] = object{m.id, json.RawMessage(raw)}
}

// reindex brings a node's index entry up to date.
func (f *fakeWorld) reindex(name string) {
	n, ok := f.nodes[name]
	if !ok {
		delete(f.index, name)
		return
	}
	v, err := chefapi.Pick(n.raw, nodeKeys())
	if err == nil {
		f.index[name] = v
	}
}

// judge is the property: only what is terminated or confirmed absent may go.
func (f *fakeWorld) judge(what string, o object) {
	m := f.machines[o.owner]
	switch {
	case m == nil:
		f.wrong = append(f.wrong, what+" belongs to no instance of ours")
	case m.state == terminated:
	case m.absentFrom.IsZero() || f.now.Sub(m.absentFrom) < f.grace:
		f.wrong = append(f.wrong, fmt.Sprintf("%s was deleted, and its instance is %s, absent from %v on, at %v", what, m.state, m.absentFrom, f.now))
	}
}

func (f *fakeWorld) NodeNames(context.Context) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failChef {
		f.failChef = false
		return nil, errors.New("the Chef server is down")
	}
	return slices.Sorted(maps.Keys(f.nodes)), nil
}

func (f *fakeWorld) ClientNames(context.Context) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := slices.Sorted(maps.Keys(f.clients))
	if f.between != nil {
		f.between()
	}
	return names, nil
}

func (f *fakeWorld) NodeAttributes(_ context.Context, names []string, keys map[string][]string, add func(string, map[string]any)) (c chefapi.Coverage, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.Names = len(names)
	for _, n := range names {
		v, indexed := f.index[n]
		o, there := f.nodes[n]
		switch {
		case indexed:
			c.Searched++
		case there:
			c.Fetched++
			if v, err = chefapi.Pick(o.raw, keys); err != nil {
				return c, err
			}
		default:
			c.Gone++
			continue
		}
		add(n, v)
	}
	return c, nil
}

func (f *fakeWorld) raw(from map[string]object, name string) (json.RawMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := from[name]
	if !ok {
		return nil, chefapi.ErrNotFound
	}
	return o.raw, nil
}

func (f *fakeWorld) RawNode(_ context.Context, name string) (json.RawMessage, error) {
	return f.raw(f.nodes, name)
}

func (f *fakeWorld) RawClient(_ context.Context, name string) (json.RawMessage, error) {
	return f.raw(f.clients, name)
}

func (f *fakeWorld) DeleteNode(_ context.Context, name string) error {
	return f.remove(f.nodes, "node", name)
}

func (f *fakeWorld) DeleteClient(_ context.Context, name string) error {
	return f.remove(f.clients, "client", name)
}

func (f *fakeWorld) remove(from map[string]object, kind, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.noRights {
		return chefapi.ErrForbidden
	}
	if f.failDeletes > 0 {
		f.failDeletes--
		return errors.New("the Chef server is busy")
	}
	if o, ok := from[name]; ok {
		f.judge(kind+" "+name, o)
		delete(from, name)
		f.deleted++
	}
	if f.lostDeletes > 0 {
		f.lostDeletes--
		return errors.New("the reply was lost")
	}
	return nil
}

func (f *fakeWorld) RestoreNode(_ context.Context, raw json.RawMessage) error {
	return f.restore(f.nodes, raw)
}

func (f *fakeWorld) RestoreClient(_ context.Context, raw json.RawMessage) error {
	return f.restore(f.clients, raw)
}

func (f *fakeWorld) GrantNode(context.Context, string) error { return nil }

func (f *fakeWorld) restore(into map[string]object, raw json.RawMessage) error {
	var o struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := into[o.Name]; there {
		return chefapi.ErrExists
	}
	into[o.Name] = object{o.Name, raw}
	return nil
}

// view is EC2 as one account sees one region.
type view struct {
	*fakeWorld
	place Place
}

// DescribeInstances gives pages of three.
func (v view) DescribeInstances(_ context.Context, in *ec2.DescribeInstancesInput, _ ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failEC2 {
		v.failEC2 = false
		return nil, errors.New("EC2 is down")
	}
	out, last := &ec2.DescribeInstancesOutput{}, aws.ToString(in.NextToken)
	for _, id := range slices.Sorted(maps.Keys(v.machines)) {
		m := v.machines[id]
		if m.place != v.place || id <= last {
			continue
		}
		if len(out.Reservations) == 3 {
			out.NextToken = out.Reservations[2].Instances[0].InstanceId
			break
		}
		if !v.shows(m) {
			continue
		}
		out.Reservations = append(out.Reservations, types.Reservation{OwnerId: &v.place.Account, Instances: []types.Instance{{
			InstanceId: aws.String(id), LaunchTime: aws.Time(m.launched), State: &types.InstanceState{Name: types.InstanceStateName(m.state)}}}})
	}
	return out, nil
}

// shows says whether EC2's answer holds a machine, and keeps the judge's books.
func (v view) shows(m *machine) bool {
	if v.now.Before(m.hidden) || v.now.Before(m.listedFrom) || m.state == terminated && v.now.Sub(m.ended) > time.Hour {
		if m.absentFrom.IsZero() {
			m.absentFrom = v.now
		}
		return false
	}
	m.absentFrom, m.lastShown = time.Time{}, v.now
	return true
}

func (f *fakeWorld) Read(_ context.Context, name string) (Document, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store[name], nil
}

func (f *fakeWorld) Write(_ context.Context, name, version string, body []byte) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.store[name].Version != version {
		return "", ErrTaken
	}
	f.serial++
	f.store[name] = Document{body, fmt.Sprint(f.serial)}
	return f.store[name].Version, nil
}

func (f *fakeWorld) List(_ context.Context, prefix string) (names []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(f.store)) {
		if len(n) >= len(prefix) && n[:len(prefix)] == prefix {
			names = append(names, n)
		}
	}
	return names, nil
}

func (f *fakeWorld) String() string { return "memory/" }
