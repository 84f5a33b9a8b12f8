//go:build lab

package deploy

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/fault"
)

// TestMotoTakesTheBucketPolicyAndIgnoresItsConditions says what the emulator can
// prove: it takes the document, gives it back, and denies. It evaluates no
// conditions, though, so it denies our conditional writes as well as blind
// ones: that AWS tells them apart cannot be shown with it.
func TestMotoTakesTheBucketPolicyAndIgnoresItsConditions(t *testing.T) {
	ctx, c := context.Background(), client(moto(t))
	name := "bakehouse-builds"
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, c, name)
	build := mustPush(t, p, tree(t, "v1"))
	text, err := os.ReadFile(policyFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &name, Policy: aws.String(string(text))}); err != nil {
		t.Fatal(err)
	}
	out, err := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &name})
	if err != nil || !strings.Contains(aws.ToString(out.Policy), "BuildsAreWrittenOnce") {
		t.Errorf("the policy is %v (%v)", out, err)
	}
	if m, err := p.Manifest(ctx, "web", build.ID); err != nil || m != build {
		t.Errorf("reading is none of the policy's business: %v", err)
	}
	blind := &s3.PutObjectInput{Bucket: &name, Key: aws.String("web/channels/production.json"), Body: bytes.NewReader([]byte("blind"))}
	if _, err := c.PutObject(ctx, blind); err == nil {
		t.Error("a blind write of a channel passed")
	}
	if _, err := p.Promote(ctx, Promotion{"web", "production", build.ID, "ann@host"}); fault.KindOf(err) != fault.AWS || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("a conditional write: %v; if moto evaluates conditions now, let this test prove more", err)
	}
}
