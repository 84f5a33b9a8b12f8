// Command pullbench measures how fast boot-agent brings a build from S3 to the
// disk, next to the pipelines that people write for it: `aws s3 cp - | zstd | tar`,
// `s5cmd cat | zstd | tar`, and `s5cmd cp` and then tar. All read the same
// object from one local S3 server (versitygw), with and without a speed limit
// per connection; the floor is zstd and tar from the page cache, no network at
// all. It needs root, for a mount namespace that hides the machine's own state
// from the agent. test/tools/bench-pull.sh builds what it needs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

// options is the command line.
type options struct {
	bin       string // folder of boot-agent and deployctl
	versitygw string
	s5cmd     string
	dir       string // scratch
	mib       int    // of each tree
	limit     int    // MiB/s per connection
	runs      int
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of boot-agent and deployctl")
	flag.StringVar(&o.versitygw, "versitygw", "versitygw", "the S3 server")
	flag.StringVar(&o.s5cmd, "s5cmd", "s5cmd", "the peer")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where scratch files go")
	flag.IntVar(&o.mib, "mib", 1024, "size of each tree in MiB")
	flag.IntVar(&o.limit, "limit", 60, "speed of a connection in MiB/s, where it is limited")
	flag.IntVar(&o.runs, "runs", 3, "runs of each; the fastest counts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "pullbench: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp(o.dir, "pullbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir}
	for _, p := range []*string{&b.bin, &b.versitygw, &b.s5cmd} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	if err := b.start(ctx); err != nil {
		return err
	}
	defer b.stop()
	fmt.Printf("%d runs each, in turns, the fastest counts; every tree has %d MiB; limited connections carry %d MiB/s.\n", o.runs, o.mib, o.limit)
	for _, t := range []tree{{"50000 files", 50000}, {"20 files", 20}} {
		if err := b.compare(ctx, t); err != nil {
			return err
		}
	}
	return nil
}
