package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"bakehouse/bake"
	"bakehouse/bake/inventory"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/host"
)

// chefTimeout bounds one request to the Chef server, so that one that does not
// answer is found out before anything is launched.
const chefTimeout = 10 * time.Second

// dialEvery is the pause between two attempts to reach a booting builder.
const dialEvery = 500 * time.Millisecond

func realDeps(p cliapp.Process) deps {
	return deps{Process: p, config: config.Load, now: time.Now, world: connect, images: connectImages, objects: connectObjects, sweeper: connectSweep, catalog: connectCatalog}
}

// connect makes the clients of a bake and checks that there are credentials.
// It sets the region that was found.
func connect(ctx context.Context, o *options) (bake.World, error) {
	cfg, err := awscfg.Load(ctx, awscfg.Options{Region: o.in.Region, Profile: o.profile, UserAgent: "bakehouse-bake-ami/" + cliapp.Version()})
	if err != nil {
		return bake.World{}, err
	}
	if err := awscfg.Check(ctx, cfg); err != nil {
		return bake.World{}, err
	}
	o.in.Region = cfg.Region
	kept := withBucket(cfg, inventory.Store{Dir: o.stateDir, Bucket: o.bucket})
	w := bake.World{EC2: ec2.NewFromConfig(cfg), Regions: regions(cfg), Publish: publishers(cfg), KMS: keyService(cfg), SSM: ssm.NewFromConfig(cfg), Groups: autoscaling.NewFromConfig(cfg), Identity: identity(sts.NewFromConfig(cfg)),
		Connect: dial, ConnectSSM: bySSM(ssm.NewFromConfig(cfg)), Clock: clock{}, Inventories: kept, PublicAddr: publicAddr, LocalAddr: localAddr}
	for i := range o.roles {
		o.roles[i].Region = cfg.Region
	}
	if slices.ContainsFunc(o.roles, func(in bake.Inputs) bool { return in.ChefMode != bake.ChefLocalMode || !in.Prove.Skip }) {
		err = connectChef(&w, o)
	}
	return w, err
}

// connectChef adds the Chef server, as the operator and as others.
func connectChef(w *bake.World, o *options) error {
	conf := chefapi.Config{ServerURL: o.in.ChefServerURL, ClientName: o.client, CAFile: o.in.ChefCAFile, Timeout: chefTimeout}
	server, err := chefapi.Open(conf, o.keyFile)
	if err != nil {
		return err
	}
	w.Chef = server
	w.ChefLogin = func(name string, key []byte) (bake.NodeMaker, error) {
		as := conf
		as.ClientName, as.Key = name, key
		return chefapi.New(as)
	}
	return nil
}

// identity asks STS who we are.
func identity(client *sts.Client) func(context.Context) (bake.Identity, error) {
	return func(ctx context.Context) (bake.Identity, error) {
		out, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return bake.Identity{}, err
		}
		return bake.Identity{Account: aws.ToString(out.Account), ARN: aws.ToString(out.Arn)}, nil
	}
}

func dial(ctx context.Context, t host.Target) (bake.Machine, error) {
	m, err := host.Wait(ctx, t, dialEvery)
	if err != nil {
		return nil, err // not m: a nil *SSH in an interface is not nil
	}
	return m, nil
}

// ssmEvery is the pause between two looks at an SSM command.
const ssmEvery = 500 * time.Millisecond

func bySSM(client *ssm.Client) func(context.Context, string) (bake.Machine, error) {
	return func(ctx context.Context, instance string) (bake.Machine, error) {
		m, err := host.WaitSSM(ctx, client, instance, ssmEvery)
		if err != nil {
			return nil, err
		}
		return m, nil
	}
}

// clock is the real time.
type clock struct{}

func (clock) Now() time.Time { return time.Now() }

func (clock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// publicAddr asks AWS by which address the internet sees this machine.
func publicAddr(ctx context.Context) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://checkip.amazonaws.com/", nil)
	if err != nil {
		return netip.Addr{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return netip.Addr{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 100))
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(strings.TrimSpace(string(b)))
}

// localAddr asks the routing table; connecting a UDP socket sends nothing.
func localAddr(to netip.Addr) (netip.Addr, error) {
	conn, err := net.Dial("udp", netip.AddrPortFrom(to, 9).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return local.Addr().Unmap(), err
}
