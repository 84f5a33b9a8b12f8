package deploy

import (
	"strings"
	"testing"
	"time"
)

func TestPageShowsEveryHostEscaped(t *testing.T) {
	t.Parallel()
	_, hosts := newFleet(4)
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, PerZone: true, Pause: time.Minute})
	r.Phase, r.Started, r.Ended, r.Reason = RolledBack, start(), start().Add(90*time.Second), "<script>alert(1)</script>"
	r.Waves[0].Hosts[0].State, r.Waves[0].Hosts[0].Problem = Restored, `not "healthy" & sad`
	var b strings.Builder
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"<h2>canary</h2>", "i-00", "i-03", "not &#34;healthy&#34; &amp; sad", "&lt;script&gt;", `class="phase rolled"`, "1m30s", "zone by zone, pause of 1m0s", `<i class="restored"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "http://", "https://"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}
