package asg

import "strings"

// Lag makes what changes about a group seen by DescribeAutoScalingGroups and
// DescribeTags only after so many of their calls: AWS promises no more than
// that it will be seen. 0 shows it at once.
func (s *Service) Lag(calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = calls
}

// freeze remembers what describes go on to show while a call changes groups.
func (s *Service) freeze(action string, in *node) {
	if s.lag == 0 || strings.HasPrefix(action, "Describe") {
		return
	}
	names := []string{in.str("AutoScalingGroupName")}
	for _, t := range in.all("Tags") {
		names = append(names, t.str("ResourceId"))
	}
	for _, name := range names {
		if _, frozen := s.frozen[name]; frozen || name == "" {
			continue
		}
		f := &frost{calls: s.lag}
		if g := s.groups[name]; g != nil {
			f.shown = g.node.copy()
		}
		s.frozen[name] = f
	}
}

// frost is what describes show of a group for some calls; nothing of a new one.
type frost struct {
	shown *node
	calls int
}

// shown is what a describe sees of g; nil is nothing.
func (s *Service) shown(g *group) *node {
	if f := s.frozen[g.name]; f != nil {
		return f.shown
	}
	return g.node
}

// thaw counts one describe.
func (s *Service) thaw() {
	for name, f := range s.frozen {
		if f.calls--; f.calls <= 0 {
			delete(s.frozen, name)
		}
	}
}
