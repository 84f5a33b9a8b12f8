package bake

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/bake/ami"
	"bakehouse/bake/inventory"
	"bakehouse/internal/fault"
)

func TestTheInventoryTravelsWithTheImage(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.RootVolumeGB = 12000
	f.in.AgentEnv = map[string]string{"HTTPS_PROXY": "http://me:hunter2@proxy"}
	p := f.plan(t)
	r, err := f.Bake(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := r.JSON(); err != nil || strings.Contains(string(b), "hunter2") || r.Inputs.AgentEnv["HTTPS_PROXY"] != "(set)" {
		t.Errorf("the report shows a password of the agent's environment: %v, %v", r.Inputs.AgentEnv, err)
	}
	p.Reuse = &ami.Image{}
	if r := p.reused(f.Clock.Now()); r.Inputs.AgentEnv["HTTPS_PROXY"] != "(set)" {
		t.Errorf("the report of a reused image shows %v", r.Inputs.AgentEnv)
	}
	inside := f.machine.files[inventory.Path]
	kept, err := os.ReadFile(filepath.Join(f.StateDir, "inventories", r.BakeID+".json"))
	if err != nil || inside == "" || string(kept) != inside {
		t.Fatalf("in the image %d bytes, in the state folder %d: %v", len(inside), len(kept), err)
	}
	if strings.Contains(inside, "hunter2") {
		t.Error("a password of the agent's environment is there for everybody to read")
	}
	i := r.Inventory
	if i == nil || i.BakeID != r.BakeID || len(i.Packages) != 1 || len(i.Cookbooks) != 1 || i.Cookbooks[0].Version != "1.2.3" ||
		i.Settings["run_list"] != "role[web]" || i.Settings["root_volume_gb"] != "12000" || i.Settings["agent_env.HTTPS_PROXY"] != "(set)" {
		t.Errorf("the report says %+v", i)
	}
	if got := f.ec2.images[1].tags[inventory.Tag]; got != inventory.Digest(kept) {
		t.Errorf("the image's tag is %q", got)
	}
	if r.Changes != nil || r.ChangesNote != "it is the role's first image" {
		t.Errorf("the first image changed: %+v %q", r.Changes, r.ChangesNote)
	}
	if r.Cost == nil || r.Cost.Lines[0].What != "builder t3.small" {
		t.Errorf("cost %+v", r.Cost)
	}
}

func TestTheReportSaysWhatChangedSinceTheImageBefore(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Rebake = true
	first, err := f.Bake(t.Context(), f.plan(t))
	if err != nil {
		t.Fatal(err)
	}
	f.machine.on = func(_ context.Context, script string, out io.Writer) (bool, error) {
		if !strings.Contains(script, "dpkg-query") {
			return false, nil
		}
		_, err := io.WriteString(out, strings.ReplaceAll(fakeInventory, "1.24.0-2ubuntu7", "1.24.0-2ubuntu8"))
		return true, err
	}
	second, err := f.Bake(t.Context(), f.plan(t))
	if err != nil || second.Changes == nil {
		t.Fatalf("%v; %s", err, second.ChangesNote)
	}
	if c := second.Changes; c.Old.Label != first.ImageID || c.New.Label != second.ImageID || len(c.Packages) != 1 || c.Packages[0].How != inventory.Up || len(c.Settings) != 0 {
		t.Errorf("%+v", c)
	}
	if err := os.RemoveAll(filepath.Join(f.StateDir, "inventories")); err != nil {
		t.Fatal(err)
	}
	third, err := f.Bake(t.Context(), f.plan(t))
	if err != nil || third.Changes != nil || !strings.Contains(third.ChangesNote, second.BakeID+".json") {
		t.Errorf("without the inventory before: %v, %+v, %q", err, third.Changes, third.ChangesNote)
	}
}

func TestABuilderThatDoesNotTellWhatItHoldsIsNoImage(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	f.machine.on = func(_ context.Context, script string, out io.Writer) (bool, error) {
		if !strings.Contains(script, "dpkg-query") {
			return false, nil
		}
		_, err := io.WriteString(out, fakeInventory[:len(fakeInventory)-6])
		return true, err
	}
	r, err := f.Bake(t.Context(), p)
	if fault.KindOf(err) != fault.Check || r.ImageID != "" || r.Inventory != nil || len(f.left(t)) > 0 {
		t.Errorf("%v; %+v; left %v", err, r.Inventory, f.left(t))
	}
}

func TestAReusedImageBringsItsInventory(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	r, err := f.Bake(t.Context(), f.plan(t))
	if err != nil {
		t.Fatal(err)
	}
	again := Report{Reused: true, ImageID: r.ImageID, BakeID: r.BakeID}
	if f.AddInventory(t.Context(), &again); again.Inventory == nil || again.Inventory.BakeID != r.BakeID {
		t.Errorf("%+v", again)
	}
	lost := Report{Reused: true, ImageID: "ami-x", BakeID: "01JZ0000000000000000000009"}
	if f.AddInventory(t.Context(), &lost); lost.Inventory != nil || !strings.Contains(lost.ChangesNote, "01JZ0000000000000000000009") {
		t.Errorf("%+v", lost)
	}
	if _, err := f.InventoryOf(t.Context(), ami.Image{ID: "ami-x", BakeID: "x"}); fault.KindOf(err) != fault.Usage || fault.NextOf(err) == "" {
		t.Error(err)
	}
}

func TestSettingsAreWhatTheyAre(t *testing.T) {
	t.Parallel()
	r := Recipe{Role: "web", RootGB: 209715200, RunList: []string{"recipe[a]", "recipe[b]"}, AgentEnv: map[string]string{"A": "secret"}}
	got, err := r.settings()
	if err != nil || got["root_volume_gb"] != "209715200" || got["run_list"] != "recipe[a], recipe[b]" || got["agent_env.A"] != "(set)" || r.AgentEnv["A"] != "secret" {
		t.Errorf("%v, %v", got, err)
	}
	for k := range got {
		if strings.HasPrefix(k, "base") || strings.HasPrefix(k, "cookbooks") || strings.HasPrefix(k, "contents") {
			t.Errorf("%s stands elsewhere", k)
		}
	}
}
