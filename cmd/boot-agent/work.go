package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"bakehouse/agent"
	"bakehouse/internal/agentconf"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

// rebootWait is how long a reboot that was asked for may take to stop us.
const rebootWait = 10 * time.Minute

// work runs do on an agent wired to the real machine.
func work(ctx context.Context, opts options, out, errOut io.Writer, do func(*agent.Agent, context.Context) error) error {
	conf, err := load(opts)
	if err != nil {
		return err
	}
	if err := adoptEnv(agentconf.EnvPath); err != nil {
		return err
	}
	metadata := agent.NewIMDS(os.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"))
	a, err := agent.New(conf, agent.Deps{
		Root:     "/",
		Metadata: metadata,
		Cloud:    connect(metadata),
		Broker:   broker(metadata, conf.Chef.BrokerURL),
		Chef:     dialChef,
		NewKey:   chefapi.GenerateKey,
		Runner:   agent.Exec{},
		Path:     chefPath(),
		// The app is on this machine: no proxy, and a redirect is an answer.
		HTTP: &http.Client{
			Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Dial:     (&net.Dialer{}).DialContext,
		Disk:     agent.Filesystem{},
		Clock:    agent.SystemClock{},
		ClockSet: agent.ClockSet,
		Events:   &printer{out: out, errOut: errOut},
		Observe:  (&observer{journal: journalSocket, namespace: conf.Metrics.EMF, out: out}).observe,
	})
	if err != nil {
		return err
	}
	err = do(a, ctx)
	if !errors.Is(err, agent.ErrRebooting) {
		return err
	}
	// Ending now would look like success or failure to systemd; it is neither.
	fmt.Fprintln(errOut, "boot-agent: "+err.Error())
	select {
	case <-ctx.Done():
		return err
	case <-time.After(rebootWait):
		return fault.Newf(fault.Timeout, "reboot the instance", "waiting for the reboot: nothing happened in %s", rebootWait)
	}
}

// connect makes the AWS clients for the instance's region.
func connect(metadata *agent.IMDS) func(context.Context, string) (agent.Cloud, error) {
	return func(_ context.Context, region string) (agent.Cloud, error) {
		return agent.NewCloud(reach(metadata, region)), nil
	}
}

// broker makes the client of the registration broker.
func broker(metadata *agent.IMDS, address string) func(context.Context, string, string) (agent.Broker, error) {
	return func(_ context.Context, region, caFile string) (agent.Broker, error) {
		return agent.NewBroker(address, caFile, reach(metadata, region))
	}
}

// reach says how this machine reaches AWS.
func reach(metadata *agent.IMDS, region string) agent.AWS {
	return agent.AWS{
		Region:   region,
		Endpoint: os.Getenv("AWS_ENDPOINT_URL"),
		Keys: aws.Credentials{
			AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
			SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
		},
		Metadata: metadata,
		Agent:    "bakehouse-boot-agent/" + versionOf(),
	}
}

// dialChef keeps a nil *chefapi.Client out of the interface.
func dialChef(c chefapi.Config) (agent.Chef, error) {
	client, err := chefapi.New(c)
	if err != nil {
		return nil, err
	}
	return client, nil
}

// chefPath is where a Chef client may be: PATH, then where its packages put it.
func chefPath() []string {
	return append(filepath.SplitList(os.Getenv("PATH")), "/opt/chef/bin", "/opt/cinc/bin", "/usr/bin")
}

// printer writes the agent's own lines to errOut, and Chef's to out, so that
// the unit can send the few to the console and the many to the journal alone.
type printer struct{ out, errOut io.Writer }

// StageStarted implements agent.Events.
func (p *printer) StageStarted(s agent.Stage) { fmt.Fprintf(p.errOut, "boot-agent: %s\n", s) }

// StageDone implements agent.Events. The error itself is printed at the end.
func (p *printer) StageDone(s agent.Stage, took time.Duration, err error) {
	verdict := "done"
	if err != nil {
		verdict = "ended early"
	}
	fmt.Fprintf(p.errOut, "boot-agent: %s %s (%.1f s)\n", s, verdict, took.Seconds())
}

// Note implements agent.Events.
func (p *printer) Note(line string) { fmt.Fprintf(p.errOut, "boot-agent:   %s\n", oneLine(line)) }

// Output implements agent.Events.
func (p *printer) Output() io.Writer { return p.out }
