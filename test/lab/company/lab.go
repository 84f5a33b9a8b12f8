//go:build linux

package company

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"bakehouse/test/lab/control"
)

// lab answers the control socket for a company.
type lab struct{ *company }

// Status tells what runs.
func (l lab) Status(context.Context) control.Status {
	s := control.Status{
		UpSince: l.started,
		Addresses: map[string]string{
			"aws": GatewayURL, "chef": ChefURL, "apt": AptURL,
			"metadata": "http://" + metadataAddr, "dns": Host + ":53",
		},
	}
	for _, m := range l.parts.hyper.Machines() {
		i := control.Instance{
			ID: m.Instance.ID, State: m.State, ImageID: m.Instance.ImageID, LeaderPID: m.LeaderPID,
			KeyName: aws.ToString(m.Instance.Detail.KeyName), LaunchedAt: aws.ToTime(m.Instance.Detail.LaunchTime),
			BootedAt: m.BootedAt, Boots: m.Boots, Problem: m.Problem,
		}
		if m.Instance.Address.IsValid() {
			i.Address = m.Instance.Address.String()
		}
		s.Instances = append(s.Instances, i)
	}
	for id, layers := range l.parts.hyper.Images() {
		s.Images = append(s.Images, control.Image{ID: id, Layers: layers})
	}
	return s
}

// Console returns an instance's console output.
func (l lab) Console(instance string) []byte { return l.parts.hyper.Console(instance) }

// SpotInterrupt announces and then carries out a spot interruption.
func (l lab) SpotInterrupt(instance string, s control.SpotInterrupt) error {
	return l.parts.hyper.Interrupt(instance, s.Action, s.After)
}

// PowerCut kills an instance's guest and boots it again on its disk.
func (l lab) PowerCut(ctx context.Context, instance string) error {
	return l.parts.hyper.PowerCut(ctx, instance)
}

// Shutdown ends the company, a moment later so that the answer gets out.
func (l lab) Shutdown() { time.AfterFunc(50*time.Millisecond, l.shutdown) }
