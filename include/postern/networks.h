/* networks.h - lists of IP networks.  Pure; safe from any thread. */
#ifndef POSTERN_NETWORKS_H
#define POSTERN_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>

struct pn_network {
	unsigned char address[16];	/* IPv4 as IPv4-mapped */
	unsigned prefix;		/* 0-128 */
};

struct pn_networks {
	const struct pn_network *v;
	size_t n;
};

/* Does the address lie in one of them? */
bool pn_networks_have(struct pn_networks networks, const unsigned char address[16]);

#endif
