//go:build lab

package asg_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/lab/moto"
)

// gaps are the cases that moto is known to fail, each with the reason. One
// that passes after all fails the test: then moto has learnt it.
func gaps() map[string]string {
	return map[string]string{
		"a desired capacity outside its bounds is refused": "any number is taken",
		"a group with instances needs force to go":         "it goes without",
		"a hook holds a launch until it is completed":      "hooks are kept and hold nothing",
		"a launch is an activity with a cause":             "there are no activities",
		"a mixed group buys spot":                          "every instance is of the template's type",
		"a policy answers its ARN and is listed":           "the answer has no ARN; only DescribePolicies does",
		"a refresh brings a new version in":                "there are no instance refreshes",
		"a schedule shows when it fires next":              "it shows what was put",
		"a second group of the name is refused":            "it overwrites the first",
		"a token that nobody gave is refused":              "it breaks",
		"a warm pool fills":                                "its configuration is kept, and nothing launched",
		"an alarm calls its policy":                        "alarms call nobody",
		"an unhealthy instance is replaced":                "it is marked and stays",
		"an update writes cooldown and termination":        "both are ignored",
		"instances are described by their ids":             "health is written as groups write it",
		"instances take turns among zones":                 "all are launched in the first",
		"metrics can be switched off":                      "there is no such action",
		"notifications are kept":                           "there is no such action",
		"target tracking makes two alarms":                 "it makes none",
		"traffic sources are kept":                         "there is no such action",
		"warm-up, lifetime and maintenance are kept":       "all three are dropped",
	}
}

// noMachines is a hypervisor without machines.
type noMachines struct{}

func (noMachines) State(string) (string, bool)                          { return "", false }
func (noMachines) Snapshot(context.Context, string, string, bool) error { return nil }
func (noMachines) RemoveImage(string)                                   {}
func (noMachines) Console(string) []byte                                { return nil }
func (noMachines) Nudge()                                               {}

func TestMotoKeepsTheContractButForItsGaps(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	command, err := moto.Find(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	server, err := moto.Start(ctx, moto.Config{Command: command, Dir: t.TempDir(), Port: port, Log: io.Discard, Image: moto.Image{ID: image, Name: "base",
		Description: "base", OwnerID: "099720109477", Architecture: "x86_64", RootDevice: "/dev/sda1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop(5 * time.Second)
	g, err := gateway.New(gateway.Config{Upstream: server.URL(), Machines: noMachines{}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	front := httptest.NewServer(g)
	defer front.Close()
	all := contract()
	for i, name := range slices.Sorted(maps.Keys(all)) {
		err := all[name](newClient(t, front.URL, fmt.Sprintf("group-%d", i)))
		switch why := gaps()[name]; {
		case err != nil && why == "":
			t.Errorf("%s: %v", name, err)
		case err == nil && why != "":
			t.Errorf("%s: moto does it now; take it out of the list", name)
		}
	}
}
