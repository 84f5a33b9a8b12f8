//go:build linux

package company

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestClosersEndLastFirstAndAll(t *testing.T) {
	t.Parallel()
	var c closers
	var order []string
	for _, name := range []string{"moto", "gateway", "dns"} {
		c.add(name, func() error {
			order = append(order, name)
			if name == "gateway" {
				return errors.New("stuck")
			}
			return nil
		})
	}
	err := c.close()
	if !slices.Equal(order, []string{"dns", "gateway", "moto"}) {
		t.Errorf("ended in order %q", order)
	}
	if err == nil || !strings.Contains(err.Error(), "ending gateway: stuck") {
		t.Errorf("the error is %v", err)
	}
	if err := c.close(); err != nil || len(order) != 3 {
		t.Errorf("a second close did %q, %v", order, err)
	}
}
