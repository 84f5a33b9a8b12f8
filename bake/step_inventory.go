package bake

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bakehouse/bake/ami"
	"bakehouse/bake/inventory"
	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// What a bake with a bucket for inventories asks of S3. S3 says 404 for a key
// that is not there only to who may list; without it, 403.
const (
	actPutObject  = "s3:PutObject"
	actGetObject  = "s3:GetObject"
	actListBucket = "s3:ListBucket"
)

// stock is what a session knows of its image's content.
type stock struct {
	inventory *inventory.Inventory // nil: not taken yet
	inBytes   []byte
	changes   *inventory.Diff
	note      string // why there are no changes to show
}

// inventories is where inventories are kept: at least in the state folder.
func (w World) inventories() inventory.Store {
	s := w.Inventories
	s.Dir = cmp.Or(s.Dir, w.StateDir)
	return s
}

// takeInventory asks the builder what it holds, and leaves the answer in the
// image. It runs when all has been installed, and before the scrub, after
// which nothing may run.
func (s *Session) takeInventory(ctx context.Context) error {
	text, err := script("inventory")
	if err != nil {
		return err
	}
	out, err := s.machine.Output(ctx, host.Command{Script: text, Sudo: true, Env: map[string]string{"AGENT": agentconf.BinaryPath, "CLIENT": s.client}})
	if err != nil {
		return guestFault(fault.Check, "taking the inventory", err, "")
	}
	facts, err := inventory.Parse(string(out))
	if err != nil {
		return fault.New(fault.Check, "is the base image an Ubuntu or Debian one? its dpkg and os-release are asked", err)
	}
	inv, err := s.plan.inventoryOf(facts)
	if err != nil {
		return err
	}
	if s.inBytes, err = inv.JSON(); err != nil {
		return err
	}
	s.inventory, s.plan.stock = &inv, inventory.Digest(s.inBytes)
	s.progress("%d packages, %d cookbooks", len(inv.Packages), len(inv.Cookbooks))
	return s.put(ctx, inventory.Path, 0o644, s.inBytes)
}

// inventoryOf adds to what the guest says what the plan knows.
func (p Plan) inventoryOf(facts inventory.Facts) (inventory.Inventory, error) {
	r := p.Recipe
	inv := inventory.Inventory{Format: inventory.Format, BakeID: p.BakeID, Role: r.Role, ImageName: p.ImageName, BakedAt: p.started,
		BaseID: r.Base.ID, BaseName: r.Base.Name, Facts: facts, Cookbooks: []inventory.Cookbook{}}
	for _, name := range slices.Sorted(maps.Keys(r.Cookbooks)) {
		inv.Cookbooks = append(inv.Cookbooks, inventory.Cookbook{Name: name, Version: r.Cookbooks[name], Digest: r.Contents["cookbook:"+name]})
	}
	var err error
	inv.Settings, err = r.settings()
	return inv, err
}

// Shown is the recipe for others to read: without the values of the agent's
// environment, as proxies may carry passwords.
func (r Recipe) Shown() Recipe {
	r.AgentEnv = maps.Clone(r.AgentEnv)
	for k := range r.AgentEnv {
		r.AgentEnv[k] = "(set)"
	}
	return r
}

// settings flattens the recipe, as KEY.KEY: value, for everybody on an instance
// to read. What stands elsewhere in the inventory is left out.
func (r Recipe) settings() (map[string]string, error) {
	r = r.Shown()
	r.Cookbooks, r.Base, r.Contents = nil, Base{}, nil
	var tree map[string]any
	b, err := json.Marshal(r)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber() // 209715200 is not to read 2.097152e+08
		err = d.Decode(&tree)
	}
	if err != nil {
		return nil, fmt.Errorf("listing the settings: %w", err)
	}
	delete(tree, "base")
	out := map[string]string{}
	flatten("", tree, out)
	return out, nil
}

// flatten adds a JSON value under its path; lists are joined, empty values left out.
func flatten(path string, v any, out map[string]string) {
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for k, below := range v {
			flatten(strings.TrimPrefix(path+"."+k, "."), below, out)
		}
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, fmt.Sprint(one))
		}
		if len(all) > 0 {
			out[path] = strings.Join(all, ", ")
		}
	default:
		if text := fmt.Sprint(v); text != "" && text != "0" && text != "false" {
			out[path] = text
		}
	}
}

// storeInventory keeps the inventory where a later diff finds it, and compares
// it with that of the role's image before.
func (s *Session) storeInventory(ctx context.Context) error {
	if err := s.inventories().Put(ctx, s.plan.BakeID, s.inBytes); err != nil {
		return err
	}
	s.changes, s.note = s.compareWithLast(ctx, *s.inventory)
	return nil
}

// compareWithLast compares an inventory with that of the role's newest other
// image. Why that cannot be done is a note, not an error: the image is good.
func (s *Session) compareWithLast(ctx context.Context, now inventory.Inventory) (*inventory.Diff, string) {
	for _, k := range s.siblings {
		if k.BakeID == now.BakeID || !k.Finished() {
			continue
		}
		was, err := s.InventoryOf(ctx, k)
		if err != nil {
			return nil, err.Error()
		}
		d := inventory.Compare(inventory.Named{Label: k.ID, Inventory: was}, inventory.Named{Label: s.image, Inventory: now})
		return &d, ""
	}
	return nil, "it is the role's first image"
}

// InventoryOf finds the inventory of an image. Errors name where it was looked
// for.
func (w World) InventoryOf(ctx context.Context, k ami.Image) (inventory.Inventory, error) {
	return FindInventory(ctx, w.inventories(), k)
}

// FindInventory finds the inventory of an image in a store.
func FindInventory(ctx context.Context, store inventory.Store, k ami.Image) (inventory.Inventory, error) {
	i, err := store.Get(ctx, k.BakeID, k.Tags[inventory.Tag])
	if !errors.Is(err, inventory.ErrNotFound) {
		return i, err
	}
	next := "name the bucket that the bake used (--inventory s3://…), run it where the image was baked, or copy " + inventory.Path + " from an instance of it"
	if k.Tags[inventory.Tag] == "" {
		next = "bake again: the image's bake took no inventory"
	}
	return i, fault.Newf(fault.Usage, next, "looking for the inventory of %s (bake %s): it is not in %s", k.ID, k.BakeID, strings.Join(store.Places(k.BakeID), " nor in "))
}

// AddInventory gives the report of a reused image its inventory, where that is
// found.
func (w World) AddInventory(ctx context.Context, r *Report) {
	if r.Inventory != nil || !r.Reused || r.ImageID == "" {
		return
	}
	i, err := w.InventoryOf(ctx, ami.Image{ID: r.ImageID, BakeID: r.BakeID, Tags: r.Tags})
	if err != nil {
		r.ChangesNote = err.Error()
		return
	}
	r.Inventory = &i
}

// storeActions are those of the inventory and the comparison.
func (p Plan) storeActions() []string {
	var out []string
	if p.inputs.InventoryInS3 {
		out = append(out, actPutObject, actGetObject, actListBucket)
	}
	return out
}
