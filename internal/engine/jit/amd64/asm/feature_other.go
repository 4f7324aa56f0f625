//go:build !linux

package asm

func hasFSGSBASE() bool { return false }
