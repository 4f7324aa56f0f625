package opt

// A region for people, as --dump-code lists it: its blocks, and a line for each value, as "v12:x10 = add v3 0x8 -> rsi". v12 is its name, x10 the
// variable of the guest that it is one of, rsi where it is kept. Page 0 is a Cell. States are not listed: "may leave" says that there is one.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// Line is a line of a region.
type Line struct {
	Text string
	Off  int // offset in the page of the guest instruction that it is about; -1: none
	Pos  int // position, if there is code for it; -1: there is not
}

// Lines are the lines of each block, in the order of the code. The first is a heading. kept says where a value is: "" for nowhere.
func (r *Region) Lines(kept func(*Value) string) [][]Line {
	p := printer{Region: r, kept: kept, names: map[*Value]string{}, sunk: map[*Block][]*Value{}}
	for _, b := range r.Blocks {
		for _, v := range slices.Concat(b.Phis, b.Values) {
			if v.Var != ir.None {
				p.name(v)
			}
		}
	}
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			p.state(v.State)
		}
		b.exits(p.state, p.state)
	}
	var list [][]Line
	for _, b := range r.Blocks {
		list = append(list, p.block(b))
	}
	return list
}

type printer struct {
	*Region
	kept  func(*Value) string
	names map[*Value]string
	sunk  map[*Block][]*Value // what is computed for states only, where the guest computes it
}

// name gives a value the next number.
func (p *printer) name(v *Value) { p.names[v] = fmt.Sprintf("v%d", len(p.names)) }

// state finds what is computed only for it.
func (p *printer) state(s *State) {
	if s == nil {
		return
	}
	for _, v := range s {
		if v != nil && v.Sunk() && p.names[v] == "" {
			p.name(v)
			p.sunk[v.Block] = append(p.sunk[v.Block], v)
		}
	}
}

// operand is how an instruction names a value. What is in no place is written out.
func (p *printer) operand(v *Value) string {
	switch {
	case v == nil:
		return ir.None.String()
	case v.IsConst() && (p.names[v] == "" || p.kept(v) == ""):
		return fmt.Sprintf("%#x", v.Imm)
	case p.names[v] == "" && v.Kind == Computed:
		return "(" + p.compute(v) + ")"
	case p.names[v] == "":
		return v.Var.String() // as it was on the way in
	}
	return p.names[v]
}

// compute is an instruction without its result.
func (p *printer) compute(v *Value) string {
	return v.Text(ir.None.String(), p.first(v), p.operand(v.Arg[1]), p.operand(v.Arg[2]))
}

// first is the first operand.
func (p *printer) first(v *Value) string {
	if v.Masked {
		return fmt.Sprintf("(%s & %#x)", p.operand(v.Arg[0]), v.Imm)
	}
	return p.operand(v.Arg[0])
}

// value is the line of a value: how it comes about, where it is kept, what else there is to know.
func (p *printer) value(v *Value) string {
	var s strings.Builder
	if name := p.names[v]; name != "" {
		s.WriteString(name)
		if v.Var < ir.NumVars {
			fmt.Fprintf(&s, ":%v", v.Var)
		}
		s.WriteString(" = ")
	}
	switch v.Kind {
	case Entered:
		s.WriteString("entered")
	case Returned:
		s.WriteString("returned")
	case Phi:
		s.WriteString("phi")
		for _, a := range v.Args {
			s.WriteString(" " + p.operand(a))
		}
	default:
		s.WriteString(p.compute(v))
	}
	if at := p.kept(v); at != "" {
		s.WriteString(" -> " + at)
	}
	for _, note := range []struct {
		is   bool
		text string
	}{
		{v.Narrow, "low half"},
		{v.Cell != nil, fmt.Sprintf("page %d", slices.Index(p.Cells, v.Cell))},
		{v.State != nil, "may leave"},
		{v.Sunk(), "where the region is left"},
	} {
		if note.is {
			s.WriteString(", " + note.text)
		}
	}
	return s.String()
}

// block is the lines of a block.
func (p *printer) block(b *Block) []Line {
	head := p.title(b)
	if b != p.Entry {
		from := make([]string, len(b.In)) // in the order of the arguments of phis
		for i, e := range b.In {
			from[i] = p.title(e.From)
		}
		head = fmt.Sprintf("%s at %s, depth %d, from %s", head, pageOffset(b.Off), b.Depth, strings.Join(from, ", "))
	}
	list := []Line{{head, -1, -1}}
	add := func(format string, args ...any) { list = append(list, Line{fmt.Sprintf(format, args...), -1, -1}) }
	values := slices.Concat(b.Phis, b.Values)
	for _, v := range p.sunk[b] {
		i := slices.IndexFunc(values, func(w *Value) bool { return w.Off > v.Off })
		if i < 0 {
			i = len(values)
		}
		values = slices.Insert(values, i, v)
	}
	for _, v := range values {
		line := Line{p.value(v), -1, -1}
		if v.Kind == Computed {
			line.Off = int(v.Off)
			if !v.Sunk() {
				line.Pos = v.Pos()
			}
		}
		list = append(list, line)
	}
	if b == p.Entry {
		for i, c := range p.Cells {
			add("page %d near %s: tag %s, host %s", i, p.operand(c.Root), p.kept(c.Tag), p.kept(c.Host))
		}
		p.assumptions(add)
	}
	end := Line{"to " + p.target(b.Out[len(b.Out)-1]), -1, b.EndPos()}
	switch v := b.Cond; {
	case b.Call != nil:
		end.Text = fmt.Sprintf("call to %s, then %s", pageOffset(int(b.Call.Imm)), p.target(b.Out[0]))
		end.Off = int(b.Call.Off)
	case b.Return != nil:
		end.Text = "return"
		end.Off = int(b.Return.Off)
	case v != nil:
		width := ""
		if v.Width == ir.W32 {
			width = ".32"
		}
		end.Text = fmt.Sprintf("branch%s %s %v %s to %s, else %s", width, p.first(v), v.Cond, p.operand(v.Arg[1]), p.target(b.Out[0]), p.target(b.Out[1]))
		end.Off = int(v.Off)
	}
	return append(list, end)
}

// assumptions are what the way in checks: the region is not entered where they do not hold.
func (p *printer) assumptions(add func(string, ...any)) {
	for _, v := range p.Guards {
		add("assumed: %s is sign-extended from 32 bits", p.operand(v))
	}
	for _, v := range p.Numbers {
		add("assumed: %s is no NaN", p.operand(v))
	}
	for _, v := range p.Reached {
		add("assumed: %s is in the mirror", p.operand(v))
	}
	for _, k := range p.Checks {
		add("assumed: %s is %s", p.operand(k.Entry), p.compute(k.Value))
	}
}

// target is where an edge leads: a block, or a place outside.
func (p *printer) target(e *Edge) string {
	if e.To == nil {
		return "exit " + pageOffset(e.Off)
	}
	return p.title(e.To)
}

func (p *printer) title(b *Block) string {
	if b == p.Entry {
		return "way in"
	}
	return fmt.Sprintf("block %d", slices.Index(p.Blocks, b))
}

// pageOffset is an offset in the page.
func pageOffset(off int) string { return fmt.Sprintf("%+#x", off) }
