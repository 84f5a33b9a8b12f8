package config

import (
	"maps"
	"reflect"
)

// Role is what differs for one role from the sections of the same name.
type Role struct {
	Bake  Bake  `yaml:"bake" like:"bake" doc:"settings of one role's bakes; they win over bake"`
	Agent Agent `yaml:"agent" like:"agent" doc:"settings of one role's instances; they win over agent"`
}

// ForRole returns the configuration of one role: its own settings laid over
// bake and agent. Maps are merged key by key, lists are replaced. Where of a
// key that the role sets is the role's.
func (c Config) ForRole(name string) Config {
	role, ok := c.Roles[name]
	if !ok {
		return c
	}
	c.Where = maps.Clone(c.Where)
	prefix := "roles." + name + "."
	c.overlay(reflect.ValueOf(&c.Bake).Elem(), reflect.ValueOf(role.Bake), "bake", prefix)
	c.overlay(reflect.ValueOf(&c.Agent).Elem(), reflect.ValueOf(role.Agent), "agent", prefix)
	return c
}

// overlay copies those fields of a section that the file sets below prefix.
func (c Config) overlay(into, from reflect.Value, path, prefix string) {
	for i := range into.NumField() {
		key := join(path, into.Type().Field(i).Tag.Get("yaml"))
		to, value := into.Field(i), from.Field(i)
		if value.Kind() == reflect.Struct {
			c.overlay(to, value, key, prefix)
			continue
		}
		if value.Kind() == reflect.Map && value.Type().Elem().Kind() == reflect.String {
			c.overlayMap(to, value, key, prefix)
			continue
		}
		if at, set := c.Where[prefix+key]; set {
			to.Set(value)
			c.Where[key] = at
		}
	}
}

func (c Config) overlayMap(to, value reflect.Value, path, prefix string) {
	if value.Len() == 0 {
		return
	}
	merged := reflect.MakeMap(to.Type())
	for _, m := range []reflect.Value{to, value} {
		for _, k := range m.MapKeys() {
			merged.SetMapIndex(k, m.MapIndex(k))
		}
	}
	for _, k := range value.MapKeys() {
		key := join(path, k.String())
		c.Where[key] = c.Where[prefix+key]
	}
	to.Set(merged)
}
