//go:build linux

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"bakehouse/test/lab/company"
	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

//go:embed packer/provision.sh
var provision string

// packerKey is the access key by which Packer's calls are told from others'.
const packerKey = "AKIALABPACKER0000001"

// contender is one tool in one setting.
type contender struct {
	name string
	run  func(ctx context.Context) (profile, map[string]int, error)
}

// peerRound is what one bake of a contender took.
type peerRound struct {
	wall, converge, machine float64 // seconds
	ec2, calls              int     // to EC2; to all of AWS
	rss                     int64   // KiB
}

// overhead is the tool's own time: outside boot, converge, stop and image.
func (r peerRound) overhead() float64 { return max(0, r.wall-r.converge-r.machine) }

// measurePeer bakes the same role from the same base by turns.
func measurePeer(ctx context.Context, b *bench) (string, error) {
	template, err := b.packerTemplate(ctx)
	if err != nil {
		return "", err
	}
	list := []contender{
		{"bake-ami", func(ctx context.Context) (profile, map[string]int, error) { return b.bakeLocal(ctx) }},
		{"Packer", func(ctx context.Context) (profile, map[string]int, error) { return b.packer(ctx, template) }},
		{"Packer, tuned", func(ctx context.Context) (profile, map[string]int, error) {
			return b.packer(ctx, template, "AWS_POLL_DELAY_SECONDS=1")
		}},
	}
	rounds := make([][]peerRound, len(list))
	for i := range b.rounds {
		machine, err := b.machineTime(ctx)
		if err != nil {
			return "", err
		}
		for n, c := range list {
			fmt.Fprintf(os.Stderr, "bench: round %d of %d: %s\n", i+1, b.rounds, c.name)
			p, calls, err := c.run(ctx)
			if err != nil {
				return "", err
			}
			r := peerRound{wall: p.took.Seconds(), converge: convergeTime(p.output), machine: machine,
				ec2: toEC2(calls), calls: sum(calls), rss: p.peakKiB}
			rounds[n] = append(rounds[n], r)
		}
	}
	return peerTable(list, rounds), nil
}

// toEC2 counts the calls to EC2 among those by action.
func toEC2(calls map[string]int) (n int) {
	for action, times := range calls {
		if strings.HasPrefix(action, "ec2:") {
			n += times
		}
	}
	return n
}

// convergeTime is what Chef itself says its run took, seconds.
func convergeTime(output string) float64 {
	m := regexp.MustCompile(`finished, .*updated in ([0-9.]+) seconds`).FindStringSubmatch(output)
	if m == nil {
		return 0
	}
	s, _ := strconv.ParseFloat(m[1], 64) // the pattern is a number's
	return s
}

// bakeLocal bakes with bake-ami from the chef-repo on disk, and, as Packer does,
// from an image that is named by its id.
func (b *bench) bakeLocal(ctx context.Context) (profile, map[string]int, error) {
	since := time.Now()
	p, err := b.profiled(ctx, b.world.BakeTool("web", "--base", company.BaseImage, "--chef-mode", "local", "--chef-repo", b.world.Root, "--output", "plain"))
	if err != nil {
		return p, nil, err
	}
	calls, err := callsOf(ctx, since, "bakehouse-bake-ami")
	return p, calls, err
}

// packer bakes with Packer.
func (b *bench) packer(ctx context.Context, template string, env ...string) (profile, map[string]int, error) {
	since := time.Now()
	cmd := exec.CommandContext(ctx, "packer", "build", "-color=false", template)
	cmd.Dir, cmd.Env = b.world.Dir, append(append(os.Environ(), "CHECKPOINT_DISABLE=1", "HOME="+b.world.Dir), env...)
	p, err := profileOf(cmd)
	if err != nil {
		return p, nil, err
	}
	records, err := recorded(ctx, since)
	calls := map[string]int{}
	for _, r := range records {
		if r.Caller == packerKey {
			calls[r.Service+":"+r.Action]++
		}
	}
	return p, calls, err
}

// packerTemplate writes Packer's template and what it uploads.
func (b *bench) packerTemplate(ctx context.Context) (string, error) {
	path := func(name string) string { return filepath.Join(b.world.Dir, name) }
	if err := exec.CommandContext(ctx, "tar", "-C", b.world.Root, "-cf", path("repo.tar"), "cookbooks", "roles").Run(); err != nil {
		return "", fmt.Errorf("packing the chef-repo: %w", err)
	}
	if err := os.WriteFile(path("provision.sh"), []byte(provision), 0o644); err != nil {
		return "", fmt.Errorf("writing Packer's script: %w", err)
	}
	type object = map[string]any
	text, err := json.Marshal(object{
		"builders": []object{{"type": "amazon-ebs", "region": company.Region, "access_key": packerKey, "secret_key": "none",
			"custom_endpoint_ec2": os.Getenv("AWS_ENDPOINT_URL"), "skip_region_validation": true, "skip_metadata_api_check": true,
			"source_ami": company.BaseImage, "instance_type": "t3.small", "ssh_username": "ubuntu", "ssh_interface": "private_ip",
			"ami_name": "packer-{{uuid}}"}},
		"provisioners": []object{
			{"type": "shell", "inline": []string{"cloud-init status --wait"}},
			{"type": "file", "source": b.world.ChefPackage, "destination": "/tmp/chef.deb"},
			{"type": "file", "source": path("repo.tar"), "destination": "/tmp/repo.tar"},
			{"type": "shell", "script": path("provision.sh"), "execute_command": "sudo sh {{.Path}}"}},
	})
	if err != nil {
		return "", fmt.Errorf("writing Packer's template: %w", err)
	}
	return path("packer.json"), os.WriteFile(path("packer.json"), text, 0o600)
}

// machineTime is what no tool can save: the time in which the base image
// boots until cloud-init is done, stops, and becomes an image, when nobody
// waits a moment too long.
func (b *bench) machineTime(ctx context.Context) (seconds float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	const soon = 50 * time.Millisecond
	inst, err := b.world.Start(ctx, story.Launch{ImageID: company.BaseImage})
	if err != nil {
		return 0, err
	}
	defer func() { err = firstError(err, b.world.Terminate(context.WithoutCancel(ctx), inst.ID)) }()
	if err := story.Until(ctx, soon, func() error {
		_, err := b.world.Guest(ctx, inst.ID, "test -e /run/cloud-init/result.json")
		return err
	}); err != nil {
		return 0, err
	}
	if _, err := b.world.EC2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{inst.ID}}); err != nil {
		return 0, err
	}
	if err := story.Until(ctx, soon, func() error { return b.stopped(ctx, inst.ID) }); err != nil {
		return 0, err
	}
	image, err := b.world.EC2.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: aws.String(inst.ID), Name: aws.String("bench-" + inst.ID)})
	if err != nil {
		return 0, err
	}
	if err := story.Until(ctx, soon, func() error { return b.available(ctx, *image.ImageId) }); err != nil {
		return 0, err
	}
	return time.Since(inst.Launched).Seconds(), nil
}

func (b *bench) stopped(ctx context.Context, id string) error {
	out, err := b.world.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err == nil && out.Reservations[0].Instances[0].State.Name != types.InstanceStateNameStopped {
		err = fmt.Errorf("%s is not stopped", id)
	}
	return err
}

func (b *bench) available(ctx context.Context, id string) error {
	out, err := b.world.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err == nil && out.Images[0].State != types.ImageStateAvailable {
		err = fmt.Errorf("%s is not available", id)
	}
	return err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// peerTable renders the contenders beside each other; the last column sets
// the first contender in relation to the tuned peer.
func peerTable(list []contender, rounds [][]peerRound) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, c := range list {
		b.WriteString(" " + c.name + " |")
	}
	b.WriteString(" bake-ami : Packer | bake-ami : tuned |\n|---|" + strings.Repeat("---:|", len(list)+2) + "\n")
	for _, row := range []struct {
		name   string
		figure func(peerRound) float64
		digits int
	}{
		{"wall time, s", func(r peerRound) float64 { return r.wall }, 1},
		{"– boot, stop and image, at the least, s", func(r peerRound) float64 { return r.machine }, 1},
		{"– converge, by Chef's own clock, s", func(r peerRound) float64 { return r.converge }, 1},
		{"– the rest: the tool's overhead, s", peerRound.overhead, 1},
		{"EC2 API calls", func(r peerRound) float64 { return float64(r.ec2) }, 0},
		{"all AWS API calls", func(r peerRound) float64 { return float64(r.calls) }, 0},
		{"peak memory of all its processes, MiB", func(r peerRound) float64 { return float64(r.rss) / 1024 }, 0},
	} {
		fmt.Fprintf(&b, "| %s |", row.name)
		var all []float64
		for n := range list {
			all = append(all, median(rounds[n], row.figure))
			fmt.Fprintf(&b, " %.*f |", row.digits, all[n])
		}
		fmt.Fprintf(&b, " %.2f | %.2f |\n", all[0]/all[1], all[0]/all[2])
	}
	return b.String()
}
