package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Session is a role session whose keys the lab gave out.
type Session struct{ Account, Role, Name, Secret, Token string }

// getCallerIdentity answers a role session of the lab's with its own ARN, where
// moto knows one user for all. A presigned call is the one place where the
// gateway checks a signature: what tests of presigned calls are about.
func (g *Gateway) getCallerIdentity(ctx context.Context, c *call) (reply, error) {
	presigned := c.form.Get("X-Amz-Signature") != ""
	s, known := Session{}, false
	if g.cfg.Session != nil {
		s, known = g.cfg.Session(c.accessKey)
	}
	if !known && presigned {
		return reply{}, &apiError{Code: "InvalidClientTokenId", Message: "The security token included in the request is invalid", Status: http.StatusForbidden}
	}
	if !known {
		return g.forwardScrubbed(ctx, c)
	}
	if presigned {
		if err := c.checkPresigned(ctx, s, g.cfg.Now()); err != nil {
			return reply{}, err
		}
	}
	body := fmt.Sprintf(`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::%s:assumed-role/%s/%s</Arn><UserId>AROALAB:%s</UserId><Account>%s</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></GetCallerIdentityResponse>`,
		s.Account, s.Role, s.Name, s.Name, s.Account, c.id)
	return reply{status: http.StatusOK, header: http.Header{"Content-Type": {"text/xml"}}, body: []byte(body)}, nil
}

// checkPresigned signs the call again, and compares.
func (c *call) checkPresigned(ctx context.Context, s Session, now time.Time) error {
	refused := func(code, message string) error {
		return &apiError{Code: code, Message: message, Status: http.StatusForbidden}
	}
	signed, err := time.Parse("20060102T150405Z", c.form.Get("X-Amz-Date"))
	seconds, serr := strconv.Atoi(c.form.Get("X-Amz-Expires"))
	if err != nil || serr != nil || now.After(signed.Add(time.Duration(seconds)*time.Second)) {
		return refused("AccessDenied", "Request has expired")
	}
	query := url.Values{}
	for name, values := range c.form {
		if !strings.HasPrefix(name, "X-Amz-") || name == "X-Amz-Expires" {
			query[name] = values
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.host+"/?"+query.Encode(), nil)
	if err != nil {
		return refused("SignatureDoesNotMatch", err.Error())
	}
	for name := range strings.SplitSeq(c.form.Get("X-Amz-SignedHeaders"), ";") {
		if name != "host" {
			req.Header[http.CanonicalHeaderKey(name)] = c.header.Values(name)
		}
	}
	sum := sha256.Sum256(nil)
	again, _, err := v4.NewSigner().PresignHTTP(ctx, aws.Credentials{AccessKeyID: c.accessKey, SecretAccessKey: s.Secret, SessionToken: s.Token},
		req, hex.EncodeToString(sum[:]), c.signing, c.region, signed)
	if err != nil {
		return refused("SignatureDoesNotMatch", err.Error())
	}
	u, err := url.Parse(again)
	if err != nil || u.Query().Get("X-Amz-Signature") != c.form.Get("X-Amz-Signature") {
		return refused("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided")
	}
	return nil
}
