//go:build e2e

package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"
)

// inSecondBoot fails until a builder is up again after its snapshots, and then
// says how its agent stands. The bake works in a tmpfs: where the agent is
// installed and that folder is not there, this is another boot.
const inSecondBoot = `test -x /usr/local/bin/boot-agent && ! test -e /run/bakehouse &&
test -e /run/cloud-init/result.json && systemctl is-active multi-user.target >/dev/null || exit 1
sleep 1
ls -A /etc/bakehouse
systemctl show -p ActiveState -p ExecMainStartTimestamp bakehouse-first-boot.service`

// EC2 starts the builder again once it has its snapshots. Its disk is that of
// the image then: an instance would register and start its app now.
func TestTheBuilderDoesNotGoThroughAFirstBoot(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	tool, _ := ownCalls(t, s.world.BakeTool("harmless"))
	fault(t, tool, gateway.Rule{Service: "ec2", Action: "CreateImage", PendingFor: "1h"})
	started, ended := make(chan *os.Process, 1), make(chan story.Outcome, 1)
	tool.Started = func(p *os.Process) { started <- p }
	go func() {
		o, err := s.world.Run(ctx, tool)
		if err != nil {
			o.Stderr += err.Error()
		}
		ended <- o
	}()
	bake := <-started
	var id, state string
	err := story.Until(ctx, 300*time.Millisecond, func() (err error) {
		if id, err = runningBuilder(ctx); err == nil {
			state, err = s.world.Guest(ctx, id, inSecondBoot)
		}
		return err
	})
	if err != nil {
		t.Errorf("the builder did not boot again: %v", err)
	}
	if strings.Contains(state, "agent.json") || !strings.Contains(state, "ActiveState=inactive\n") || !strings.Contains(state, "ExecMainStartTimestamp=\n") {
		t.Errorf("in the builder's second boot:\n%s", state)
	}
	if err := bake.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if o := <-ended; o.Code != 143 {
		t.Errorf("exit code %d:\n%s", o.Code, tail(o.Stderr))
	}
	names, err := s.world.Chef.NodeNames(deadline(t, 10*time.Second))
	if err != nil || id == "" || strings.Contains(strings.Join(names, " "), id) {
		t.Errorf("builder %q, nodes %v, %v", id, names, err)
	}
}
