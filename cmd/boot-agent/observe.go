package main

import (
	"io"
	"net"
	"time"

	"bakehouse/agent"
)

// journalSocket is where journald takes entries in its native protocol.
const journalSocket = "/run/systemd/journal/socket"

// observer writes how each stage ended where machines look: fields into the
// journal, and metrics to standard output where a namespace is set. Neither may
// fail a boot, so what cannot be written is dropped.
type observer struct {
	journal   string // path of journald's socket
	namespace string // of metrics; "" for none
	out       io.Writer
}

func (o *observer) observe(end agent.Outcome) {
	if conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: o.journal, Net: "unixgram"}); err == nil {
		_, _ = conn.Write(end.Journal())
		_ = conn.Close()
	}
	if o.namespace == "" {
		return
	}
	if line, err := end.EMF(o.namespace, time.Now()); err == nil {
		_, _ = o.out.Write(line)
	}
}
