package awserr

import "slices"

// IsWrongRegion says that S3 keeps the bucket in another region than the
// request was sent to or signed for ("Error responses", Amazon S3 API reference).
func IsWrongRegion(err error) bool {
	return slices.Contains([]string{"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}, Code(err))
}
