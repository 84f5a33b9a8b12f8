//go:build linux

package company

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/jonboulle/clockwork"
	"golang.org/x/sync/errgroup"

	"bakehouse/test/lab/control"
	"bakehouse/test/lab/gateway"
	"bakehouse/test/lab/goiardi"
	"bakehouse/test/lab/hypervisor"
	"bakehouse/test/lab/moto"
	"bakehouse/test/lab/netsvc"
	"bakehouse/test/lab/rootfs"
	"bakehouse/test/lab/scaling"
)

// parts are the running pieces that others refer to.
type parts struct {
	base    rootfs.Base
	chef    *goiardi.Server
	moto    *moto.Server
	hyper   *hypervisor.Hypervisor
	gateway *gateway.Gateway
}

// start brings everything up: the two slow servers side by side with the rest,
// then what needs both.
func (c *company) start(ctx context.Context) error {
	if err := c.openBase(ctx); err != nil {
		return err
	}
	if err := c.newHypervisor(); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.startChef(groupCtx) })
	group.Go(func() error { return c.startMoto(groupCtx) })
	group.Go(c.startNetwork)
	if err := group.Wait(); err != nil {
		return err
	}
	if err := c.startGateway(ctx); err != nil {
		return err
	}
	if err := c.seed(ctx); err != nil {
		return err
	}
	c.step("account seeded: bucket, validator parameter, role web, key pair %s", KeyName)
	return c.startControl()
}

// openBase holds the cached root file system for as long as the lab lives.
func (c *company) openBase(ctx context.Context) error {
	log, err := c.log("rootfs.log")
	if err != nil {
		return err
	}
	base, err := rootfs.Ensure(ctx, rootfs.Options{Cache: c.cfg.CacheDir, Packages: c.cfg.Packages, Log: log})
	if err != nil {
		return err
	}
	c.parts.base = base
	c.closers.add("root file system", base.Close)
	return nil
}

func (c *company) newHypervisor() error {
	log, err := c.log("hypervisor.log")
	if err != nil {
		return err
	}
	c.parts.hyper, err = hypervisor.New(hypervisor.Config{
		Cloud:   hypervisor.NewEC2(ec2.NewFromConfig(awsConfig(fmt.Sprintf("http://127.0.0.1:%d", motoPort), seederID))),
		Factory: guests{bridge: Bridge, cgroup: c.cfg.Cgroup},
		Clock:   clockwork.NewRealClock(),
		Dir:     StateDir,
		Base:    map[string][]string{BaseImage: {c.parts.base.Dir}},
		Log:     log,
	})
	return err
}

func (c *company) startChef(ctx context.Context) error {
	server, err := goiardi.Start(ctx, goiardi.Config{
		Dir:    filepath.Join(c.cfg.RunDir, "goiardi"),
		Listen: netip.MustParseAddrPort(ChefURL[len("http://"):]),
	})
	if err != nil {
		return err
	}
	c.parts.chef = server
	c.closers.add("goiardi", func() error { return server.Stop(context.Background()) })
	c.watch("goiardi", server.Done())
	c.step("Chef server (goiardi) answers at %s", ChefURL)
	return nil
}

func (c *company) startMoto(ctx context.Context) error {
	log, err := c.log("moto.log")
	if err != nil {
		return err
	}
	server, err := moto.Start(ctx, moto.Config{
		Command: c.cfg.MotoCommand,
		Dir:     filepath.Join(c.cfg.RunDir, "moto"),
		Port:    motoPort,
		Image:   baseImage(),
		Log:     log,
	})
	if err != nil {
		return err
	}
	c.parts.moto = server
	c.closers.add("moto", func() error { return server.Stop(time.Second) })
	c.watch("moto", server.Done())
	c.step("AWS (moto) answers")
	return nil
}

// watch reports a server that ends while the lab lives.
func (c *company) watch(name string, done <-chan struct{}) {
	go func() {
		<-done
		select {
		case c.failed <- fmt.Errorf("running %s: it ended; see `lab logs %s`", name, name):
		default: // somebody else's end was reported first
		}
	}()
}

// startNetwork starts what needs nobody: names, addresses, metadata, packages.
func (c *company) startNetwork() error {
	dns, err := netsvc.ServeDNS(net.JoinHostPort(Host, "53"), network())
	if err != nil {
		return err
	}
	c.closers.add("DNS", dns.Close)
	dhcp, err := netsvc.ServeDHCP(Bridge, network(), cards{c.parts.hyper})
	if err != nil {
		return err
	}
	c.closers.add("DHCP", dhcp.Close)
	metadata, err := c.metadata()
	if err != nil {
		return err
	}
	if err := c.serve("metadata", metadataAddr, metadata); err != nil {
		return err
	}
	if err := c.serve("apt", AptURL[len("http://"):], rootfs.RepoHandler(c.parts.base.RepoDir)); err != nil {
		return err
	}
	c.step("network: DHCP, DNS, instance metadata, apt repository at %s", AptURL)
	return nil
}

// startGateway opens the front door, and lets the hypervisor look.
func (c *company) startGateway(ctx context.Context) error {
	calls, err := c.log("calls.jsonl")
	if err != nil {
		return err
	}
	groups, err := c.groups()
	if err != nil {
		return err
	}
	g, err := gateway.New(gateway.Config{
		Upstream:   c.parts.moto.URL(),
		Machines:   c.parts.hyper,
		Recorder:   calls,
		Parameters: map[string]string{imageParam: BaseImage},
		Scaling:    groups.Region,
		Caller:     c.caller,
		Session:    c.session,
	})
	if err != nil {
		return err
	}
	c.parts.gateway = g
	if err := c.serve("gateway", GatewayURL[len("http://"):], g); err != nil {
		return err
	}
	// The guests go first: the gateway waits for its snapshots, and they for guests.
	c.closers.add("snapshots", g.Close)
	c.keep(ctx, "hypervisor", c.parts.hyper.Run)
	c.keep(ctx, "Auto Scaling", groups.Run) // before the guests, which it would replace
	c.step("AWS gateway at %s, hypervisor on bridge %s", GatewayURL, Bridge)
	return nil
}

// keep runs something until the company ends.
func (c *company) keep(ctx context.Context, name string, run func(context.Context)) {
	ended := make(chan struct{})
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() { run(ctx); close(ended) }()
	c.closers.add(name, func() error { stop(); <-ended; return nil })
}

// groups makes Auto Scaling. The gateway starts after it, and before any group.
func (c *company) groups() (*scaling.Scaling, error) {
	log, err := c.log("autoscaling.log")
	if err != nil {
		return nil, err
	}
	return scaling.New(scaling.Config{
		AWS:   awsConfig(GatewayURL, groupsID),
		State: c.parts.hyper.State,
		Move:  func(group, instance, target string) { c.parts.gateway.Move(group, instance, target) },
		Log:   log,
	}), nil
}

// caller names who calls AWS, for the record of calls.
func (c *company) caller(accessKey string, source netip.Addr) string {
	switch {
	case accessKey == OperatorID:
		return "operator"
	case accessKey == seederID:
		return "lab"
	case accessKey == groupsID:
		return "autoscaling"
	}
	if m, ok := c.parts.hyper.ByAddress(source); ok {
		return m.Instance.ID
	}
	return ""
}

// serve runs an HTTP server until the company ends.
func (c *company) serve(name, addr string, h http.Handler) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	return c.serveOn(name, l, h)
}

func (c *company) serveOn(name string, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			c.failed <- fmt.Errorf("running %s: %w", name, err)
		}
	}()
	c.closers.add(name, srv.Close)
	return nil
}

func (c *company) startControl() error {
	l, err := control.Listen(c.cfg.RunDir)
	if err != nil {
		return err
	}
	c.closers.add("control socket", func() error { return os.Remove(filepath.Join(c.cfg.RunDir, control.SocketName)) })
	return c.serveOn("control", l, control.Handler(lab{c}, c.parts.gateway))
}
