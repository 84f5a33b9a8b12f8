//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/enrol"
	"bakehouse/test/lab/gateway"
	"bakehouse/test/lab/imds"
	"bakehouse/test/story"
)

// brokerKey is the parameter that holds the broker's Chef key.
const brokerKey = "/bakehouse/chef/broker"

// counter is a running chef-broker and a client that trusts it.
type counter struct {
	url  string
	ca   []byte
	http *http.Client
}

// openCounter starts a broker on the bridge's address, over TLS.
func openCounter(t *testing.T, address string, args ...string) counter {
	t.Helper()
	c := counter{url: "https://" + address}
	cert, key := c.certificate(t)
	args = append([]string{"serve", "--listen", address, "--tls-cert", cert, "--tls-key", key, "--audience", c.url,
		"--sts-endpoint", os.Getenv("AWS_ENDPOINT_URL"), "--certificate", os.Getenv("AWS_REGION") + "=" + os.Getenv("BAKEHOUSE_LAB_IDENTITY_CERT"),
		"--chef-key", "ssm:" + brokerKey, "--state", "s3://bakehouse-builds/broker-" + strings.ReplaceAll(address, ":", "-")}, args...)
	log, err := os.Create(filepath.Join(t.TempDir(), "broker.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(s.ctx, filepath.Join(s.world.Bin, "chef-broker"), args...)
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // interrupted
		if b, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the broker's log:\n%s", b)
		}
		_ = log.Close()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		b, _ := os.ReadFile(log.Name())
		t.Fatalf("the broker says %q, %v\n%s", line, err, b)
	}
	return c
}

// certificate makes the broker's own certificate and keeps it as its authority.
func (c *counter) certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(strings.TrimPrefix(c.url, "https://"))
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.ParseIP(host)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	c.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	cert, key = filepath.Join(t.TempDir(), "broker.crt"), filepath.Join(t.TempDir(), "broker.key")
	if err := errors.Join(os.WriteFile(cert, c.ca, 0o600), os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600)); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.ca)
	c.http = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	return cert, key
}

// userData makes an instance of the story's image register at the counter, with
// no other source of a credential in its configuration.
func (c counter) userData() string {
	const script = `f = "/etc/bakehouse/agent.json"; c = JSON.parse(File.read(f)); ca = "/etc/bakehouse/broker.pem"; File.write(ca, "%s".unpack1("m")); ` +
		`c["chef"].merge!("broker_url" => "%s", "ca_file" => ca); c["chef"].delete("validator_key"); c["metrics"] = {"emf" => "Bakehouse"}; File.write(f, JSON.pretty_generate(c))`
	return "#cloud-config\nbootcmd:\n- [ruby, -rjson, -e, '" + fmt.Sprintf(script, base64.StdEncoding.EncodeToString(c.ca), c.url) + "']\n"
}

// forge is a request made by the test with an instance's own keys.
type forge struct {
	as, of      string // instance whose keys sign, and whose document is sent
	boundTo     string // public key that is signed for; empty: the posted one
	publicKey   string
	signed      time.Time
	audience    string
	wantStatus  int
	wantRefusal string
}

// post sends a forged request and compares the answer.
func (c counter) post(t *testing.T, name string, f forge) {
	t.Helper()
	const metadata = `T=$(curl -sfX PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token); curl -sf -H "X-aws-ec2-metadata-token: $T" http://169.254.169.254/latest/dynamic/instance-identity/`
	r := enrol.Request{Node: f.of, PublicKey: f.publicKey, Document: guestText(t, f.of, metadata+"document"), RSA2048: guestText(t, f.of, metadata+"rsa2048")}
	if f.boundTo == "" {
		f.boundTo = f.publicKey
	}
	if f.audience == "" {
		f.audience = c.url
	}
	r.STS = presign(t, f)
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.http.Post(c.url+enrol.Path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var a enrol.Answer
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != f.wantStatus || a.Reason != f.wantRefusal {
		t.Errorf("%s: answer %d %+v, want %d %s", name, res.StatusCode, a, f.wantStatus, f.wantRefusal)
	}
}

// guestText is a command's output byte for byte: the document is signed.
func guestText(t *testing.T, id, script string) string {
	t.Helper()
	out, err := s.world.Guest(deadline(t, 20*time.Second), id, script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// presign signs as the instance f.as would.
func presign(t *testing.T, f forge) string {
	t.Helper()
	query := url.Values{"Action": {enrol.STSAction}, "Version": {enrol.STSVersion}, "X-Amz-Expires": {"300"}}
	req, err := http.NewRequest(http.MethodGet, os.Getenv("AWS_ENDPOINT_URL")+"/?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(enrol.AudienceHeader, f.audience)
	req.Header.Set(enrol.KeyHeader, enrol.KeySum([]byte(f.boundTo)))
	secret, token := imds.Secret(f.as)
	empty := sha256.Sum256(nil)
	signed, _, err := v4.NewSigner().PresignHTTP(context.Background(), aws.Credentials{AccessKeyID: imds.AccessKeyID(f.as), SecretAccessKey: secret, SessionToken: token},
		req, hex.EncodeToString(empty[:]), "sts", os.Getenv("AWS_REGION"), f.signed)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// storeBrokerKey puts the key of the broker's Chef client where the broker
// fetches it.
func storeBrokerKey(ctx context.Context, t *testing.T) {
	t.Helper()
	key, err := os.ReadFile(os.Getenv("CHEF_CLIENT_KEY"))
	if err == nil {
		_, err = ssm.NewFromConfig(s.world.AWS).PutParameter(ctx, &ssm.PutParameterInput{Name: aws.String(brokerKey), Value: aws.String(string(key)),
			Type: ssmtypes.ParameterTypeSecureString, Overwrite: aws.Bool(true)})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnInstanceRegistersByProofAlone(t *testing.T) {
	r := theStory(t)
	ctx := deadline(t, 4*time.Minute)
	storeBrokerKey(ctx, t)
	c := openCounter(t, "172.31.0.1:8443", "--role", "123456789012:web")
	inst := launch(ctx, t, story.Launch{UserData: c.userData()})
	if err := complete(ctx, inst.ID); err != nil {
		t.Fatal(err)
	}
	answer, err := s.world.Answers(ctx, inst.Addr)
	if err != nil || answer.Release != r.build {
		t.Fatalf("the app answers %+v, %v", answer, err)
	}
	if node, client, err := registered(ctx, inst.ID); err != nil || !node || !client {
		t.Errorf("node %v, client %v, %v", node, client, err)
	}
	fetchedNoSecret(t, inst.ID)
	seen(ctx, t, inst.ID)

	_, other, err := chefapi.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	now, mine := time.Now().UTC(), guestText(t, inst.ID, "openssl rsa -in /etc/chef/client.pem -pubout 2>/dev/null")
	for name, f := range map[string]forge{
		"the same key again":       {as: inst.ID, of: inst.ID, publicKey: mine, signed: now, wantStatus: 200},
		"a second key":             {as: inst.ID, of: inst.ID, publicKey: string(other), signed: now, wantStatus: 409, wantRefusal: "already-registered"},
		"a caught request":         {as: inst.ID, of: inst.ID, publicKey: string(other), boundTo: mine, signed: now, wantStatus: 403, wantRefusal: "not-signed-for-us"},
		"for another broker":       {as: inst.ID, of: inst.ID, publicKey: mine, audience: "https://elsewhere", signed: now, wantStatus: 403, wantRefusal: "not-signed-for-us"},
		"another's document":       {as: inst.ID, of: r.inst.ID, publicKey: string(other), signed: now, wantStatus: 403, wantRefusal: "other-instance"},
		"an old request":           {as: inst.ID, of: inst.ID, publicKey: mine, signed: now.Add(-6 * time.Minute), wantStatus: 403, wantRefusal: "expired"},
		"keys that nobody has got": {as: "i-0fedcba9876543210", of: inst.ID, publicKey: mine, signed: now, wantStatus: 403, wantRefusal: "not-signed-for-us"},
	} {
		c.post(t, name, f)
	}
	strict := openCounter(t, "172.31.0.1:8444", "--role", "210987654321:web", "--account-role", "210987654321=arn:aws:iam::210987654321:role/x")
	strict.post(t, "an account of nobody's", forge{as: inst.ID, of: inst.ID, publicKey: mine, signed: now, wantStatus: 403, wantRefusal: "foreign-account"})
}

// fetchedNoSecret looks at what the gateway recorded of an instance.
func fetchedNoSecret(t *testing.T, id string) {
	t.Helper()
	text, err := control(deadline(t, 20*time.Second), http.MethodGet, "calls", nil)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var r gateway.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.Caller != id {
			continue
		}
		calls++
		if r.Service == "ssm" || r.Service == "secretsmanager" {
			t.Errorf("%s called %s:%s", id, r.Service, r.Action)
		}
	}
	if calls == 0 {
		t.Errorf("no call of %s is recorded; the test looks at nothing", id)
	}
}

// seen looks at what a person or a collector sees of a first boot.
func seen(ctx context.Context, t *testing.T, id string) {
	t.Helper()
	out := inGuest(t, id, "journalctl --sync; journalctl -b -o json --no-pager BAKEHOUSE_STAGE=register")
	if !strings.Contains(out, `"BAKEHOUSE_STATE":"done"`) || !strings.Contains(out, `"BAKEHOUSE_INSTANCE":"`+id+`"`) || !strings.Contains(out, `"BAKEHOUSE_MS":"`) {
		t.Errorf("the journal says of register:\n%s", out)
	}
	if emf := inGuest(t, id, "journalctl -b -o cat --no-pager -u bakehouse-first-boot | grep CloudWatchMetrics"); strings.Count(emf, `"Namespace":"Bakehouse"`) < 5 {
		t.Errorf("metrics in the journal:\n%s", emf)
	}
	n, err := s.world.Chef.Node(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	marker, _ := n.Normal["bakehouse"].(map[string]any)
	boot, _ := marker["first_boot"].(map[string]any)
	if boot["state"] != "complete" || boot["release"] == "" || boot["release"] == nil || len(n.RunList) == 0 || n.Automatic["platform"] == nil {
		t.Errorf("the node's attributes say %v", marker)
	}
}
