package agentconf

import (
	"strings"
	"testing"
	"time"
)

func TestWhatIsNotSetIsNotWritten(t *testing.T) {
	t.Parallel()
	c := Config{Role: "web", BakeID: "01", Chef: Chef{ServerURL: "http://c", RunList: []string{"role[web]"}}, App: &App{Name: "web"}}
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, zero := range []string{`: 0`, `"0s"`, `: ""`, "null", "{}"} {
		for line := range strings.Lines(string(b)) {
			required := strings.Contains(line, `"validation_client"`) || strings.Contains(line, `"bucket"`) || strings.Contains(line, `"channel"`) || strings.Contains(line, `"root"`) || strings.Contains(line, `"unit"`)
			if strings.Contains(line, zero) && !required {
				t.Errorf("agent.json holds %s", line)
			}
		}
	}
	back, err := Parse(b)
	if err != nil || back.App.Name != "web" || back.Chef.RunList[0] != "role[web]" {
		t.Errorf("read back %+v, %v", back, err)
	}
}

func TestDurationsAreText(t *testing.T) {
	t.Parallel()
	c := Config{Chef: Chef{Timeout: Duration(90 * time.Second)}}
	b, err := c.Marshal()
	if err != nil || !strings.Contains(string(b), `"timeout": "1m30s"`) {
		t.Errorf("%s, %v", b, err)
	}
	for _, bad := range []string{`{"chef":{"timeout":90}}`, `{"chef":{"timeout":"soon"}}`, `{"cheff":{}}`, ``} {
		if _, err := Parse([]byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "parsing agent configuration: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
