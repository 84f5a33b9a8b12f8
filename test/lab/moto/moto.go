// Package moto finds, starts and stops moto_server, the emulator of AWS that
// stands behind the lab's gateway. Nothing else should talk to it: its
// answers need the gateway's repairs.
package moto

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"bakehouse/internal/fault"
)

// Version is the moto that the gateway's repairs were written against.
const Version = "5.2.1"

// Image is the base image that moto knows from its start.
type Image struct {
	ID           string // ami- and 17 hex digits
	Name         string
	Description  string
	OwnerID      string // account id of 12 digits, not moto's own
	Architecture string // x86_64 or arm64
	RootDevice   string // for example /dev/sda1
}

// Config is what Start needs.
type Config struct {
	Command []string  // as Find returns it
	Dir     string    // for the image list; must exist
	Host    string    // empty: 127.0.0.1
	Port    int       // TCP, required
	Image   Image     // the only public image
	Log     io.Writer // moto's output; nil drops it
}

// Server is a running moto. Stop it.
type Server struct {
	url  *url.URL
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of the process, once done is closed
}

// Start starts moto and waits until it answers EC2 calls with the base image,
// which takes about 1.5 s on two cores (most of it the load of EC2's model).
// It gives up when ctx ends or the process does.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if len(cfg.Command) == 0 || cfg.Port == 0 {
		return nil, errors.New("starting moto: no command or no port")
	}
	if cfg.Host == "" {
		cfg.Host = "127.0.0.1"
	}
	images, err := writeImages(cfg.Dir, cfg.Image)
	if err != nil {
		return nil, err
	}
	args := append(cfg.Command[1:len(cfg.Command):len(cfg.Command)], "-H", cfg.Host, "-p", strconv.Itoa(cfg.Port))
	// Not CommandContext: ctx bounds the start, Stop ends the process.
	cmd := exec.Command(cfg.Command[0], args...)
	cmd.Env = append(cleanEnv(os.Environ()), switches(images)...)
	cmd.Stdout, cmd.Stderr = cfg.Log, cfg.Log
	cmd.Dir = cfg.Dir
	// A group of its own: Ctrl-C on the lab must not take moto from under
	// the clean-up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting moto: %w", err)
	}
	s := &Server{
		url:  &url.URL{Scheme: "http", Host: net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)), Path: "/"},
		cmd:  cmd,
		done: make(chan struct{}),
	}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	if err := s.waitReady(ctx, cfg.Image.ID); err != nil {
		return nil, errors.Join(err, s.Stop(time.Second))
	}
	return s, nil
}

// URL is the server's address, for the gateway only.
func (s *Server) URL() *url.URL { u := *s.url; return &u }

// Done is closed when the process has ended, asked or not.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop sends SIGTERM, and SIGKILL after grace. It returns once the process is
// gone, and may be called again.
func (s *Server) Stop(grace time.Duration) error {
	if err := s.signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-s.done:
		return nil
	case <-timer.C:
	}
	err := s.signal(syscall.SIGKILL)
	<-s.done
	return err
}

func (s *Server) signal(sig syscall.Signal) error {
	select {
	case <-s.done:
		return nil
	default:
	}
	err := s.cmd.Process.Signal(sig)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping moto: %w", err)
	}
	return nil
}

// waitReady polls until moto names the base image in a reply.
func (s *Server) waitReady(ctx context.Context, imageID string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = s.describe(ctx, imageID); last == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("starting moto: the process ended: %v; its log says why", s.err)
		case <-ctx.Done():
			return fmt.Errorf("starting moto: not ready: %w (last answer: %v)", ctx.Err(), last)
		case <-tick.C:
		}
	}
}

func (s *Server) describe(ctx context.Context, imageID string) error {
	form := url.Values{"Action": {"DescribeImages"}, "Version": {"2016-11-15"}, "ImageId.1": {imageID}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization",
		"AWS4-HMAC-SHA256 Credential=LAB/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(imageID)) {
		return fmt.Errorf("describing the base image: HTTP %d", res.StatusCode)
	}
	return nil
}

// switches are moto's settings for the lab: it must refuse what EC2 refuses.
func switches(images string) []string {
	return []string{
		"MOTO_AMIS_PATH=" + images, // one image instead of hundreds: a faster start
		"MOTO_ENABLE_AMI_VALIDATION=true",
		"MOTO_ENABLE_KEYPAIR_VALIDATION=true",
		"MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION=true",
		"MOTO_IAM_LOAD_MANAGED_POLICIES=false",
		"S3_IGNORE_SUBDOMAIN_BUCKETNAME=true", // tools use paths; guests' host names must not become buckets
		"PYTHONUNBUFFERED=1",
	}
}

// cleanEnv drops what could turn moto to real services or other settings.
func cleanEnv(env []string) []string {
	var out []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "MOTO_") {
			out = append(out, kv)
		}
	}
	return out
}

// writeImages writes the list that MOTO_AMIS_PATH names and returns its path.
// It names no creation date: moto 5.2.1 parses that in place, in a list that
// all regions and accounts share, and fails at the second of them.
func writeImages(dir string, im Image) (string, error) {
	list := []map[string]any{{
		"ami_id": im.ID, "name": im.Name, "description": im.Description, "owner_id": im.OwnerID,
		"architecture": im.Architecture, "root_device_name": im.RootDevice, "root_device_type": "ebs",
		"image_location": im.OwnerID + "/" + im.Name, "image_type": "machine", "state": "available",
		"virtualization_type": "hvm", "hypervisor": "xen", "public": true,
	}}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return "", fmt.Errorf("rendering moto's images: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(dir, "moto-images.json"))
	if err != nil {
		return "", fmt.Errorf("writing moto's images: %w", err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return "", fmt.Errorf("writing moto's images: %w", err)
	}
	return path, nil
}

// missing is the error for a machine on which moto can neither be found nor
// installed.
func missing(err error) error {
	return fault.New(fault.Check,
		"install it with: pip install 'moto[server]=="+Version+"' (or apt-get install python3-venv and try again)",
		fmt.Errorf("finding moto: %w", err))
}
