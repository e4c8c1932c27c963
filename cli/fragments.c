#include "fragments.h"

#include "postern/buf.h"

/* The assembler takes the files in as they are; paths count from the folder
 * that make runs in. */
#define FRAGMENT(name, file) \
	__asm__(".pushsection .rodata\n" \
	    ".hidden fragment_text_" #name "\n.global fragment_text_" #name "\nfragment_text_" #name ":\n" \
	    ".incbin \"postfix-conf/" file "\"\n" \
	    ".hidden fragment_end_" #name "\n.global fragment_end_" #name "\nfragment_end_" #name ":\n" \
	    ".byte 0\n.popsection\n"); \
	extern const char fragment_text_##name[], fragment_end_##name[]; \
	struct pn_str \
	fragment_##name(void) \
	{ \
		return pn_str_n(fragment_text_##name, (size_t)(fragment_end_##name - fragment_text_##name)); \
	}

FRAGMENT(milter, "main.cf.milter")
FRAGMENT(own_domains, "main.cf.own-domains")
FRAGMENT(mixed_domains, "main.cf.mixed-domains")
FRAGMENT(redirect, "main.cf.redirect")
FRAGMENT(outbound, "main.cf.outbound")
FRAGMENT(master, "master.cf")
FRAGMENT(reply_filter, "reply_filter")

struct pn_str
fragment_fill(struct pn_str text, const struct fragment_change *changes, size_t n, struct pn_arena *arena)
{
	enum { FILLED_MAX = 64 << 20 };
	struct pn_buf out;
	struct pn_str result;

	pn_buf_init(&out, FILLED_MAX);
	while (text.n > 0) {
		size_t i = 0;

		while (i < n && !pn_str_starts(text, changes[i].from))
			i++;
		pn_buf_add(&out, i < n ? changes[i].to : pn_str_head(text, 1));
		text = pn_str_from(text, i < n ? changes[i].from.n : 1);
	}
	result = pn_arena_dup(arena, pn_buf_str(&out));
	pn_buf_done(&out);
	return result;
}
