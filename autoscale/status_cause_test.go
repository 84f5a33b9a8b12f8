package autoscale

import (
	"strings"
	"testing"
)

func TestCausesOfFailures(t *testing.T) {
	t.Parallel()
	for want, texts := range map[Cause][]string{
		CauseCapacity: {
			"We currently do not have sufficient p2.xlarge capacity in the Availability Zone you requested (us-east-1a). Our system will be working on provisioning additional capacity. You can currently get p2.xlarge capacity by not specifying an Availability Zone in your request or choosing us-east-1b. Launching EC2 instance failed.",
			"Could not launch Spot Instances. InsufficientInstanceCapacity - There is no Spot capacity available that matches your request. Launching EC2 instance failed.",
			"Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to your request configuration. Please adjust your request and try again. Launching EC2 instance failed.",
			"Could not launch Spot Instances. SpotMaxPriceTooLow - Your Spot request price of 0.001 is lower than the minimum required Spot request fulfillment price of 0.0031. Launching EC2 instance failed.",
			"There are not enough free addresses in subnet 'subnet-0123' to satisfy the requested number of instances. Launching EC2 instance failed.",
		},
		CauseQuota: {
			"You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit. Launching EC2 instance failed.",
			"You have requested more instances (7) than your current instance limit of 6 allows for the specified instance type. Launching EC2 instance failed.",
			"Your quota allows for 0 more running instance(s). You requested at least 1. Launching EC2 instance failed.",
			"Could not launch Spot Instances. MaxSpotInstanceCountExceeded - Max spot instance count exceeded. Launching EC2 instance failed.",
			"Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: Client.VolumeLimitExceeded: Volume limit exceeded",
		},
		CauseImage: {
			"The image id '[ami-0123456789abcdef0]' does not exist. Launching EC2 instance failed.",
			"AMI ID ami-0123456789abcdef0 is currently pending, and cannot be run. Launching EC2 instance failed.",
			"Not authorized for images: [ami-0123456789abcdef0]. Launching EC2 instance failed.",
			"The architecture 'x86_64' of the specified instance type does not match the architecture 'arm64' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again. Launching EC2 instance failed.",
			"Non-Windows AMIs with a virtualization type of 'hvm' currently may only be used with Cluster Compute instance types. Launching EC2 instance failed.",
		},
		CausePermission: {
			"You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/AWSServiceRoleForAutoScaling/AutoScaling is not authorized to perform: ec2:RunInstances on resource: arn:aws:ec2:us-east-1::image/ami-0123. Launching EC2 instance failed.",
			"Access denied when attempting to assume role arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling. Validating load balancer configuration failed.",
			"Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state",
			"Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: Client.InternalError: Client error on launch",
		},
		CauseConfiguration: {
			"The security group 'sg-0123' does not exist. Launching EC2 instance failed.",
			"The key pair 'ops' does not exist. Launching EC2 instance failed.",
			"Your requested instance type (m7g.large) is not supported in your requested Availability Zone (us-east-1e). Launching EC2 instance failed.",
			"There is no ACTIVE Load Balancer named 'web'. Validating load balancer configuration failed.",
			"Value (web) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name. Launching EC2 instance failed.",
		},
		CauseThrottled: {"Request limit exceeded. Launching EC2 instance failed."},
		CauseHook: {
			"Instance failed to complete user's Lifecycle Action: Lifecycle Action with token a054c99b-cda0-4210-b3c5-4774e971c307 was abandoned: Lifecycle Action Completed with ABANDON Result",
			"Instance failed to complete user's Lifecycle Action: Lifecycle Action with token a054c99b-cda0-4210-b3c5-4774e971c307 was abandoned: Heartbeat Timeout",
		},
		CauseSpotInterruption: {"Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: Server.SpotInstanceTermination: Instance terminated on Spot interruption"},
		CauseUser:             {"Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: Client.UserInitiatedShutdown: User initiated shutdown"},
		CauseHealth:           {"Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: Server.InternalError"},
		CauseUnknown:          {"", "Something that AWS has not said so far."},
	} {
		for _, text := range texts {
			if got, _ := Classify("Failed", text, ""); got != want {
				t.Errorf("%q is %q, want %q", text, got, want)
			}
			if got, _ := Classify("Successful", text, ""); got != "" {
				t.Errorf("%q is trouble (%s) although the activity succeeded", text, got)
			}
		}
	}
}

func TestCausesOfActivities(t *testing.T) {
	t.Parallel()
	const started = " At 2026-11-30T18:00:01Z an instance was started in response to a difference between desired and actual capacity, increasing the capacity from 1 to 2."
	for want, texts := range map[Cause][]string{
		CauseUser: {
			"a user request explicitly set group desired capacity changing the desired capacity from 1 to 2." + started,
			"a user request executed policy up changing the desired capacity from 1 to 2." + started,
			"a user request created an AutoScalingGroup changing the desired capacity from 0 to 1." + started,
			"a user request update of AutoScalingGroup constraints to min: 1, max: 5, desired: 3 changing the desired capacity from 1 to 3." + started,
			"instance i-1 was taken out of service in response to a user request, shrinking the capacity from 4 to 3.",
		},
		CauseAlarm: {
			"a monitor alarm TargetTracking-web-AlarmHigh-1 in state ALARM triggered policy cpu changing the desired capacity from 1 to 2." + started,
			"a monitor alarm ScaleIn in state ALARM triggered policy down changing the desired capacity from 4 to 0. At 2026-11-30T18:00:01Z an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from 4 to 0.",
		},
		CauseSchedule: {"a scheduled action update of AutoScalingGroup constraints to min: 2, max: 2, desired: 2 changing the desired capacity from 1 to 2." + started},
		CauseForecast: {"predictive scaling changed the desired capacity from 1 to 2." + started},
		CauseRefresh: {
			"an instance was taken out of service in response to an instance refresh. At 2026-11-30T18:00:01Z instance i-1 was selected for termination.",
			"an instance was launched in response to an instance refresh.",
		},
		CauseHealth: {
			"an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.",
			"an instance was taken out of service in response to an ELB system health check failure.",
			"an instance was taken out of service in response to an EC2 instance status checks failure.",
			"an instance was taken out of service in response to a user health-check.",
		},
		CauseSpotInterruption: {"an instance was taken out of service in response to a EC2 Spot interruption notice."},
		CauseLifetime:         {"an instance was taken out of service in response to its maximum instance lifetime."},
		CauseBalance: {
			"availability zones us-east-1a us-east-1b had 4 1 instances respectively. An instance was launched to aid in balancing the group's zones.",
			"instances were launched to balance instances in zones us-east-1a with other zones resulting in more than desired number of instances in the group.",
		},
		CauseDifference: {"an instance was started in response to a difference between desired and actual capacity, increasing the capacity from 5 to 6."},
		CauseUnknown:    {"", "something else happened."},
	} {
		for _, text := range texts {
			if _, got := Classify("Successful", "", "At 2026-11-30T18:00:00Z "+text); got != want {
				t.Errorf("%q is %q, want %q", text, got, want)
			}
		}
	}
}

func TestTroubleHasARemedy(t *testing.T) {
	t.Parallel()
	for _, row := range ofFailure() {
		if row.cause != CauseUser && row.cause != CauseSpotInterruption && row.cause.Remedy() == "" {
			t.Errorf("%s has no remedy", row.cause)
		}
		for _, w := range row.words {
			if w != strings.ToLower(w) {
				t.Errorf("%q can match nothing: texts are compared in lower case", w)
			}
		}
	}
}
