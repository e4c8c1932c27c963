#include "postern/log_line.h"

enum { STAMP_FIELDS_MAX = 5, QUEUE_ID_MAX = 32, WORDS_MAX = 2048 };

/* -- taking things off the front ---------------------------------------------------- */

static bool
take(struct pn_str *rest, struct pn_str word)
{
	if (!pn_str_starts(*rest, word))
		return false;
	*rest = pn_str_from(*rest, word.n);
	return true;
}

/* The text before the word, and the word with it; false when it is not there. */
static bool
take_until(struct pn_str *rest, struct pn_str word, struct pn_str *before)
{
	size_t at = pn_str_find_str(*rest, word);

	if (at == PN_STR_NONE)
		return false;
	*before = pn_str_head(*rest, at);
	*rest = pn_str_from(*rest, at + word.n);
	return true;
}

/* "host[address]:port" or, without a port, "host[address]". */
static bool
take_place(struct pn_str *rest, struct pn_log_line *out)
{
	struct pn_str host, address, from = *rest;
	uint64_t port = 0;
	size_t n = 0;

	if (!take_until(&from, PN_STR("["), &host) || !take_until(&from, PN_STR("]"), &address) || host.n == 0
	    || host.n > 255 || pn_str_find(host, ' ') != PN_STR_NONE)
		return false;
	if (pn_str_starts(from, PN_STR(":"))) {
		while (n + 1 < from.n && pn_is_digit(from.p[n + 1]))
			n++;
		if (n > 0 && (!pn_str_to_u64(pn_str_n(from.p + 1, n), UINT16_MAX, &port) || port == 0))
			return false;
		if (n > 0)
			from = pn_str_from(from, n + 1);
	}
	out->host = host;
	out->port = (uint16_t)port;
	*rest = from;
	return true;
}

/* "<...>": a quoted string in it may hold anything, also ">" and what looks like the
 * rest of a line. */
static bool
take_address(struct pn_str *rest, struct pn_str *out)
{
	bool quoted = false;

	if (!pn_str_starts(*rest, PN_STR("<")))
		return false;
	for (size_t i = 1; i < rest->n; i++) {
		char c = rest->p[i];

		if (c == '\\' && quoted)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == '>' && !quoted) {
			*out = pn_str_n(rest->p + 1, i - 1);
			*rest = pn_str_from(*rest, i + 1);
			return true;
		}
	}
	return false;
}

/* -- the head of a line ---------------------------------------------------------------- */

/* "postfix/postern-plain/smtp[123]:" */
static bool
read_tag(struct pn_str tag, struct pn_log_line *out)
{
	struct pn_str name, number;
	uint64_t pid;

	if (!take_until(&tag, PN_STR("["), &name) || !take_until(&tag, PN_STR("]:"), &number) || tag.n > 0
	    || !pn_str_ends(name, PN_STR("/smtp")) || !pn_str_to_u64(number, UINT32_MAX, &pid))
		return false;
	name = pn_str_head(name, name.n - 5);
	out->transport = pn_str_from(name, pn_str_find_last(name, '/') + 1);
	out->pid = (uint32_t)pid;
	return out->transport.n > 0;
}

/* A time stamp of one word or of three, the host, the tag. */
static bool
take_head(struct pn_str *rest, struct pn_log_line *out)
{
	struct pn_str all = *rest, field, before = PN_STR_EMPTY;

	for (int i = 0; i < STAMP_FIELDS_MAX && pn_str_split(rest, ' ', &field);) {
		if (field.n == 0)
			continue; /* "Nov  5" */
		if (pn_str_ends(field, PN_STR("]:"))) {
			if (i < 2 || rest->p == NULL)
				return false;
			out->time = pn_str_trim(pn_str_head(all, (size_t)(before.p - all.p)));
			return read_tag(field, out);
		}
		before = field;
		i++;
	}
	return false;
}

static void
take_queue_id(struct pn_str *rest, struct pn_log_line *out)
{
	size_t n = 0;

	while (n < rest->n && n < QUEUE_ID_MAX && pn_is_alnum(rest->p[n]))
		n++;
	if (n > 0 && pn_str_starts(pn_str_from(*rest, n), PN_STR(": "))) {
		out->queue_id = pn_str_head(*rest, n);
		*rest = pn_str_from(*rest, n + 2);
	}
}

/* -- words ------------------------------------------------------------------------------ */

/* A domain name, whatever punctuation is around it; 5.4.5 is none. */
static bool
is_domain(struct pn_str word)
{
	bool dot = false, letter = false;

	while (word.n > 0 && !pn_is_alnum(word.p[0]))
		word = pn_str_from(word, 1);
	while (word.n > 0 && !pn_is_alnum(word.p[word.n - 1]))
		word.n--;
	for (size_t i = 0; i < word.n; i++) {
		if (word.p[i] == '.') {
			dot = true;
			letter = false;
		} else if (pn_is_alnum(word.p[i]))
			letter = letter || !pn_is_digit(word.p[i]);
		else if (word.p[i] != '-')
			return false;
	}
	return dot && letter;
}

/* Addresses and domains are taken out: a customer called daily-limit is no limit. */
static bool
is_limit(struct pn_str text)
{
	char words[WORDS_MAX];
	struct pn_str word;
	uint64_t window_ms;
	size_t n = 0;
	bool in_angles = false;

	text = pn_str_head(text, sizeof(words) - 1);
	while (pn_str_split(&text, ' ', &word)) {
		bool opens = pn_str_find(word, '<') != PN_STR_NONE,
		     closes = pn_str_find(word, '>') != PN_STR_NONE;

		if (!in_angles && !opens && pn_str_find(word, '@') == PN_STR_NONE && !is_domain(word)) {
			memcpy(words + n, word.p, word.n);
			n += word.n;
			words[n++] = ' ';
		}
		in_angles = (in_angles || opens) && !closes;
	}
	return pn_health_is_limit(pn_str_n(words, n), &window_ms);
}

enum place { NOWHERE, PLACE, NAME };

/* What smtp(8) says of a relay: words, whom, and more words. */
static const struct saying {
	struct pn_str before;
	enum place place;
	struct pn_str after; /* the relay's own words stand behind it */
	enum pn_health_event event;
	bool words_decide; /* it answered: that alone is no failure */
} sayings[] = {
#define SAYING(before, place, after, event, words_decide)                                                    \
	{                                                                                                    \
		{ before, sizeof(before) - 1 }, place, { after, sizeof(after) - 1 }, event, words_decide     \
	}
	SAYING("connect to ", PLACE, ": ", PN_HEALTH_NO_CONNECTION, false),
	SAYING("unable to look up host ", NAME, ": ", PN_HEALTH_NO_CONNECTION, false),
	SAYING("Host or domain name not found. Name service error for name=", NAME, " ",
	    PN_HEALTH_NO_CONNECTION, false),
	SAYING("host ", PLACE, " refused to talk to me: ", PN_HEALTH_NO_SERVICE, false),
	SAYING("lost connection with ", PLACE, " while ", PN_HEALTH_NO_SERVICE, false),
	SAYING("conversation with ", PLACE, " timed out while ", PN_HEALTH_NO_SERVICE, false),
	SAYING("SASL authentication failed; server ", PLACE, " said: ", PN_HEALTH_NO_LOGIN, false),
	SAYING("SASL authentication failed; cannot authenticate to server ", PLACE, ": ", PN_HEALTH_NO_LOGIN,
	    false),
	SAYING("TLS is required, but was not offered by host ", PLACE, "", PN_HEALTH_NO_TLS, false),
	SAYING("TLS is required, but host ", PLACE, " refused to start TLS: ", PN_HEALTH_NO_TLS, false),
	SAYING("server certificate verification failed for ", PLACE, ": ", PN_HEALTH_NO_TLS, false),
	SAYING("certificate verification failed for ", PLACE, ": ", PN_HEALTH_NO_TLS, false),
	SAYING("SSL_connect error to ", PLACE, ": ", PN_HEALTH_NO_TLS, false),
	SAYING("Cannot start TLS: ", NOWHERE, "", PN_HEALTH_NO_TLS, false),
	SAYING("Server certificate not ", NOWHERE, "", PN_HEALTH_NO_TLS, false),
	SAYING("host ", PLACE, " said: ", PN_HEALTH_NO_SERVICE, true),
	SAYING("local data error while talking to ", PLACE, "", PN_HEALTH_NO_SERVICE, true),
	SAYING("", PLACE, ": replacing server reply \"", PN_HEALTH_NO_SERVICE, true),
#undef SAYING
};

/* A reply to a command says something of the relay when it ends the session or asks
 * for a login; all others are of this mail. */
static bool
read_reply(struct pn_str words, enum pn_health_event *event)
{
	if (pn_str_starts(words, PN_STR("530"))) {
		*event = pn_str_contains(words, PN_STR("STARTTLS")) ? PN_HEALTH_NO_TLS : PN_HEALTH_NO_LOGIN;
		return true;
	}
	return pn_str_starts(words, PN_STR("421"));
}

/* .host and .port are left alone where they are known. */
static bool
read_saying(const struct saying *saying, struct pn_str text, struct pn_log_line *out)
{
	struct pn_log_line who = { .port = 0 };
	struct pn_str rest = text;
	bool failed = true;

	if (!take(&rest, saying->before))
		return false;
	if (saying->place == PLACE && !(take_place(&rest, &who) && take(&rest, saying->after)))
		return false;
	if (saying->place == NAME && !take_until(&rest, saying->after, &who.host))
		return false;
	/* what it was replaced with is not the relay's */
	if (saying->before.n == 0)
		text = rest = pn_str_head(rest, pn_str_find_str(rest, PN_STR("\" with \"")));
	out->event = saying->event;
	if (saying->words_decide)
		failed = read_reply(rest, &out->event);
	if (saying->event != PN_HEALTH_NO_CONNECTION && is_limit(rest)) {
		out->event = PN_HEALTH_LIMIT;
		failed = true;
	}
	out->failed = failed;
	out->text = text;
	if (out->host.n == 0) {
		out->host = who.host;
		out->port = who.port;
	}
	return true;
}

static bool
read_words(struct pn_str text, struct pn_log_line *out)
{
	for (size_t i = 0; i < PN_COUNT(sayings); i++)
		if (read_saying(&sayings[i], text, out))
			return true;
	return false;
}

/* -- what became of a recipient --------------------------------------------------------- */

static const struct {
	struct pn_str name;
	enum pn_log_status status;
} statuses[] = {
	{ { "sent", 4 }, PN_LOG_SENT },
	{ { "bounced", 7 }, PN_LOG_BOUNCED },
	{ { "deferred", 8 }, PN_LOG_DEFERRED },
};

static bool
read_status(struct pn_str rest, struct pn_log_line *out)
{
	struct pn_str name;

	if (!take_until(&rest, PN_STR(" ("), &name))
		return false;
	for (size_t i = 0; i < PN_COUNT(statuses); i++)
		if (pn_str_eq(name, statuses[i].name)) {
			out->status = statuses[i].status;
			out->text = pn_str_ends(rest, PN_STR(")")) ? pn_str_head(rest, rest.n - 1) : rest;
			if (out->status != PN_LOG_SENT)
				(void)read_words(out->text, out);
			return true;
		}
	return false;
}

/* "to=<...>, orig_to=<...>, relay=..., conn_use=2, delay=..., delays=..., dsn=..., status=..." */
static bool
read_outcome(struct pn_str rest, struct pn_log_line *out)
{
	struct pn_str ignored;

	if (!take_address(&rest, &out->recipient))
		return false;
	if (take(&rest, PN_STR(", orig_to=")) && !take_address(&rest, &ignored))
		return false;
	if (!take(&rest, PN_STR(", relay=")))
		return false;
	if (!take(&rest, PN_STR("none")) && !take_place(&rest, out))
		return false;
	/* numbers: nothing of strangers stands between */
	while (take(&rest, PN_STR(", "))) {
		size_t comma = pn_str_find(rest, ',');

		if (take(&rest, PN_STR("status=")))
			return read_status(rest, out);
		if (comma == PN_STR_NONE)
			return false;
		rest = pn_str_from(rest, comma);
	}
	return false;
}

bool
pn_log_line_parse(struct pn_str line, struct pn_log_line *out)
{
	struct pn_log_line found = { .status = PN_LOG_TROUBLE };
	struct pn_str rest = line;

	if (line.n > PN_LOG_LINE_MAX || !take_head(&rest, &found))
		return false;
	take_queue_id(&rest, &found);
	if (found.queue_id.n > 0 && take(&rest, PN_STR("to="))) {
		if (!read_outcome(rest, &found))
			return false;
	} else if (!read_words(rest, &found))
		return false;
	*out = found;
	return true;
}
