// Package awserr is the only place that knows AWS error codes. It asks errors
// for their code and HTTP status through one-method interfaces, which the
// SDK's errors and hand-made ones alike can have, and links no SDK.
package awserr

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// Code returns the AWS error code of the first error in err's chain that has
// one (ErrorCode() string, as smithy.APIError), or "".
func Code(err error) string {
	var coded interface{ ErrorCode() string }
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	return ""
}

// Status returns the HTTP status of the reply in err's chain, or 0.
func Status(err error) int {
	var reply interface{ HTTPStatusCode() int }
	if errors.As(err, &reply) {
		return reply.HTTPStatusCode()
	}
	return 0
}

// bare says that a reply had that status and no code that says more: replies
// to HEAD have no body, so the SDK makes a code of the status' text.
func bare(err error, status int) bool {
	code := Code(err)
	return Status(err) == status && (code == "" || code == "UnknownError" || code == strings.ReplaceAll(http.StatusText(status), " ", ""))
}

// IsNotFound says that the thing named does not exist (any more, or yet): a
// new EC2 id may be unknown for some seconds. A missing bucket is IsNoBucket.
func IsNotFound(err error) bool {
	code := Code(err)
	switch code {
	case "NoSuchKey", "NotFound", "NotFoundException", "NoSuchVersion", "NoSuchUpload", "NoSuchEntity", "ParameterNotFound", "ParameterVersionNotFound",
		"ResourceNotFound", "ResourceNotFoundException", "TargetGroupNotFound", "LoadBalancerNotFound",
		"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", // SQS in its new protocol and its old one
		"InvalidAMIID.Unavailable": // what a deregistered image is called
		return true
	}
	return strings.HasSuffix(code, ".NotFound") || strings.HasSuffix(code, ".NotFoundException") || bare(err, http.StatusNotFound)
}

// IsNoBucket says that the S3 bucket does not exist.
func IsNoBucket(err error) bool { return Code(err) == "NoSuchBucket" }

// IsExists says that the thing to create is there already.
func IsExists(err error) bool {
	code := Code(err)
	return strings.HasSuffix(code, ".Duplicate") || strings.HasSuffix(code, ".AlreadyExistsException") ||
		slices.Contains([]string{"AlreadyExists", "AlreadyExistsFault", "EntityAlreadyExists", "ParameterAlreadyExists",
			"ResourceExistsException", "BucketAlreadyExists", "BucketAlreadyOwnedByYou"}, code)
}

// IsInUse says that something else still needs the thing to delete.
func IsInUse(err error) bool {
	code := Code(err)
	return strings.HasSuffix(code, ".InUse") || code == "DependencyViolation" || code == "ResourceInUse" ||
		code == "ResourceInUseException" || code == "VolumeInUse"
}

// IsThrottle says that the call came too often, after the SDK's own retries.
func IsThrottle(err error) bool {
	return slices.Contains([]string{"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
		"RequestThrottledException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown", "EC2ThrottledException",
		"BandwidthLimitExceeded", "PriorRequestNotComplete", "ProvisionedThroughputExceededException"}, Code(err)) ||
		Status(err) == http.StatusTooManyRequests
}

// IsCapacity says that AWS cannot give the instance now; another type or zone
// may do. The same call again will not.
func IsCapacity(err error) bool {
	return slices.Contains([]string{"InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity",
		"InsufficientCapacity", "InsufficientFreeAddressesInSubnet", "InsufficientCapacityOnOutpost", "UnfulfillableCapacity",
		"InstanceLimitExceeded", "VcpuLimitExceeded", "SpotMaxPriceTooLow", "MaxSpotInstanceCountExceeded",
		"MaxSpotFleetRequestCountExceeded", "Unsupported"}, Code(err))
}

// IsDryRunOK says that a call with DryRun would have succeeded.
func IsDryRunOK(err error) bool { return Code(err) == "DryRunOperation" }

// IsExplicitDeny says that a policy denies the call in so many words, rather
// than that none allows it (docs.aws.amazon.com/IAM, "Troubleshoot access
// denied error messages").
func IsExplicitDeny(err error) bool {
	var api interface{ ErrorMessage() string }
	return IsAuth(err) && errors.As(err, &api) && strings.Contains(api.ErrorMessage(), "explicit deny")
}

// IsAuth says that credentials are missing, wrong or expired, or lack a
// permission.
func IsAuth(err error) bool {
	return slices.Contains([]string{"UnauthorizedOperation", "AuthFailure", "AccessDenied", "AccessDeniedException", "Forbidden",
		"Unauthorized", "NotAuthorized", "UnauthorizedException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken",
		"UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "ExpiredToken",
		"ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed", "TokenRefreshRequired", "MissingAuthenticationToken",
		"OptInRequired", "PendingVerification", "Blocked"}, Code(err)) ||
		bare(err, http.StatusForbidden) || bare(err, http.StatusUnauthorized)
}

// IsPrecondition says that If-Match or If-None-Match of an S3 call did not
// hold: somebody else wrote first.
func IsPrecondition(err error) bool {
	return Code(err) == "PreconditionFailed" || Status(err) == http.StatusPreconditionFailed
}

// IsConflict says that another S3 write of the same key was going on: the same
// call may be sent again.
func IsConflict(err error) bool {
	code := Code(err)
	return code == "ConditionalRequestConflict" || code == "OperationAborted" || bare(err, http.StatusConflict)
}

// IsLost says that the call may or may not have taken effect: the connection
// broke without an answer, or AWS failed inside. Ask before sending it again.
// The end of the caller's own context alone is not counted.
func IsLost(err error) bool {
	code := Code(err)
	switch code {
	case "InternalError", "InternalFailure", "InternalServerError", "InternalServerException", "InternalServiceError", "Unavailable", "ServiceUnavailable":
		return true
	case "":
		ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
		return err != nil && !ended && (Status(err) == 0 || Status(err) >= http.StatusInternalServerError)
	}
	return Status(err) >= http.StatusInternalServerError && !IsCapacity(err) && !IsThrottle(err)
}
