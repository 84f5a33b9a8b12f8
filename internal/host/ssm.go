package host

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"bakehouse/internal/awserr"
)

// SSMClient is the part of Systems Manager that Run Command needs.
type SSMClient interface {
	SendCommand(context.Context, *ssm.SendCommandInput, ...func(*ssm.Options)) (*ssm.SendCommandOutput, error)
	GetCommandInvocation(context.Context, *ssm.GetCommandInvocationInput, ...func(*ssm.Options)) (*ssm.GetCommandInvocationOutput, error)
	CancelCommand(context.Context, *ssm.CancelCommandInput, ...func(*ssm.Options)) (*ssm.CancelCommandOutput, error)
}

// SSM is a machine that is reached through Systems Manager's Run Command: no
// port is open, no key is placed. Every command runs as root.
//
// Run Command keeps scripts and output for 30 days, readable for whoever may
// list commands; so standard input travels encrypted to a key that the machine
// makes and keeps in memory. It also cuts output off at 24,000 characters; so
// commands run in units of their own and write to files, which are fetched
// piece by piece (docs.aws.amazon.com/systems-manager, "Run Command").
type SSM struct {
	client   SSMClient
	instance string
	public   *rsa.PublicKey // of the machine, for what is sent to it
	every    time.Duration  // between two looks at a command
}

// Where SSM works on the machine (a tmpfs), and its limits.
const (
	ssmDir     = "/run/bakehouse-ssm"
	outPiece   = 12000    // bytes of standard output a look, 16,000 characters in base64
	errPiece   = 4000     // bytes of standard error a look
	scriptMax  = 24 << 10 // bytes of one script
	killGrace  = 5 * time.Second
	ssmTimeout = 60 // seconds until a command must have been delivered
)

// ssmSetup makes the machine's key once a boot, and prints its public half. Of
// several that make one at the same time the first wins, by ln: what is encrypted
// for a key that was replaced nobody can read.
const ssmSetup = `set -eu
umask 077
mkdir -p ` + ssmDir + `
cd ` + ssmDir + `
[ -s key ] || { t=$(mktemp key.XXXXXXXX); openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$t" 2>/dev/null; ln "$t" key 2>/dev/null || true; rm -f "$t"; }
openssl pkey -in key -pubout
`

// WaitSSM waits until the instance's SSM agent answers, or ctx ends. An
// instance that is not registered yet, or has no right to be, looks the same.
func WaitSSM(ctx context.Context, client SSMClient, instance string, every time.Duration) (*SSM, error) {
	s := &SSM{client: client, instance: instance, every: every}
	for {
		out, err := s.invoke(ctx, ssmSetup)
		if err == nil {
			s.public, err = publicKey(out)
			return s, err
		}
		if awserr.Code(err) != "InvalidInstanceId" && !errors.Is(err, ErrLost) {
			return nil, fmt.Errorf("waiting for the SSM agent of %s: %w", instance, err)
		}
		if cause := s.pause(ctx); cause != nil {
			return nil, fmt.Errorf("waiting for the SSM agent of %s: %w (last: %v)", instance, cause, err)
		}
	}
}

func publicKey(text string) (*rsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("reading the machine's key: it printed %.60q", text)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the machine's key: %w", err)
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("reading the machine's key: it is a %T", key)
	}
	return public, nil
}

// pause waits a moment, and returns the context's cause when that has ended.
func (s *SSM) pause(ctx context.Context) error {
	t := time.NewTimer(s.every)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// invoke runs a short script and returns its output, of up to 24,000 characters.
func (s *SSM) invoke(ctx context.Context, script string) (string, error) {
	sent, err := s.client.SendCommand(ctx, &ssm.SendCommandInput{
		DocumentName: aws.String("AWS-RunShellScript"), InstanceIds: []string{s.instance}, TimeoutSeconds: aws.Int32(ssmTimeout),
		Parameters: map[string][]string{"commands": {script}, "executionTimeout": {"600"}}})
	if err != nil {
		return "", fmt.Errorf("sending a command to %s: %w", s.instance, err)
	}
	id := aws.ToString(sent.Command.CommandId)
	for {
		out, err := s.client.GetCommandInvocation(ctx, &ssm.GetCommandInvocationInput{CommandId: aws.String(id), InstanceId: aws.String(s.instance)})
		switch {
		case awserr.Code(err) == "InvocationDoesNotExist": // too new
		case err != nil && ctx.Err() == nil:
			return "", fmt.Errorf("looking at a command on %s: %w", s.instance, err)
		case err == nil:
			if text, done, err := verdictOf(out); done {
				return text, err
			}
		}
		if cause := s.pause(ctx); cause != nil {
			short, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
			defer cancel()
			_, _ = s.client.CancelCommand(short, &ssm.CancelCommandInput{CommandId: aws.String(id)})
			return "", cause
		}
	}
}

// verdictOf reads how an invocation ended, if it has.
func verdictOf(out *ssm.GetCommandInvocationOutput) (text string, done bool, err error) {
	switch out.Status {
	case types.CommandInvocationStatusPending, types.CommandInvocationStatusInProgress, types.CommandInvocationStatusDelayed, types.CommandInvocationStatusCancelling:
		return "", false, nil
	case types.CommandInvocationStatusSuccess:
		return aws.ToString(out.StandardOutputContent), true, nil
	case types.CommandInvocationStatusFailed:
		return "", true, &ExitError{Code: int(out.ResponseCode), Stderr: aws.ToString(out.StandardErrorContent)}
	}
	return "", true, fmt.Errorf("running a command: %w (%s)", ErrLost, aws.ToString(out.StatusDetails))
}

// Run runs c as root and waits for it, as SSH.Run does.
func (s *SSM) Run(ctx context.Context, c Command) error {
	id, err := newRunID()
	if err != nil {
		return err
	}
	script, err := c.exported()
	if err != nil {
		return err
	}
	prelude := ""
	if c.Stdin != nil {
		if prelude, err = s.upload(ctx, id, c.Stdin); err != nil {
			return err
		}
	}
	err = s.follow(ctx, id, prelude+launchScript(id, script), c)
	if err != nil && ctx.Err() != nil {
		s.killUnit(ctx, id)
		return fmt.Errorf("running a command on %s: %w", s.instance, context.Cause(ctx))
	}
	return err
}

// exported puts the environment before the script.
func (c Command) exported() (string, error) {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name) {
			return "", fmt.Errorf("running a command: %q is not the name of an environment variable", name)
		}
		b.WriteString("export " + name + "=" + Quote(c.Env[name]) + "\n")
	}
	b.WriteString(c.Script)
	if b.Len() > scriptMax {
		return "", fmt.Errorf("running a command: a script of %d bytes is too long for SSM", b.Len())
	}
	return b.String(), nil
}

// launchScript starts a script in a unit of its own, which outlives the SSM
// command, and whose exit code appears only when all output is there. The
// unit's command has no dollar sign, because systemd would expand it. What
// commands have left in memory goes an hour after their end, and what nothing
// is known to have ended after two days.
func launchScript(id, script string) string {
	runner := strings.ReplaceAll(`cd /root
d=`+ssmDir+`
sh $d/@.sh <$d/@.in >$d/@.out 2>$d/@.err
c=$?
rm -f $d/@.in
echo $c >$d/@.new
mv $d/@.new $d/@.code
`, "@", id)
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	return strings.NewReplacer("@SCRIPT", encode(script), "@RUNNER", encode(runner), "@", id).Replace(`set -eu
umask 077
cd ` + ssmDir + `
find . -type f '(' -name '*.code' -mmin +60 -o ! -name key -mmin +2880 ')' 2>/dev/null | while read -r f; do rm -f "${f%.*}".*; done
echo @SCRIPT | base64 -d >@.sh
echo @RUNNER | base64 -d >@.run
[ -e @.in ] || : >@.in
: >@.out
: >@.err
systemd-run --quiet --collect --unit=bakehouse-ssm-@ --setenv=HOME=/root --setenv=LANG=C.UTF-8 \
  --setenv=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /bin/sh ` + ssmDir + `/@.run
`)
}

// fetchScript prints exit code or -, then what is new of both outputs. It
// waits up to ten seconds for something new.
func fetchScript(id string, out, errs int64) string {
	return strings.NewReplacer("@OUT", strconv.FormatInt(out, 10), "@ERR", strconv.FormatInt(errs, 10), "@", id).Replace(`
cd ` + ssmDir + ` 2>/dev/null && [ -e @.sh ] || { echo gone; exit 0; }
n=0
while [ $n -lt 50 ] && [ -e @.sh ] && [ ! -e @.code ] && [ "$(stat -c %s @.out)" -le @OUT ] && [ "$(stat -c %s @.err)" -le @ERR ]; do
  n=$((n+1))
  sleep 0.2
done
[ -e @.sh ] || { echo gone; exit 0; }
cat @.code 2>/dev/null || echo -
echo "o $(tail -c +$((@OUT+1)) @.out | head -c ` + strconv.Itoa(outPiece) + ` | base64 -w0)"
echo "e $(tail -c +$((@ERR+1)) @.err | head -c ` + strconv.Itoa(errPiece) + ` | base64 -w0)"
`)
}

// follow starts a command and passes its output on until it has ended.
func (s *SSM) follow(ctx context.Context, id, first string, c Command) error {
	var out, errs int64
	last := &markReader{next: c.Stderr, settled: true}
	for {
		text, err := s.invoke(ctx, first+fetchScript(id, out, errs))
		if err != nil {
			return err
		}
		first = ""
		p, err := parsePiece(text)
		if err != nil {
			return fmt.Errorf("running a command on %s: %w", s.instance, err)
		}
		out, errs = out+int64(len(p.out)), errs+int64(len(p.err))
		if c.Stdout != nil {
			if _, err := c.Stdout.Write(p.out); err != nil {
				return fmt.Errorf("running a command on %s: passing its data: %w", s.instance, err)
			}
		}
		if _, err := last.Write(p.err); err != nil {
			return fmt.Errorf("running a command on %s: passing its data: %w", s.instance, err)
		}
		if p.ended && len(p.out) < outPiece && len(p.err) < errPiece {
			if p.code != 0 {
				return &ExitError{Code: p.code, Stderr: last.tail()}
			}
			return nil
		}
	}
}

// piece is what one look at a command gives.
type piece struct {
	ended    bool
	code     int
	out, err []byte
}

// parsePiece reads what fetchScript prints.
func parsePiece(text string) (p piece, err error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if lines[0] == "gone" {
		return p, fmt.Errorf("%w: the machine knows nothing of it (did it reboot?)", ErrLost)
	}
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "o") || !strings.HasPrefix(lines[2], "e") {
		return p, fmt.Errorf("%w: unreadable answer %.80q", ErrLost, text)
	}
	if lines[0] != "-" {
		p.ended = true
		if p.code, err = strconv.Atoi(lines[0]); err != nil {
			return p, fmt.Errorf("%w: unreadable exit code %.80q", ErrLost, lines[0])
		}
	}
	for i, to := range map[int]*[]byte{1: &p.out, 2: &p.err} {
		if *to, err = base64.StdEncoding.DecodeString(strings.TrimSpace(lines[i][1:])); err != nil {
			return p, fmt.Errorf("%w: unreadable output: %w", ErrLost, err)
		}
	}
	return p, nil
}

// killUnit kills a command whose context is over, with its children. Nobody
// waits for the reply: the machine may be gone.
func (s *SSM) killUnit(ctx context.Context, id string) {
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
	defer cancel()
	_, _ = s.client.SendCommand(short, &ssm.SendCommandInput{DocumentName: aws.String("AWS-RunShellScript"), InstanceIds: []string{s.instance},
		Parameters: map[string][]string{"commands": {"systemctl kill --signal=KILL bakehouse-ssm-" + id + " 2>/dev/null; rm -f " + ssmDir + "/" + id + ".*"}}})
}

// Output runs c and returns its standard output, of up to 16 MiB.
func (s *SSM) Output(ctx context.Context, c Command) ([]byte, error) { return output(ctx, c, s.Run) }

// Copy writes a file, as SSH.Copy does.
func (s *SSM) Copy(ctx context.Context, c CopySpec) error { return copyFile(ctx, c, s.instance, s.Run) }

// Close has nothing to close: there is no connection.
func (s *SSM) Close() error { return nil }
