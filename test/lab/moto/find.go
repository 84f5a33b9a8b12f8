package moto

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// probe prints the interpreter's own path if it can serve moto. It looks the
// modules up without importing them, which saves a second.
const probe = `import sys, importlib.util as u
sys.exit(3) if not all(u.find_spec(m) for m in ("moto", "flask", "flask_cors")) else print(sys.executable)`

// Find returns the command that starts moto_server: python3 on PATH if moto
// is importable there, else a virtual environment below cacheDir, made and
// filled with pip when it is missing (which needs the network and minutes).
func Find(ctx context.Context, cacheDir string) ([]string, error) {
	venv := filepath.Join(cacheDir, "moto-"+Version)
	candidates := []string{"python3", filepath.Join(venv, "bin", "python3")}
	for _, python := range candidates {
		if command, err := serving(ctx, python); err == nil {
			return command, nil
		}
	}
	if err := install(ctx, venv); err != nil {
		return nil, missing(err)
	}
	command, err := serving(ctx, candidates[1])
	if err != nil {
		return nil, missing(err)
	}
	return command, nil
}

// serving returns the command for an interpreter that has moto. It names the
// interpreter by its real path, because a version manager's wrapper on PATH
// is one more process to stop.
func serving(ctx context.Context, python string) ([]string, error) {
	out, err := exec.CommandContext(ctx, python, "-c", probe).Output()
	if err != nil {
		return nil, fmt.Errorf("asking %s for moto: %w", python, err)
	}
	return []string{strings.TrimSpace(string(out)), "-m", "moto.server"}, nil
}

// install makes the virtual environment; a failed one is removed, so that the
// next try starts afresh.
func install(ctx context.Context, venv string) error {
	steps := [][]string{
		{"python3", "-m", "venv", venv},
		{filepath.Join(venv, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "moto[server]==" + Version},
	}
	for _, step := range steps {
		out, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput()
		if err != nil {
			return errors.Join(fmt.Errorf("running %s: %w: %s", strings.Join(step, " "), err, lastLine(out)), os.RemoveAll(venv))
		}
	}
	return nil
}

func lastLine(out []byte) string {
	text := strings.TrimSpace(string(out))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
