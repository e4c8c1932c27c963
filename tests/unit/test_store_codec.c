/* The records of the store: what is written is read again, what is not is refused. */
#include "store_tool.h"

#include "../../lib/store/codec.h"

static const char id_text[] = "<1234.5678-openerp-7-crm.lead@mail.example.com>";

static void
encode_all(struct pn_buf *bufs)
{
	const struct pn_alias alias = { 7, PN_STR("sales"), PN_STR(""), PN_STR("crm.lead"),
		PN_CONTACT_FOLLOWERS, true, 9, true, PN_STR("crm.team"), 3 };
	const struct pn_retired retired = { .successor = PN_STR("new@example.com"), .since = 1700000000 };
	const struct pn_domain_note note = { PN_STR("bounce@example.com"), PN_STR("catchall@example.com") };
	const struct pn_thread_record thread = { 100, { 300, 400 }, PN_STR("main"),
		{ pn_str_c(id_text), PN_STR("crm.lead"), 7, PN_THREAD_INBOUND, 12, 200 } };
	const struct pn_lease_record lease = { 1, { 2, 3 }, PN_STR("main"), pn_str_c(id_text), PN_STR("a@b.c") };
	const struct pn_window_record window = { 5, 6, PN_STR("main"),
		{ PN_STR("crm.lead"), PN_STR(""), PN_STR("a@b.c") }, { "", 0 } };
	const struct pn_mail mails[] = { { 10, 11 }, { -12, UINT64_MAX } };
	const struct pn_bounce_event bounce = { PN_STR("main"), PN_STR("joe@x.org"), pn_str_c(id_text),
		PN_STR("5.1.1"), PN_STR("smtp; 550 no"), PN_STR("res.partner"), 4, 1700000001 };
	const struct pn_trace trace = { 1, 2, { PN_STR("mass"), 3, 4 }, { "0123456789abcde", true }, 5,
	    true };
	const struct pn_account_record account = { 7, 2, {
	    { 60000, true, -1, 8, 9 }, { 86400000, false, 1, 2, 3 } } };
	const struct pn_health health = { 3, 1, 1700000000000, true, 5, 6, "535 5.7.8 no" };

	pn_alias_encode(&bufs[0], &alias);
	pn_retired_encode(&bufs[1], &retired);
	pn_domain_note_encode(&bufs[2], &note);
	pn_thread_encode(&bufs[3], &thread);
	pn_lease_encode(&bufs[4], &lease);
	pn_window_encode(&bufs[5], &window);
	pn_mail_encode(&bufs[5], &mails[0]);
	pn_mail_encode(&bufs[5], &mails[1]);
	pn_bounce_encode(&bufs[6], &bounce);
	pn_trace_encode(&bufs[7], &trace);
	pn_account_encode(&bufs[8], &account);
	pn_health_encode(&bufs[9], &health);
}

enum { KINDS = 10 };

static bool
decodes(size_t kind, struct pn_str s)
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

	switch (kind) {
	case 0: return pn_alias_decode(s, &alias);
	case 1: return pn_retired_decode(s, &retired);
	case 2: return pn_domain_note_decode(s, &note);
	case 3: return pn_thread_decode(s, &thread);
	case 4: return pn_lease_decode(s, &lease);
	case 5: return pn_window_decode(s, &window);
	case 6: return pn_bounce_decode(s, &bounce);
	case 7: return pn_trace_decode(s, &trace);
	case 8: return pn_account_decode(s, &account);
	default: return pn_health_decode(s, &health);
	}
}

/* Cut anywhere, longer by a byte, of another version: no record. */
static void
damaged_records_do_not_decode(void **state)
{
	struct pn_buf bufs[KINDS];

	(void)state;
	for (size_t i = 0; i < KINDS; i++)
		pn_buf_init(&bufs[i], PN_RECORD_MAX);
	encode_all(bufs);
	for (size_t i = 0; i < KINDS; i++) {
		size_t whole = bufs[i].n;

		assert_true(decodes(i, pn_buf_str(&bufs[i])));
		for (size_t n = 0; n < whole; n++)
			if (i != 5 || (whole - n) % PN_RING_ENTRY != 0 || n < whole - 2 * PN_RING_ENTRY)
				assert_false(decodes(i, pn_str_head(pn_buf_str(&bufs[i]), n)));
		pn_buf_add_char(&bufs[i], '\0');
		assert_false(decodes(i, pn_buf_str(&bufs[i])));
		bufs[i].p[0]++;
		assert_false(decodes(i, pn_str_head(pn_buf_str(&bufs[i]), whole)));
	}
	for (size_t i = 0; i < KINDS; i++)
		pn_buf_done(&bufs[i]);
}

static void
fields_survive(void **state)
{
	struct pn_buf bufs[KINDS];
	struct pn_alias alias;
	struct pn_thread_record thread;
	struct pn_window_record window;
	struct pn_bounce_event bounce;

	(void)state;
	for (size_t i = 0; i < KINDS; i++)
		pn_buf_init(&bufs[i], PN_RECORD_MAX);
	encode_all(bufs);
	assert_true(pn_alias_decode(pn_buf_str(&bufs[0]), &alias));
	assert_int_equal(alias.id, 7);
	assert_int_equal(alias.contact, PN_CONTACT_FOLLOWERS);
	assert_true(alias.incoming_local && alias.require_dmarc);
	assert_int_equal(alias.force_thread_id, 9);
	assert_str(alias.parent_model, "crm.team");
	assert_int_equal(alias.parent_id, 3);
	assert_true(pn_thread_decode(pn_buf_str(&bufs[3]), &thread));
	assert_int_equal(thread.filed, 100);
	assert_int_equal(thread.lease.taken, 300);
	assert_int_equal(thread.lease.expires, 400);
	assert_int_equal(thread.thread.origin, PN_THREAD_INBOUND);
	assert_int_equal(thread.thread.seen, 200);
	assert_str(thread.thread.message_id, id_text);
	assert_true(pn_window_decode(pn_buf_str(&bufs[5]), &window));
	assert_int_equal(window.ring.n, 2);
	assert_int_equal(pn_ring_at(&window.ring, 0).time_ms, 10);
	assert_int_equal(pn_ring_at(&window.ring, 1).time_ms, -12);
	assert_true(pn_ring_at(&window.ring, 1).id == UINT64_MAX);
	assert_true(pn_bounce_decode(pn_buf_str(&bufs[6]), &bounce));
	assert_str(bounce.reason, "smtp; 550 no");
	assert_int_equal(bounce.res_id, 4);
	for (size_t i = 0; i < KINDS; i++)
		pn_buf_done(&bufs[i]);
}

static void
long_text_is_cut(void **state)
{
	char text[PN_REASON_MAX + 100];
	struct pn_bounce_event event = { .gateway = PN_STR("main") }, got;
	struct pn_buf buf;

	(void)state;
	memset(text, 'x', sizeof(text));
	event.recipient = event.message_id = event.status = event.model = PN_STR_EMPTY;
	event.reason = pn_str_n(text, sizeof(text));
	pn_buf_init(&buf, PN_RECORD_MAX);
	pn_bounce_encode(&buf, &event);
	assert_true(pn_bounce_decode(pn_buf_str(&buf), &got));
	assert_int_equal(got.reason.n, PN_REASON_MAX);
	pn_buf_done(&buf);
}

static void
enums_out_of_range_do_not_decode(void **state)
{
	struct pn_buf bufs[KINDS];

	(void)state;
	for (size_t i = 0; i < KINDS; i++)
		pn_buf_init(&bufs[i], PN_RECORD_MAX);
	encode_all(bufs);
	bufs[0].p[25] = PN_CONTACT_EMPLOYEES + 1;	/* contact */
	assert_false(decodes(0, pn_buf_str(&bufs[0])));
	bufs[0].p[25] = 0;
	bufs[0].p[26] = 4;				/* incoming_local */
	assert_false(decodes(0, pn_buf_str(&bufs[0])));
	bufs[3].p[25] = PN_THREAD_SYNCED + 1;		/* origin */
	assert_false(decodes(3, pn_buf_str(&bufs[3])));
	for (size_t i = 0; i < KINDS; i++)
		pn_buf_done(&bufs[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damaged_records_do_not_decode),
		cmocka_unit_test(fields_survive),
		cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(enums_out_of_range_do_not_decode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
