package bake

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"bakehouse/bake/ami"
	"bakehouse/internal/await"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// The values of Right.Verdict.
const (
	RightAllowed = "allowed"
	RightRefused = "refused"
	RightUnknown = "unknown" // cannot be asked
)

// Right is one IAM action of a plan, and whether the caller has it.
type Right struct {
	Action  string `json:"action"`
	Verdict string `json:"verdict"`
	Why     string `json:"why,omitempty"`
}

// question asks EC2 for one right, with DryRun: nothing is ever done.
type question struct {
	ask func(context.Context, EC2) error
	// standIn says that the call names a resource of ours that does not exist
	// yet by a made-up id. EC2 may not find it, and a policy that allows by tag,
	// as docs/iam/bake-ami.json does, may refuse it, although it would allow
	// the same call on the bake's own.
	standIn bool
}

// Rights asks for every action of the plan whether the caller may take it, in
// parallel. What EC2 cannot be asked is told as such. The error is that of the
// context alone: refused rights are in the list.
func (w World) Rights(ctx context.Context, p Plan) ([]Right, error) {
	actions, questions := p.Actions(), p.questions()
	maps.Copy(questions, w.farQuestions(p))
	used := p.resolveActions()
	out := make([]Right, len(actions))
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(6)
	for i, action := range actions {
		group.Go(func() error {
			r := Right{Action: action, Verdict: RightUnknown, Why: cannotAsk(action)}
			q, ok := questions[action]
			switch {
			case slices.Contains(used, action):
				r.Verdict, r.Why = RightAllowed, "used to make this plan"
			case ok:
				r.Verdict, r.Why = verdict(q, q.ask(ctx, w.EC2))
			}
			mu.Lock()
			defer mu.Unlock()
			out[i] = r
			return ctx.Err()
		})
	}
	err := group.Wait()
	return out, err
}

// RefusedRights is the error for what Rights found refused; nil when nothing was.
func RefusedRights(all []Right) error {
	var refused []string
	for _, r := range all {
		if r.Verdict == RightRefused {
			refused = append(refused, r.Action)
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return fault.Newf(fault.AWS, "allow them to the caller (docs/iam/bake-ami.json has all; aws sts get-caller-identity says who that is)",
		"asking for the rights of the bake: refused are %s", strings.Join(refused, ", "))
}

// cannotAsk says why there is no way to ask for a right.
func cannotAsk(action string) string {
	switch {
	case action == actPassRole:
		return "asked for together with " + actRun
	case strings.HasPrefix(action, "ec2:"):
		return "no dry run is known for it"
	}
	return "its service has no dry run"
}

// verdict reads the answer to a dry run: it is always an error.
func verdict(q question, err error) (string, string) {
	switch {
	case err == nil:
		return RightUnknown, "the dry run was carried out like a real call"
	case awserr.IsDryRunOK(err):
		return RightAllowed, ""
	case awserr.IsAuth(err) && q.standIn && !awserr.IsExplicitDeny(err):
		return RightUnknown, "refused for an id made up for the question; fine with a policy that allows by tag, as docs/iam/bake-ami.json does"
	case awserr.IsAuth(err):
		return RightRefused, awsfault.Brief(err).Error()
	case q.standIn && awserr.IsNotFound(err):
		return RightUnknown, "EC2 first looks for the resource, which is still to be made"
	}
	return RightUnknown, awsfault.Brief(err).Error()
}

// Ids that nothing has, in the form that EC2 gives them.
const (
	noInstance = "i-00000000000000000"
	noImage    = "ami-00000000000000000"
	noGroup    = "sg-00000000000000000"
	noSnapshot = "snap-00000000000000000"
)

// questions are the ways to ask for rights, by action.
func (p Plan) questions() map[string]question {
	dry := aws.Bool(true)
	all := p.imageQuestions()
	made := func(ask func(context.Context, EC2) error) question { return question{ask: ask, standIn: true} }
	all[actRun] = question{ask: p.askRun}
	all[actDescribeInstances] = question{ask: func(ctx context.Context, e EC2) error {
		_, err := e.DescribeInstances(ctx, &ec2.DescribeInstancesInput{DryRun: dry})
		return err
	}}
	all[actReboot] = made(func(ctx context.Context, e EC2) error {
		_, err := e.RebootInstances(ctx, &ec2.RebootInstancesInput{DryRun: dry, InstanceIds: []string{noInstance}})
		return err
	})
	all[actTerminate] = made(func(ctx context.Context, e EC2) error {
		_, err := e.TerminateInstances(ctx, &ec2.TerminateInstancesInput{DryRun: dry, InstanceIds: []string{noInstance}})
		return err
	})
	all[actConsole] = made(func(ctx context.Context, e EC2) error {
		_, err := e.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{DryRun: dry, InstanceId: aws.String(noInstance)})
		return err
	})
	all[actDescribeGroups] = question{ask: func(ctx context.Context, e EC2) error {
		_, err := e.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{DryRun: dry})
		return err
	}}
	all[actCreateGroup] = question{ask: func(ctx context.Context, e EC2) error {
		req := p.groupRequest()
		req.DryRun = dry
		_, err := e.CreateSecurityGroup(ctx, req, await.Once)
		return err
	}}
	all[actOpenGroup] = made(func(ctx context.Context, e EC2) error {
		req := p.openRequest(noGroup)
		req.DryRun = dry
		_, err := e.AuthorizeSecurityGroupIngress(ctx, req)
		return err
	})
	all[actDeleteGroup] = made(func(ctx context.Context, e EC2) error {
		_, err := e.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{DryRun: dry, GroupId: aws.String(noGroup)})
		return err
	})
	return all
}

// askRun asks for the launch as it will be, but for the security group that
// there is none of yet, and the builder's key.
func (p Plan) askRun(ctx context.Context, e EC2) error {
	req := p.runInstances(p.Launch.Placement, p.Launch.SecurityGroup, "")
	req.DryRun, req.UserData = aws.Bool(true), nil
	for i, nic := range req.NetworkInterfaces {
		if p.Launch.SecurityGroup == "" {
			nic.Groups = nil
		}
		req.NetworkInterfaces[i] = nic
	}
	_, err := e.RunInstances(ctx, req, await.Once)
	return err
}

// imageQuestions are those about images, snapshots and tags.
func (p Plan) imageQuestions() map[string]question {
	dry, id := aws.Bool(true), aws.String(noImage)
	ours := []types.Tag{{Key: aws.String(ami.TagProof), Value: aws.String(ami.Proven)}}
	asks := map[string]func(context.Context, EC2) error{
		actCreateImage: func(ctx context.Context, e EC2) error {
			req := p.imageRequest(noInstance)
			req.DryRun = dry
			_, err := e.CreateImage(ctx, req, await.Once)
			return err
		},
		actDescribeSnapshots: func(ctx context.Context, e EC2) error {
			_, err := e.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{DryRun: dry, OwnerIds: []string{"self"}})
			return err
		},
		actModifyImage: func(ctx context.Context, e EC2) error {
			_, err := e.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{DryRun: dry, ImageId: id,
				ImdsSupport: &types.AttributeValue{Value: aws.String(string(types.ImdsSupportValuesV20))}})
			return err
		},
		actDeregister: func(ctx context.Context, e EC2) error {
			_, err := e.DeregisterImage(ctx, &ec2.DeregisterImageInput{DryRun: dry, ImageId: id})
			return err
		},
		actDeleteSnapshot: func(ctx context.Context, e EC2) error {
			_, err := e.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{DryRun: dry, SnapshotId: aws.String(noSnapshot)})
			return err
		},
		actDeprecate: func(ctx context.Context, e EC2) error {
			_, err := e.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{DryRun: dry, ImageId: id, DeprecateAt: aws.Time(p.ExpiresAt.UTC())})
			return err
		},
		actProtect: func(ctx context.Context, e EC2) error {
			_, err := e.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{DryRun: dry, ImageId: id})
			return err
		},
		actUnprotect: func(ctx context.Context, e EC2) error {
			_, err := e.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{DryRun: dry, ImageId: id})
			return err
		},
		actCreateTags: func(ctx context.Context, e EC2) error {
			_, err := e.CreateTags(ctx, &ec2.CreateTagsInput{DryRun: dry, Resources: []string{noImage}, Tags: ours})
			return err
		},
		actDeleteTags: func(ctx context.Context, e EC2) error {
			_, err := e.DeleteTags(ctx, &ec2.DeleteTagsInput{DryRun: dry, Resources: []string{noImage}, Tags: []types.Tag{{Key: ours[0].Key}}})
			return err
		},
	}
	out := map[string]question{}
	for action, ask := range asks {
		// CreateImage is allowed for any instance, and by the tags that it is
		// to have, which are real.
		out[action] = question{ask: ask, standIn: action != actDescribeSnapshots && action != actCreateImage}
	}
	return out
}
