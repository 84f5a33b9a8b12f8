package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/agent/broker"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

// drain is how long requests under way may take once the broker is told to end.
const drain = 15 * time.Second

func serveCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "answer HTTPS requests until stopped",
		Flags: append(flags(),
			&cli.StringFlag{Name: "listen", EnvVars: env("LISTEN"), Value: ":8443", Usage: "`HOST:PORT` to listen on"},
			&cli.StringFlag{Name: "tls-cert", EnvVars: env("TLS_CERT"), Usage: "PEM `FILE` with the server's certificate chain"},
			&cli.StringFlag{Name: "tls-key", EnvVars: env("TLS_KEY"), Usage: "PEM `FILE` with its private key"}),
		Action: func(c *cli.Context) error { return startServe(c, d) },
	}
}

func lambdaCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:   "lambda",
		Usage:  "answer the invocations of a Lambda function URL (what the binary does by itself as a function's bootstrap)",
		Flags:  flags(),
		Action: func(c *cli.Context) error { return startLambda(c, d) },
	}
}

// handler is what both commands answer with.
func handler(c *cli.Context, d deps) (http.Handler, error) {
	if _, err := cliapp.Arguments(c); err != nil {
		return nil, err
	}
	o, err := optionsOf(c)
	if err != nil {
		return nil, err
	}
	w, err := d.world(c.Context, o)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewJSONHandler(d.Stderr, nil))
	return broker.Handler(broker.New(o.policy, w), o.limits, log), nil
}

func startServe(c *cli.Context, d deps) error {
	h, err := handler(c, d)
	if err != nil {
		return err
	}
	l, err := d.open(c)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: c.Duration("timeout") + 10*time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	fmt.Fprintf(d.Stdout, "chef-broker: listening on %s\n", l.Addr())
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-c.Context.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(c.Context), drain)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		return fmt.Errorf("ending the requests under way: %w", err)
	}
	return nil
}

// open listens, with TLS unless only this machine can connect: a proxy or
// load balancer on the same machine then speaks TLS for the broker.
func (d deps) open(c *cli.Context) (net.Listener, error) {
	address, cert, key := c.String("listen"), c.String("tls-cert"), c.String("tls-key")
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, cliapp.Usagef("--listen %q is not HOST:PORT", address)
	}
	if (cert == "") != (key == "") {
		return nil, cliapp.Usagef("--tls-cert and --tls-key belong together")
	}
	if cert == "" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return nil, cliapp.Usagef("--listen %q without --tls-cert and --tls-key: only a loopback address needs no TLS", address)
		}
	}
	var config *tls.Config
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fault.Newf(fault.Usage, "correct --tls-cert and --tls-key", "reading the server's certificate: %w", err)
		}
		config = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	l, err := d.listen("tcp", address)
	if err != nil {
		return nil, fault.New(fault.Usage, "choose another --listen", fmt.Errorf("listening: %w", err))
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	return l, nil
}

func startLambda(c *cli.Context, d deps) error {
	api := d.Getenv(runtimeAPI)
	if api == "" {
		return cliapp.Usagef("%s is not set: this command runs inside a Lambda function", runtimeAPI)
	}
	h, err := handler(c, d)
	if err != nil {
		return err
	}
	// No time-out: the wait for the next invocation may take hours.
	err = broker.ServeLambda(c.Context, &http.Client{Transport: &http.Transport{Proxy: nil}}, api, h)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
