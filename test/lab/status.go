//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/test/lab/company"
	"bakehouse/test/lab/control"
)

// status prints what runs where; without a lab it says so and returns 2.
func status(p place, args []string) (int, error) {
	asJSON := len(args) == 1 && args[0] == "--json"
	if len(args) > 0 && !asJSON {
		return 2, usage("lab status takes --json or nothing")
	}
	ctx, cancel := context.WithTimeout(context.Background(), askPatience)
	defer cancel()
	s, err := p.ask(ctx)
	if err != nil {
		return 0, err
	}
	if asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return 0, enc.Encode(s)
	}
	printStatus(os.Stdout, s, p)
	return 0, nil
}

func printStatus(w io.Writer, s control.Status, p place) {
	fmt.Fprintf(w, "up since %s, cache %s\n\n", s.UpSince.Format(time.DateTime), p.cache)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(s.Addresses)) {
		fmt.Fprintf(t, "%s\t%s\n", name, s.Addresses[name])
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "INSTANCE\tSTATE\tADDRESS\tIMAGE\tBOOTS\tNOTE")
	for _, i := range s.Instances {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", i.ID, i.State, i.Address, i.ImageID, i.Boots, i.Problem)
	}
	_ = t.Flush() // w is a terminal or a buffer
	if len(s.Instances) == 0 {
		fmt.Fprintln(w, "(none yet)")
	}
}

// logs lists the logs, or prints one.
func logs(p place, args []string) (int, error) {
	dir := company.LogDir(p.run)
	switch {
	case len(args) > 1:
		return 2, usage("lab logs takes one name")
	case len(args) == 0:
		return listLogs(p, dir)
	case strings.HasPrefix(args[0], "i-"):
		return console(p, args[0])
	}
	for _, path := range []string{filepath.Join(dir, args[0]), filepath.Join(dir, args[0]+".log"),
		filepath.Join(p.run, args[0], args[0]+".log"), filepath.Join(p.run, args[0]+".log")} {
		f, err := os.Open(path)
		if err != nil || filepath.Base(args[0]) != args[0] {
			continue
		}
		defer f.Close()
		_, err = io.Copy(os.Stdout, f)
		return 0, err
	}
	return 2, fault.Newf(fault.Usage, "`lab logs` lists them", "finding log %s: there is none", args[0])
}

func listLogs(p place, dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fault.New(fault.Usage, "bring a lab up with `lab up`", fmt.Errorf("listing logs: %w", err))
	}
	fmt.Println(p.logPath())
	fmt.Println(filepath.Join(p.run, "goiardi", "goiardi.log"))
	for _, e := range entries {
		fmt.Println(filepath.Join(dir, e.Name()))
	}
	return 0, nil
}

func console(p place, id string) (int, error) {
	i, err := p.instance(id)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askPatience)
	defer cancel()
	out, err := p.client().Console(ctx, i.ID)
	if err != nil {
		return 0, err
	}
	_, err = os.Stdout.Write(out)
	return 0, err
}

// calls prints the recorded AWS calls.
func calls(p place, args []string) (int, error) {
	path := "/gateway/calls"
	switch {
	case len(args) == 2 && args[0] == "--since":
		path += "?since=" + args[1]
	case len(args) > 0:
		return 2, usage("lab calls takes --since SEQ or nothing")
	}
	return p.print(http.MethodGet, path, nil)
}

// faults adds, lists or clears the gateway's fault rules.
func faults(p place, args []string) (int, error) {
	switch {
	case len(args) == 2 && args[0] == "add":
		if !json.Valid([]byte(args[1])) {
			return 2, usage("lab fault add: the rule is not JSON")
		}
		return p.print(http.MethodPost, "/gateway/faults", json.RawMessage(args[1]))
	case len(args) == 1 && args[0] == "list":
		return p.print(http.MethodGet, "/gateway/faults", nil)
	case len(args) == 1 && args[0] == "clear":
		return p.print(http.MethodDelete, "/gateway/faults", nil)
	}
	return 2, usage("lab fault takes add JSON, list or clear")
}

// print sends one request to the lab and prints the answer.
func (p place) print(method, path string, body any) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askPatience)
	defer cancel()
	if _, err := p.ask(ctx); err != nil {
		return 0, err
	}
	out, err := p.client().Do(ctx, method, path, body)
	if err != nil {
		return 0, err
	}
	_, err = os.Stdout.Write(out)
	return 0, err
}

// spotInterrupt serves a notice and lets the hypervisor act after it.
func spotInterrupt(p place, args []string) (int, error) {
	if len(args)%2 != 1 {
		return 2, usage("lab spot-interrupt takes INSTANCE [--action ACTION] [--after DURATION]")
	}
	var s control.SpotInterrupt
	for n := 1; n < len(args); n += 2 {
		var err error
		switch args[n] {
		case "--action":
			s.Action = args[n+1]
		case "--after":
			s.After, err = time.ParseDuration(args[n+1])
		default:
			err = fmt.Errorf("no option %s", args[n])
		}
		if err != nil {
			return 2, usage("lab spot-interrupt: %w", err)
		}
	}
	i, err := p.instance(args[0])
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askPatience)
	defer cancel()
	return 0, p.client().SpotInterrupt(ctx, i.ID, s)
}

// lifecycle prints where groups send their instances, and what those told them.
func lifecycle(p place, args []string) (int, error) {
	if len(args) != 0 {
		return 2, usage("lab lifecycle takes nothing; groups are told by the API of Auto Scaling")
	}
	return p.print(http.MethodGet, "/gateway/lifecycle", nil)
}

// powerCut kills an instance's guest and returns once it boots again.
func powerCut(p place, args []string) (int, error) {
	if len(args) != 1 {
		return 2, usage("lab power-cut takes INSTANCE")
	}
	i, err := p.instance(args[0])
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return 0, p.client().PowerCut(ctx, i.ID)
}
