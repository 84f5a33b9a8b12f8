// Package bake turns a Chef role and a base image into a new AMI, or leaves
// nothing behind.
//
// Resolve looks at the world without changing it and returns a Plan: the
// Recipe (all that decides what is in the image) and how the bake will be
// done. Bake carries a Plan out as a list of steps. Every step that makes
// something has an undo; they run in reverse when a step fails, when the
// context ends, and, but for the image itself, when the bake is done.
package bake
