// Package vm runs a RISC-V machine inside a Go program: unmodified distribution kernels, no cgo, no root, no kernel module.
//
// [New] builds a machine from a [Config]; [Machine.Run] runs it until the guest ends.
package vm
