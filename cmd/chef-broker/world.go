package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"bakehouse/agent/broker"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/reap"
)

func realDeps(p cliapp.Process) deps {
	return deps{Process: p, world: connect, listen: net.Listen}
}

func userAgent() string { return "bakehouse-chef-broker/" + cliapp.Version() }

// connect makes all clients, and finds out whose account we are in.
func connect(ctx context.Context, o options) (broker.World, error) {
	cfg, err := awscfg.Load(ctx, awscfg.Options{Region: o.region, UserAgent: userAgent()})
	if err != nil {
		return broker.World{}, err
	}
	if err := awscfg.Check(ctx, cfg); err != nil {
		return broker.World{}, err
	}
	accounts, err := enterAll(ctx, cfg, o)
	if err != nil {
		return broker.World{}, err
	}
	chef, err := connectChef(ctx, cfg, o.chef)
	if err != nil {
		return broker.World{}, err
	}
	// STS is asked without the SDK: the instance has signed the request, not we.
	hc := &http.Client{Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return broker.World{STS: broker.AskSTS(hc, userAgent()), EC2: fleet(accounts), Chef: chef,
		Ledger: ledger{storeAt(cfg, o.state)}, Now: time.Now}, nil
}

// enterAll makes credentials for each account whose roles may register.
func enterAll(ctx context.Context, cfg aws.Config, o options) (map[string]aws.Config, error) {
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, awsfault.New("sts:GetCallerIdentity", "asking whose account this is", err)
	}
	accounts := map[string]aws.Config{}
	for _, account := range o.accounts {
		own := cfg.Copy()
		switch arn := o.accountRoles[account]; {
		case arn != "":
			own.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), arn,
				func(r *stscreds.AssumeRoleOptions) { r.RoleSessionName = "bakehouse-chef-broker" }))
		case account != aws.ToString(out.Account):
			return nil, fault.Newf(fault.Usage, "add --account-role "+account+"=ARN", "entering account %s: the broker runs in %s", account, aws.ToString(out.Account))
		}
		accounts[account] = own
	}
	return accounts, nil
}

// fleet asks EC2 about one instance. The filter, unlike InstanceIds, answers an
// unknown id with nothing instead of an error.
func fleet(accounts map[string]aws.Config) func(ctx context.Context, account, region, id string) (broker.Instance, error) {
	return func(ctx context.Context, account, region, id string) (broker.Instance, error) {
		client := ec2.NewFromConfig(accounts[account], func(o *ec2.Options) { o.Region = region })
		out, err := client.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("instance-id"), Values: []string{id}}}})
		if err != nil {
			return broker.Instance{}, awsfault.New("ec2:DescribeInstances", "looking for "+id, err)
		}
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				if aws.ToString(i.InstanceId) == id && aws.ToString(r.OwnerId) == account {
					return broker.Instance{ID: id, State: string(i.State.Name), ImageID: aws.ToString(i.ImageId),
						PrivateIP: aws.ToString(i.PrivateIpAddress), Launched: aws.ToTime(i.LaunchTime)}, nil
				}
			}
		}
		return broker.Instance{}, nil
	}
}

// connectChef makes the client that holds the right to create clients, and has
// the server confirm its key.
func connectChef(ctx context.Context, cfg aws.Config, o chefOptions) (*chefapi.Client, error) {
	key, err := readKey(ctx, cfg, o.key)
	if err != nil {
		return nil, err
	}
	client, err := chefapi.New(chefapi.Config{ServerURL: o.server, ClientName: o.client, Key: key, CAFile: o.ca})
	if err != nil {
		return nil, err
	}
	return client, client.Ping(ctx)
}

// readKey reads FILE, ssm:NAME or secretsmanager:NAME. A secret is read through
// the Parameter Store's own reference to Secrets Manager, which needs the right
// on the secret as well.
func readKey(ctx context.Context, cfg aws.Config, ref string) ([]byte, error) {
	name, isParameter := strings.CutPrefix(ref, "ssm:")
	if secret, ok := strings.CutPrefix(ref, "secretsmanager:"); ok {
		name, isParameter = "/aws/reference/secretsmanager/"+secret, true
	}
	if !isParameter {
		b, err := os.ReadFile(ref)
		return b, fault.New(fault.Usage, "correct --chef-key", wrapKey(err))
	}
	out, err := ssm.NewFromConfig(cfg).GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, awsfault.New("ssm:GetParameter", "fetching the Chef client's key "+ref, err)
	}
	return []byte(aws.ToString(out.Parameter.Value)), nil
}

func wrapKey(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("reading the Chef client's key: %w", err)
}

// storeAt opens s3://BUCKET/PREFIX or a folder.
func storeAt(cfg aws.Config, place string) reap.Store {
	rest, isS3 := strings.CutPrefix(place, "s3://")
	if !isS3 {
		return reap.Files{Dir: place}
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return reap.Bucket{Name: bucket, Prefix: prefix, S3: s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil // an endpoint of one's own seldom has a host name per bucket
		o.DisableLogOutputChecksumValidationSkipped = true
	})}
}

// ledger keeps one document per instance in a store with conditional writes.
type ledger struct{ store reap.Store }

// Read implements broker.Ledger.
func (l ledger) Read(ctx context.Context, instance string) (e broker.Entry, version string, err error) {
	d, err := l.store.Read(ctx, instance+".json")
	if err != nil || d.Version == "" {
		return e, "", err
	}
	if err := json.Unmarshal(d.Body, &e); err != nil {
		return e, "", fmt.Errorf("reading the entry of %s in %s: %w", instance, l.store, err)
	}
	return e, d.Version, nil
}

// Write implements broker.Ledger.
func (l ledger) Write(ctx context.Context, instance, version string, e broker.Entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("rendering the entry of %s: %w", instance, err)
	}
	if _, err := l.store.Write(ctx, instance+".json", version, b); errors.Is(err, reap.ErrTaken) {
		return broker.ErrTaken
	} else if err != nil {
		return err
	}
	return nil
}
