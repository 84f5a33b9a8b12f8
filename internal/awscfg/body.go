package awscfg

import (
	"context"
	"io"

	smithymiddleware "github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// plainBodies makes the SDK send its request bodies by Read alone.
//
// smithy-go (seen in 1.28.9) closes a request's body as soon as the reply's
// header is there, and its body's WriteTo then fails with io.EOF where Read
// would end. net/http looks once more into a body that it has sent; when the
// reply was quicker than that look, it takes the EOF for a failed write and
// closes the connection under the reply that is being read. A long answer, a
// page of DescribeInstances say, then fails with "use of closed network
// connection" and is asked for again. A body without WriteTo has no such race.
func plainBodies(stack *smithymiddleware.Stack) error {
	return stack.Build.Add(smithymiddleware.BuildMiddlewareFunc("bakehouse:PlainBodies",
		func(ctx context.Context, in smithymiddleware.BuildInput, next smithymiddleware.BuildHandler) (smithymiddleware.BuildOutput, smithymiddleware.Metadata, error) {
			if req, ok := in.Request.(*smithyhttp.Request); ok {
				plain, err := withPlainBody(req)
				if err != nil {
					return smithymiddleware.BuildOutput{}, smithymiddleware.Metadata{}, err
				}
				in.Request = plain
			}
			return next.HandleBuild(ctx, in)
		}), smithymiddleware.After)
}

// withPlainBody is the request with a body that can be read and sought, so
// that signing and retries work as before, and nothing else.
func withPlainBody(req *smithyhttp.Request) (*smithyhttp.Request, error) {
	body, seeks := req.GetStream().(io.ReadSeeker)
	if _, writes := body.(io.WriterTo); !seeks || !writes {
		return req, nil
	}
	return req.SetStream(struct{ io.ReadSeeker }{body})
}
