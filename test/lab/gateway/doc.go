// Package gateway is the lab's front door to AWS: an HTTP handler that every
// tool reaches through AWS_ENDPOINT_URL and that forwards to moto, the
// emulator. It repairs what moto gets wrong (see the handlers of each action),
// tells the truth about machines, which only the hypervisor knows, records
// every call and injects faults by rule. Nothing in it is meant for
// production: signatures are not checked.
package gateway
