package main

import (
	"bakehouse/deploy"
	"bakehouse/internal/ui"
)

// board shows a rollout: lines, and on a terminal one sign for each host.
type board struct{ *ui.Reporter }

// StepHosts draws the hosts of a wave.
func (b board) StepHosts(name string, signs []deploy.Sign, note ...string) {
	cells := make([]ui.Cell, len(signs))
	for i, s := range signs {
		cells[i] = cellOf(s)
	}
	b.StepCells(name, cells, note...)
}

func cellOf(s deploy.Sign) ui.Cell {
	switch s {
	case deploy.SignUnderWay:
		return ui.UnderWay
	case deploy.SignDeployed:
		return ui.Good
	case deploy.SignRestored:
		return ui.Undone
	case deploy.SignFailed:
		return ui.Bad
	}
	return ui.Waiting
}
