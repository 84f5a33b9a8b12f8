package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/release"
)

// tree is one build to pull.
type tree struct {
	name  string
	files int
}

// figure is what one run took.
type figure struct {
	seconds, cpu float64
	rss          int64 // KiB, of the largest process
}

// contender is one way to bring the build to the disk.
type contender struct {
	name, door string
	prepare    func(out string) (*exec.Cmd, error) // a command that fills the folder out
	best       figure
}

// compare makes the build and measures everybody on it.
func (b *bench) compare(ctx context.Context, t tree) error {
	key, local, err := b.push(ctx, t)
	if err != nil {
		return err
	}
	info, err := os.Stat(local)
	if err != nil {
		return err
	}
	floor := &contender{name: "floor: zstd \\| tar, no network", door: "–", prepare: b.script(ctx, "zstd -dc "+local+" | tar x -C $OUT", b.direct)}
	stored := &contender{name: "floor, then `sync -f`", door: "–", prepare: b.script(ctx, "zstd -dc "+local+" | tar x -C $OUT && sync -f $OUT", b.direct)}
	fmt.Printf("\n### %s, %d MiB packed\n\n| what | connections | s | MiB/s | CPU s | peak RSS MiB | boot-agent is | speed of the floor |\n|---|---|---|---|---|---|---|---|\n", t.name, info.Size()>>20)
	for _, door := range []struct{ name, url string }{{"unlimited", b.direct}, {"limited", b.limited}} {
		field := append(b.field(ctx, door.name, door.url, "s3://"+bucket+"/"+key), floor, stored)
		// Taking turns, so that a machine that gets busy slows all of them down.
		for range b.runs {
			for _, c := range field {
				if err := b.measure(c); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
		}
		for _, c := range field[:len(field)-2] {
			b.row(c, field[0].best, floor.best)
		}
		b.row(floor, field[0].best, floor.best)
		b.row(stored, field[0].best, floor.best)
		floor.best, stored.best = figure{}, figure{}
	}
	return nil
}

// push makes the tree and pushes it. It returns the build's key and the file
// that holds it: versitygw keeps objects as files.
func (b *bench) push(ctx context.Context, t tree) (key, local string, err error) {
	src := filepath.Join(b.dir, "src")
	if err := makeTree(src, t.files, b.mib<<20); err != nil {
		return "", "", err
	}
	id, err := b.output(ctx, filepath.Join(b.bin, "deployctl"), "push", "--app", "web", "--bucket", bucket, "--channel", "production",
		"--sign-key", filepath.Join(b.dir, "sign.pem"), src)
	if err != nil {
		return "", "", err
	}
	key = release.ArtifactKey("web", release.ID(strings.TrimSpace(id)))
	return key, filepath.Join(b.dir, "store", bucket, key), os.RemoveAll(src)
}

// field is the agent and its peers, reading object through one door.
func (b *bench) field(ctx context.Context, door, endpoint, object string) []*contender {
	field := []*contender{{name: "boot-agent deploy", door: door, prepare: b.agent(ctx, endpoint)}}
	for _, peer := range []struct{ name, script string }{
		{"aws s3 cp - \\| zstd \\| tar", "aws s3 cp --quiet " + object + " - | zstd -dc | tar x -C $OUT"},
		{"s5cmd cat \\| zstd \\| tar", b.s5cmd + " cat " + object + " | zstd -dc | tar x -C $OUT"},
		{"s5cmd cp, then tar", b.s5cmd + " cp " + object + " $OUT/.a >/dev/null && tar x -I zstd -C $OUT -f $OUT/.a && rm $OUT/.a"},
	} {
		field = append(field, &contender{name: peer.name, door: door, prepare: b.script(ctx, peer.script, endpoint)})
	}
	return field
}

func (b *bench) row(c *contender, ours, floor figure) {
	f := c.best
	fmt.Printf("| %s | %s | %.2f | %.0f | %.2f | %d | %.2f× | %.2f |\n", c.name, c.door, f.seconds, float64(b.mib)/f.seconds, f.cpu, f.rss>>10,
		f.seconds/ours.seconds, floor.seconds/f.seconds)
}

// script is a shell script; $OUT is an empty folder.
func (b *bench) script(ctx context.Context, script, endpoint string) func(string) (*exec.Cmd, error) {
	return func(out string) (*exec.Cmd, error) {
		cmd := exec.CommandContext(ctx, "bash", "-c", "set -eo pipefail; "+script)
		cmd.Env = append(b.env(endpoint), "OUT="+out)
		return cmd, os.MkdirAll(out, 0o755)
	}
}

// agent is `boot-agent deploy` on a machine that has never seen the build: a
// mount namespace hides the state of this one.
func (b *bench) agent(ctx context.Context, endpoint string) func(string) (*exec.Cmd, error) {
	stub := filepath.Join(b.dir, "stub")
	conf := filepath.Join(b.dir, "agent.json")
	return func(out string) (*exec.Cmd, error) {
		text, err := json.Marshal(agentconf.Config{Role: "web",
			Chef: agentconf.Chef{ServerURL: "http://127.0.0.1:1", ValidationClient: "v", ValidatorKey: "ssm:/v", RunList: []string{"role[web]"}},
			App:  &agentconf.App{Name: "web", Bucket: bucket, Channel: "production", Root: out, Unit: "web.service", PublicKeys: []string{b.public}}})
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(stub, 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(stub, "systemctl"), []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, "unshare", "--mount", "sh", "-c", "mount -t tmpfs none /var/lib && exec "+filepath.Join(b.bin, "boot-agent")+" deploy --config "+conf)
		cmd.Env = append(b.env(endpoint), "PATH="+stub+":"+os.Getenv("PATH"), "AWS_EC2_METADATA_DISABLED=false")
		return cmd, os.WriteFile(conf, text, 0o644)
	}
}

// measure runs c once in a fresh folder and keeps the fastest run.
func (b *bench) measure(c *contender) error {
	out := filepath.Join(b.dir, "out")
	cmd, err := c.prepare(out)
	if err != nil {
		return err
	}
	began := time.Now()
	said, err := cmd.CombinedOutput()
	took := time.Since(began).Seconds()
	if err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	use := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	cpu := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if c.best.seconds == 0 || took < c.best.seconds {
		c.best = figure{took, cpu, use.Maxrss}
	}
	return os.RemoveAll(out)
}

// makeTree makes files that pack to about half: a third of each is noise.
func makeTree(dir string, files, total int) error {
	noise := rand.NewChaCha8([32]byte{})
	content := make([]byte, total/files)
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprintf("d%03d", i/200))
		if i%200 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return err
			}
		}
		for at := 0; at+96 <= len(content); at += 96 {
			_, _ = noise.Read(content[at : at+40]) // never fails
			binary.LittleEndian.PutUint64(content[at+40:], uint64(i))
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%05d", i)), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
