package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// commandTarget selects the instances of a command by a tag.
type commandTarget struct {
	Key    string
	Values []string
}

const (
	maxTargets      = 5
	maxTargetValues = 50
)

// targeted lists the managed guests that all of targets select.
func (g *Gateway) targeted(ctx context.Context, c *call, targets []commandTarget, guests Commander) ([]string, error) {
	form := url.Values{}
	for i, t := range targets {
		if !strings.HasPrefix(t.Key, "tag:") || len(targets) > maxTargets || len(t.Values) == 0 || len(t.Values) > maxTargetValues {
			return nil, refuse("InvalidTarget", "the lab takes up to %d targets tag:NAME with up to %d values, not %q", maxTargets, maxTargetValues, t.Key)
		}
		form.Set(fmt.Sprintf("Filter.%d.Name", i+1), t.Key)
		for j, v := range t.Values {
			form.Set(fmt.Sprintf("Filter.%d.Value.%d", i+1, j+1), v)
		}
	}
	doc, err := g.ask(ctx, &call{service: "ec2", signing: "ec2", region: c.region, header: c.header}, "DescribeInstances", form)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range doc.items("reservationSet") {
		for _, n := range r.items("instancesSet") {
			id := n.value("instanceId")
			if state, _ := g.cfg.Machines.State(id); state == "running" && guests.Managed(ctx, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// bounds are MaxConcurrency and MaxErrors of a command to n instances, counts or
// percentages; empty: what Systems Manager takes then, 50 and 0.
func bounds(concurrency, failures string, n int) (atOnce, most int, err error) {
	for _, b := range []struct {
		text string
		into *int
		none int
	}{{concurrency, &atOnce, 50}, {failures, &most, 0}} {
		digits, percent := strings.CutSuffix(b.text, "%")
		v, err := strconv.Atoi(digits)
		switch {
		case b.text == "":
			v = b.none
		case err != nil || v < 0:
			return 0, 0, refuse("ValidationException", "%q is no count and no percentage", b.text)
		case percent:
			v = v * n / 100
		}
		*b.into = v
	}
	return max(1, atOnce), most, nil
}

// order is a command to several guests at most atOnce at a time, of which the
// rest is terminated once more than most have failed.
type order struct {
	atOnce, most int
	script       string
}

// carry runs an order in the background.
func (g *Gateway) carry(ctx context.Context, guests Commander, o order, all []*invocation) {
	for _, i := range all {
		g.commands.put(i)
	}
	slots, failed, mu := make(chan struct{}, o.atOnce), 0, sync.Mutex{}
	cancel := g.background(ctx, func(ctx context.Context) {
		var wait sync.WaitGroup
		defer wait.Wait()
		for _, i := range all {
			slots <- struct{}{}
			mu.Lock()
			stop := failed > o.most
			mu.Unlock()
			if stop {
				g.commands.change(i, func() { i.Status, i.StatusDetails = "Cancelled", "Terminated" })
				<-slots
				continue
			}
			g.commands.change(i, func() { i.Status, i.StatusDetails = "InProgress", "InProgress" })
			wait.Go(func() {
				defer func() { <-slots }()
				if !g.runInvocation(ctx, guests, i, o.script) {
					mu.Lock()
					failed++
					mu.Unlock()
				}
			})
		}
	})
	for _, i := range all {
		g.commands.change(i, func() { i.cancel = cancel })
	}
}

// runInvocation runs a script and keeps what it says; false: it failed.
func (g *Gateway) runInvocation(ctx context.Context, guests Commander, i *invocation, script string) (good bool) {
	var out, errs bytes.Buffer
	err := guests.RunScript(ctx, i.InstanceID, script, &out, &errs)
	g.commands.change(i, func() {
		i.Status, i.ResponseCode = "Success", 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			i.Status, i.ResponseCode = "Failed", exit.ExitCode()
		} else if err != nil {
			i.Status = "Undeliverable"
			errs.WriteString(err.Error())
		}
		i.StatusDetails = i.Status
		i.StandardOutputContent, i.StandardErrorContent = clip(out.String(), maxStdout), clip(errs.String(), maxStderr)
	})
	return err == nil
}

// listCommands shows how a command stands as a whole.
func (g *Gateway) listCommands(_ context.Context, c *call) (reply, error) {
	var in struct {
		CommandID string `json:"CommandId"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply{}, refuse("SerializationException", "%v", err)
	}
	g.commands.mu.Lock()
	defer g.commands.mu.Unlock()
	targets, ended, bad, known := 0, 0, 0, g.commands.empty[in.CommandID]
	for _, i := range g.commands.all {
		if i.CommandID != in.CommandID {
			continue
		}
		targets, known = targets+1, true
		if i.Status == "Pending" || i.Status == "InProgress" {
			continue
		}
		if ended++; i.Status != "Success" {
			bad++
		}
	}
	if !known {
		return jsonReply(map[string]any{"Commands": []any{}})
	}
	status, details := "InProgress", "InProgress"
	switch {
	case targets == 0:
		status, details = "Success", "NoInstancesInTag"
	case ended == targets && bad > 0:
		status, details = "Failed", "Failed"
	case ended == targets:
		status, details = "Success", "Success"
	}
	return jsonReply(map[string]any{"Commands": []any{map[string]any{"CommandId": in.CommandID, "Status": status, "StatusDetails": details,
		"TargetCount": targets, "CompletedCount": ended, "ErrorCount": bad}}})
}
