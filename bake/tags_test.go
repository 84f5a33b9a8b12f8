package bake

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"bakehouse/bake/ami"
)

// EC2 counts characters, so bytes neither refuse a tag nor cut one in two.
func TestTagsAreMeasuredInCharacters(t *testing.T) {
	t.Parallel()
	if err := checkTags(map[string]string{strings.Repeat("ö", 128): strings.Repeat("ü", 256)}); err != nil {
		t.Error(err)
	}
	for k, v := range map[string]string{strings.Repeat("ö", 129): "", "long": strings.Repeat("ü", 257), "": "x", "Bakehouse:role": "x"} {
		if checkTags(map[string]string{k: v}) == nil {
			t.Errorf("%q: %q is taken", k, v)
		}
	}
	got := commonTags(Inputs{CI: map[string]string{"JOB_NAME": strings.Repeat("ä", 300)}}, bakeA, "me", time.Time{})["bakehouse:job-name"]
	if !utf8.ValidString(got) || utf8.RuneCountInString(got) != ami.MaxTagValue {
		t.Errorf("the job's tag has %d characters: %q", utf8.RuneCountInString(got), got)
	}
}
