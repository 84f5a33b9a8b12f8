package agent

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

func TestTheNodeIsMarkedWithWhereItComesFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	marker, _ := w.chef.nodes["web-"+testInstance].Normal[markerKey].(map[string]any)
	for key, want := range map[string]string{"instance_id": testInstance, "account": "123456789012", "region": "eu-west-1", "zone": "eu-west-1a",
		"group": "web-asg", "image_id": "ami-1", "bake_id": "01BAKE", "role": "web"} {
		if marker[key] != want {
			t.Errorf("%s is %v, want %s", key, marker[key], want)
		}
	}
}

func TestTagsAreChefTagsOfTheNode(t *testing.T) {
	t.Parallel()
	name := "web-" + testInstance
	w := newWorld(t)
	w.conf.Chef.Tags = []string{"blue", "team:shop"}
	w.conf.Attributes = map[string]any{"tags": []any{"base", "blue"}}
	w.boot()
	if diff := cmp.Diff([]any{"base", "blue", "team:shop"}, w.chef.nodes[name].Normal["tags"]); diff != "" {
		t.Errorf("a new node (-want +got):\n%s", diff)
	}
	w = newWorld(t)
	w.conf.Chef.Tags = []string{"blue"}
	w.chef.nodes[name] = chefapi.Node{Name: name, Normal: map[string]any{"tags": []any{"by hand"}}}
	w.boot()
	if diff := cmp.Diff([]any{"by hand", "blue"}, w.chef.nodes[name].Normal["tags"]); diff != "" {
		t.Errorf("a node that was there (-want +got):\n%s", diff)
	}
	w = newWorld(t)
	w.boot()
	if tags, ok := w.chef.nodes[name].Normal["tags"]; ok {
		t.Errorf("without tags the node has %v", tags)
	}
}

func TestAPolicyTakesTheRunListsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.Chef.RunList, w.conf.Chef.PolicyName, w.conf.Chef.PolicyGroup = nil, "web", "prod"
	w.boot()
	if n := w.chef.nodes["web-"+testInstance]; n.PolicyName != "web" || n.PolicyGroup != "prod" || len(n.RunList) > 0 {
		t.Errorf("node is %+v", n)
	}
}

func TestAnImageWithAValidatorsKeyIsRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/etc/chef/validation.pem", "/etc/cinc/validation.pem", "/etc/chef/acme-validator.pem"} {
		w := newWorld(t)
		w.write(path, testKeys()[0], 0o600)
		err := w.fails(fault.Check, path, "validator's key")
		if !strings.Contains(fault.NextOf(err), "bake the image without it") || w.keys+w.chef.asked != 0 || len(w.chef.nodes) != 0 {
			t.Errorf("%s: next %q; %d keys made, %d requests", path, fault.NextOf(err), w.keys, w.chef.asked)
		}
		if w.read(path) == "" {
			t.Errorf("%s was removed: the evidence is the owner's", path)
		}
	}
}

func TestAnImageWithAClientsKeyNeverUsesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("/etc/chef/client.pem", testKeys()[3], 0o600)
	w.boot()
	if w.read("/etc/chef/client.pem") == testKeys()[3] || !strings.Contains(fmt.Sprint(w.notes), "client.pem: this instance did not make it") {
		t.Errorf("the key was used, or nobody was told: %q", w.notes)
	}
}
