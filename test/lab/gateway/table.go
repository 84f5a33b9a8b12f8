package gateway

// table lists the actions that moto alone answers wrongly. Keys are
// "service:action".
func (g *Gateway) table() map[string]handler {
	return map[string]handler{
		"ec2:RunInstances":                  g.runInstances,
		"ec2:DescribeInstances":             g.describeInstances,
		"ec2:DescribeInstanceStatus":        g.describeInstanceStatus,
		"ec2:StartInstances":                g.startInstances,
		"ec2:StopInstances":                 g.stopInstances,
		"ec2:TerminateInstances":            g.terminateInstances,
		"ec2:RebootInstances":               g.rebootInstances,
		"ec2:GetConsoleOutput":              g.getConsoleOutput,
		"ec2:ModifyInstanceMetadataOptions": g.modifyMetadataOptions,
		"ec2:DescribeSpotInstanceRequests":  g.describeSpotInstanceRequests,

		"ec2:CreateImage":                          g.createImage,
		"ec2:CopyImage":                            g.copyImage,
		"ec2:RegisterImage":                        g.registerImage,
		"ec2:DescribeImages":                       g.describeImages,
		"ec2:DeregisterImage":                      g.deregisterImage,
		"ec2:ModifyImageAttribute":                 g.modifyImageAttribute,
		"ec2:DescribeImageAttribute":               g.describeImageAttribute,
		"ec2:EnableImageDeprecation":               g.enableImageDeprecation,
		"ec2:DisableImageDeprecation":              g.disableImageDeprecation,
		"ec2:EnableImageDeregistrationProtection":  g.enableProtection,
		"ec2:DisableImageDeregistrationProtection": g.disableProtection,
		"ec2:DescribeSnapshots":                    g.describeSnapshots,
		"ec2:DescribeImageReferences":              g.describeImageReferences,

		"ec2:CreateLaunchTemplate":           g.createLaunchTemplate,
		"ec2:CreateLaunchTemplateVersion":    g.createLaunchTemplateVersion,
		"ec2:DescribeLaunchTemplateVersions": g.describeLaunchTemplateVersions,

		"ec2:DescribeNetworkInterfaces": g.describeNetworkInterfaces,
		"ec2:DeleteNetworkInterface":    g.afterRelease,
		"ec2:DeleteSubnet":              g.afterRelease,
		"ec2:DeleteSecurityGroup":       g.deleteSecurityGroup,
		"ec2:AllocateAddress":           g.allocateAddress,

		"cloudformation:SignalResource": g.signalResource,

		"elasticloadbalancing:RegisterTargets":      g.registerTargets,
		"elasticloadbalancing:DeregisterTargets":    g.deregisterTargets,
		"elasticloadbalancing:DescribeTargetHealth": g.describeTargetHealth,

		"kms:DescribeKey": g.describeKey,

		"sts:GetCallerIdentity": g.getCallerIdentity,

		"ssm:SendCommand":          g.sendCommand,
		"ssm:GetCommandInvocation": g.getCommandInvocation,
		"ssm:CancelCommand":        g.cancelCommand,

		"ssm:ListCommandInvocations":      g.listCommandInvocations,
		"ssm:ListCommands":                g.listCommands,
		"ssm:DescribeInstanceInformation": g.describeInstanceInformation,

		"ssm:DescribeParameters":  g.describeParameters,
		"ssm:GetParameter":        g.getParameter,
		"ssm:GetParameters":       g.getParameters,
		"ssm:GetParametersByPath": g.getParametersByPath,
	}
}
