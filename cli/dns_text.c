#include "dns_text.h"

#include <unistd.h>

#include "postern/idn.h"

enum { STRING_MAX = 255 };

int
dns_open(struct cli *cli, struct pn_str server, struct pn_resolver **out)
{
	const struct pn_auth_config *auth = &cli->config->auth;
	struct pn_resolver_options options = { .forwarders = auth->dns_servers,
		.trust_anchor = auth->dns_trust_anchor,
		.timeout_ms = (unsigned)auth->dns_timeout * 1000 };
	struct pn_error err = { "" };
	enum pn_status st;

	if (server.n > 0) {
		options.forwarders = (struct pn_strs) { PN_ARENA_NEW(cli->arena, struct pn_str), 1 };
		options.forwarders.v[0] = server;
		options.trust_anchor = PN_STR_EMPTY;
	}
	st = pn_resolver_open(&options, out, &err);
	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}

struct pn_str
dns_hostname(struct cli *cli)
{
	struct pn_str name = cli->config->hostname, ascii;
	char own[256] = "";

	if (name.n == 0 && gethostname(own, sizeof(own) - 1) == 0)
		name = pn_str_c(own);
	return pn_domain_to_ascii(name, cli->arena, &ascii) == PN_OK ? ascii : PN_STR("localhost");
}

/* RFC 1035 section 5.1 */
static void
add_quoted(struct pn_buf *buf, struct pn_str piece)
{
	pn_buf_add_char(buf, '"');
	for (size_t i = 0; i < piece.n; i++)
		if (piece.p[i] == '"' || piece.p[i] == '\\')
			pn_buf_addf(buf, "\\%c", piece.p[i]);
		else if (piece.p[i] < ' ' || piece.p[i] > '~')
			pn_buf_addf(buf, "\\%03u", (unsigned)(unsigned char)piece.p[i]);
		else
			pn_buf_add_char(buf, piece.p[i]);
	pn_buf_add_char(buf, '"');
}

struct pn_str
txt_strings(struct pn_str text, struct pn_str separator, struct pn_arena *arena)
{
	struct pn_buf buf;
	struct pn_str out;

	pn_buf_init(&buf, 6 * text.n + 1024);
	do {
		struct pn_str piece = pn_str_head(text, STRING_MAX);

		add_quoted(&buf, piece);
		text = pn_str_from(text, piece.n);
		if (text.n > 0)
			pn_buf_add(&buf, separator);
	} while (text.n > 0);
	out = pn_arena_dup(arena, pn_buf_str(&buf));
	pn_buf_done(&buf);
	return out;
}

struct pn_str
txt_zone_line(struct pn_str name, struct pn_str text, struct pn_arena *arena)
{
	return pn_arena_printf(arena, PN_STR_FMT ". IN TXT ( " PN_STR_FMT " )", PN_STR_ARG(name),
	    PN_STR_ARG(txt_strings(text, PN_STR("\n\t"), arena)));
}
