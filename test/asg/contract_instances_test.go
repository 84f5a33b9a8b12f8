package asg_test

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// sized makes a group of n instances.
func (c client) sized(n int32, change ...func(*as.CreateAutoScalingGroupInput)) (types.AutoScalingGroup, error) {
	return c.after(c.group(append(change, func(in *as.CreateAutoScalingGroupInput) { in.MaxSize, in.DesiredCapacity = aws.Int32(5), &n })...))
}

// states lists the lifecycle states of a group's instances.
func lifecycles(g types.AutoScalingGroup) []string {
	var out []string
	for _, i := range g.Instances {
		out = append(out, string(i.LifecycleState))
	}
	slices.Sort(out)
	return out
}

func (c client) out(id string, less bool) error {
	_, err := c.as.TerminateInstanceInAutoScalingGroup(c.ctx, &as.TerminateInstanceInAutoScalingGroupInput{InstanceId: &id, ShouldDecrementDesiredCapacity: &less})
	return err
}

// instanceCases are about the instances of groups.
func instanceCases() map[string]func(client) error {
	return map[string]func(client) error{
		"a group holds its desired capacity":               client.aGroupHoldsItsDesiredCapacity,
		"an instance that is ended is replaced":            client.anInstanceThatIsEndedIsReplaced,
		"an instance that is ended with its place is not":  client.anInstanceThatIsEndedWithItsPlaceIsNot,
		"standby takes an instance out and back":           client.standbyTakesAnInstanceOutAndBack,
		"an instance that ends by itself is replaced":      client.anInstanceThatEndsByItselfIsReplaced,
		"a detached instance leaves":                       client.aDetachedInstanceLeaves,
		"protection from scale-in is kept and shown":       client.protectionFromScaleInIsKeptAndShown,
		"an unhealthy instance is replaced":                client.anUnhealthyInstanceIsReplaced,
		"instances are described by their ids":             client.instancesAreDescribedByTheirIds,
		"instances take turns among zones":                 client.instancesTakeTurnsAmongZones,
		"a desired capacity outside its bounds is refused": client.aDesiredCapacityOutsideItsBoundsIsRefused,
		"a group with instances needs force to go":         client.aGroupWithInstancesNeedsForceToGo,
		"a mixed group buys spot":                          client.aMixedGroupBuysSpot,
	}
}

func (c client) aGroupHoldsItsDesiredCapacity() error {
	g, err := c.sized(2)
	if err != nil {
		return err
	}
	i := g.Instances
	return errors.Join(same("states", lifecycles(g), []string{"InService", "InService"}), same("health", *i[0].HealthStatus, "Healthy"), same("version", *i[0].LaunchTemplate.Version, "1"),
		same("type", aws.ToString(i[0].InstanceType), "t3.small"), same("ids differ", *i[0].InstanceId != *i[1].InstanceId, true))
}

func (c client) anInstanceThatEndsByItselfIsReplaced() error {
	g, err := c.sized(1)
	if err != nil {
		return err
	}
	id := *g.Instances[0].InstanceId
	_, err = c.ec2.TerminateInstances(c.ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	if g, err = c.after(err); err != nil || len(g.Instances) != 1 {
		return fmt.Errorf("%d instances, %v", len(g.Instances), err)
	}
	return errors.Join(same("it is another", *g.Instances[0].InstanceId != id, true), same("states", lifecycles(g), []string{"InService"}))
}

func (c client) anInstanceThatIsEndedIsReplaced() error {
	g, err := c.sized(1)
	if err != nil {
		return err
	}
	after, err := c.after(c.out(*g.Instances[0].InstanceId, false))
	if err != nil {
		return err
	}
	return errors.Join(same("states", lifecycles(after), []string{"InService"}), same("it is another", *after.Instances[0].InstanceId != *g.Instances[0].InstanceId, true))
}

func (c client) anInstanceThatIsEndedWithItsPlaceIsNot() error {
	g, err := c.sized(2)
	if err != nil {
		return err
	}
	g, err = c.after(c.out(*g.Instances[0].InstanceId, true))
	if err != nil {
		return err
	}
	return errors.Join(same("desired", *g.DesiredCapacity, 1), same("states", lifecycles(g), []string{"InService"}))
}

func (c client) standbyTakesAnInstanceOutAndBack() error {
	g, err := c.sized(2)
	if err != nil {
		return err
	}
	ids := []string{*g.Instances[0].InstanceId}
	_, err = c.as.EnterStandby(c.ctx, &as.EnterStandbyInput{AutoScalingGroupName: &c.name, InstanceIds: ids, ShouldDecrementDesiredCapacity: aws.Bool(true)})
	g, err = c.after(err)
	if err != nil {
		return err
	}
	if err := errors.Join(same("desired", *g.DesiredCapacity, 1), same("states", lifecycles(g), []string{"InService", "Standby"})); err != nil {
		return err
	}
	_, err = c.as.ExitStandby(c.ctx, &as.ExitStandbyInput{AutoScalingGroupName: &c.name, InstanceIds: ids})
	g, err = c.after(err)
	if err != nil {
		return err
	}
	return errors.Join(same("desired", *g.DesiredCapacity, 2), same("states", lifecycles(g), []string{"InService", "InService"}))
}

func (c client) aDetachedInstanceLeaves() error {
	g, err := c.sized(1)
	if err != nil {
		return err
	}
	_, err = c.as.DetachInstances(c.ctx, &as.DetachInstancesInput{AutoScalingGroupName: &c.name, InstanceIds: []string{*g.Instances[0].InstanceId}, ShouldDecrementDesiredCapacity: aws.Bool(true)})
	g, err = c.after(err)
	if err != nil {
		return err
	}
	return same("instances", len(g.Instances), 0)
}

func (c client) protectionFromScaleInIsKeptAndShown() error {
	g, err := c.sized(2)
	if err != nil {
		return err
	}
	id := *g.Instances[0].InstanceId
	if _, err = c.as.SetInstanceProtection(c.ctx, &as.SetInstanceProtectionInput{AutoScalingGroupName: &c.name, InstanceIds: []string{id}, ProtectedFromScaleIn: aws.Bool(true)}); err != nil {
		return err
	}
	_, err = c.as.SetDesiredCapacity(c.ctx, &as.SetDesiredCapacityInput{AutoScalingGroupName: &c.name, DesiredCapacity: aws.Int32(1)})
	if g, err = c.after(err); err != nil || len(g.Instances) != 1 {
		return fmt.Errorf("%d instances, %v", len(g.Instances), err)
	}
	return errors.Join(same("the one left", *g.Instances[0].InstanceId, id), same("protected", *g.Instances[0].ProtectedFromScaleIn, true))
}

func (c client) anUnhealthyInstanceIsReplaced() error {
	g, err := c.sized(1)
	if err != nil {
		return err
	}
	id := *g.Instances[0].InstanceId
	_, err = c.as.SetInstanceHealth(c.ctx, &as.SetInstanceHealthInput{InstanceId: &id, HealthStatus: aws.String("Unhealthy"), ShouldRespectGracePeriod: aws.Bool(false)})
	if g, err = c.after(err); err != nil || len(g.Instances) != 1 {
		return fmt.Errorf("%d instances, %v", len(g.Instances), err)
	}
	return errors.Join(same("it is another", *g.Instances[0].InstanceId != id, true), same("health", *g.Instances[0].HealthStatus, "Healthy"))
}

func (c client) instancesAreDescribedByTheirIds() error {
	g, err := c.sized(2)
	if err != nil {
		return err
	}
	out, err := c.as.DescribeAutoScalingInstances(c.ctx, &as.DescribeAutoScalingInstancesInput{InstanceIds: []string{*g.Instances[0].InstanceId}})
	if err != nil || len(out.AutoScalingInstances) != 1 {
		return fmt.Errorf("%v, %v", out, err)
	}
	return errors.Join(same("group", *out.AutoScalingInstances[0].AutoScalingGroupName, c.name), same("health", *out.AutoScalingInstances[0].HealthStatus, "HEALTHY"))
}

func (c client) instancesTakeTurnsAmongZones() error {
	g, err := c.sized(4, func(in *as.CreateAutoScalingGroupInput) { in.AvailabilityZones = []string{"us-east-1a", "us-east-1b"} })
	if err != nil {
		return err
	}
	zones := map[string]int{}
	for _, i := range g.Instances {
		zones[*i.AvailabilityZone]++
	}
	return same("zones", zones, "map[us-east-1a:2 us-east-1b:2]")
}

func (c client) aDesiredCapacityOutsideItsBoundsIsRefused() error {
	if _, err := c.sized(1); err != nil {
		return err
	}
	_, err := c.as.SetDesiredCapacity(c.ctx, &as.SetDesiredCapacityInput{AutoScalingGroupName: &c.name, DesiredCapacity: aws.Int32(9)})
	return code(err, "ValidationError")
}

func (c client) aGroupWithInstancesNeedsForceToGo() error {
	if _, err := c.sized(1); err != nil {
		return err
	}
	_, err := c.as.DeleteAutoScalingGroup(c.ctx, &as.DeleteAutoScalingGroupInput{AutoScalingGroupName: &c.name})
	if err := code(err, "ResourceInUse"); err != nil {
		return err
	}
	if _, err = c.as.DeleteAutoScalingGroup(c.ctx, &as.DeleteAutoScalingGroupInput{AutoScalingGroupName: &c.name, ForceDelete: aws.Bool(true)}); err != nil {
		return err
	}
	_, err = c.describe()
	return same("it is gone", err != nil, true)
}

func (c client) aMixedGroupBuysSpot() error {
	_, err := c.sized(2, mixed(types.InstancesDistribution{OnDemandPercentageAboveBaseCapacity: aws.Int32(0)}, "m5.large", "c5.large"))
	g, err := c.after(err)
	if err != nil {
		return err
	}
	kinds := map[string]bool{}
	for _, i := range g.Instances {
		kinds[aws.ToString(i.InstanceType)] = true
	}
	return same("types of the overrides", !kinds["t3.small"] && len(kinds) > 0, true)
}
