package story

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Stage is one finished stage of an instance's first boot.
type Stage struct {
	Name string
	Took time.Duration
}

// Stages waits until the agent calls the first boot complete and returns its stages.
func (w *World) Stages(ctx context.Context, instanceID string) (stages []Stage, err error) {
	var out string
	err = Until(ctx, 100*time.Millisecond, func() (err error) {
		out, err = w.Guest(ctx, instanceID, "boot-agent status --json")
		return err
	})
	if err != nil {
		return nil, err
	}
	var status struct {
		Stages []struct {
			Name    string    `json:"stage"`
			Started time.Time `json:"started"`
			Ended   time.Time `json:"ended"`
		} `json:"stages"`
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		return nil, fmt.Errorf("reading the agent's status: %w", err)
	}
	for _, s := range status.Stages {
		stages = append(stages, Stage{s.Name, s.Ended.Sub(s.Started)})
	}
	return stages, nil
}
