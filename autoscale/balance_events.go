package autoscale

import (
	"encoding/json"
	"maps"
	"regexp"
	"time"
)

// BalanceRiskFor is how long a rebalance recommendation is kept. EC2 withdraws
// none and says of none how long it holds; one that nothing has followed by
// then must not keep on-demand capacity for ever.
const BalanceRiskFor = 30 * time.Minute

// riskMost bounds how many recommendations are remembered, whoever sends them.
const riskMost = 10_000

// BalanceRisks are the instances that EC2 recommends to replace. EC2 tells it
// in an event, sent with its best effort, and to the instance itself; no call
// of its API answers it
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html).
// So the event is all there is to believe, and what it can do is bounded: it
// counts only for instances that Auto Scaling shows in service in a spot
// group, for BalanceRiskFor, up to the group's limits, and where the rule says
// early. An interruption, which EC2 does answer, is never taken from an event.
// The zero value knows of none.
type BalanceRisks struct {
	until map[string]time.Time
	swept time.Time // when the old ones were last looked for
}

// recommendation is the part of the event that matters.
type recommendation struct {
	Kind   string    `json:"detail-type"`
	Source string    `json:"source"`
	Time   time.Time `json:"time"`
	Detail struct {
		Instance string `json:"instance-id"`
	} `json:"detail"`
}

var instanceID = regexp.MustCompile(`^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$`)

// Hear takes the text of a message. What is no rebalance recommendation, or
// is too old, changes nothing; a time that lies ahead is taken as now.
func (r *BalanceRisks) Hear(body string, now time.Time) {
	var e recommendation
	if json.Unmarshal([]byte(body), &e) != nil || e.Kind != "EC2 Instance Rebalance Recommendation" || e.Source != "aws.ec2" || !instanceID.MatchString(e.Detail.Instance) {
		return
	}
	at := e.Time
	if at.After(now) {
		at = now
	}
	until := at.Add(BalanceRiskFor)
	if !until.After(now) || !until.After(r.until[e.Detail.Instance]) {
		return
	}
	if len(r.until) >= riskMost && now.Sub(r.swept) >= time.Minute { // a flood does not make every message a sweep
		r.swept = now
		maps.DeleteFunc(r.until, func(_ string, until time.Time) bool { return !until.After(now) })
	}
	if r.until == nil {
		r.until = map[string]time.Time{}
	}
	if _, known := r.until[e.Detail.Instance]; known || len(r.until) < riskMost {
		r.until[e.Detail.Instance] = until
	}
}

// Holds says whether an instance is recommended to be replaced.
func (r *BalanceRisks) Holds(instanceID string, now time.Time) bool {
	return r.until[instanceID].After(now)
}
