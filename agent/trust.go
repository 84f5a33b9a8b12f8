package agent

import (
	"errors"
	"fmt"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// trusted refuses a document that no key of the image has signed as it is,
// unless the image allows what is unsigned: then a signature of a stranger
// proves as little as none and is let pass, but a broken one of our own key is
// a document that was changed, and refused all the same.
func (s *session) trusted(kind release.Kind, doc []byte) error {
	ring, err := release.ParseKeyring(s.conf.App.PublicKeys)
	if err != nil {
		return err
	}
	_, err = ring.Verify(kind, doc)
	if s.conf.App.AllowUnsigned && (errors.Is(err, release.ErrUnsigned) || errors.Is(err, release.ErrUnknownKey)) {
		return nil
	}
	return err
}

// remember refuses a channel that is older than the newest seen on this
// instance, or another one with the same serial, and stores its serial.
func (s *session) remember(c release.Channel) error {
	name := c.App + "/" + c.Name
	last := s.j.Serials[name]
	switch {
	case c.Serial < last.Serial:
		err := fmt.Errorf("reading channel %s of %s: it is serial %d, and serial %d was seen here before: an old channel was put back", c.Name, c.App, c.Serial, last.Serial)
		return fault.New(fault.Check, fmt.Sprintf("find out who writes to the bucket, then: deployctl promote BUILD --app %s --channel %s, until its serial is above %d", c.App, c.Name, last.Serial), err)
	case c.Serial == last.Serial && c.Build != last.Build:
		err := fmt.Errorf("reading channel %s of %s: serial %d points at build %s, and pointed at %s before", c.Name, c.App, c.Serial, c.Build.Short(), last.Build.Short())
		return fault.New(fault.Check, fmt.Sprintf("find out who writes to the bucket, then: deployctl promote BUILD --app %s --channel %s", c.App, c.Name), err)
	case c.Serial == last.Serial:
		return nil
	}
	if s.j.Serials == nil {
		s.j.Serials = map[string]Seen{}
	}
	s.j.Serials[name] = Seen{c.Serial, c.Build}
	return s.save()
}
