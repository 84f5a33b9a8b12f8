package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"bakehouse/internal/fault"
)

// Outcome is how one run of a stage ended.
type Outcome struct {
	Stage    Stage
	State    State // Done, Failed, or Running when it was interrupted
	Instance string
	Node     string
	Role     string
	Build    string // that was in place by then
	Took     time.Duration
	Err      error
}

// outcome describes the end of a stage.
func (s *session) outcome(st Stage, took time.Duration, err error) Outcome {
	o := Outcome{Stage: st, State: Done, Instance: s.j.InstanceID, Node: s.j.Node, Role: s.conf.Role, Build: s.j.Build, Took: took, Err: err}
	if err != nil {
		o.State = Failed
	}
	if errors.Is(err, ErrRebooting) || errors.Is(err, context.Canceled) {
		o.State = Running
	}
	return o
}

// observe tells Deps.Observe, where there is one.
func (s *session) observe(st Stage, took time.Duration, err error) {
	if s.deps.Observe != nil {
		s.deps.Observe(s.outcome(st, took, err))
	}
}

// Journal renders the outcome as one entry of journald's native protocol
// (systemd.io/JOURNAL_NATIVE_PROTOCOL): fields to search by, as in
// journalctl BAKEHOUSE_STAGE=register.
func (o Outcome) Journal() []byte {
	message, priority := fmt.Sprintf("stage %s %s after %.1f s", o.Stage, o.State, o.Took.Seconds()), "6"
	fields := [][2]string{
		{"SYSLOG_IDENTIFIER", "boot-agent"}, {"BAKEHOUSE_STAGE", string(o.Stage)}, {"BAKEHOUSE_STATE", string(o.State)},
		{"BAKEHOUSE_MS", strconv.FormatInt(o.Took.Milliseconds(), 10)}, {"BAKEHOUSE_INSTANCE", o.Instance},
		{"BAKEHOUSE_NODE", o.Node}, {"BAKEHOUSE_ROLE", o.Role}, {"BAKEHOUSE_RELEASE", o.Build},
	}
	if o.Err != nil && o.State == Failed {
		message, priority = message+": "+o.Err.Error(), "3"
		fields = append(fields, [2]string{"BAKEHOUSE_ERROR", o.Err.Error()}, [2]string{"BAKEHOUSE_NEXT", fault.NextOf(o.Err)},
			[2]string{"BAKEHOUSE_EXIT_CODE", strconv.Itoa(fault.ExitCode(o.Err))})
	}
	var b bytes.Buffer
	for _, f := range append([][2]string{{"MESSAGE", message}, {"PRIORITY", priority}}, fields...) {
		field(&b, f[0], f[1])
	}
	return b.Bytes()
}

// field writes one field; a value of several lines needs its length in front.
func field(b *bytes.Buffer, name, value string) {
	switch {
	case value == "":
	case strings.Contains(value, "\n"):
		b.WriteString(name + "\n")
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
		b.WriteString(value + "\n")
	default:
		b.WriteString(name + "=" + value + "\n")
	}
}

// EMF renders the outcome as a line in CloudWatch's embedded metric format
// (docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring, "Embedded metric
// format specification"): the CloudWatch agent turns it into metrics. The instance
// is a property, not a dimension, which would make a metric per instance.
func (o Outcome) EMF(namespace string, now time.Time) ([]byte, error) {
	failed := 0
	if o.State == Failed {
		failed = 1
	}
	type metric struct{ Name, Unit string }
	line, err := json.Marshal(map[string]any{
		"_aws": map[string]any{"Timestamp": now.UnixMilli(), "CloudWatchMetrics": []any{map[string]any{
			"Namespace": namespace, "Dimensions": [][]string{{"Role", "Stage"}},
			"Metrics": []metric{{"StageSeconds", "Seconds"}, {"StageFailed", "Count"}},
		}}},
		"Role": o.Role, "Stage": o.Stage, "StageSeconds": o.Took.Seconds(), "StageFailed": failed,
		"InstanceId": o.Instance, "Release": o.Build,
	})
	if err != nil {
		return nil, fmt.Errorf("rendering metrics: %w", err)
	}
	return append(line, '\n'), nil
}

// standing is the part of the status that a node keeps.
func (s *session) standing() map[string]any {
	took := map[string]any{}
	for _, r := range s.j.Stages {
		if !r.Ended.IsZero() {
			took[string(r.Stage)] = r.Ended.Sub(r.Started).Round(time.Millisecond).Seconds()
		}
	}
	out := map[string]any{"state": stateOf(s.j, false), "release": s.j.Build, "last_good": s.j.LastGood, "seconds": took,
		"reported": s.deps.Clock.Now().UTC().Format(time.RFC3339)}
	if f := s.j.Failure(); f != nil {
		out["failed_stage"], out["why"] = string(f.Stage), f.Error
	}
	if d := s.j.Deploy; d != nil {
		out["deploy"] = map[string]any{"state": string(d.State), "why": d.Error}
	}
	return out
}
