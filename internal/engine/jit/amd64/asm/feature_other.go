//go:build !linux || !amd64

package asm

func hasFSGSBASE() bool  { return false }
func hasArchPrctl() bool { return false }
