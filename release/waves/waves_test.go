package waves

import (
	"strings"
	"testing"
	"time"

	"bakehouse/release"
)

// whole is a plan that passes Check, and its roster's bytes.
func whole(t *testing.T) (Plan, []byte) {
	t.Helper()
	p, r := plan()
	p.ID, p.App, p.Channel, p.Serial = "0123456789ab", "web", "production", 7
	p.Build, p.Previous, p.GoBack = release.ID(strings.Repeat("ab", 32)), release.ID(strings.Repeat("cd", 32)), true
	body, err := p.Seal(r)
	if err != nil {
		t.Fatal(err)
	}
	return p, body
}

func TestAPlanIsReadBack(t *testing.T) {
	t.Parallel()
	p, body := whole(t)
	doc, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := release.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(release.PlanKind, doc)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParsePlan(signed)
	if err != nil || back != p || back.Hosts != 4 {
		t.Errorf("read %+v (%v), want %+v", back, err, p)
	}
	if r, err := back.Open(body); err != nil || r.WaveOf("i-c") != 1 || r.WaveOf("i-x") != -1 {
		t.Errorf("roster: %+v, %v", r, err)
	}
	if _, err := back.Open(append(body, ' ')); err == nil || !strings.Contains(err.Error(), "it is not the one of the plan") {
		t.Errorf("another roster: %v", err)
	}
	// A plan of 10,000 hosts is signed in one piece by KMS, too.
	if len(doc) > 2000 {
		t.Errorf("a plan has %d bytes", len(doc))
	}
}

func TestWhatIsNoPlanIsRefused(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Plan){
		"format is 2":                   func(p *Plan) { p.Format = 2 },
		"want the 12 digits of an id":   func(p *Plan) { p.ID = "../../x" },
		"checking name of app":          func(p *Plan) { p.App = "a/b" },
		"checking name of channel":      func(p *Plan) { p.Channel = "" },
		"parsing build id":              func(p *Plan) { p.Build = "x" },
		"previous: parsing build id":    func(p *Plan) { p.Previous = "x" },
		"must be more than 0":           func(p *Plan) { p.AtOnce = 0 },
		"they are 0, 2, 1":              func(p *Plan) { p.Serial = 0 },
		"times must be more than 0":     func(p *Plan) { p.HostTime = 0 },
		"claim_within -1s":              func(p *Plan) { p.ClaimWithin = -time.Second },
		"it goes back, and names no":    func(p *Plan) { p.Previous = "" },
		"max_unhealthy 0 or more: they": func(p *Plan) { p.MaxUnhealthy = -1 },
	} {
		p, _ := whole(t)
		change(&p)
		doc, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParsePlan(doc); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, bad := range []Roster{{[]Wave{{"w", false, []string{"i-1", "i-1"}}}}, {[]Wave{{"w", false, []string{"../i-1"}}}}, {make([]Wave, maxWaves+1)}} {
		p, _ := whole(t)
		if _, err := p.Seal(bad); err == nil {
			t.Errorf("sealed a roster of %d waves", len(bad.Waves))
		}
	}
	if _, err := ParseStop([]byte(`{"format":1,"rollout":"other"}`), "0123456789ab"); err == nil {
		t.Error("the state of another rollout was read")
	}
}
