//go:build !linux || !amd64

package code

import "unsafe"

// Enter cannot be reached on this host: there is no [Arena] to enter.
func Enter(Addr, unsafe.Pointer) uint64 { panic("code: no generated code on this host") }

// EnterDetached cannot be reached either.
func EnterDetached(at Addr, base unsafe.Pointer) uint64 { return Enter(at, base) }
