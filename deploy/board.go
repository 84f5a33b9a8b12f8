package deploy

import (
	"fmt"
	"strings"
	"time"
)

// Board hears how a rollout goes, from several goroutines.
type Board interface {
	Progress
	StepLog(name, line string)
	Info(line string)
}

// Pictured is a Board that can show every host of a wave at once.
type Pictured interface {
	// StepHosts shows one sign for each host of a wave, and lines below.
	StepHosts(name string, signs []Sign, note ...string)
}

// Sign is what a host of a running wave is at.
type Sign byte

// The signs.
const (
	SignWaiting Sign = iota
	SignUnderWay
	SignDeployed
	SignRestored
	SignFailed
)

// counter tells the board how a wave goes. The lock of the Executor guards it
// once hosts are under way.
type counter struct {
	x         *Executor
	name      string
	total     int
	good, bad int
	start     time.Time

	place  map[*HostRun]int // index into signs and was
	signs  []Sign
	was    []HostState // before the wave
	rest   int         // hosts of later waves
	then   string      // the later waves, in words
	latest string      // failure
}

func (x *Executor) begin(r *Rollout, name string, hosts []*HostRun) *counter {
	x.Board.StepStarted(name)
	c := &counter{x: x, name: name, total: len(hosts), start: x.Clock.Now(), place: map[*HostRun]int{}, signs: make([]Sign, len(hosts))}
	for i, h := range hosts {
		c.place[h], c.was = i, append(c.was, h.State)
	}
	if r.Phase == Rolling {
		c.rest, c.then = r.after(name)
	}
	c.picture()
	return c
}

// after is how many hosts the waves after the named one have, and their names.
func (r *Rollout) after(name string) (hosts int, then string) {
	const named = 4
	var later []string
	for i := len(r.Waves) - 1; i >= 0 && r.Waves[i].Name != name; i-- {
		hosts += len(r.Waves[i].Hosts)
		later = append([]string{fmt.Sprintf("%s (%d)", r.Waves[i].Name, len(r.Waves[i].Hosts))}, later...)
	}
	if more := len(later) - named; more > 0 {
		later = append(later[:named], fmt.Sprintf("and %d more", more))
	}
	return hosts, strings.Join(later, ", ")
}

// begun notes that h is under way.
func (c *counter) begun(h *HostRun) {
	c.signs[c.place[h]] = SignUnderWay
	c.picture()
}

// host counts one host.
func (c *counter) host(h *HostRun) {
	sign := map[HostState]Sign{Deployed: SignDeployed, Restored: SignRestored}[h.State]
	if sign == 0 {
		sign, c.latest = SignFailed, fmt.Sprintf("%s (%s): %s", h.Instance, h.Addr, h.Problem)
		c.bad++
	} else {
		c.good++
	}
	c.signs[c.place[h]] = sign
	c.x.Board.StepLog(c.name, strings.TrimSpace(fmt.Sprintf("%s %s %s %.1fs %s", h.Instance, h.Addr, h.State, h.Took.Seconds(), h.Problem)))
	text := fmt.Sprintf("%d/%d, %d failed", c.good+c.bad, c.total, c.bad)
	if each := c.each(); each > 0 {
		text += fmt.Sprintf(", %.1f hosts/s, %s to go", 1/each.Seconds(), (each * time.Duration(c.total-c.good-c.bad)).Round(time.Second))
	}
	c.x.Board.StepProgress(c.name, text)
	c.picture()
}

// each is the time that a host has cost so far; 0: not known yet.
func (c *counter) each() time.Duration {
	if c.good+c.bad == 0 {
		return 0
	}
	return c.x.Clock.Now().Sub(c.start) / time.Duration(c.good+c.bad)
}

// picture shows all hosts of the wave.
func (c *counter) picture() {
	board, can := c.x.Board.(Pictured)
	if !can {
		return
	}
	note := []string{"o under way  + deployed  < restored  x failed  . waiting"}
	if c.then != "" {
		text := "then " + c.then
		if each := c.each(); each > 0 {
			text += fmt.Sprintf("; all in about %s, pauses aside", (each * time.Duration(c.rest+c.total-c.good-c.bad)).Round(time.Second))
		}
		note = append(note, text)
	}
	if c.latest != "" {
		note = append(note, "failed: "+c.latest)
	}
	board.StepHosts(c.name, c.signs, note...)
}

func (c *counter) done(err error) { c.x.Board.StepDone(c.name, c.x.Clock.Now().Sub(c.start), err) }
