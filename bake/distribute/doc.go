// Package distribute takes a baked image to other regions and other accounts:
// what is wished, what of it cannot work and why, and the EC2 calls that do
// the rest. It serves a bake's own steps and the commands that redo them.
package distribute
