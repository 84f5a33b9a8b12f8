package asg

import (
	"context"
	"fmt"
	"strconv"
	"sync"
)

// resolver finds launch templates: the service's own, or those that live
// elsewhere. What was found elsewhere is kept for calls that hold the lock.
type resolver struct {
	s     *Service
	other Templates // nil: the service's own
	mu    *sync.Mutex
	seen  map[TemplateRef]Template
}

// resolve asks anew for a template that lives elsewhere, with no lock held.
func (r *resolver) resolve(ctx context.Context, ref TemplateRef) (Template, error) {
	t, err := r.other.Resolve(ctx, ref)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		delete(r.seen, ref)
		return t, err
	}
	r.seen[ref] = t
	return t, nil
}

// known answers from what was found last, under the lock.
func (r *resolver) known(ref TemplateRef) (Template, error) {
	if r.other == nil {
		return r.s.own(ref)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.seen[ref]; ok {
		return t, nil
	}
	return Template{}, fmt.Errorf("the launch template %s%s or its version %q does not exist", ref.ID, ref.Name, ref.Version)
}

// prepare finds the templates that a call is about, so that it can be judged
// under the lock. What is not found is left for the call to refuse.
func (s *Service) prepare(ctx context.Context, action string, in *node) {
	s.findSubnets(ctx, in)
	if s.templates.other == nil {
		return
	}
	refs := refsIn(in)
	if action == "StartInstanceRefresh" { // which matches what the group launches now
		s.mu.Lock()
		if g := s.groups[in.str("AutoScalingGroupName")]; g != nil {
			refs = append(refs, refsIn(pick(g.node, ways()...))...)
		}
		s.mu.Unlock()
	}
	for _, ref := range refs {
		_, _ = s.templates.resolve(ctx, ref)
	}
}

// findSubnets asks for the subnets that a call names and nobody knows.
func (s *Service) findSubnets(ctx context.Context, in *node) {
	if s.subnet == nil || s.subnets == nil {
		return
	}
	for _, id := range splitSubnets(in.str("VPCZoneIdentifier")) {
		s.mu.Lock()
		_, known := s.subnets[id]
		s.mu.Unlock()
		if known {
			continue
		}
		if zone := s.subnet(ctx, id); zone != "" {
			s.mu.Lock()
			s.subnets[id] = zone
			s.mu.Unlock()
		}
	}
}

// refsIn finds the launch templates anywhere in n.
func refsIn(n *node) []TemplateRef {
	var out []TemplateRef
	if n.has("LaunchTemplateId") || n.has("LaunchTemplateName") {
		out = append(out, refOf(n))
	}
	for _, name := range n.names {
		out = append(out, refsIn(n.kids[name])...)
	}
	for _, i := range n.items {
		out = append(out, refsIn(i)...)
	}
	return out
}

// own finds one of the service's own templates.
func (s *Service) own(ref TemplateRef) (Template, error) {
	t := s.findTemplate(ref.ID, ref.Name)
	if t == nil || t.version(ref.Version) == nil {
		return Template{}, fmt.Errorf("the launch template %s%s or its version %q does not exist", ref.ID, ref.Name, ref.Version)
	}
	data := t.version(ref.Version)
	return Template{ID: t.id, Name: t.name, Version: strconv.Itoa(t.number(ref.Version)), Type: data.str("InstanceType"), Image: data.str("ImageId")}, nil
}
