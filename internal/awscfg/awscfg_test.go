package awscfg

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// bare takes away every standard source: environment, files and IMDS. The
// tests that use it change the environment and therefore run one at a time.
func bare(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	t.Setenv("HOME", dir)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return dir
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	dir := bare(t)
	_, err := Load(t.Context(), Options{})
	if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "no region is set") || fault.NextOf(err) == "" {
		t.Errorf("no region: %v, next %q", err, fault.NextOf(err))
	}
	_, err = Load(t.Context(), Options{Region: "eu-west-1", Profile: "nobody"})
	if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), `there is no profile "nobody"`) {
		t.Errorf("no profile: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte("[default]\nregion = eu-north-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(t.Context(), Options{})
	if err != nil || cfg.Region != "eu-north-1" {
		t.Errorf("region of the file: %q, %v", cfg.Region, err)
	}
	if cfg, err = Load(t.Context(), Options{Region: "eu-west-1"}); err != nil || cfg.Region != "eu-west-1" {
		t.Errorf("region of the caller: %q, %v", cfg.Region, err)
	}
}

func TestCheckFindsCredentialsOrSaysSo(t *testing.T) {
	bare(t)
	cfg, err := Load(t.Context(), Options{Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	err = Check(t.Context(), cfg)
	if fault.KindOf(err) != fault.AWS || !strings.Contains(err.Error(), "finding AWS credentials: none in") || !strings.Contains(fault.NextOf(err), "AWS_PROFILE") {
		t.Errorf("none: %v, next %q", err, fault.NextOf(err))
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	if cfg, err = Load(t.Context(), Options{Region: "eu-west-1"}); err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), cfg); err != nil {
		t.Errorf("from the environment: %v", err)
	}
}

// A machine without IMDS often has a network that swallows its packets.
func TestCheckDoesNotWaitForADeafMetadataService(t *testing.T) {
	bare(t)
	hang := make(chan struct{})
	imds := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(imds.Close)
	t.Cleanup(func() { close(hang) })
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.URL)
	cfg, err := Load(t.Context(), Options{Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	err = check(t.Context(), cfg, 30*time.Millisecond)
	if fault.KindOf(err) != fault.AWS || !strings.Contains(err.Error(), "no source answered within 30ms") {
		t.Errorf("error %v", err)
	}
}

func TestCheckHonoursItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("SIGINT")
	cfg := aws.Config{Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		cancel(stop)
		return aws.Credentials{}, context.Canceled
	})}
	if err := Check(ctx, cfg); !errors.Is(err, stop) {
		t.Errorf("error %v, want the context's cause", err)
	}
	if err := Check(t.Context(), aws.Config{}); fault.KindOf(err) != fault.AWS {
		t.Errorf("no source: %v", err)
	}
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("the SSO session\nhas expired")
	})
	if err := Check(t.Context(), cfg); err == nil || err.Error() != "finding AWS credentials: the SSO session has expired" {
		t.Errorf("error %v", err)
	}
}

// A call goes to AWS_ENDPOINT_URL under the tool's name, is repeated when AWS
// failed, and is not when it lacks capacity.
func TestCallsAreNamedRepeatedAndBounded(t *testing.T) {
	bare(t)
	code, calls, agent := "", 0, ""
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		agent = r.Header.Get("User-Agent")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte("<Response><Errors><Error><Code>" + code + "</Code></Error></Errors></Response>"))
	}))
	t.Cleanup(api.Close)
	t.Setenv("AWS_ENDPOINT_URL", api.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	cfg, err := Load(t.Context(), Options{Region: "eu-west-1", UserAgent: "bakehouse-bake-ami/1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	code = "InsufficientInstanceCapacity"
	_, err = ec2.NewFromConfig(cfg).DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	if !awserr.IsCapacity(err) || calls != 1 {
		t.Errorf("no capacity: %v after %d calls, want 1", err, calls)
	}
	if !strings.Contains(agent, "bakehouse-bake-ami/1.2.3") {
		t.Errorf("user agent %q lacks the tool", agent)
	}
	r := newRetryer()
	if r.MaxAttempts() != maxAttempts || !r.IsErrorRetryable(&smithy.GenericAPIError{Code: "RequestLimitExceeded"}) {
		t.Errorf("%d attempts, throttling repeated: %v", r.MaxAttempts(), r.IsErrorRetryable(&smithy.GenericAPIError{Code: "RequestLimitExceeded"}))
	}
	if r.IsErrorRetryable(&smithy.GenericAPIError{Code: "InsufficientInstanceCapacity"}) {
		t.Error("capacity errors are repeated")
	}
	for attempt := range 20 {
		if d, err := r.RetryDelay(attempt, errors.New("x")); err != nil || d > maxBackoff {
			t.Errorf("pause %d is %v, %v", attempt, d, err)
		}
	}
}
