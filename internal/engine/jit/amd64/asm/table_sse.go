package asm

// The table: SSE, the scalar instructions and what they need around them.

var sseTable = []instruction{
	// Moves.
	{MOVSS, "movss", 0, []row{{"x, x/m", sx, pF3 | m0F | 0x10 | mem32}, {"m, x", sx, pF3 | m0F | 0x11 | mem32}}},
	{MOVSD, "movsd", 0, []row{{"x, x/m", sx, pF2 | m0F | 0x10 | mem64}, {"m, x", sx, pF2 | m0F | 0x11 | mem64}}},
	{MOVAPS, "movaps", 0, []row{{"x, x/m", sx, m0F | 0x28 | mem128}, {"m, x", sx, m0F | 0x29 | mem128}}},
	{MOVUPS, "movups", 0, []row{{"x, x/m", sx, m0F | 0x10 | mem128}, {"m, x", sx, m0F | 0x11 | mem128}}},
	{MOVDQA, "movdqa", 0, []row{{"x, x/m", sx, p66 | m0F | 0x6F | mem128}, {"m, x", sx, p66 | m0F | 0x7F | mem128}}},
	{MOVDQU, "movdqu", 0, []row{{"x, x/m", sx, pF3 | m0F | 0x6F | mem128}, {"m, x", sx, pF3 | m0F | 0x7F | mem128}}},
	{MOVD, "movd", 0, []row{{"x, r/m", sx, p66 | m0F | 0x6E | mem32}, {"r/m, x", sx, p66 | m0F | 0x7E | mem32}}},
	{MOVQ, "movq", 0, []row{{"x, x/m", sx, pF3 | m0F | 0x7E | mem64}, {"m, x", sx, p66 | m0F | 0xD6 | mem64}, {"x, r", sx, p66 | w1 | m0F | 0x6E}, {"r/m, x", sx, p66 | w1 | m0F | 0x7E | mem64}}},

	// Arithmetic.
	{SQRTSS, "sqrtss", 0, []row{{"x, x/m", sx, pF3 | m0F | 0x51 | mem32}}},
	{SQRTSD, "sqrtsd", 0, []row{{"x, x/m", sx, pF2 | m0F | 0x51 | mem64}}},
	{ADDSS, "addss", 0, []row{{"x, x/m", sx, pF3 | m0F | 0x58 | mem32}}},
	{ADDSD, "addsd", 0, []row{{"x, x/m", sx, pF2 | m0F | 0x58 | mem64}}},
	{MULSS, "mulss", 0, []row{{"x, x/m", sx, pF3 | m0F | 0x59 | mem32}}},
	{MULSD, "mulsd", 0, []row{{"x, x/m", sx, pF2 | m0F | 0x59 | mem64}}},
	{SUBSS, "subss", 0, []row{{"x, x/m", sx, pF3 | m0F | 0x5C | mem32}}},
	{SUBSD, "subsd", 0, []row{{"x, x/m", sx, pF2 | m0F | 0x5C | mem64}}},
	{MINSS, "minss", 0, []row{{"x, x/m", sx, pF3 | m0F | 0x5D | mem32}}},
	{MINSD, "minsd", 0, []row{{"x, x/m", sx, pF2 | m0F | 0x5D | mem64}}},
	{DIVSS, "divss", 0, []row{{"x, x/m", sx, pF3 | m0F | 0x5E | mem32}}},
	{DIVSD, "divsd", 0, []row{{"x, x/m", sx, pF2 | m0F | 0x5E | mem64}}},
	{MAXSS, "maxss", 0, []row{{"x, x/m", sx, pF3 | m0F | 0x5F | mem32}}},
	{MAXSD, "maxsd", 0, []row{{"x, x/m", sx, pF2 | m0F | 0x5F | mem64}}},
	{ROUNDSS, "roundss", 0, []row{{"x, x/m, i", sx, p66 | m0F3A | ib | 0x0A | mem32}}},
	{ROUNDSD, "roundsd", 0, []row{{"x, x/m, i", sx, p66 | m0F3A | ib | 0x0B | mem64}}},

	// Comparisons. Of CMPSS and CMPSD the immediate is the predicate (0 equal, 1 less, 2 less or equal, 3 unordered, 4 to 7 their opposites).
	{UCOMISS, "ucomiss", 0, []row{{"x, x/m", sx, m0F | 0x2E | mem32}}},
	{UCOMISD, "ucomisd", 0, []row{{"x, x/m", sx, p66 | m0F | 0x2E | mem64}}},
	{COMISS, "comiss", 0, []row{{"x, x/m", sx, m0F | 0x2F | mem32}}},
	{COMISD, "comisd", 0, []row{{"x, x/m", sx, p66 | m0F | 0x2F | mem64}}},
	{CMPSS, "cmpss", 0, []row{{"x, x/m, i", sx, pF3 | m0F | ib | 0xC2 | mem32}}},
	{CMPSD, "cmpsd", 0, []row{{"x, x/m, i", sx, pF2 | m0F | ib | 0xC2 | mem64}}},

	// Conversions. L and Q at the end tell the size of the general register or of the integer in memory.
	{CVTSI2SSL, "cvtsi2ss", 0, []row{{"x, r/m", sx, pF3 | m0F | 0x2A | mem32}}},
	{CVTSI2SSQ, "cvtsi2ss", 0, []row{{"x, r/m", sx, pF3 | w1 | m0F | 0x2A | mem64}}},
	{CVTTSS2SIL, "cvttss2si", 0, []row{{"r, x/m", sx, pF3 | m0F | 0x2C | mem32}}},
	{CVTTSS2SIQ, "cvttss2si", 0, []row{{"r, x/m", sx, pF3 | w1 | m0F | 0x2C | mem32}}},
	{CVTSS2SIL, "cvtss2si", 0, []row{{"r, x/m", sx, pF3 | m0F | 0x2D | mem32}}},
	{CVTSS2SIQ, "cvtss2si", 0, []row{{"r, x/m", sx, pF3 | w1 | m0F | 0x2D | mem32}}},
	{CVTSI2SDL, "cvtsi2sd", 0, []row{{"x, r/m", sx, pF2 | m0F | 0x2A | mem32}}},
	{CVTSI2SDQ, "cvtsi2sd", 0, []row{{"x, r/m", sx, pF2 | w1 | m0F | 0x2A | mem64}}},
	{CVTTSD2SIL, "cvttsd2si", 0, []row{{"r, x/m", sx, pF2 | m0F | 0x2C | mem64}}},
	{CVTTSD2SIQ, "cvttsd2si", 0, []row{{"r, x/m", sx, pF2 | w1 | m0F | 0x2C | mem64}}},
	{CVTSD2SIL, "cvtsd2si", 0, []row{{"r, x/m", sx, pF2 | m0F | 0x2D | mem64}}},
	{CVTSD2SIQ, "cvtsd2si", 0, []row{{"r, x/m", sx, pF2 | w1 | m0F | 0x2D | mem64}}},
	{CVTSS2SD, "cvtss2sd", 0, []row{{"x, x/m", sx, pF3 | m0F | 0x5A | mem32}}},
	{CVTSD2SS, "cvtsd2ss", 0, []row{{"x, x/m", sx, pF2 | m0F | 0x5A | mem64}}},

	// Bits of a whole register.
	{ANDPS, "andps", 0, []row{{"x, x/m", sx, m0F | 0x54 | mem128}}},
	{ANDPD, "andpd", 0, []row{{"x, x/m", sx, p66 | m0F | 0x54 | mem128}}},
	{ANDNPS, "andnps", 0, []row{{"x, x/m", sx, m0F | 0x55 | mem128}}},
	{ANDNPD, "andnpd", 0, []row{{"x, x/m", sx, p66 | m0F | 0x55 | mem128}}},
	{ORPS, "orps", 0, []row{{"x, x/m", sx, m0F | 0x56 | mem128}}},
	{ORPD, "orpd", 0, []row{{"x, x/m", sx, p66 | m0F | 0x56 | mem128}}},
	{XORPS, "xorps", 0, []row{{"x, x/m", sx, m0F | 0x57 | mem128}}},
	{XORPD, "xorpd", 0, []row{{"x, x/m", sx, p66 | m0F | 0x57 | mem128}}},
	{PAND, "pand", 0, []row{{"x, x/m", sx, p66 | m0F | 0xDB | mem128}}},
	{PANDN, "pandn", 0, []row{{"x, x/m", sx, p66 | m0F | 0xDF | mem128}}},
	{POR, "por", 0, []row{{"x, x/m", sx, p66 | m0F | 0xEB | mem128}}},
	{PXOR, "pxor", 0, []row{{"x, x/m", sx, p66 | m0F | 0xEF | mem128}}},
	{PCMPEQD, "pcmpeqd", 0, []row{{"x, x/m", sx, p66 | m0F | 0x76 | mem128}}},
	{UNPCKLPS, "unpcklps", 0, []row{{"x, x/m", sx, m0F | 0x14 | mem128}}},
	{PCMPEQQ, "pcmpeqq", 0, []row{{"x, x/m", sx, p66 | m0F38 | 0x29 | mem128}}},
	{PSRLD, "psrld", 0, []row{{"x, i", sx, p66 | m0F | ib | 0x72 | d2}}},
	{PSLLD, "pslld", 0, []row{{"x, i", sx, p66 | m0F | ib | 0x72 | d6}}},
	{PSRLQ, "psrlq", 0, []row{{"x, i", sx, p66 | m0F | ib | 0x73 | d2}}},
	{PSLLQ, "psllq", 0, []row{{"x, i", sx, p66 | m0F | ib | 0x73 | d6}}},
	{PSRLDQ, "psrldq", 0, []row{{"x, i", sx, p66 | m0F | ib | 0x73 | d3}}},
	{PSHUFD, "pshufd", 0, []row{{"x, x/m, i", sx, p66 | m0F | ib | 0x70 | mem128}}},
	{MOVMSKPS, "movmskps", 0, []row{{"r, x", sx, m0F | 0x50}}},
	{MOVMSKPD, "movmskpd", 0, []row{{"r, x", sx, p66 | m0F | 0x50}}},
	{PEXTRD, "pextrd", 0, []row{{"r/m, x, i", sx, p66 | m0F3A | ib | 0x16 | mem32}}},
	{PEXTRQ, "pextrq", 0, []row{{"r/m, x, i", sx, p66 | w1 | m0F3A | ib | 0x16 | mem64}}},

	// Multiplication without carries: the immediate chooses the halves.
	{PCLMULQDQ, "pclmulqdq", HasPCLMULQDQ, []row{{"x, x/m, i", sx, p66 | m0F3A | ib | 0x44 | mem128}}},
}
