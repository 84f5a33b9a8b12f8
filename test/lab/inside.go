//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"bakehouse/internal/fault"
	"bakehouse/test/lab/company"
	"bakehouse/test/lab/control"
	"bakehouse/test/lab/seal"
)

// The lab starts itself under these names on its way into the seal.
const (
	initCommand    = "seal-init"
	companyCommand = "seal-company"
	channelFD      = 3 // the launcher's end is `lab up`
	keyName        = company.KeyName
)

// configPath holds what up decided outside for the company inside.
func (p place) configPath() string { return filepath.Join(p.run, "company.json") }

// sealInit is process 1 of the seal.
func sealInit(p place, _ []string) (int, error) {
	code, err := seal.Init([]string{companyCommand}, seal.World{
		Hostname:  "lab",
		Bridge:    company.Bridge,
		Addresses: []string{company.BridgeCIDR, company.MetadataCIDR},
		StateDir:  company.StateDir,
		Resolver:  company.Host,
	})
	if err != nil {
		tell(os.NewFile(channelFD, "launcher"), failure(err))
	}
	return code, err
}

// sealCompany is the program beside process 1: the company itself.
func sealCompany(p place, _ []string) (int, error) {
	channel := os.NewFile(channelFD, "launcher")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var cfg company.Config
	b, err := os.ReadFile(p.configPath())
	if err == nil {
		err = json.Unmarshal(b, &cfg)
	}
	if err == nil {
		err = os.WriteFile(sealMark, []byte(p.run), 0o444)
	}
	if err == nil {
		err = company.Run(ctx, cfg, newReporter(channel, stop).report)
	}
	if err != nil {
		tell(channel, failure(err))
	}
	return fault.ExitCode(err), err
}

// reporter passes progress to the launcher until the lab is ready. A launcher
// that goes away before that wanted no lab: then abandon is called.
type reporter struct {
	mu      sync.Mutex
	channel *os.File
	ready   bool
}

func newReporter(channel *os.File, abandon func()) *reporter {
	r := &reporter{channel: channel}
	go func() {
		_, _ = io.Copy(io.Discard, channel) // the launcher never writes: this waits for its end
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.ready {
			abandon()
		}
	}()
	return r
}

func (r *reporter) report(p control.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = r.ready || p.Ready
	tell(r.channel, p)
}

// tell writes one line; a launcher that has gone does not miss it.
func tell(channel *os.File, p control.Progress) { _ = json.NewEncoder(channel).Encode(p) }

func failure(err error) control.Progress {
	return control.Progress{Error: err.Error(), Next: fault.NextOf(err), Kind: int(fault.KindOf(err))}
}

// asError turns a reported failure back into the error it was.
func asError(p control.Progress) error {
	return fault.New(fault.Kind(p.Kind), p.Next, errors.New(p.Error))
}

// errEnded is what up says of a lab that ended without a word.
func errEnded(p place) error {
	return fmt.Errorf("bringing the lab up: it ended without saying why; see %s", p.logPath())
}
