package retain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// removeBatch is how many images go between two looks at who uses them.
const removeBatch = 20

// Removed is what has become of one image that was to go.
type Removed struct {
	Region    string   `json:"region"`
	ImageID   string   `json:"image_id"`
	Snapshots []string `json:"snapshots,omitempty"` // deleted with it
	Result    string   `json:"result"`
	Reason    string   `json:"reason,omitempty"`
	Left      []string `json:"left,omitempty"` // snapshots that are still there
	Commands  []string `json:"commands,omitempty"`
}

// The values of Removed.Result.
const (
	Gone    = "removed"
	Skipped = "kept" // somebody began to use it
	Failed  = "failed"
)

// Apply removes what the plan dooms. Before each batch it looks again at who
// uses the images, and leaves those that somebody has begun to use. An image
// that cannot be removed does not keep the others; fault.Leftover when a
// snapshot remains of one that is gone, else the first failure's kind.
func (p Pruner) Apply(ctx context.Context, plan Plan) ([]Removed, error) {
	var out []Removed
	var failed []error
	byRegion := map[string][]ami.Image{}
	var regions []string
	for _, v := range plan.doomed() {
		if !slices.Contains(regions, v.Region) {
			regions = append(regions, v.Region)
		}
		byRegion[v.Region] = append(byRegion[v.Region], v.Image)
	}
	for _, region := range regions {
		for batch := range slices.Chunk(byRegion[region], removeBatch) {
			done, err := p.removeAll(ctx, region, batch, plan.policy)
			out = append(out, done...)
			if err != nil {
				failed = append(failed, err)
			}
		}
	}
	return out, sum(out, failed)
}

// removeAll removes a batch, or nothing of it when the look before fails.
func (p Pruner) removeAll(ctx context.Context, region string, batch []ami.Image, policy Policy) ([]Removed, error) {
	again := policy
	again.Keep, again.OlderThan = 0, 0 // that was decided over all images; now it is about use alone
	api := p.Region(region).EC2
	var ids []string
	for _, k := range batch {
		ids = append(ids, k.ID)
	}
	now, err := ami.List(ctx, api, ami.Filter("image-id", ids...)) // protection may have come since
	if err != nil {
		return nil, err
	}
	verdicts, err := p.decide(ctx, region, now, now, again)
	if err != nil {
		return nil, fmt.Errorf("looking again who uses the images of %s: %w", region, err)
	}
	var out []Removed
	var failed []error
	for _, v := range verdicts {
		r := Removed{Region: region, ImageID: v.ID, Result: Skipped, Reason: v.Reason}
		if v.Remove {
			p.Say("removing " + v.ID + " in " + region)
			err := p.remove(ctx, api, v.Image, &r)
			if err != nil {
				failed = append(failed, err)
			}
		}
		out = append(out, r)
	}
	return out, errors.Join(failed...)
}

// remove deregisters an image and deletes its snapshots. EC2 does both in one
// call; what it says is not deleted is tried once more by itself.
func (p Pruner) remove(ctx context.Context, api EC2, k ami.Image, r *Removed) error {
	r.Result, r.Reason = Gone, ""
	out, err := api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(k.ID), DeleteAssociatedSnapshots: aws.Bool(true)})
	if err != nil && !awserr.IsNotFound(err) {
		err = awsfault.New("ec2:DeregisterImage", "deregistering "+k.ID+" in "+r.Region, err)
		r.Result, r.Reason = Failed, err.Error()
		return err
	}
	left := slices.Clone(k.Snapshots)
	if out != nil {
		for _, s := range out.DeleteSnapshotResults {
			if id := aws.ToString(s.SnapshotId); s.ReturnCode == types.SnapshotReturnCodesSuccess {
				r.Snapshots = append(r.Snapshots, id)
				left = slices.DeleteFunc(left, func(l string) bool { return l == id })
			}
		}
	}
	var failed []error
	for _, id := range left {
		if err := p.deleteSnapshot(ctx, api, id); err != nil {
			failed = append(failed, err)
			r.Left = append(r.Left, id)
			r.Commands = append(r.Commands, "aws ec2 delete-snapshot --region "+r.Region+" --snapshot-id "+id)
			continue
		}
		r.Snapshots = append(r.Snapshots, id)
	}
	return errors.Join(failed...)
}

// deleteSnapshot tries for a moment: EC2 refuses a snapshot shortly after its
// image is gone. One that another image uses as well is left to that.
func (p Pruner) deleteSnapshot(ctx context.Context, api EC2, id string) error {
	for tries := 1; ; tries++ {
		_, err := api.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
		if err == nil || awserr.IsNotFound(err) {
			return nil
		}
		if tries == 5 || !awserr.IsInUse(err) {
			return awsfault.New("ec2:DeleteSnapshot", "deleting snapshot "+id, err)
		}
		if serr := p.Clock.Sleep(ctx, 2*time.Second); serr != nil {
			return awsfault.New("ec2:DeleteSnapshot", "deleting snapshot "+id, err)
		}
	}
}

// sum gives the failures of a run their kind.
func sum(all []Removed, failed []error) error {
	if len(failed) == 0 {
		return nil
	}
	var texts, lines []string
	for _, err := range failed {
		texts = append(texts, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	for _, r := range all {
		for _, c := range r.Commands {
			lines = append(lines, "\n  left behind: "+c)
		}
	}
	err := fmt.Errorf("pruning: %s%s", strings.Join(texts, "; "), strings.Join(lines, ""))
	if len(lines) > 0 {
		return fault.New(fault.Leftover, "delete the snapshots with the commands listed", err)
	}
	return fault.New(fault.KindOf(failed[0]), fault.NextOf(failed[0]), err)
}
