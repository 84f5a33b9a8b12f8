package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"bakehouse/internal/enrol"
	"bakehouse/internal/fault"
)

// Broker makes a Chef client on the proof of who we are instead of on a secret.
type Broker interface {
	// Register makes, or finds, the client of that name with that very key.
	Register(ctx context.Context, name string, publicPEM []byte) error
}

// httpsBroker is a Broker over HTTPS: cmd/chef-broker.
type httpsBroker struct {
	url      string // without a slash at the end; also what is signed as the audience
	http     *http.Client
	api      *jsonAPI
	metadata *IMDS
}

// NewBroker makes the Broker at address. caFile, when set, is trusted beside
// the system's roots.
func NewBroker(address, caFile string, a AWS) (Broker, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if caFile != "" {
		b, err := os.ReadFile(caFile)
		if err != nil || !roots.AppendCertsFromPEM(b) {
			return nil, fault.New(fault.Usage, "correct chef.ca_file", errors.Join(fmt.Errorf("reading the broker's CA file: no certificate in %s", caFile), err))
		}
	}
	return &httpsBroker{url: strings.TrimRight(address, "/"), api: newAPI(a), metadata: a.Metadata, http: &http.Client{
		Timeout:       40 * time.Second, // the broker asks three others meanwhile
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Register implements Broker.
func (b *httpsBroker) Register(ctx context.Context, name string, publicPEM []byte) error {
	r := enrol.Request{Node: name, PublicKey: string(publicPEM)}
	var err error
	if r.Document, err = b.dynamic(ctx, "instance-identity/document"); err != nil {
		return err
	}
	if r.RSA2048, err = b.dynamic(ctx, "instance-identity/rsa2048"); err != nil {
		return err
	}
	if r.STS, err = b.api.presignIdentity(ctx, b.url, enrol.KeySum(publicPEM)); err != nil {
		return err
	}
	return b.post(ctx, r)
}

// dynamic reads below /latest/dynamic, byte for byte: it is signed.
func (b *httpsBroker) dynamic(ctx context.Context, path string) (string, error) {
	out, err := b.metadata.client.GetDynamicData(ctx, &imds.GetDynamicDataInput{Path: path})
	if err != nil {
		return "", fault.New(fault.AWS, "check that the instance metadata service (IMDSv2) is enabled for this instance", fmt.Errorf("reading %s: %w", path, err))
	}
	defer out.Content.Close()
	text, err := io.ReadAll(io.LimitReader(out.Content, enrol.MaxBody))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return string(text), nil
}

// presignIdentity signs a call of GetCallerIdentity that somebody else makes:
// audience, for this key, within the next minutes.
func (j *jsonAPI) presignIdentity(ctx context.Context, audience, keySum string) (string, error) {
	creds, err := j.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return "", fault.New(fault.AWS, "give the instance an instance profile", fmt.Errorf("finding AWS credentials: %w", err))
	}
	query := url.Values{"Action": {enrol.STSAction}, "Version": {enrol.STSVersion}, "X-Amz-Expires": {strconv.Itoa(int(enrol.Lifetime / time.Second))}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.endpoint("sts")+"?"+query.Encode(), nil)
	if err != nil {
		return "", fmt.Errorf("preparing sts:GetCallerIdentity: %w", err)
	}
	req.Header.Set(enrol.AudienceHeader, audience)
	req.Header.Set(enrol.KeyHeader, keySum)
	empty := sha256.Sum256(nil)
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, creds, req, hex.EncodeToString(empty[:]), "sts", j.cfg.Region, j.now())
	if err != nil {
		return "", fmt.Errorf("signing sts:GetCallerIdentity: %w", err)
	}
	return signed, nil
}

// post sends the request. What another attempt cannot change is a finalError.
func (b *httpsBroker) post(ctx context.Context, r enrol.Request) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("rendering the request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+enrol.Path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("preparing the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", b.api.agent)
	res, err := b.http.Do(req)
	if err != nil {
		return fault.New(fault.Chef, "check that "+b.url+" answers from this instance, then: systemctl restart bakehouse-first-boot", fmt.Errorf("asking the broker: %w", err))
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, enrol.MaxBody))
	if err != nil {
		return fault.New(fault.Chef, "look at the broker's log", fmt.Errorf("reading the broker's answer: %w", err))
	}
	return b.read(res.StatusCode, answer, r.Node)
}

// read judges the broker's answer.
func (b *httpsBroker) read(status int, body []byte, node string) error {
	var a enrol.Answer
	_ = json.Unmarshal(body, &a) // an HTML page of some proxy says nothing; the status does
	if status == http.StatusOK || status == http.StatusCreated {
		if a.Client == node {
			return nil
		}
		return finalError{fault.Newf(fault.Chef, "check that "+b.url+" is the broker", "asking the broker: %s answers without naming client %s", b.url, node)}
	}
	err := fmt.Errorf("asking the broker: HTTP %d %s", status, strings.TrimSpace(a.Reason+" "+a.Error))
	switch {
	case status == http.StatusConflict:
		return finalError{fault.New(fault.Chef, "if this instance is the rightful owner: knife client delete "+node+", remove its entry from the broker's --state, then systemctl restart bakehouse-first-boot", err)}
	case status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return fault.New(fault.Chef, "look at the broker's log", err)
	}
	return finalError{fault.New(fault.Chef, "docs/broker.md says what that refusal means; the broker's log has the details", err)}
}

// enrol registers by proof.
func (s *session) enrol(ctx context.Context, public []byte) error {
	region := firstOf(s.conf.Region, s.j.Identity.Region)
	ca := s.conf.Chef.CAFile
	if ca != "" {
		ca = s.path(ca)
	}
	b, err := s.deps.Broker(ctx, region, ca)
	if err != nil {
		return err
	}
	return wrap("registering client "+s.j.Node, b.Register(ctx, s.j.Node, public))
}
