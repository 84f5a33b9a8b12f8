package bake

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/await"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
)

// sshPort is the one port of the builder that is ever opened.
const sshPort = 22

func (p Plan) groupName() string { return "bakehouse-bake-" + p.BakeID }

// makeGroup makes a security group that admits SSH from one source.
func (s *Session) makeGroup(ctx context.Context) error {
	name := s.plan.groupName()
	if err := s.journal.intend(KindSecurityGroup, name); err != nil {
		return err
	}
	id, err := await.Creation{
		Action: "ec2:CreateSecurityGroup", Doing: "creating security group " + name,
		Create: func(ctx context.Context) (string, error) {
			out, err := s.EC2.CreateSecurityGroup(ctx, s.plan.groupRequest(), await.Once)
			if err != nil {
				return "", err
			}
			return aws.ToString(out.GroupId), nil
		},
		Find:   s.findGroup,
		Refuse: func() error { return s.journal.gone(KindSecurityGroup, name) },
	}.Run(ctx, s.Clock)
	if err != nil {
		return err
	}
	s.group = id
	if err := s.journal.made(KindSecurityGroup, name, id); err != nil {
		return err
	}
	return s.admit(ctx)
}

// groupRequest asks for the builder's security group, closed.
func (p Plan) groupRequest() *ec2.CreateSecurityGroupInput {
	return &ec2.CreateSecurityGroupInput{
		GroupName: aws.String(p.groupName()), VpcId: aws.String(p.Launch.VPC),
		Description:       aws.String("SSH to the builder of bake " + p.BakeID),
		TagSpecifications: []types.TagSpecification{tagSpec(types.ResourceTypeSecurityGroup, p.groupName(), p.Tags)},
	}
}

// admit opens port 22 of our group to the plan's source.
func (s *Session) admit(ctx context.Context) error {
	tries := 0
	return poll(ctx, s.Clock, newPace(), func(ctx context.Context) (bool, error) {
		tries++
		_, err := s.EC2.AuthorizeSecurityGroupIngress(ctx, s.plan.openRequest(s.group))
		switch {
		case err == nil || awserr.IsExists(err):
			return true, nil
		case awserr.IsNotFound(err) && tries < newLooks:
			return false, nil // too new for EC2
		}
		return false, awsfault.New("ec2:AuthorizeSecurityGroupIngress", "opening security group "+s.group+" to "+s.plan.Launch.AllowFrom, err)
	})
}

// openRequest admits SSH from the plan's source to a group.
func (p Plan) openRequest(group string) *ec2.AuthorizeSecurityGroupIngressInput {
	perm := types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(sshPort), ToPort: aws.Int32(sshPort)}
	from, why := p.Launch.AllowFrom, aws.String("the machine that bakes")
	if strings.Contains(from, ":") {
		perm.Ipv6Ranges = []types.Ipv6Range{{CidrIpv6: aws.String(from), Description: why}}
	} else {
		perm.IpRanges = []types.IpRange{{CidrIp: aws.String(from), Description: why}}
	}
	return &ec2.AuthorizeSecurityGroupIngressInput{GroupId: aws.String(group), IpPermissions: []types.IpPermission{perm}}
}

// findGroup finds our group by its name, which holds the bake's ULID.
func (s *Session) findGroup(ctx context.Context) (string, error) {
	out, err := s.EC2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{ami.Filter("group-name", s.plan.groupName()), ami.Filter("vpc-id", s.plan.Launch.VPC)}})
	if err != nil || len(out.SecurityGroups) == 0 {
		return "", err
	}
	return aws.ToString(out.SecurityGroups[0].GroupId), nil
}

// removeGroup deletes our group. EC2 refuses as long as the builder's interface
// uses it, so this is also the wait for the builder's end, which takes EC2 half
// a minute, and now and then some.
func (s *Session) removeGroup(ctx context.Context) error {
	name := s.plan.groupName()
	r, ours := s.journal.get(KindSecurityGroup, name)
	if !ours {
		return nil
	}
	id := r.ID
	if id == "" {
		var err error
		if id, err = await.LookFor(ctx, s.Clock, s.findGroup); err != nil {
			return s.unlessAbsent(KindSecurityGroup, name, err)
		}
	}
	tries, most := 0, 30 // four minutes
	if slices.ContainsFunc(s.journal.remaining(), func(r Resource) bool { return r.Kind == KindInstance }) {
		most = 2 // builder or prover could not be ended, and will not let go of the group
	}
	// Before the builder has ended there is no use in deleting what it uses.
	if err := s.Clock.Sleep(ctx, s.due()); err != nil {
		return err
	}
	err := poll(ctx, s.Clock, pace{First: 2 * time.Second, Max: 10 * time.Second}, func(ctx context.Context) (bool, error) {
		tries++
		_, err := s.EC2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(id)})
		if err == nil {
			return true, nil
		}
		if awserr.IsNotFound(err) {
			return tries >= newLooks || s.settled(r), nil
		}
		if tries >= most || awserr.IsAuth(err) {
			return false, awsfault.New("ec2:DeleteSecurityGroup", "deleting security group "+id, err)
		}
		s.progress("%s: EC2 has not ended the builder yet", id)
		return false, nil
	})
	if err != nil {
		return err
	}
	return s.journal.gone(KindSecurityGroup, name)
}
