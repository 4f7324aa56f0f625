//go:build !allocdebug

package memory

// Nothing is checked, and nothing of it is left in a program.

// framesChecked says that uses of given frames are looked for, which is work and garbage of its own: the build tag allocdebug.
const framesChecked = false

type framesDebug struct{}

func (framesDebug) give(*RAM, uint64) {}
func (framesDebug) take(*RAM, uint64) {}
func (framesDebug) reset(*RAM)        {}

type framesUse struct{}

func (framesUse) check(_, _ uint64) error { return nil }
