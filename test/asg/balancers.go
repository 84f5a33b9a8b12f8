package asg

import (
	"slices"
	"strings"
)

// TargetGroup is what DescribeTargetGroups knows.
type TargetGroup struct {
	Name          string
	ID            string   // 16 hexadecimal digits
	LoadBalancers []string // app/NAME/ID or net/NAME/ID
}

// ARN is the target group's.
func (t TargetGroup) ARN() string {
	return "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/" + t.Name + "/" + t.ID
}

// AddTargetGroup makes a target group known.
func (s *Service) AddTargetGroup(t TargetGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.targets = append(s.targets, t)
}

// balancing is the table of actions of Elastic Load Balancing.
func (s *Service) balancing() map[string]operation {
	return map[string]operation{"DescribeTargetGroups": s.describeTargetGroups}
}

func (s *Service) describeTargetGroups(in *node) (*node, error) {
	names, arns := in.texts("Names"), in.texts("TargetGroupArns")
	out := list()
	for _, t := range s.targets {
		if len(names)+len(arns) > 0 && !slices.Contains(names, t.Name) && !slices.Contains(arns, t.ARN()) {
			continue
		}
		balancers := list()
		for _, b := range t.LoadBalancers {
			balancers.items = append(balancers.items, text(strings.Replace(t.ARN(), "targetgroup/"+t.Name+"/"+t.ID, "loadbalancer/"+b, 1)))
		}
		out.items = append(out.items, fields("TargetGroupArn", t.ARN(), "TargetGroupName", t.Name, "Protocol", "HTTP", "LoadBalancerArns", balancers))
	}
	if asked := len(names) + len(arns); len(out.items) < asked {
		return nil, &refusal{"TargetGroupNotFound", "one or more target groups not found", 400}
	}
	return fields("TargetGroups", out), nil
}
