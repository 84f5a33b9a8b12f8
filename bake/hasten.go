package bake

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"bakehouse/internal/await"
)

// hastenTime bounds the call that comes before all undos.
const hastenTime = 3 * time.Second

// hasten has EC2 terminate what runs, at once. Who interrupts a bake may kill
// it seconds later (Jenkins does after five), and the undos before the
// builder's can take longer than that. Whether it worked is the undo's to see.
func (s *Session) hasten(ctx context.Context) {
	var ids []string
	if s.ending.IsZero() {
		ids = append(ids, s.instance)
	}
	if s.prover != nil && s.prover.ending.IsZero() {
		ids = append(ids, s.prover.instance)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hastenTime)
	defer cancel()
	for _, id := range ids { // each by itself: one unknown id would fail both
		if id != "" {
			_, _ = s.EC2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}, await.Once)
		}
	}
}
