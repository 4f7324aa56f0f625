//go:build !allocdebug

package alloc

// Nothing is checked, and nothing of it is left in a program.

const quarantine = 0

// Checked says that releases and uses are checked, which is work and garbage of its own: the build tag allocdebug.
const Checked = false

type poolDebug[T any] struct{}

func (poolDebug[T]) got(*T)           {}
func (poolDebug[T]) put(*T, func(*T)) {}
func (poolDebug[T]) live(*T)          {}

type arenaDebug[T any] struct{}

func (arenaDebug[T]) reset(*Arena[T]) {}
