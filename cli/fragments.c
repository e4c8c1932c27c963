#include "fragments.h"

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
FRAGMENT(master, "master.cf")
