package main

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"bakehouse/autoscale/simulate"
	"bakehouse/internal/fault"
)

// draft is a file that takes its name only when it is whole; nil is none.
type draft struct {
	flag, path string
	file       *os.File
	out        *bufio.Writer
}

func newDraft(flag, path string) (*draft, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+flag+"-*")
	if err != nil {
		return nil, unwritten(flag, path, err)
	}
	return &draft{flag, path, f, bufio.NewWriterSize(f, 1<<16)}, nil
}

// unwritten says why a file of a flag could not be written.
func unwritten(flag, path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err // its path is that of the draft
	}
	return fault.New(fault.Usage, "name a file in a folder that can be written to", &fs.PathError{Op: "writing --" + flag, Path: path, Err: err})
}

// drop removes what was not kept.
func (d *draft) drop() {
	if d != nil && d.file != nil {
		d.file.Close()
		os.Remove(d.file.Name())
		d.file = nil
	}
}

// keep gives the file its name.
func (d *draft) keep() error {
	if d == nil {
		return nil
	}
	err := d.out.Flush()
	if cerr := d.file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(d.file.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(d.file.Name(), d.path)
	}
	if err != nil {
		return unwritten(d.flag, d.path, err)
	}
	d.file = nil
	return nil
}

// sheet is the CSV of a simulation; without a path it takes nothing in.
type sheet struct {
	d    *draft
	line []byte
}

func newSheet(path string) (*sheet, error) {
	d, err := newDraft("csv", path)
	if err != nil || d == nil {
		return &sheet{}, err
	}
	s := &sheet{d: d, line: []byte(simulate.RowHead)}
	return s, s.flush()
}

func (s *sheet) add(r simulate.Row) error {
	if s.d == nil {
		return nil
	}
	s.line = r.Append(s.line[:0])
	return s.flush()
}

func (s *sheet) flush() error {
	if _, err := s.d.out.Write(s.line); err != nil {
		return unwritten("csv", s.d.path, err)
	}
	return nil
}

func (s *sheet) drop() { s.d.drop() }
