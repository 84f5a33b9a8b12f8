//go:build linux

package company

import (
	"errors"
	"fmt"
	"sync"
)

// closers remembers how to end what was started. Parts start side by side, so
// it is safe for concurrent use.
type closers struct {
	mu   sync.Mutex
	list []closer
}

type closer struct {
	name string
	end  func() error
}

func (c *closers) add(name string, end func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, closer{name, end})
}

// close ends everything, last started first; an error stops nothing. A second
// call does nothing.
func (c *closers) close() error {
	c.mu.Lock()
	list := c.list
	c.list = nil
	c.mu.Unlock()
	var errs []error
	for i := len(list) - 1; i >= 0; i-- {
		if err := list[i].end(); err != nil {
			errs = append(errs, fmt.Errorf("ending %s: %w", list[i].name, err))
		}
	}
	return errors.Join(errs...)
}
