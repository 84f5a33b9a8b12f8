//go:build lab && linux

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/crypto/ssh"

	"bakehouse/test/lab/company"
)

// keys are the two halves of a login: the user's key and the pinned host key.
type keys struct {
	user, host       ssh.Signer
	userLine, hostID string // authorized_keys line; OpenSSH private key of the host
}

func newKeys(t *testing.T) keys {
	t.Helper()
	var k keys
	for _, signer := range []*ssh.Signer{&k.user, &k.host} {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if *signer, err = ssh.NewSignerFromKey(private); err != nil {
			t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			t.Fatal(err)
		}
		k.hostID = string(pem.EncodeToMemory(block)) // the host's comes last
	}
	k.userLine = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.user.PublicKey())))
	return k
}

// userData is a cloud-config that lets the user in at a host with a known key.
func (k keys) userData() string {
	indented := strings.ReplaceAll(strings.TrimSpace(k.hostID), "\n", "\n    ")
	return fmt.Sprintf("#cloud-config\nssh_authorized_keys: [ %q ]\nssh_keys:\n  ed25519_private: |\n    %s\n  ed25519_public: %q\n",
		k.userLine, indented, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.host.PublicKey()))))
}

// launch runs one instance of image ("" is the base) and returns its id.
func launch(t *testing.T, b *box, image string, change func(*ec2.RunInstancesInput)) string {
	t.Helper()
	in := &ec2.RunInstancesInput{
		ImageId: aws.String(image), InstanceType: types.InstanceTypeT3Small,
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		MetadataOptions: &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired},
	}
	if image == "" {
		in.ImageId = aws.String(company.BaseImage)
	}
	if change != nil {
		change(in)
	}
	out, err := ec2.NewFromConfig(b.aws()).RunInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.Instances[0].InstanceId)
}

func describe(t *testing.T, b *box, id string) types.Instance {
	t.Helper()
	out, err := ec2.NewFromConfig(b.aws()).DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Reservations[0].Instances[0]
}

func stateOf(t *testing.T, b *box, id string) string {
	t.Helper()
	return string(describe(t, b, id).State.Name)
}

func waitState(t *testing.T, b *box, id, state string) {
	t.Helper()
	until(t, id+" is "+state, func() bool { return stateOf(t, b, id) == state })
}

// login waits until sshd lets the user in at the pinned host key.
func login(t *testing.T, b *box, id string, k keys) *ssh.Client {
	t.Helper()
	addr := aws.ToString(describe(t, b, id).PrivateIpAddress) + ":22"
	cfg := &ssh.ClientConfig{User: "ubuntu", Auth: []ssh.AuthMethod{ssh.PublicKeys(k.user)},
		HostKeyCallback: ssh.FixedHostKey(k.host.PublicKey())}
	var client *ssh.Client
	until(t, "SSH login to "+id, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		conn, err := b.dial(ctx, "tcp", addr)
		if err != nil {
			return false
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		c, chans, reqs, err := ssh.NewClientConn(conn, addr, cfg)
		if err != nil {
			_ = conn.Close()
			return false
		}
		_ = conn.SetDeadline(time.Time{})
		client = ssh.NewClient(c, chans, reqs)
		return true
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// in runs a script over SSH and returns its standard output.
func in(t *testing.T, client *ssh.Client, script string) string {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var stdout, stderr bytes.Buffer
	session.Stdout, session.Stderr = &stdout, &stderr
	if err := session.Run(script); err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

// settled waits for cloud-init and checks how it ended.
func settled(t *testing.T, client *ssh.Client) {
	t.Helper()
	out := in(t, client, "cloud-init status --wait --format json || true")
	var got struct {
		Status, Datasource string
		Errors             []string
	}
	if i := strings.IndexByte(out, '{'); i < 0 || json.Unmarshal([]byte(out[i:]), &got) != nil {
		t.Fatalf("cloud-init said %q", out)
	}
	if got.Status != "done" || !strings.HasPrefix(got.Datasource, "ec2") || len(got.Errors) > 0 {
		t.Errorf("cloud-init ended with %+v, want done with data source ec2", got)
	}
}

func TestInstanceLifeAndImages(t *testing.T) {
	b := newBox(t)
	b.must("up")
	k := newKeys(t)
	start := time.Now()
	with := func(in *ec2.RunInstancesInput) {
		in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte(k.userData())))
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(company.Role)}
		in.InstanceInitiatedShutdownBehavior = types.ShutdownBehaviorTerminate
	}
	id := launch(t, b, "", with)
	client := login(t, b, id, k)
	t.Logf("SSH login %s after RunInstances", time.Since(start).Round(10*time.Millisecond))
	settled(t, client)
	t.Logf("cloud-init done %s after RunInstances", time.Since(start).Round(10*time.Millisecond))
	inside(t, b, client, id)

	api := ec2.NewFromConfig(b.aws())
	if _, err := api.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	waitState(t, b, id, "stopped")
	image := makeImage(t, b, id)
	if _, err := api.StartInstances(t.Context(), &ec2.StartInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	if got := in(t, login(t, b, id, k), "cat /etc/baked"); got != "by hand" {
		t.Errorf("after stop and start the disk holds %q", got)
	}

	second := launch(t, b, image, with)
	client = login(t, b, second, k)
	settled(t, client)
	if got := in(t, client, "cat /etc/baked; curl -sf http://169.254.169.254 && echo open || echo closed"); got != "by hand\nclosed" {
		t.Errorf("the image's instance says %q", got)
	}
	_, _ = in(t, client, "sudo systemctl poweroff --no-block; true"), client.Close()
	waitState(t, b, second, "terminated")
	if out := b.must("logs", id); !strings.Contains(out, "systemd") {
		t.Errorf("the console holds %q", out)
	}
	b.must("down")
	assertGone(t, b)
}

// inside checks what an instance sees, and leaves a file for the image.
func inside(t *testing.T, b *box, client *ssh.Client, id string) {
	t.Helper()
	name := "ip-" + strings.ReplaceAll(aws.ToString(describe(t, b, id).PrivateIpAddress), ".", "-")
	const imds = `T=$(curl -sf -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" http://169.254.169.254/latest/api/token) && curl -sf -H "X-aws-ec2-metadata-token: $T" http://169.254.169.254/latest/meta-data/`
	for _, c := range []struct{ what, script, want string }{
		{"host name", "hostname", name},
		{"sudo", "sudo id -un", "root"},
		{"init", "ps -p 1 -o comm=", "systemd"},
		{"instance id", imds + "instance-id", id},
		{"role", imds + "iam/security-credentials/", company.Role},
		{"gateway", "curl -s -o /dev/null -w '%{http_code}' " + company.GatewayURL + "/_lab/calls", "200"},
		{"no way out", "ip route get 192.0.2.1 >/dev/null && curl -s -m 3 http://192.0.2.1 >/dev/null && echo out || echo sealed", "sealed"},
		{"packages", "sudo apt-get -qq update && sudo apt-get -qq -y install jq >/dev/null 2>&1 && echo '{\"a\":1}' | jq .a", "1"},
		{"disk", "echo by hand | sudo tee /etc/baked", "by hand"},
	} {
		if got := in(t, client, c.script); got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
	}
	for _, where := range [][]string{{"exec", id, "--", "hostname"}, {"run", "--", binary, "exec", id, "--", "hostname"}} {
		if out := strings.TrimSpace(b.must(where...)); out != name {
			t.Errorf("lab %v said %q", where, out)
		}
	}
	if r := b.lab("exec", id, "--", "sh", "-c", "exit 4"); r.code != 4 {
		t.Errorf("lab exec lost the exit code: %+v", r)
	}
}

func makeImage(t *testing.T, b *box, id string) string {
	t.Helper()
	api := ec2.NewFromConfig(b.aws())
	out, err := api.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: aws.String(id), Name: aws.String("baked-by-hand")})
	if err != nil {
		t.Fatal(err)
	}
	image := aws.ToString(out.ImageId)
	until(t, image+" is available", func() bool {
		out, err := api.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{image}})
		return err == nil && len(out.Images) == 1 && out.Images[0].State == types.ImageStateAvailable
	})
	return image
}

func TestRebootKeepsTheInstanceAndKeyPairLogsIn(t *testing.T) {
	b := newBox(t)
	b.must("up")
	id := launch(t, b, "", func(in *ec2.RunInstancesInput) { in.KeyName = aws.String(company.KeyName) })
	boot := func() string {
		var last result
		until(t, "lab ssh gets in", func() bool {
			last = b.lab("ssh", id, "cat", "/proc/sys/kernel/random/boot_id", ";", "systemctl", "is-system-running", "--wait", ">/dev/null", ";", "uptime", "-s")
			return last.code == 0
		})
		return last.out
	}
	boot()
	first := b.must("exec", id, "--", "systemctl", "show", "--property=UserspaceTimestampMonotonic")
	if _, err := ec2.NewFromConfig(b.aws()).RebootInstances(t.Context(), &ec2.RebootInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	until(t, "the guest has booted again", func() bool {
		r := b.lab("exec", id, "--", "systemctl", "show", "--property=UserspaceTimestampMonotonic")
		return r.code == 0 && r.out != first
	})
	boot()
	if got := stateOf(t, b, id); got != "running" {
		t.Errorf("after its reboot the instance is %s", got)
	}
}

func TestSpotInstanceWithASmallDisk(t *testing.T) {
	b := newBox(t)
	b.must("up")
	id := launch(t, b, "", func(in *ec2.RunInstancesInput) {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot}
		in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/sda1"),
			Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(1)}}}
	})
	waitState(t, b, id, "running")
	var full result
	until(t, "the guest takes commands", func() bool {
		full = b.lab("exec", id, "--", "fallocate", "-l", "2G", "/fill")
		return full.code != 0 && !strings.Contains(full.err, "it is running") && strings.Contains(full.err, "fallocate")
	})
	if !strings.Contains(full.err, "No space left") {
		t.Errorf("2 GiB on a disk of 1 GiB: %+v", full)
	}
	if r := b.lab("spot-interrupt", id, "--action", "nap"); r.code != 2 {
		t.Errorf("an unknown action: %+v", r)
	}
	b.must("spot-interrupt", id, "--after", "1h")
	const notice = `T=$(curl -sf -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" http://169.254.169.254/latest/api/token) && curl -sf -H "X-aws-ec2-metadata-token: $T" http://169.254.169.254/latest/meta-data/spot/instance-action`
	var seen result
	until(t, "the instance sees the notice", func() bool {
		seen = b.lab("exec", id, "--", "sh", "-c", notice)
		return seen.code == 0
	})
	if !strings.Contains(seen.out, `"terminate"`) {
		t.Errorf("the notice is %q", seen.out)
	}
	b.must("spot-interrupt", id, "--after", "1s") // in the first one's place
	waitState(t, b, id, "terminated")
}

func TestFourInstancesAtOnce(t *testing.T) {
	b := newBox(t)
	b.must("up")
	k := newKeys(t)
	out, err := ec2.NewFromConfig(b.aws()).RunInstances(t.Context(), &ec2.RunInstancesInput{
		ImageId: aws.String(company.BaseImage), InstanceType: types.InstanceTypeT3Small, MinCount: aws.Int32(4), MaxCount: aws.Int32(4),
		UserData: aws.String(base64.StdEncoding.EncodeToString([]byte(k.userData()))),
	})
	if err != nil {
		t.Fatal(err)
	}
	start, addresses := time.Now(), map[string]bool{}
	for _, i := range out.Instances {
		client := login(t, b, aws.ToString(i.InstanceId), k)
		settled(t, client)
		addresses[in(t, client, "hostname -I")] = true
	}
	t.Logf("four instances settled after %s", time.Since(start).Round(10*time.Millisecond))
	if len(addresses) != 4 {
		t.Errorf("four instances share addresses: %v", addresses)
	}
}
