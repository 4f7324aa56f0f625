//go:build slowtlb

package amd64

// slowTLB makes a look-up that hits one cycle longer, about 8 %. Builds with the tag slowtlb are what the performance gate is tested with: it has to
// find out (test/perfgate).
const slowTLB = true
