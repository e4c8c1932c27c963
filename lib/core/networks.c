#include "postern/networks.h"

#include <string.h>

static bool
has(const struct pn_network *network, const unsigned char address[16])
{
	unsigned bytes = network->prefix / 8, bits = network->prefix % 8;
	unsigned char mask = (unsigned char)(0xff00 >> bits);

	return memcmp(network->address, address, bytes) == 0
	    && (bits == 0 || ((network->address[bytes] ^ address[bytes]) & mask) == 0);
}

bool
pn_networks_have(struct pn_networks networks, const unsigned char address[16])
{
	for (size_t i = 0; i < networks.n; i++)
		if (has(&networks.v[i], address))
			return true;
	return false;
}
