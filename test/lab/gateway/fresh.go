package gateway

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// fresh remembers when EC2 gave an id out, for rules that keep new ids unknown
// for a while. The real EC2 is so by itself: "eventual consistency" in
// docs.aws.amazon.com/ec2/latest/devguide.
type fresh struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// freshKinds are the ids that EC2 may not know yet, by their prefix: the error
// that names one, and the describe that lists it, as set/item and field.
func freshKinds() map[string]struct{ code, describe, set, field string } {
	return map[string]struct{ code, describe, set, field string }{
		"i":    {"InvalidInstanceID.NotFound", "DescribeInstances", "instancesSet", "instanceId"},
		"ami":  {"InvalidAMIID.NotFound", "DescribeImages", "imagesSet", "imageId"},
		"sg":   {"InvalidGroup.NotFound", "DescribeSecurityGroups", "securityGroupInfo", "groupId"},
		"snap": {"InvalidSnapshot.NotFound", "DescribeSnapshots", "snapshotSet", "snapshotId"},
		"vol":  {"InvalidVolume.NotFound", "DescribeVolumes", "volumeSet", "volumeId"},
	}
}

// madeBy are the kinds of ids that a call gives out; its reply may name others.
func madeBy(action string) string {
	return map[string]string{"RunInstances": "i|vol", "CreateImage": "ami|snap", "CopyImage": "ami|snap", "CreateSecurityGroup": "sg",
		"CreateSnapshot": "snap", "CreateVolume": "vol"}[action]
}

// note keeps the ids that a call's reply gives out.
func (f *fresh) note(action string, body []byte, now time.Time) {
	kinds := madeBy(action)
	if kinds == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since == nil {
		f.since = map[string]time.Time{}
	}
	for _, id := range regexp.MustCompile(`\b(?:`+kinds+`)-[0-9a-f]{8,17}\b`).FindAllString(string(body), -1) {
		if _, known := f.since[id]; !known {
			f.since[id] = now
		}
	}
}

// young says whether an id was given out less than d ago.
func (f *fresh) young(id string, d time.Duration, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, known := f.since[id]
	return known && now.Sub(at) < d
}

// slowly answers a call by its handler, as slowly as the rules want EC2 to be.
func (g *Gateway) slowly(ctx context.Context, c *call, h handler) (reply, error) {
	if c.protocol != protoEC2 {
		return h(ctx, c)
	}
	ids := &g.faults.fresh
	for _, values := range c.form {
		kind, _, _ := strings.Cut(values[0], "-")
		if k, ok := freshKinds()[kind]; ok && ids.young(values[0], c.unknownFor, g.cfg.Now()) && !byFilter(c, values[0]) {
			return reply{}, refuse(k.code, "The ID '%s' does not exist", values[0])
		}
	}
	rep, err := h(ctx, c)
	if err != nil || rep.status != http.StatusOK {
		return rep, err
	}
	switch {
	case strings.HasPrefix(c.action, "Describe"):
		return g.hideFresh(c, rep)
	case c.pendingFor > 0:
		for _, id := range regexp.MustCompile(`\bami-[0-9a-f]{8,17}\b`).FindAllString(string(rep.body), -1) {
			g.images.edit(id, func(im *image) { im.ready = g.cfg.Now().Add(c.pendingFor) })
		}
	}
	ids.note(c.action, rep.body, g.cfg.Now())
	return rep, nil
}

// byFilter says whether an id stands in a call as a filter's value only: EC2
// answers with what matches then, which is nothing.
func byFilter(c *call, id string) bool {
	for name, values := range c.form {
		if values[0] == id && !strings.HasPrefix(name, "Filter.") {
			return false
		}
	}
	return true
}

// hideFresh leaves out of a describe's reply what is not to be known yet.
func (g *Gateway) hideFresh(c *call, rep reply) (reply, error) {
	if c.unknownFor == 0 {
		return rep, nil
	}
	for _, k := range freshKinds() {
		if k.describe != c.action {
			continue
		}
		doc, err := parseXML(rep.body)
		if err != nil {
			return reply{}, err
		}
		old := func(n *node) bool { return !g.faults.fresh.young(n.value(k.field), c.unknownFor, g.cfg.Now()) }
		if c.action == "DescribeInstances" {
			reservations := doc.at("reservationSet")
			for _, r := range doc.items("reservationSet") {
				r.at(k.set).keep(old)
			}
			reservations.keep(func(r *node) bool { return len(r.items(k.set)) > 0 })
		} else {
			doc.at(k.set).keep(old)
		}
		return withTree(c, rep, doc), nil
	}
	return rep, nil
}
