package bake

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// resolveStep is the name under which Resolve reports.
const resolveStep = "resolve"

// caPath is where the Chef server's CA lives in the image.
const caPath = "/etc/bakehouse/chef-ca.pem"

// Resolve asks the world whether the inputs can be met, and changes nothing.
// Every error names what is missing: fault.Usage, fault.Chef or fault.AWS.
func (w World) Resolve(ctx context.Context, in Inputs) (Plan, error) {
	start := w.Clock.Now()
	w.Reporter.StepStarted(resolveStep)
	plan, err := w.resolve(ctx, in.withDefaults(), start)
	took := w.Clock.Now().Sub(start)
	w.Reporter.StepDone(resolveStep, took, err)
	plan.resolved = stepTime(resolveStep, start, took, err)
	return plan, err
}

func (w World) resolve(ctx context.Context, in Inputs, now time.Time) (Plan, error) {
	if err := in.validate(); err != nil {
		return Plan{}, err
	}
	if w.Chef == nil && !in.Prove.Skip {
		return Plan{}, fault.Newf(fault.Usage, "add --chef-client and --chef-key, or --no-prove",
			"checking inputs: the node of the instance that proves the image could not be removed from the Chef server: no client to sign as is named")
	}
	// What needs nobody's answer comes first, then Chef: it has the likelier mistakes.
	if _, err := parseBase(in.Base); err != nil {
		return Plan{}, err
	}
	p := Plan{inputs: in, started: now}
	if err := p.readFiles(); err != nil {
		return Plan{}, err
	}
	in = p.inputs
	c, err := w.closure(ctx, in)
	if err != nil {
		return Plan{}, err
	}
	who, err := w.Identity(ctx)
	if err != nil {
		return Plan{}, awsfault.New("sts:GetCallerIdentity", "asking AWS who is calling", err)
	}
	base, err := w.resolveBase(ctx, in, who)
	if err != nil {
		return Plan{}, err
	}
	if err := w.checkDistribution(ctx, in, who, base); err != nil {
		return Plan{}, err
	}
	in = in.forBase(base)
	agent, err := agentFile(in, base.Architecture)
	if err != nil {
		return Plan{}, err
	}
	net, err := w.resolveNetwork(ctx, in)
	if err != nil {
		return Plan{}, err
	}
	if p.ProveAt, err = w.resolveProof(ctx, in, net); err != nil {
		return Plan{}, err
	}
	p.Recipe, p.inputs, p.owner, p.agentFile = recipe(in, c, base, agent), in, who, agent
	if err := p.ownContents(); err != nil {
		return p, err
	}
	if p, err = p.finish(net, now); err != nil {
		return p, err
	}
	if p, err = w.reuseOrName(ctx, p); err != nil {
		return p, err
	}
	return p, w.planPublish(ctx, &p)
}

// readFiles reads the files that inputs name, but for the agent, which has to
// fit the base image.
func (p *Plan) readFiles() (err error) {
	if p.chefFile, err = chefPackage(p.inputs); err != nil {
		return err
	}
	if p.chefCA, err = caBundle(p.inputs); err != nil {
		return err
	}
	if err = p.checkSSMFiles(); err != nil {
		return err
	}
	if p.inputs.Bastion.Address != "" {
		if p.bastion, err = p.inputs.Bastion.Open(); err != nil {
			return err
		}
	}
	p.inputs.Agent.Attributes, err = firstBootAttributes(p.inputs.Attributes)
	return err
}

func (w World) closure(ctx context.Context, in Inputs) (closure, error) {
	if !in.Policy.Empty() {
		return w.policyClosure(ctx, in)
	}
	if in.ChefMode == ChefLocalMode {
		return localClosure(ctx, in)
	}
	return w.serverClosure(ctx, in)
}

// recipe gathers what decides the image's content.
func recipe(in Inputs, c closure, base Base, agent packageFile) Recipe {
	conf := in.Agent
	conf.Role, conf.Environment, conf.BakeID = in.Role, in.Environment, ""
	policy, list := (*Policy)(nil), runList(in.Role)
	if !in.Policy.Empty() {
		policy, list = &in.Policy, nil
		conf.Chef.PolicyName, conf.Chef.PolicyGroup = in.Policy.Name, in.Policy.Group
	}
	conf.Chef.RunList = list
	if in.ChefCAFile != "" {
		conf.Chef.CAFile = caPath
	}
	return Recipe{
		Role: in.Role, Environment: in.Environment, Policy: policy, RunList: list,
		Roles: c.expansion.Roles, Recipes: c.expansion.Recipes, Cookbooks: c.cookbooks, Contents: c.contents,
		Base: base, ChefMode: in.ChefMode, ChefPackage: in.ChefPackage, ChefSHA256: strings.ToLower(in.ChefPackageSHA256),
		AgentSHA256: agent.sha256, AgentEnv: in.AgentEnv, Agent: conf, RootGB: int32(in.RootVolumeGB), Disk: in.Disk,
	}
}

// finish gives the plan its identity, names, tags and times.
func (p Plan) finish(net network, now time.Time) (Plan, error) {
	id, err := ulid.New(ulid.Timestamp(now), rand.Reader)
	if err != nil {
		return p, fmt.Errorf("making a bake id: %w", err)
	}
	in := p.inputs
	p.BakeID, p.Digest = id.String(), p.Recipe.Digest()
	p.Deadline, p.ExpiresAt = now.Add(in.Timeout), now.Add(in.ExpireAfter)
	if err := p.nameImage(now); err != nil {
		return p, err
	}
	p.Tags = commonTags(in, p.BakeID, p.owner.ARN, p.ExpiresAt)
	choices := placements(in.InstanceTypes, net.places, in.Spot)
	p.Launch = Launch{Region: in.Region, Account: p.owner.Account, Placement: choices[0], Placements: choices, VPC: net.vpc,
		SecurityGroup: in.SecurityGroup, AllowFrom: net.allowFrom, Transport: in.Transport, Address: net.address, SSHUser: in.SSHUser,
		InstanceProfile: in.InstanceProfile, Metadata: in.Metadata}
	for _, s := range steps(p) {
		p.Steps = append(p.Steps, Planned{s.Name, s.Actions})
	}
	return p, nil
}

// agentConfig is the agent.json of this bake's image.
func (p Plan) agentConfig() agentconf.Config {
	c := p.Recipe.Agent
	c.BakeID = p.BakeID
	return c
}

// agentEnv renders the agent's EnvironmentFile (systemd.exec(5)): one quoted
// assignment a line.
func (p Plan) agentEnv() []byte {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	var b strings.Builder
	b.WriteString("# Environment of boot-agent, from agent.environment of bakehouse.yaml.\n")
	for _, k := range slices.Sorted(maps.Keys(p.Recipe.AgentEnv)) {
		fmt.Fprintf(&b, "%s=\"%s\"\n", k, escape.Replace(p.Recipe.AgentEnv[k]))
	}
	return []byte(b.String())
}
