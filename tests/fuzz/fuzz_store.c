/* Records of the store: the first byte says of which kind, the rest is the
 * record as read from disk.  What decodes must encode to the same bytes. */
#include <stdlib.h>

#include "../../lib/store/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_be(const struct pn_buf *got, struct pn_str wanted)
{
	if (pn_buf_failed(got) || !pn_str_eq(pn_buf_str(got), wanted))
		abort();
}

static bool
encode_again(unsigned kind, struct pn_str record, struct pn_buf *buf)
{
	struct pn_alias alias;
	struct pn_retired retired;
	struct pn_domain_note note;
	struct pn_thread_record thread;
	struct pn_lease_record lease;
	struct pn_window_record window;
	struct pn_bounce_event bounce;
	struct pn_trace trace;
	struct pn_account_record account;
	struct pn_health health;
	uint64_t number;
	char bytes[PN_U64_BYTES];

	switch (kind) {
	case 0: return pn_alias_decode(record, &alias) && (pn_alias_encode(buf, &alias), true);
	case 1: return pn_retired_decode(record, &retired) && (pn_retired_encode(buf, &retired), true);
	case 2: return pn_domain_note_decode(record, &note) && (pn_domain_note_encode(buf, &note), true);
	case 3: return pn_thread_decode(record, &thread) && (pn_thread_encode(buf, &thread), true);
	case 4: return pn_lease_decode(record, &lease) && (pn_lease_encode(buf, &lease), true);
	case 5: return pn_bounce_decode(record, &bounce) && (pn_bounce_encode(buf, &bounce), true);
	case 6:
		if (!pn_u64_decode(record, &number))
			return false;
		pn_u64_put(bytes, number);
		pn_buf_add(buf, pn_str_n(bytes, sizeof(bytes)));
		return true;
	case 8: return pn_trace_decode(record, &trace) && (pn_trace_encode(buf, &trace), true);
	case 9: return pn_account_decode(record, &account) && (pn_account_encode(buf, &account), true);
	case 10: return pn_health_decode(record, &health) && (pn_health_encode(buf, &health), true);
	default:
		break;
	}
	if (!pn_window_decode(record, &window))
		return false;
	for (size_t i = 0; i < window.ring.n; i++)
		(void)pn_ring_at(&window.ring, i);
	pn_window_encode(buf, &window);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_str record = pn_str_n((const char *)data, size);
	struct pn_buf buf;

	if (size == 0)
		return 0;
	record = pn_str_from(record, 1);
	pn_buf_init(&buf, PN_RECORD_MAX);
	if (encode_again(data[0] % 11, record, &buf))
		must_be(&buf, record);
	pn_buf_done(&buf);
	return 0;
}
