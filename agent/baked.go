package agent

import (
	"fmt"
	"path/filepath"
	"strings"

	"bakehouse/internal/fault"
)

// refuseBakedKeys ends a registration on a machine that has a validator's key
// on its disk: with it, whoever reads the image can register any name. A
// client's key that came with the image is discarded instead (see key): it is
// of no use to this instance, and its owner can be given another.
func (s *session) refuseBakedKeys() error {
	for _, c := range chefClients() {
		for _, pattern := range []string{"validation.pem", "*-validator.pem"} {
			found, err := filepath.Glob(s.path(c.confDir, pattern))
			if err != nil {
				return fmt.Errorf("looking for keys in %s: %w", c.confDir, err)
			}
			for _, path := range found {
				return fault.Newf(fault.Check, "replace that key on the Chef server, and bake the image without it: the scrub of bake-ami removes "+c.confDir,
					"registering: %s holds a validator's key, and an image must not", "/"+strings.TrimPrefix(strings.TrimPrefix(path, s.deps.Root), "/"))
			}
		}
	}
	return nil
}
