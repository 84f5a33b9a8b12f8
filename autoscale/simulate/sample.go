package simulate

import (
	"embed"
	"io"
	"io/fs"
	"strings"

	"bakehouse/internal/fault"
)

//go:embed traces/*.csv
var traces embed.FS

// Samples lists the names of the traces that are part of the program. All are
// synthetic.
func Samples() []string {
	found, err := fs.Glob(traces, "traces/*.csv")
	if err != nil {
		return nil
	}
	for i, f := range found {
		found[i] = strings.TrimSuffix(strings.TrimPrefix(f, "traces/"), ".csv")
	}
	return found
}

// Sample opens a trace that is part of the program.
func Sample(name string) (io.ReadCloser, error) {
	f, err := traces.Open("traces/" + name + ".csv")
	if err != nil {
		return nil, fault.Newf(fault.Usage, "", "there is no sample trace %q; there are %s", name, strings.Join(Samples(), ", "))
	}
	return f, nil
}
