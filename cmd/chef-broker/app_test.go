package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/agent/broker"
	"bakehouse/internal/cliapp"
	"bakehouse/reap"
)

const needed = "--audience https://b.test/ --role 123456789012:web --state /s --chef-server http://c --chef-client b --chef-key k --unsigned-documents"

// run runs the tool; world sees its options.
func run(ctx context.Context, t *testing.T, args string, vars map[string]string, world func(options) error, listen func(network, address string) (net.Listener, error)) (int, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := cliapp.Process{Args: append([]string{"chef-broker"}, strings.Fields(args)...), Stdout: &stdout, Stderr: &stderr, Getenv: func(name string) string { return vars[name] }}
	d := deps{Process: p, listen: listen, world: func(_ context.Context, o options) (broker.World, error) { return broker.World{Now: time.Now}, world(o) }}
	code := cliapp.Run(ctx, p, newApp(d), nil)
	return code, stdout.String() + stderr.String()
}

func TestRefusalsAreOneLineWithANextStep(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"serve":             "--audience",
		"serve x " + needed: "x",
		"serve --audience http://b.test " + strings.ReplaceAll(needed, "--audience https://b.test/ ", ""): "not an https URL",
		"serve " + needed + " --role web":                              "ACCOUNT:ROLE",
		"serve " + needed + " --node-prefix a/":                        "--node-prefix",
		"serve " + needed + " --sts-endpoint sts":                      "--sts-endpoint",
		"serve " + needed + " --certificate x":                         "REGION=FILE",
		"serve " + needed + " --certificate x=/none":                   "/none",
		"serve " + needed + " --account-role 1=arn:":                   "--account-role",
		"serve " + needed + " --rate 0":                                "--rate",
		"serve " + needed + " --timeout 0s":                            "--timeout",
		"serve " + needed + " --max-age 0s":                            "--max-age",
		"serve " + needed + " --output yaml":                           "--output",
		"serve " + needed + " --listen 8443":                           "HOST:PORT",
		"serve " + needed + " --listen :8443":                          "--tls-cert",
		"serve " + needed + " --tls-cert x":                            "belong together",
		"serve " + needed + " --tls-cert /n --tls-key /n":              "/n",
		"serve " + strings.TrimSuffix(needed, " --unsigned-documents"): "--certificate is needed",
		"lambda " + needed:                                             "inside a Lambda function",
	} {
		code, out := run(context.Background(), t, args, nil, func(options) error { return nil }, func(string, string) (net.Listener, error) {
			t.Errorf("%s: it listens", args)
			return nil, errors.New("no")
		})
		if code != 2 || !strings.Contains(out, says) || strings.Count(out, "\n") > 5 {
			t.Errorf("%s: exit %d, want 2 and %q:\n%s", args, code, says, out)
		}
	}
}

func TestOptionsReachThePolicy(t *testing.T) {
	t.Parallel()
	var got options
	seen := errors.New("seen enough")
	run(context.Background(), t, "serve "+needed+" --role 210987654321:db --account-role 210987654321=arn:aws:iam::210987654321:role/r --sts-endpoint http://10.0.0.1:4566/ --again --max-age 5m", nil,
		func(o options) error { got = o; return seen }, net.Listen)
	p := got.policy
	if p.Audience != "https://b.test" || len(p.Roles) != 2 || len(p.Prefixes) != 1 || p.Prefixes[0] != "" || p.Endpoints[0] != "http://10.0.0.1:4566" || !p.Again || p.MaxAge != 5*time.Minute || len(got.accounts) != 2 {
		t.Errorf("options are %+v", got)
	}
}

func TestLambdaNeedsNoArguments(t *testing.T) {
	t.Parallel()
	seen := false
	code, out := run(context.Background(), t, needed, map[string]string{runtimeAPI: "127.0.0.1:1"}, func(options) error { seen = true; return errors.New("seen enough") }, nil)
	if !seen || code == 0 {
		t.Errorf("exit %d: %s", code, out)
	}
}

// certificate makes a pair of PEM files for 127.0.0.1.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(os.WriteFile(cert, certPEM, 0o600), os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600)); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return cert, key, pool
}

func TestServeSpeaksTLSAndEndsOnASignal(t *testing.T) {
	t.Parallel()
	cert, key, pool := certificate(t)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	at := make(chan string, 1)
	ended := make(chan int, 1)
	go func() {
		code, _ := run(ctx, t, "serve "+needed+" --listen 127.0.0.1:0 --tls-cert "+cert+" --tls-key "+key, nil, func(options) error { return nil },
			func(network, address string) (net.Listener, error) {
				l, err := net.Listen(network, address)
				if err == nil {
					at <- l.Addr().String()
				}
				return l, err
			})
		ended <- code
	}()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	res, err := client.Get("https://" + <-at + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	stop()
	if code := <-ended; code != 0 || res.StatusCode != http.StatusOK {
		t.Errorf("exit %d, health %d", code, res.StatusCode)
	}
}

func TestTheLedgerKeepsEntriesAndRefusesLateWriters(t *testing.T) {
	t.Parallel()
	ctx, l := context.Background(), ledger{reap.Files{Dir: t.TempDir()}}
	if e, v, err := l.Read(ctx, "i-1"); e != (broker.Entry{}) || v != "" || err != nil {
		t.Fatalf("an empty ledger has %+v %q %v", e, v, err)
	}
	want := broker.Entry{Client: "web-i-1", Key: "k"}
	if err := l.Write(ctx, "i-1", "", want); err != nil {
		t.Fatal(err)
	}
	got, version, err := l.Read(ctx, "i-1")
	if got != want || version == "" || err != nil {
		t.Errorf("read %+v %q %v", got, version, err)
	}
	if err := l.Write(ctx, "i-1", "", broker.Entry{Key: "other"}); !errors.Is(err, broker.ErrTaken) {
		t.Errorf("a late writer gets %v", err)
	}
}
