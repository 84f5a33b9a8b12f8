package main

import (
	"bytes"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/agent"
)

func TestOutcomesReachJournalAndMetrics(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "socket")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var out bytes.Buffer
	o := &observer{journal: socket, namespace: "Bakehouse", out: &out}
	o.observe(agent.Outcome{Stage: agent.Register, State: agent.Done, Instance: "i-1", Role: "web", Took: 1500 * time.Millisecond})
	b := make([]byte, 4096)
	n, err := l.Read(b)
	if err != nil || !strings.Contains(string(b[:n]), "BAKEHOUSE_STAGE=register\nBAKEHOUSE_STATE=done\nBAKEHOUSE_MS=1500\n") {
		t.Errorf("the journal got %q, %v", b[:n], err)
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["StageSeconds"] != 1.5 {
		t.Errorf("metrics are %s, %v", out.String(), err)
	}
}

func TestNoJournalAndNoNamespaceIsSilence(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	(&observer{journal: "/nonexistent", out: &out}).observe(agent.Outcome{Stage: agent.Pull})
	if out.Len() > 0 {
		t.Errorf("it wrote %s", out.String())
	}
}
