package code

// Names for generated code in Linux perf.
//
// perf reads /tmp/perf-PID.map when it meets an address that is in no file: a line for each block, "START SIZE name", both in
// hexadecimal. A later line wins over an earlier one that it overlaps, so blocks of a freed region need no erasing.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// PerfMap is the file that names this process's generated code. Its methods may be called from any goroutine.
type PerfMap struct {
	mu   sync.Mutex
	file *os.File
	line []byte // reused
}

// OpenPerfMap starts the file of this process in dir, which for perf is "/tmp". It replaces one that an earlier process with the same
// number left, and follows no link that somebody else put there. The file stays when the process ends, as perf reads it later.
func OpenPerfMap(dir string) (*PerfMap, error) {
	name := filepath.Join(dir, fmt.Sprintf("perf-%d.map", os.Getpid()))
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replacing the perf map of an earlier process: %w", err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating a perf map: %w", err)
	}
	return &PerfMap{file: f}, nil
}

// Name is the path of the file.
func (m *PerfMap) Name() string { return m.file.Name() }

// Add names size bytes of code. Control characters, which would end the line, become underscores; spaces are fine.
func (m *PerfMap) Add(at Addr, size int, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	line := strconv.AppendUint(m.line[:0], uint64(at), 16)
	line = append(line, ' ')
	line = strconv.AppendUint(line, uint64(size), 16)
	line = append(line, ' ')
	for i := range len(name) {
		c := name[i]
		if c < ' ' || c == 0x7F {
			c = '_'
		}
		line = append(line, c)
	}
	line = append(line, '\n')
	m.line = line
	// One write for a line: a process that is killed leaves whole lines.
	if _, err := m.file.Write(line); err != nil {
		return fmt.Errorf("naming code for perf: %w", err)
	}
	return nil
}

// Close closes the file.
func (m *PerfMap) Close() error { return m.file.Close() }
