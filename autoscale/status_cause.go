package autoscale

import "strings"

// Cause is a class of reasons for a scaling activity, or for its failure.
type Cause string

// What keeps an instance from coming, or ends it.
const (
	CauseCapacity         Cause = "capacity"      // AWS has none of the type, zone or price
	CauseQuota            Cause = "quota"         // the account's limit
	CauseImage            Cause = "image"         // missing, foreign or unfit
	CausePermission       Cause = "permission"    // of the service role, of a KMS key
	CauseConfiguration    Cause = "configuration" // key pair, security group, subnet, load balancer …
	CauseThrottled        Cause = "throttled"     // too many calls in the account
	CauseSpotInterruption Cause = "spot interruption"
	CauseHook             Cause = "hook abandoned"
	CauseHealth           Cause = "health"
)

// What set an activity off.
const (
	CauseUser       Cause = "user request"
	CauseAlarm      Cause = "alarm" // a scaling policy, target tracking included
	CauseForecast   Cause = "forecast"
	CauseSchedule   Cause = "schedule"
	CauseRefresh    Cause = "refresh"
	CauseLifetime   Cause = "lifetime"
	CauseBalance    Cause = "balance"    // between zones
	CauseDifference Cause = "difference" // between desired and actual, and no more is said
	CauseUnknown    Cause = "unknown"
)

// signs are words by which AWS's texts are told apart; the first row with a
// word in the text counts. The texts are those of "Troubleshoot Amazon EC2
// Auto Scaling" in the user's guide, and EC2's error codes.
type signs []struct {
	cause Cause
	words []string
}

// ofFailure are the signs in a status message.
func ofFailure() signs {
	return signs{
		{CauseHook, []string{"was abandoned:", "abandon result", "lifecycle action was abandoned"}},
		{CauseSpotInterruption, []string{"spotinstancetermination", "spotinstanceshutdown", "spot instance termination", "spot interruption", "instance-terminated-by-price", "instance-terminated-no-capacity"}},
		{CauseUser, []string{"client.userinitiatedshutdown", "client.instanceinitiatedshutdown"}},
		{CauseThrottled, []string{"request limit exceeded", "requestlimitexceeded", "rate exceeded", "throttl"}},
		{CauseQuota, []string{"vcpu limit", "vcpulimitexceeded", "instance limit of", "quota", "max spot instance count", "limitexceeded", "limit exceeded", "countexceeded"}},
		{CausePermission, []string{"not authorized to perform", "access denied", "accessdenied", "unauthorizedoperation", "authorization failure", "kms key", "invalidkmskey",
			"client error on launch", "optinrequired", "pending verification", "authfailure", "authentication failure", "assume role"}},
		{CauseImage, []string{"image id", "ami id", "amiid", "not authorized for images", "architecture", "virtualization type", "boot mode", "expecting \"ami-", "of the specified ami"}},
		{CauseCapacity, []string{"insufficientinstancecapacity", "do not have sufficient", "insufficient capacity", "unfulfillablecapacity", "no spot capacity", "spotmaxpricetoolow", "spot request price",
			"free addresses", "freeaddresses", "insufficienthostcapacity", "insufficientreserved", "reservationcapacityexceeded", "fulfill capacity"}},
		{CauseConfiguration, []string{"not supported", "unsupported", "no longer supported", "does not exist", "invalid", "security group", "key pair", "subnet", "load balancer", "target group",
			"placement group", "launch template", "launch configuration", "instance profile", "block device", "is not in vpc"}},
		{CauseHealth, []string{"unhealthy", "health check", "health-check", "instance failed to"}},
	}
}

// ofTrigger are the signs in a cause. A cause names its origin first and ends
// with the difference that it made, so that comes last.
func ofTrigger() signs {
	return signs{
		{CauseSpotInterruption, []string{"interruption", "rebalance recommendation", "spotinstancetermination"}},
		{CauseRefresh, []string{"instance refresh"}},
		{CauseLifetime, []string{"instance lifetime"}},
		{CauseHealth, []string{"health check", "health-check", "status check"}},
		{CauseSchedule, []string{"scheduled action"}},
		{CauseForecast, []string{"predictive scaling", "forecast"}},
		{CauseUser, []string{"user request"}},
		{CauseAlarm, []string{"monitor alarm", "triggered policy"}},
		{CauseBalance, []string{"balance instances in", "balancing the group"}},
		{CauseDifference, []string{"difference between desired and actual"}},
	}
}

func (s signs) find(text string) Cause {
	text = strings.ToLower(text)
	for _, row := range s {
		for _, word := range row.words {
			if strings.Contains(text, word) {
				return row.cause
			}
		}
	}
	return CauseUnknown
}

// Classify says why an activity was started (trigger), and, when it failed or
// was cancelled, why (trouble, else ""). The arguments are as
// DescribeScalingActivities gives them; a text that nobody has seen before is
// CauseUnknown, never a guess.
func Classify(status, message, cause string) (trouble, trigger Cause) {
	trigger = ofTrigger().find(cause)
	if status == "Failed" || status == "Cancelled" {
		trouble = ofFailure().find(message)
	}
	return trouble, trigger
}

// Remedy is what a person can do about trouble of class c, one sentence.
func (c Cause) Remedy() string {
	return map[Cause]string{
		CauseCapacity:      "allow more instance types (mixed.types) and zones; a spot_max_price limits both",
		CauseQuota:         "ask AWS for a higher quota, or end instances that are not needed",
		CauseImage:         "name an image that exists here, is shared with this account, and fits the instance type",
		CausePermission:    "allow the service-linked role of Auto Scaling what the message names; a KMS key needs a grant of its own",
		CauseConfiguration: "correct what the message names, in the launch template or the group",
		CauseThrottled:     "wait: the account calls AWS more often than it may",
		CauseHook:          "look at what should have answered the lifecycle hook: nobody did in time, or it said ABANDON",
		CauseHealth:        "look at the instance's console output and at what the health check asks",
	}[c]
}
