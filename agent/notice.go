package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/awserr"
)

// Notice is what the metadata service announces about the instance's future.
// The zero value announces nothing.
type Notice struct {
	SpotAction string    // terminate, stop or hibernate; "" without an interruption
	SpotAt     time.Time // when EC2 carries it out
	Rebalance  time.Time // when EC2 said that the risk of an interruption has risen
	// Target is the lifecycle state that the Auto Scaling group is moving the
	// instance to; "" outside a group.
	Target string
}

// Lifecycle states that the agent tells apart ("Retrieve the target lifecycle
// state", EC2 Auto Scaling user guide).
const (
	targetInService = "InService"
	warmedPrefix    = "Warmed:"
)

// warmed says that the instance is to wait in a warm pool.
func (n Notice) warmed() bool {
	return strings.HasPrefix(n.Target, warmedPrefix) && !n.terminating()
}

// terminating says that the group takes the instance away for good.
func (n Notice) terminating() bool {
	return strings.TrimPrefix(n.Target, warmedPrefix) == "Terminated"
}

// Notice reads what is announced; an announcement that is not there is a 404.
func (m *IMDS) Notice(ctx context.Context) (n Notice, err error) {
	spot, err := m.maybe(ctx, "spot/instance-action")
	if err != nil {
		return n, err
	}
	if spot != "" {
		var doc struct {
			Action string
			Time   time.Time
		}
		if err := json.Unmarshal([]byte(spot), &doc); err != nil {
			return n, fmt.Errorf("reading the spot notice: %w", err)
		}
		n.SpotAction, n.SpotAt = doc.Action, doc.Time
	}
	rebalance, err := m.maybe(ctx, "events/recommendations/rebalance")
	if err != nil {
		return n, err
	}
	if rebalance != "" {
		var doc struct{ NoticeTime time.Time }
		if err := json.Unmarshal([]byte(rebalance), &doc); err != nil {
			return n, fmt.Errorf("reading the rebalance recommendation: %w", err)
		}
		n.Rebalance = doc.NoticeTime
	}
	n.Target, err = m.maybe(ctx, "autoscaling/target-lifecycle-state")
	return n, err
}

// maybe is read for values that need not be there.
func (m *IMDS) maybe(ctx context.Context, path string) (string, error) {
	v, err := m.read(ctx, path)
	if awserr.Status(err) == http.StatusNotFound {
		return "", nil
	}
	return v, err
}

// fate is what a notice means for the instance.
type fate int

const (
	stays fate = iota
	rests      // it is stopped or hibernated and may come back: the node stays
	ends       // it is gone for good
)

// foretell decides what a notice means, and until when there is time; why is
// one line for the journal.
//
// A rebalance recommendation alone takes no instance away, and EC2 gives it to
// whole groups at once, so by default it is only noted.
func foretell(n Notice, conf agentconf.Leave) (f fate, by time.Time, why string) {
	switch {
	case n.SpotAction == "terminate":
		return ends, n.SpotAt, "spot interruption: terminate at " + n.SpotAt.UTC().Format(time.TimeOnly)
	case n.terminating():
		return ends, time.Time{}, "the Auto Scaling group terminates the instance"
	case n.SpotAction != "":
		return rests, n.SpotAt, "spot interruption: " + n.SpotAction + " at " + n.SpotAt.UTC().Format(time.TimeOnly)
	case !n.Rebalance.IsZero() && conf.OnRebalance == agentconf.OnRebalanceLeave:
		return ends, time.Time{}, "rebalance recommendation"
	}
	return stays, time.Time{}, ""
}
