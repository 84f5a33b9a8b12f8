//go:build linux

// Package company is what lives inside the seal: the emulated AWS, the Chef
// server, the hypervisor and the network's own services, started together,
// seeded with what a company has on its first day, and ended together.
package company

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"bakehouse/test/lab/control"
	"bakehouse/test/lab/moto"
	"bakehouse/test/lab/netsvc"
)

// Addresses of the company; they exist only inside the seal.
const (
	Bridge       = "br0"
	BridgeCIDR   = "172.31.0.1/16"
	MetadataCIDR = "169.254.169.254/32"
	Host         = "172.31.0.1"
	GatewayURL   = "http://172.31.0.1:4566"
	ChefURL      = "http://172.31.0.1:4545"
	AptURL       = "http://172.31.0.1:8080"
	metadataAddr = "169.254.169.254:80"
	motoPort     = 5000 // on 127.0.0.1: only the gateway and the hypervisor go there
	StateDir     = "/run/lab"
)

// What the company's AWS account looks like.
const (
	Region     = "us-east-1"
	BaseImage  = "ami-0ba5eba5eba5eba5e"
	imageParam = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
	canonical  = "099720109477"
	OperatorID = "AKIALABOPERATOR00001"
	OperatorSK = "lab-operator-secret-key-of-no-account-000"
	seederID   = "AKIALABSEEDER0000001"
	groupsID   = "AKIALABGROUPS0000001" // Auto Scaling itself
	KeyName    = "lab"                  // EC2 key pair whose private half lies in the run directory
)

// Config is what the company needs to know from outside the seal.
type Config struct {
	RunDir      string   `json:"run_dir"`
	CacheDir    string   `json:"cache_dir"`
	Packages    []string `json:"packages"` // what guests can install; with the cache it names the root file system
	MotoCommand []string `json:"moto_command"`
	Cgroup      string   `json:"cgroup"` // parent cgroup of the guests
}

// KeyFile is the private SSH key of the key pair KeyName.
func KeyFile(runDir string) string { return filepath.Join(runDir, "keys", "lab.pem") }

// IdentityCert is the certificate that guests' identity documents are signed with.
func IdentityCert(runDir string) string { return filepath.Join(runDir, "keys", "identity.pem") }

// AdminKey is the Chef administrator's private key.
func AdminKey(runDir string) string { return filepath.Join(runDir, "goiardi", "admin.pem") }

// LogDir holds a log per service.
func LogDir(runDir string) string { return filepath.Join(runDir, "logs") }

// network is the subnet as guests are told.
func network() netsvc.Network {
	return netsvc.Network{
		Prefix: netip.MustParsePrefix(BridgeCIDR).Masked(),
		Router: netip.MustParseAddr(Host),
		Domain: "ec2.internal",
	}
}

// baseImage is honest about what it is: the tools look it up as Ubuntu's.
func baseImage() moto.Image {
	return moto.Image{
		ID:           BaseImage,
		Name:         "bakehouse-lab/debian-12-standing-in-for-ubuntu-24.04-amd64-server",
		Description:  "Bakehouse lab: Debian 12 standing in for Ubuntu 24.04 LTS, amd64",
		OwnerID:      canonical,
		Architecture: "x86_64",
		RootDevice:   "/dev/sda1",
	}
}

// Run brings the company up, tells report how far it is, and lives until ctx
// ends or somebody asks it to shut down. Everything it started is gone when it
// returns; an error says what could not start, or died.
func Run(ctx context.Context, cfg Config, report func(control.Progress)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &company{cfg: cfg, report: report, started: time.Now(), shutdown: cancel, failed: make(chan error, 8)}
	err := c.prepareDirs()
	if err == nil {
		err = c.start(ctx)
	}
	if err == nil {
		report(control.Progress{Ready: true})
		select {
		case <-ctx.Done():
		case err = <-c.failed:
		}
	}
	if ctx.Err() != nil {
		err = nil // asked to end, perhaps while still starting
	}
	cancel()
	return errors.Join(err, c.stop())
}

// company is one running company.
type company struct {
	cfg      Config
	report   func(control.Progress)
	started  time.Time
	shutdown func()
	failed   chan error // a service that died
	parts    parts
	closers  closers
}

// prepareDirs makes fresh directories for this life's logs, keys and state.
func (c *company) prepareDirs() error {
	for _, dir := range []string{LogDir(c.cfg.RunDir), filepath.Dir(KeyFile(c.cfg.RunDir)),
		filepath.Join(c.cfg.RunDir, "goiardi"), filepath.Join(c.cfg.RunDir, "moto")} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("clearing the last lab's files: %w", err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("preparing the lab's directories: %w", err)
		}
	}
	return nil
}

// log opens the log file of one service; it is closed at the end.
func (c *company) log(name string) (io.Writer, error) {
	f, err := os.OpenFile(filepath.Join(LogDir(c.cfg.RunDir), name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	c.closers.add(name, f.Close)
	return f, nil
}

func (c *company) step(format string, args ...any) {
	c.report(control.Progress{Step: fmt.Sprintf(format, args...)})
}

// stop ends everything in the reverse order of its start.
func (c *company) stop() error { return c.closers.close() }
