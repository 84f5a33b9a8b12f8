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

// compare makes the build and measures everybody on it.
func (b *bench) compare(ctx context.Context, t tree) error {
	src := filepath.Join(b.dir, "src")
	if err := makeTree(src, t.files, b.mib<<20); err != nil {
		return err
	}
	id, err := b.output(ctx, filepath.Join(b.bin, "deployctl"), "push", "--app", "web", "--bucket", bucket, "--channel", "production",
		"--sign-key", filepath.Join(b.dir, "sign.pem"), src)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(src); err != nil {
		return err
	}
	key := release.ArtifactKey("web", release.ID(strings.TrimSpace(id)))
	local := filepath.Join(b.dir, "store", bucket, key) // versitygw keeps objects as files
	info, err := os.Stat(local)
	if err != nil {
		return err
	}
	fmt.Printf("\n### %s, %d MiB packed\n\n| what | connections | s | MiB/s | CPU s | peak RSS MiB | boot-agent is |\n|---|---|---|---|---|---|---|\n", t.name, info.Size()>>20)
	floor, err := b.best(ctx, "zstd -dc "+local+" | tar x -C $OUT", b.direct)
	if err != nil {
		return err
	}
	for _, door := range []struct{ name, url string }{{"unlimited", b.direct}, {"limited", b.limited}} {
		ours, err := b.bestAgent(ctx, door.url)
		if err != nil {
			return err
		}
		b.row("boot-agent deploy", door.name, ours, ours)
		object := "s3://" + bucket + "/" + key
		for _, peer := range []struct{ name, script string }{
			{"aws s3 cp - \\| zstd \\| tar", "aws s3 cp --quiet " + object + " - | zstd -dc | tar x -C $OUT"},
			{"s5cmd cat \\| zstd \\| tar", b.s5cmd + " cat " + object + " | zstd -dc | tar x -C $OUT"},
			{"s5cmd cp, then tar", b.s5cmd + " cp " + object + " $OUT/.a >/dev/null && tar x -I zstd -C $OUT -f $OUT/.a && rm $OUT/.a"},
		} {
			f, err := b.best(ctx, peer.script, door.url)
			if err != nil {
				return fmt.Errorf("%s: %w", peer.name, err)
			}
			b.row(peer.name, door.name, f, ours)
		}
		b.row("floor: zstd \\| tar, no network", "–", floor, ours)
	}
	return nil
}

func (b *bench) row(name, door string, f, ours figure) {
	fmt.Printf("| %s | %s | %.2f | %.0f | %.2f | %d | %.2f× |\n", name, door, f.seconds, float64(b.mib)/f.seconds, f.cpu, f.rss>>10, f.seconds/ours.seconds)
}

// best runs a shell script a few times; $OUT is an empty folder.
func (b *bench) best(ctx context.Context, script, endpoint string) (figure, error) {
	return b.fastest(func(out string) (*exec.Cmd, error) {
		cmd := exec.CommandContext(ctx, "bash", "-c", "set -eo pipefail; "+script)
		cmd.Env = append(b.env(endpoint), "OUT="+out)
		return cmd, os.MkdirAll(out, 0o755)
	})
}

// bestAgent runs `boot-agent deploy` a few times, on a machine that has never
// seen the build: a mount namespace hides the state of this one.
func (b *bench) bestAgent(ctx context.Context, endpoint string) (figure, error) {
	stub := filepath.Join(b.dir, "stub")
	conf := filepath.Join(b.dir, "agent.json")
	return b.fastest(func(out string) (*exec.Cmd, error) {
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
	})
}

// fastest measures what prepare makes of a fresh folder.
func (b *bench) fastest(prepare func(out string) (*exec.Cmd, error)) (least figure, err error) {
	for i := range b.runs {
		out := filepath.Join(b.dir, "out")
		cmd, err := prepare(out)
		if err != nil {
			return least, err
		}
		began := time.Now()
		said, err := cmd.CombinedOutput()
		took := time.Since(began).Seconds()
		if err != nil {
			return least, fmt.Errorf("%w: %s", err, said)
		}
		use := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		cpu := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		if i == 0 || took < least.seconds {
			least = figure{took, cpu, use.Maxrss}
		}
		if err := os.RemoveAll(out); err != nil {
			return least, err
		}
	}
	return least, nil
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
