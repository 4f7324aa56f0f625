//go:build !allocdebug

package memory

// framesUnchecked says that uses of given frames are not looked for, which takes some garbage.
const framesUnchecked = true
