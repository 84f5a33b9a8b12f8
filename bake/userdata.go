package bake

import (
	"fmt"
	"time"

	"github.com/goccy/go-yaml"

	"bakehouse/internal/agentconf"
)

// userData is the builder's cloud-config
// (cloudinit.readthedocs.io/en/latest/reference/modules.html). Its only secret
// is the host key, which is worthless once the builder is gone: the image gets
// none of it, and instances make keys of their own.
type userData struct {
	DeleteKeys bool              `yaml:"ssh_deletekeys,omitempty"`
	HostKeys   map[string]string `yaml:"ssh_keys,omitempty"`
	Authorized []string          `yaml:"ssh_authorized_keys,omitempty"`
	Update     bool              `yaml:"package_update"`
	Upgrade    bool              `yaml:"package_upgrade"`
	Boot       [][]string        `yaml:"bootcmd"`
}

// builderData renders the user-data of a builder that knows one host key,
// admits one user key, and powers itself off at deadline, which terminates it.
func builderData(hostKey, userKey keyPair, deadline time.Time) (string, error) {
	return renderData(userData{
		DeleteKeys: true,
		HostKeys:   map[string]string{"ed25519_private": hostKey.privatePEM, "ed25519_public": hostKey.publicLine},
		Authorized: []string{userKey.publicLine},
		Boot:       bootCommands(deadline),
	})
}

// bootCommands run at every boot of a builder.
func bootCommands(deadline time.Time) [][]string {
	return [][]string{
		// An agent that a baked base image brings must not take the builder
		// through a first boot; its unit asks for this file, and the bake
		// writes a new one.
		{"rm", "-f", agentconf.ConfigPath},
		{"sh", "-c", selfDestruct(deadline)},
	}
}

func renderData(data userData) (string, error) {
	b, err := yaml.MarshalWithOptions(data, yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return "", fmt.Errorf("rendering user-data: %w", err)
	}
	return "#cloud-config\n" + string(b), nil
}

// proverData renders the user-data of the instance that proves an image: keys
// and deadline as a builder's, and a first boot as any instance's.
func proverData(hostKey, userKey keyPair, deadline time.Time) (string, error) {
	b, err := yaml.MarshalWithOptions(userData{
		DeleteKeys: true,
		HostKeys:   map[string]string{"ed25519_private": hostKey.privatePEM, "ed25519_public": hostKey.publicLine},
		Authorized: []string{userKey.publicLine},
		Boot:       [][]string{{"sh", "-c", selfDestruct(deadline)}},
	}, yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return "", fmt.Errorf("rendering user-data: %w", err)
	}
	return "#cloud-config\n" + string(b), nil
}

// selfDestruct arms a timer for an absolute time. bootcmd runs at every boot,
// so a reboot of the builder arms it again; a deadline that passed meanwhile
// ends the builder at once, because systemd never fires a timer for the past.
// The timer goes without default dependencies: they order it after
// sysinit.target, which waits for the cloud-init unit that runs this, and
// systemd-run waits for the timer (systemd 252, --no-block or not).
func selfDestruct(deadline time.Time) string {
	at := deadline.UTC()
	return fmt.Sprintf(`if [ "$(date +%%s)" -ge %d ]; then systemctl --no-block poweroff; `+
		`else systemd-run --unit=bakehouse-self-destruct --timer-property=DefaultDependencies=no --timer-property=AccuracySec=1s --on-calendar='%s UTC' systemctl poweroff; fi`,
		at.Unix(), at.Format("2006-01-02 15:04:05"))
}
