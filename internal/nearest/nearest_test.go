package nearest

import "testing"

func TestWord(t *testing.T) {
	t.Parallel()
	known := []string{"timeout", "tags", "subnet"}
	for word, want := range map[string]string{"time_out": "timeout", "Timeout": "timeout", "tag": "tags", "subnets": "subnet", "colour": "", "": ""} {
		if got := Word(word, known); got != want {
			t.Errorf("Word(%q) = %q, want %q", word, got, want)
		}
	}
}
