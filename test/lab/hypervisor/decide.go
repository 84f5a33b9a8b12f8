package hypervisor

// Phase is where a machine stands.
type Phase int

// The phases of a machine. Only the hypervisor's loop and the effects it starts
// move a machine from one to the next.
const (
	Unknown     Phase = iota // EC2 has it, we have not looked yet
	Booting                  // a guest is being started
	Running                  // a guest runs
	Exited                   // the guest ended by itself
	Stopping                 // asked to power off
	Stopped                  // no guest, the disk is kept
	Terminating              // being ended for good
	Gone                     // no guest, no disk
)

// Wanted is what EC2 says about one instance.
type Wanted struct {
	ID    string
	State string // EC2 state name
}

// Actual is what there is of one machine.
type Actual struct {
	Phase   Phase
	Busy    bool   // a snapshot or reboot is under way: leave it alone
	Problem string // why it could not boot; with Stopped only
}

// Verb is what to do with a machine.
type Verb string

// The verbs that Decide uses.
const (
	Boot           Verb = "boot"           // start a guest on the kept or a new disk
	PowerOff       Verb = "power off"      // graceful, the disk is kept
	Discard        Verb = "discard"        // end the guest and drop the disk
	Keep           Verb = "keep"           // note that it is stopped
	ApplyShutdown  Verb = "apply shutdown" // tell EC2, as InstanceInitiatedShutdownBehavior says
	ReportNoLaunch Verb = "report no boot" // tell EC2 that the launch failed
	Bury           Verb = "bury"           // note that it was ended before we saw it
)

// Action is one decision and its reason.
type Action struct {
	ID   string
	Verb Verb
	Why  string
}

// Decide compares what EC2 wants with what there is, and returns what to do
// next, in the order of wanted; machines that EC2 has forgotten come last. It
// never asks for more than one thing per machine, and for nothing while one is
// under way: the next look decides the rest.
func Decide(wanted []Wanted, actual map[string]Actual) []Action {
	var actions []Action
	seen := map[string]bool{}
	for _, w := range wanted {
		seen[w.ID] = true
		if verb, why := next(w.State, actual[w.ID]); verb != "" {
			actions = append(actions, Action{w.ID, verb, why})
		}
	}
	for _, id := range sortedKeys(actual) {
		a := actual[id]
		if !seen[id] && !a.Busy && a.Phase != Gone && a.Phase != Terminating {
			actions = append(actions, Action{id, Discard, "EC2 no longer knows it"})
		}
	}
	return actions
}

// next is the state machine: what EC2 wants against the phase.
func next(state string, a Actual) (Verb, string) {
	if a.Busy {
		return "", ""
	}
	switch state {
	case "pending", "running":
		return towardsRunning(a)
	case "stopping", "stopped":
		return towardsStopped(a)
	case "shutting-down", "terminated":
		return towardsGone(a)
	}
	return "", ""
}

func towardsRunning(a Actual) (Verb, string) {
	switch a.Phase {
	case Unknown:
		return Boot, "launched"
	case Stopped:
		if a.Problem != "" {
			return ReportNoLaunch, a.Problem
		}
		return Boot, "started again"
	case Exited:
		return ApplyShutdown, "shut itself down"
	}
	return "", ""
}

func towardsStopped(a Actual) (Verb, string) {
	switch a.Phase {
	case Running:
		return PowerOff, "stop asked for"
	case Exited:
		return Keep, "shut down by itself"
	case Unknown:
		return Keep, "stopped before it was seen"
	case Stopped:
		if a.Problem != "" {
			return Keep, "EC2 knows that it could not start"
		}
	}
	return "", ""
}

func towardsGone(a Actual) (Verb, string) {
	switch a.Phase {
	case Unknown:
		return Bury, "terminated before it was seen"
	case Running, Stopping, Stopped, Exited:
		return Discard, "termination asked for"
	}
	return "", ""
}
