package gateway

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
)

// maxListed is how many characters of output a list of invocations keeps.
const maxListed = 2500

// listCommandInvocations shows a command on all its instances, in one page.
func (g *Gateway) listCommandInvocations(_ context.Context, c *call) (reply, error) {
	var in struct {
		CommandID  string `json:"CommandId"`
		InstanceID string `json:"InstanceId"`
		Details    bool
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply{}, refuse("SerializationException", "%v", err)
	}
	list := []map[string]any{}
	g.commands.mu.Lock()
	defer g.commands.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(g.commands.all)) {
		i := g.commands.all[key]
		if i.CommandID != in.CommandID || in.InstanceID != "" && i.InstanceID != in.InstanceID {
			continue
		}
		one := map[string]any{"CommandId": i.CommandID, "InstanceId": i.InstanceID, "DocumentName": i.DocumentName, "Status": i.Status, "StatusDetails": i.StatusDetails}
		if in.Details {
			text := i.StandardOutputContent
			if i.StandardErrorContent != "" {
				text += "\n----------ERROR-------\n" + i.StandardErrorContent
			}
			one["CommandPlugins"] = []map[string]any{{"Name": "aws:runShellScript", "Status": i.Status, "ResponseCode": i.ResponseCode, "Output": clip(text, maxListed)}}
		}
		list = append(list, one)
	}
	return jsonReply(map[string]any{"CommandInvocations": list})
}

// describeInstanceInformation lists the guests that an SSM agent would answer
// for, of those that the filter InstanceIds names.
func (g *Gateway) describeInstanceInformation(ctx context.Context, c *call) (reply, error) {
	var in struct {
		Filters []struct {
			Key    string
			Values []string
		}
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply{}, refuse("SerializationException", "%v", err)
	}
	if len(in.Filters) != 1 || in.Filters[0].Key != "InstanceIds" {
		return reply{}, refuse("InvalidFilterKey", "the lab knows the filter InstanceIds, and wants it")
	}
	guests, ok := g.cfg.Machines.(Commander)
	list := []map[string]any{}
	for _, id := range in.Filters[0].Values {
		if state, _ := g.cfg.Machines.State(id); ok && state == "running" && guests.Managed(ctx, id) {
			list = append(list, map[string]any{"InstanceId": id, "PingStatus": "Online", "PlatformType": "Linux"})
		}
	}
	return jsonReply(map[string]any{"InstanceInformationList": list})
}
