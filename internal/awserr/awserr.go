// Package awserr is the only place that knows AWS error codes.
package awserr

// Code returns the AWS error code in err's chain, or "".
func Code(err error) string { return "" }

// IsNotFound says that the thing named does not exist (any more, or yet).
func IsNotFound(err error) bool { return false }

// IsExists says that the thing to create is there already.
func IsExists(err error) bool { return false }

// IsThrottle says that the call came too often.
func IsThrottle(err error) bool { return false }

// IsCapacity says that AWS cannot give the instance now; another type or zone may do.
func IsCapacity(err error) bool { return false }

// IsDryRunOK says that a call with DryRun would have succeeded.
func IsDryRunOK(err error) bool { return false }

// IsAuth says that credentials are wrong, expired or lack a permission.
func IsAuth(err error) bool { return false }
