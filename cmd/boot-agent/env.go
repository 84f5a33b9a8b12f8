package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"bakehouse/internal/fault"
)

// adoptEnv sets the variables of the agent's environment file that are not set
// yet. systemd has done so for the unit; a boot-agent that a person or a
// deploy runs needs the same proxies and endpoints.
func adoptEnv(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the agent's environment: %w", err)
	}
	vars, err := parseEnv(path, string(b))
	if err != nil {
		return err
	}
	for _, v := range vars {
		if _, set := os.LookupEnv(v[0]); set {
			continue
		}
		if err := os.Setenv(v[0], v[1]); err != nil {
			return fmt.Errorf("setting %s of %s: %w", v[0], path, err)
		}
	}
	return nil
}

// parseEnv reads the part of systemd's EnvironmentFile format (systemd.exec(5))
// that the baker writes: comments, and NAME=value or NAME="value" with \\ and
// \" inside, one a line.
func parseEnv(path, text string) (vars [][2]string, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" {
			return nil, fault.Newf(fault.Usage, "correct that line", "reading the agent's environment: %s:%d: not NAME=value", path, n)
		}
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(value[1 : len(value)-1])
		}
		vars = append(vars, [2]string{name, value})
	}
	return vars, nil
}
