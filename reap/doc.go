// Package reap removes from the Chef server what belongs to EC2 instances that
// are gone: nodes, clients, and what dead bakes left. A node is deleted only
// when its instance is terminated, or absent from EC2's answers and confirmed
// so after a grace. Whatever is not certain stays, and is listed with a reason.
//
// A run reads Chef first and EC2 last, because EC2 is the side that can save a
// node: an instance that registers while the run reads is in EC2's answer, or
// too young to count. Decide is a pure function of what was read; Apply reads
// each node once more before it deletes, and saves it first.
//
// The ledger (instances seen, tombstones) makes runs quicker and surer, never
// less safe: without one the first run only looks.
package reap
