package asm

// The table: what depends on a condition, in the order of the conditions.

var conditionTable = []instruction{
	// Jumps, by the distance in four bytes.
	{JO, "jo", 0, []row{{"rel", sx, m0F | 0x80}}},
	{JNO, "jno", 0, []row{{"rel", sx, m0F | 0x81}}},
	{JB, "jb", 0, []row{{"rel", sx, m0F | 0x82}}},
	{JAE, "jae", 0, []row{{"rel", sx, m0F | 0x83}}},
	{JE, "je", 0, []row{{"rel", sx, m0F | 0x84}}},
	{JNE, "jne", 0, []row{{"rel", sx, m0F | 0x85}}},
	{JBE, "jbe", 0, []row{{"rel", sx, m0F | 0x86}}},
	{JA, "ja", 0, []row{{"rel", sx, m0F | 0x87}}},
	{JS, "js", 0, []row{{"rel", sx, m0F | 0x88}}},
	{JNS, "jns", 0, []row{{"rel", sx, m0F | 0x89}}},
	{JP, "jp", 0, []row{{"rel", sx, m0F | 0x8A}}},
	{JNP, "jnp", 0, []row{{"rel", sx, m0F | 0x8B}}},
	{JL, "jl", 0, []row{{"rel", sx, m0F | 0x8C}}},
	{JGE, "jge", 0, []row{{"rel", sx, m0F | 0x8D}}},
	{JLE, "jle", 0, []row{{"rel", sx, m0F | 0x8E}}},
	{JG, "jg", 0, []row{{"rel", sx, m0F | 0x8F}}},

	// A byte, 1 or 0.
	{SETO, "seto", 0, []row{{"r/m", s8, m0F | 0x90 | d0}}},
	{SETNO, "setno", 0, []row{{"r/m", s8, m0F | 0x91 | d0}}},
	{SETB, "setb", 0, []row{{"r/m", s8, m0F | 0x92 | d0}}},
	{SETAE, "setae", 0, []row{{"r/m", s8, m0F | 0x93 | d0}}},
	{SETE, "sete", 0, []row{{"r/m", s8, m0F | 0x94 | d0}}},
	{SETNE, "setne", 0, []row{{"r/m", s8, m0F | 0x95 | d0}}},
	{SETBE, "setbe", 0, []row{{"r/m", s8, m0F | 0x96 | d0}}},
	{SETA, "seta", 0, []row{{"r/m", s8, m0F | 0x97 | d0}}},
	{SETS, "sets", 0, []row{{"r/m", s8, m0F | 0x98 | d0}}},
	{SETNS, "setns", 0, []row{{"r/m", s8, m0F | 0x99 | d0}}},
	{SETP, "setp", 0, []row{{"r/m", s8, m0F | 0x9A | d0}}},
	{SETNP, "setnp", 0, []row{{"r/m", s8, m0F | 0x9B | d0}}},
	{SETL, "setl", 0, []row{{"r/m", s8, m0F | 0x9C | d0}}},
	{SETGE, "setge", 0, []row{{"r/m", s8, m0F | 0x9D | d0}}},
	{SETLE, "setle", 0, []row{{"r/m", s8, m0F | 0x9E | d0}}},
	{SETG, "setg", 0, []row{{"r/m", s8, m0F | 0x9F | d0}}},

	// Moves. The source is read even when the condition does not hold.
	{CMOVO, "cmovo", 0, []row{{"r, r/m", wide, m0F | 0x40}}},
	{CMOVNO, "cmovno", 0, []row{{"r, r/m", wide, m0F | 0x41}}},
	{CMOVB, "cmovb", 0, []row{{"r, r/m", wide, m0F | 0x42}}},
	{CMOVAE, "cmovae", 0, []row{{"r, r/m", wide, m0F | 0x43}}},
	{CMOVE, "cmove", 0, []row{{"r, r/m", wide, m0F | 0x44}}},
	{CMOVNE, "cmovne", 0, []row{{"r, r/m", wide, m0F | 0x45}}},
	{CMOVBE, "cmovbe", 0, []row{{"r, r/m", wide, m0F | 0x46}}},
	{CMOVA, "cmova", 0, []row{{"r, r/m", wide, m0F | 0x47}}},
	{CMOVS, "cmovs", 0, []row{{"r, r/m", wide, m0F | 0x48}}},
	{CMOVNS, "cmovns", 0, []row{{"r, r/m", wide, m0F | 0x49}}},
	{CMOVP, "cmovp", 0, []row{{"r, r/m", wide, m0F | 0x4A}}},
	{CMOVNP, "cmovnp", 0, []row{{"r, r/m", wide, m0F | 0x4B}}},
	{CMOVL, "cmovl", 0, []row{{"r, r/m", wide, m0F | 0x4C}}},
	{CMOVGE, "cmovge", 0, []row{{"r, r/m", wide, m0F | 0x4D}}},
	{CMOVLE, "cmovle", 0, []row{{"r, r/m", wide, m0F | 0x4E}}},
	{CMOVG, "cmovg", 0, []row{{"r, r/m", wide, m0F | 0x4F}}},
}
