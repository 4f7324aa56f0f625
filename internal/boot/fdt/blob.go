package fdt

// The flattened form: header, memory reservation block, structure block, strings block (Devicetree Specification 0.4, §5).
// Every number is big-endian and 32 bits wide, but for the reservations' 64.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	magic         = 0xd00dfeed
	version       = 17
	compatVersion = 16
	headerSize    = 40

	tokenBeginNode = 1
	tokenEndNode   = 2
	tokenProp      = 3
	tokenNop       = 4
	tokenEnd       = 9
)

// Offsets in the header.
const (
	hdrMagic         = 0
	hdrTotalSize     = 4
	hdrStruct        = 8
	hdrStrings       = 12
	hdrReserve       = 16
	hdrVersion       = 20
	hdrCompatVersion = 24
	hdrBootCPU       = 28
	hdrStringsSize   = 32
	hdrStructSize    = 36
)

// MaxSize is the largest blob in bytes: what RISC-V Linux maps of one (MAX_FDT_SIZE).
const MaxSize = 2 << 20

// maxDepth bounds the nesting of nodes; the trees of real boards have fewer than ten levels.
const maxDepth = 64

// Marshal returns the tree as a blob.
func (t *Tree) Marshal() []byte {
	w := writer{offsets: make(map[string]uint32)}
	w.node(t.Root)
	w.u32(tokenEnd)

	reserve := make([]byte, 0, 16*(len(t.Reserved)+1))
	for _, r := range append(t.Reserved[:len(t.Reserved):len(t.Reserved)], Reservation{}) { // ends with an empty one
		reserve = binary.BigEndian.AppendUint64(reserve, r.Addr)
		reserve = binary.BigEndian.AppendUint64(reserve, r.Size)
	}
	structAt := headerSize + len(reserve)
	stringsAt := structAt + len(w.structure)
	total := (stringsAt + len(w.strings) + 7) &^ 7

	b := make([]byte, headerSize, total)
	for off, v := range map[int]int{
		hdrMagic: magic, hdrTotalSize: total, hdrStruct: structAt, hdrStrings: stringsAt, hdrReserve: headerSize,
		hdrVersion: version, hdrCompatVersion: compatVersion, hdrBootCPU: int(t.BootCPU),
		hdrStringsSize: len(w.strings), hdrStructSize: len(w.structure),
	} {
		binary.BigEndian.PutUint32(b[off:], uint32(v))
	}
	b = append(b, reserve...)
	b = append(b, w.structure...)
	b = append(b, w.strings...)
	return b[:total]
}

type writer struct {
	structure []byte
	strings   []byte
	offsets   map[string]uint32 // of each property name in strings
}

func (w *writer) u32(v uint32) { w.structure = binary.BigEndian.AppendUint32(w.structure, v) }

// padded appends b and aligns to the next token.
func (w *writer) padded(b []byte) {
	w.structure = append(w.structure, b...)
	for len(w.structure)%4 != 0 {
		w.structure = append(w.structure, 0)
	}
}

func (w *writer) node(n *Node) {
	w.u32(tokenBeginNode)
	w.padded(append([]byte(n.Name), 0))
	for _, p := range n.Props {
		off, ok := w.offsets[p.Name]
		if !ok {
			off = uint32(len(w.strings))
			w.offsets[p.Name] = off
			w.strings = append(append(w.strings, p.Name...), 0)
		}
		w.u32(tokenProp)
		w.u32(uint32(len(p.Value)))
		w.u32(off)
		w.padded(p.Value)
	}
	for _, c := range n.Children {
		w.node(c)
	}
	w.u32(tokenEndNode)
}

// Parse reads a blob. What follows the total size that its header gives is ignored. The tree does not share memory with b.
func Parse(b []byte) (*Tree, error) {
	t, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("device tree: %w", err)
	}
	return t, nil
}

var errTruncated = errors.New("the blob is truncated")

func parse(b []byte) (*Tree, error) {
	if len(b) < 4 || binary.BigEndian.Uint32(b) != magic {
		if bytes.HasPrefix(b, []byte("/dts-v1/")) {
			return nil, errors.New("this is source text: compile it first (dtc -O dtb)")
		}
		return nil, errors.New("this is not a device tree blob")
	}
	if len(b) < headerSize {
		return nil, errTruncated
	}
	field := func(off int) uint32 { return binary.BigEndian.Uint32(b[off:]) }
	total := field(hdrTotalSize)
	switch {
	case total > MaxSize:
		return nil, fmt.Errorf("%d bytes are more than the %d that a kernel takes", total, MaxSize)
	case uint64(total) > uint64(len(b)):
		return nil, errTruncated
	case total < headerSize:
		return nil, fmt.Errorf("its header claims a size of %d bytes", total)
	case field(hdrVersion) < version || field(hdrCompatVersion) > version:
		return nil, fmt.Errorf("version %d is not supported, only %d and compatible", field(hdrVersion), version)
	}
	b = b[:total]
	structure, err := block(b, "structure", field(hdrStruct), field(hdrStructSize))
	if err != nil {
		return nil, err
	}
	strings, err := block(b, "strings", field(hdrStrings), field(hdrStringsSize))
	if err != nil {
		return nil, err
	}
	t := &Tree{BootCPU: field(hdrBootCPU)}
	if t.Reserved, err = reservations(b, field(hdrReserve)); err != nil {
		return nil, err
	}
	r := reader{structure: structure, strings: strings}
	if t.Root, err = r.tree(); err != nil {
		return nil, err
	}
	return t, nil
}

// block is size bytes of b at off.
func block(b []byte, name string, off, size uint32) ([]byte, error) {
	if uint64(off)+uint64(size) > uint64(len(b)) {
		return nil, fmt.Errorf("its %s block, %d bytes at %d, lies outside", name, size, off)
	}
	return b[off : off+size], nil
}

func reservations(b []byte, off uint32) ([]Reservation, error) {
	var list []Reservation
	for at := uint64(off); ; at += 16 {
		if at+16 > uint64(len(b)) {
			return nil, errors.New("its memory reservation block does not end")
		}
		r := Reservation{binary.BigEndian.Uint64(b[at:]), binary.BigEndian.Uint64(b[at+8:])}
		if r == (Reservation{}) {
			return list, nil
		}
		list = append(list, r)
	}
}

// reader walks the structure block. Its memory is bounded by the blob: every token takes 4 bytes of it at least.
type reader struct {
	structure, strings []byte
	at                 int
	copied             int // bytes of property names and node names made so far
}

func (r *reader) u32() (uint32, error) {
	if len(r.structure)-r.at < 4 {
		return 0, errTruncated
	}
	v := binary.BigEndian.Uint32(r.structure[r.at:])
	r.at += 4
	return v, nil
}

// token is the next token that means something.
func (r *reader) token() (uint32, error) {
	for {
		if t, err := r.u32(); err != nil || t != tokenNop {
			return t, err
		}
	}
}

// skip moves past n bytes and to the next token.
func (r *reader) skip(n int) { r.at = min((r.at+n+3)&^3, len(r.structure)) }

// tree reads the one root node and the end.
func (r *reader) tree() (*Node, error) {
	if t, err := r.token(); err != nil {
		return nil, err
	} else if t != tokenBeginNode {
		return nil, fmt.Errorf("token %d where the root should begin", t)
	}
	var open []*Node // from the root to where we are
	n, err := r.beginNode()
	if err != nil {
		return nil, err
	}
	root := n
	for {
		t, err := r.token()
		if err != nil {
			return nil, err
		}
		switch t {
		case tokenBeginNode:
			if len(open) == maxDepth {
				return nil, fmt.Errorf("nodes are nested more than %d deep", maxDepth)
			}
			c, err := r.beginNode()
			if err != nil {
				return nil, err
			}
			if c.Name == "" {
				return nil, errors.New("a node other than the root has no name")
			}
			n.Children = append(n.Children, c)
			open, n = append(open, n), c
		case tokenProp:
			if len(n.Children) > 0 {
				return nil, fmt.Errorf("node %q has a property behind its children", n.Name)
			}
			p, err := r.property()
			if err != nil {
				return nil, err
			}
			n.Props = append(n.Props, p)
		case tokenEndNode:
			if len(open) > 0 {
				n, open = open[len(open)-1], open[:len(open)-1]
				continue
			}
			if t, err := r.token(); err != nil || t != tokenEnd {
				return nil, errors.New("something follows the root")
			}
			return root, nil
		default:
			return nil, fmt.Errorf("unknown token %d", t)
		}
	}
}

func (r *reader) beginNode() (*Node, error) {
	name, err := r.name(r.structure, r.at)
	if err != nil {
		return nil, err
	}
	r.skip(len(name) + 1)
	return &Node{Name: name}, nil
}

func (r *reader) property() (Property, error) {
	size, err := r.u32()
	if err != nil {
		return Property{}, err
	}
	off, err := r.u32()
	if err != nil {
		return Property{}, err
	}
	if uint64(size) > uint64(len(r.structure)-r.at) {
		return Property{}, errTruncated
	}
	name, err := r.name(r.strings, int(off))
	if err != nil {
		return Property{}, err
	}
	if name == "" {
		return Property{}, errors.New("a property has no name")
	}
	p := Property{name, bytes.Clone(r.structure[r.at : r.at+int(size)])}
	r.skip(int(size))
	return p, nil
}

// maxName bounds a name in bytes. The specification allows 31; real trees are more generous.
const maxName = 255

// name is the NUL-terminated string at off in b.
func (r *reader) name(b []byte, off int) (string, error) {
	if off < 0 || off >= len(b) {
		return "", errors.New("a name lies outside its block")
	}
	s, _, ok := bytes.Cut(b[off:min(off+maxName+1, len(b))], []byte{0})
	if !ok {
		return "", errors.New("a name does not end")
	}
	// Many properties can share one name in the blob; they do not in a written copy's memory, so bound the sum.
	if r.copied += len(s); r.copied > 4*MaxSize {
		return "", errors.New("its names are too long")
	}
	for _, c := range s {
		if c < ' ' || c > '~' {
			return "", fmt.Errorf("a name has the byte %#x", c)
		}
	}
	return string(s), nil
}
