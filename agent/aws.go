package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/fault"
)

// AWS says how an instance reaches AWS. An instance has one source of
// credentials, its role, so the SDK's whole chain (shared files, SSO, web
// identity, processes) stays out of the agent: it alone is 1.8 MB of code.
type AWS struct {
	Region   string
	Endpoint string          // of all services; "" is AWS's own
	Keys     aws.Credentials // used instead of the instance's role when set
	Metadata *IMDS           // where the role's credentials come from
	Agent    string          // NAME/VERSION for the User-Agent header, where access logs show it
}

// connections is how many connections to S3 are kept for a download's next
// parts; the SDK keeps 10.
const connections = 16

// NewCloud makes the Cloud of a real instance. The S3 client stays concrete:
// held in an interface, every method of it would be linked in.
func NewCloud(a AWS) Cloud {
	api := newAPI(a)
	cfg := api.cfg
	store := &objects{s3: s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = a.Endpoint != "" // an endpoint of one's own seldom has a host name per bucket
	})}
	return Cloud{
		Secrets: &secrets{api: api, inMemory: inMemory},
		Groups:  &lifecycle{api},
		Stacks:  &stacks{api},
		Store:   store,
		Papers:  store,
	}
}

// newAPI makes what signs and sends requests for a.
func newAPI(a AWS) *jsonAPI {
	name, version, _ := strings.Cut(a.Agent, "/")
	cfg := aws.Config{Region: a.Region, RetryMaxAttempts: 5, HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = connections
		t.ResponseHeaderTimeout = 30 * time.Second
	})}
	if name != "" {
		cfg.APIOptions = append(cfg.APIOptions, middleware.AddUserAgentKeyValue(name, version))
	}
	if a.Endpoint != "" {
		cfg.BaseEndpoint = aws.String(a.Endpoint)
	}
	if a.Keys.HasKeys() {
		cfg.Credentials = credentials.NewStaticCredentialsProvider(a.Keys.AccessKeyID, a.Keys.SecretAccessKey, a.Keys.SessionToken)
	} else {
		cfg.Credentials = aws.NewCredentialsCache(ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = a.Metadata.client }))
	}
	return &jsonAPI{cfg: cfg, agent: a.Agent, http: &http.Client{Timeout: 30 * time.Second}, now: time.Now}
}

// jsonAPI calls the AWS services that speak JSON 1.1 with one small request
// each. Their SDK clients carry every operation's schema: 1.3 MB for
// Parameter Store alone. The agent's own retries are enough here.
type jsonAPI struct {
	cfg   aws.Config
	agent string // User-Agent
	http  *http.Client
	now   func() time.Time
}

// operation names one call: the service as in its host name and signature, and
// the X-Amz-Target header.
type operation struct{ service, target string }

// call sends in and decodes the answer into out. An error that the service
// answered has its code (ErrorCode).
func (j *jsonAPI) call(ctx context.Context, op operation, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("rendering %s: %w", op.target, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, j.endpoint(op.service), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("preparing %s: %w", op.target, err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", op.target)
	req.Header.Set("User-Agent", j.agent)
	if err := j.sign(ctx, req, body, op.service); err != nil {
		return err
	}
	res, err := j.http.Do(req)
	if err != nil {
		return fmt.Errorf("calling %s: %w", op.target, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading the answer to %s: %w", op.target, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("calling %s: %w", op.target, answerError(res, answer))
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return errors.New("reading the answer to " + op.target + ": not the JSON expected") // its text may hold the secret
	}
	return nil
}

// sign adds a Signature Version 4 with the instance's credentials.
func (j *jsonAPI) sign(ctx context.Context, req *http.Request, body []byte, service string) error {
	creds, err := j.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return fault.New(fault.AWS, "give the instance an instance profile", fmt.Errorf("finding AWS credentials: %w", err))
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), service, j.cfg.Region, j.now()); err != nil {
		return fmt.Errorf("signing a request: %w", err)
	}
	return nil
}

// endpoint is the URL of a service in the region, by AWS's rule for the
// partition.
func (j *jsonAPI) endpoint(service string) string {
	if j.cfg.BaseEndpoint != nil {
		return strings.TrimSuffix(*j.cfg.BaseEndpoint, "/") + "/"
	}
	domain := "amazonaws.com"
	if strings.HasPrefix(j.cfg.Region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	return "https://" + service + "." + j.cfg.Region + "." + domain + "/"
}

// apiError is what a service answered instead of a result. Package awserr reads
// its code.
type apiError struct{ code, message string }

func (e *apiError) Error() string {
	if e.message == "" {
		return e.code
	}
	return e.code + ": " + e.message
}

// ErrorCode returns AWS's code, for example ParameterNotFound.
func (e *apiError) ErrorCode() string { return e.code }

// ErrorMessage returns what AWS says about it.
func (e *apiError) ErrorMessage() string { return e.message }

// answerError reads the error that the JSON protocol carries: the code is in
// "__type", perhaps behind a namespace and "#".
func answerError(res *http.Response, body []byte) error {
	var doc struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &doc) != nil || doc.Type == "" {
		return &apiError{code: res.Status}
	}
	return &apiError{code: doc.Type[strings.LastIndexByte(doc.Type, '#')+1:], message: doc.Message}
}
