//go:build !slowtlb

package amd64

// slowTLB makes a look-up one cycle longer: see slow_on.go.
const slowTLB = false
