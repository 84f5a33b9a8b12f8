package chefapi

import (
	"fmt"
	"os"

	"bakehouse/internal/fault"
)

// Open makes the client of an operator's tool, whose key is in a file. It sends
// nothing. Errors are fault.Usage, and name the flags and keys that all tools have.
func Open(c Config, keyFile string) (*Client, error) {
	if c.ServerURL == "" || c.ClientName == "" || keyFile == "" {
		return nil, fault.Newf(fault.Usage, "set chef.server_url, chef.client_name and chef.client_key in bakehouse.yaml, or --chef-server, --chef-client and --chef-key",
			"connecting to the Chef server: its URL, a client name and its key are needed")
	}
	var err error
	if c.Key, err = os.ReadFile(keyFile); err != nil {
		return nil, fault.New(fault.Usage, "correct --chef-key (chef.client_key)", fmt.Errorf("reading the Chef client's key: %w", err))
	}
	return New(c)
}
