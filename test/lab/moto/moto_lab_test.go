//go:build lab

package moto

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func base() Image {
	return Image{
		ID: "ami-0ba5e000000000001", Name: "base", Description: "a base", OwnerID: "099720109477",
		Architecture: "x86_64", RootDevice: "/dev/sda1",
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("finding a port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestStartAnswersAndStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	command, err := Find(ctx, t.TempDir())
	if err != nil {
		t.Fatalf("Find: %v", err)
	}
	began := time.Now()
	s, err := Start(ctx, Config{Command: command, Dir: t.TempDir(), Port: freePort(t), Image: base(), Log: io.Discard})
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Logf("ready after %v", time.Since(began))
	res, err := http.Get(s.URL().String() + "moto-api/")
	if err != nil {
		t.Fatalf("asking a started moto: %v", err)
	}
	res.Body.Close()
	began = time.Now()
	if err := s.Stop(5 * time.Second); err != nil {
		t.Fatalf("Stop: %v", err)
	}
	t.Logf("stopped after %v", time.Since(began))
	select {
	case <-s.Done():
	default:
		t.Error("Stop returned before the process was gone")
	}
	if err := s.Stop(time.Second); err != nil {
		t.Errorf("second Stop: %v", err)
	}
}

func TestStartReportsAProcessThatEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	_, err := Start(ctx, Config{Command: []string{"false"}, Dir: t.TempDir(), Port: freePort(t), Image: base()})
	if err == nil || !strings.Contains(err.Error(), "the process ended") {
		t.Errorf("Start of a failing command: %v", err)
	}
}

func TestStartStopsTheProcessWhenItIsNotReadyInTime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, Config{Command: []string{"sh", "-c", "exec sleep 60"}, Dir: t.TempDir(), Port: freePort(t), Image: base()})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Start of a silent command: %v", err)
	}
}
