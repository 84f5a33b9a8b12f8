package bake

import (
	"slices"
	"strings"
)

// The IAM actions of a bake, as policies write them. A bake calls
// sts:GetCallerIdentity, too, which needs no right.
const (
	actRun               = "ec2:RunInstances"
	actPassRole          = "iam:PassRole"
	actDescribeInstances = "ec2:DescribeInstances"
	actReboot            = "ec2:RebootInstances"
	actTerminate         = "ec2:TerminateInstances"
	actConsole           = "ec2:GetConsoleOutput"

	actDescribeSubnets = "ec2:DescribeSubnets"
	actDescribeGroups  = "ec2:DescribeSecurityGroups"
	actCreateGroup     = "ec2:CreateSecurityGroup"
	actOpenGroup       = "ec2:AuthorizeSecurityGroupIngress"
	actDeleteGroup     = "ec2:DeleteSecurityGroup"

	actDescribeImages    = "ec2:DescribeImages"
	actDescribeSnapshots = "ec2:DescribeSnapshots"
	actCreateImage       = "ec2:CreateImage"
	actModifyImage       = "ec2:ModifyImageAttribute"
	actDeregister        = "ec2:DeregisterImage"
	actDeleteSnapshot    = "ec2:DeleteSnapshot"
	actDeprecate         = "ec2:EnableImageDeprecation"
	actProtect           = "ec2:EnableImageDeregistrationProtection"
	actUnprotect         = "ec2:DisableImageDeregistrationProtection"
	actCreateTags        = "ec2:CreateTags"
	actDeleteTags        = "ec2:DeleteTags"

	actGetParameter = "ssm:GetParameter"
	actSendCommand  = "ssm:SendCommand"
	actGetCommand   = "ssm:GetCommandInvocation"
	actCancel       = "ssm:CancelCommand"
	actGroups       = "autoscaling:DescribeAutoScalingGroups"
)

// Actions lists the IAM actions that the bake may use, its undo included,
// sorted. They follow from the steps; what resolving alone used comes first.
func (p Plan) Actions() []string {
	out := p.resolveActions()
	list := steps(p)
	if p.Reuse != nil {
		list = nil
		if p.Redo != nil {
			out = append(append(out, p.copyActions()...), p.shareActions()...)
		}
	}
	for _, s := range list {
		out = append(out, s.Actions...)
	}
	if len(list) > 0 && p.Launch.Transport == TransportSSM {
		out = append(out, actSendCommand, actGetCommand, actCancel)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// resolveActions are those that making the plan took.
func (p Plan) resolveActions() []string {
	out := []string{actDescribeImages, actDescribeSubnets}
	if strings.HasPrefix(p.inputs.Base, "ssm:") {
		out = append(out, actGetParameter)
	}
	if p.inputs.Prove.Group != "" {
		out = append(out, actGroups)
	}
	return out
}

func groupActions() []string {
	return []string{actCreateGroup, actCreateTags, actDescribeGroups, actOpenGroup, actDeleteGroup}
}

// launchActions include the look at a console that a failed bake takes.
func (p Plan) launchActions() []string {
	out := []string{actRun, actCreateTags, actDescribeInstances, actTerminate, actConsole}
	if p.Launch.InstanceProfile != "" {
		out = append(out, actPassRole)
	}
	return out
}

func (p Plan) imageActions() []string {
	out := []string{actCreateImage, actCreateTags, actDescribeImages, actDescribeSnapshots, actDeregister, actDeleteSnapshot}
	if p.inputs.Protect {
		out = append(out, actUnprotect)
	}
	return out
}

func (p Plan) proveActions() []string {
	out := []string{actRun, actCreateTags, actDescribeInstances, actTerminate, actConsole}
	if p.inputs.Prove.InstanceProfile != "" {
		out = append(out, actPassRole)
	}
	if p.inputs.Prove.KeepUnproven {
		out = append(out, actDeleteTags)
	}
	return out
}

func (p Plan) keepActions() []string {
	out := []string{actDeleteTags}
	if p.inputs.DeprecateAfter > 0 {
		out = append(out, actDeprecate)
	}
	if p.inputs.Protect {
		out = append(out, actProtect)
	}
	return out
}
