/* What is told of a line stands in it, who fails is never nobody's business, and
 * what a relay answered does not change who the recipient was. */
#include <stdlib.h>

#include "postern/buf.h"
#include "postern/log_line.h"

static void
check_inside(struct pn_str line, struct pn_str part)
{
	if (part.n > 0 && (part.p < line.p || part.p + part.n > line.p + line.n))
		abort();
}

static void
check_other_words(struct pn_str line, const struct pn_log_line *told)
{
	struct pn_str head = pn_str_n(line.p, (size_t)(told->text.p - line.p));
	struct pn_log_line other;
	struct pn_buf buf;

	pn_buf_init(&buf, PN_LOG_LINE_MAX);
	pn_buf_add(&buf, head);
	pn_buf_add_c(&buf, "250 >, relay=a[b]:1, status=sent (x)");
	if (!pn_buf_failed(&buf)
	    && (!pn_log_line_parse(pn_buf_str(&buf), &other) || other.status != told->status
		|| !pn_str_eq(other.recipient, told->recipient)))
		abort();
	pn_buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_str line = pn_str_n((const char *)data, size);
	struct pn_log_line told;

	if (!pn_log_line_parse(line, &told))
		return 0;
	check_inside(line, told.time);
	check_inside(line, told.transport);
	check_inside(line, told.queue_id);
	check_inside(line, told.recipient);
	check_inside(line, told.host);
	check_inside(line, told.text);
	if (told.transport.n == 0 || (told.status == PN_LOG_TROUBLE ? !told.failed && told.host.n == 0 : told.queue_id.n == 0))
		abort();
	if (told.status == PN_LOG_SENT && told.failed)
		abort();
	if (told.status != PN_LOG_TROUBLE)
		check_other_words(line, &told);
	return 0;
}
