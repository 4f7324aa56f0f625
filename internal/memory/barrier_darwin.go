package memory

import "errors"

// Darwin has no such call: writers have their barriers themselves.
func registerBarriers() error { return errors.ErrUnsupported }

func barrierEverywhere() error { return errors.ErrUnsupported }
