//go:build linux

package company

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

// What every company of the lab owns.
const (
	Bucket    = "bakehouse-builds"
	Validator = "/bakehouse/chef/validator"
	Role      = "web" // IAM role and instance profile
)

// trustEC2 lets instances take the role.
const trustEC2 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
	`"Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// awsConfig talks to endpoint as the holder of accessKey. The emulator checks no
// signature; the key only says who calls.
func awsConfig(endpoint, accessKey string) aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider(accessKey, OperatorSK, ""),
	}
}

// seed gives the account what the company had before the lab's first user came.
func (c *company) seed(ctx context.Context) error {
	cfg := awsConfig(GatewayURL, seederID)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.seedSecrets(ctx, cfg) })
	group.Go(func() error { return seedRole(ctx, iam.NewFromConfig(cfg)) })
	group.Go(func() error { return c.seedKeyPair(ctx, ec2.NewFromConfig(cfg)) })
	if err := group.Wait(); err != nil {
		return fmt.Errorf("seeding the account: %w", err)
	}
	return nil
}

func (c *company) seedSecrets(ctx context.Context, cfg aws.Config) error {
	buckets := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := buckets.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(Bucket)}); err != nil {
		return fmt.Errorf("making bucket %s: %w", Bucket, err)
	}
	key, err := os.ReadFile(c.parts.chef.ValidatorKey)
	if err != nil {
		return fmt.Errorf("reading the validator's key: %w", err)
	}
	_, err = ssm.NewFromConfig(cfg).PutParameter(ctx, &ssm.PutParameterInput{
		Name: aws.String(Validator), Value: aws.String(string(key)), Type: ssmtypes.ParameterTypeSecureString,
	})
	if err != nil {
		return fmt.Errorf("storing parameter %s: %w", Validator, err)
	}
	return nil
}

func seedRole(ctx context.Context, api *iam.Client) error {
	_, err := api.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: aws.String(Role), AssumeRolePolicyDocument: aws.String(trustEC2),
	})
	if err != nil {
		return fmt.Errorf("making role %s: %w", Role, err)
	}
	if _, err = api.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String(Role)}); err != nil {
		return fmt.Errorf("making instance profile %s: %w", Role, err)
	}
	_, err = api.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{
		InstanceProfileName: aws.String(Role), RoleName: aws.String(Role),
	})
	if err != nil {
		return fmt.Errorf("filling instance profile %s: %w", Role, err)
	}
	return nil
}

// seedKeyPair makes the key that `lab ssh` offers and imports its public half.
func (c *company) seedKeyPair(ctx context.Context, api *ec2.Client) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("making key pair %s: %w", KeyName, err)
	}
	block, err := ssh.MarshalPrivateKey(private, KeyName)
	if err != nil {
		return fmt.Errorf("encoding key pair %s: %w", KeyName, err)
	}
	if err := os.WriteFile(KeyFile(c.cfg.RunDir), pem.EncodeToMemory(block), 0o600); err != nil {
		return fmt.Errorf("storing key pair %s: %w", KeyName, err)
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		return fmt.Errorf("encoding key pair %s: %w", KeyName, err)
	}
	_, err = api.ImportKeyPair(ctx, &ec2.ImportKeyPairInput{
		KeyName: aws.String(KeyName), PublicKeyMaterial: ssh.MarshalAuthorizedKey(line),
	})
	if err != nil {
		return fmt.Errorf("importing key pair %s: %w", KeyName, err)
	}
	return nil
}
