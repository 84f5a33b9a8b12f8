package bake

import (
	"strings"
	"testing"
	"time"
)

func TestTheSelfDestructTimerDoesNotWaitForTheBootThatArmsIt(t *testing.T) {
	t.Parallel()
	script := selfDestruct(time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC))
	for _, call := range []string{"systemctl --no-block poweroff;", "--timer-property=DefaultDependencies=no ", "'2031-02-03 04:05:06 UTC'"} {
		if !strings.Contains(script, call) {
			t.Errorf("the script lacks %q: %s", call, script)
		}
	}
}
