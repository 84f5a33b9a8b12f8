package deploy

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"bakehouse/internal/awserr"
)

// Unversioned reports that the bucket keeps no earlier versions of its objects:
// what somebody with write rights deletes or overwrites past our conditions is
// then lost. Whoever may not ask is not told.
func (p *Publisher) Unversioned(ctx context.Context) (bool, error) {
	out, err := p.S3.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &p.Bucket})
	switch {
	case err == nil:
		return out.Status != types.BucketVersioningStatusEnabled, nil
	case awserr.IsAuth(err), awserr.Code(err) == "NotImplemented", awserr.Code(err) == "MethodNotAllowed":
		return false, nil
	}
	return false, p.failed("asking for the versioning of", "", "s3:GetBucketVersioning", err)
}
