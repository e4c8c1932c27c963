/* The canonical form of a body (RFC 6376 sections 3.4.3, 3.4.4), hashed as it comes. */
#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "postern/dkim_sign.h"

enum { OUT_SIZE = 8192, STEP = 16 };

struct pn_dkim_body {
	EVP_MD_CTX *md;
	bool relaxed;
	bool any;		/* there is a line that is not empty */
	bool blank;		/* white space, which counts when text follows */
	bool cr;		/* the last byte: the first of CRLF, or text */
	size_t ends;		/* of lines; they count when text follows */
	size_t line, longest;	/* bytes of this one; of all */
	size_t n;
	char out[OUT_SIZE];
};

struct pn_dkim_body *
pn_dkim_body_new(bool relaxed)
{
	struct pn_dkim_body *body = malloc(sizeof(*body));

	if (body == NULL)
		pn_out_of_memory();
	*body = (struct pn_dkim_body){ .md = EVP_MD_CTX_new(), .relaxed = relaxed };
	if (body->md == NULL || EVP_DigestInit_ex(body->md, EVP_sha256(), NULL) != 1)
		pn_out_of_memory();
	return body;
}

void
pn_dkim_body_free(struct pn_dkim_body *body)
{
	if (body == NULL)
		return;
	EVP_MD_CTX_free(body->md);
	free(body);
}

static void
hash(struct pn_dkim_body *body, const char *p, size_t n)
{
	int done = EVP_DigestUpdate(body->md, p, n);

	assert(done == 1);
}

static void
flush(struct pn_dkim_body *body)
{
	hash(body, body->out, body->n);
	body->n = 0;
}

static void
put(struct pn_dkim_body *body, const char *p, size_t n)
{
	if (n > OUT_SIZE - body->n)
		flush(body);
	if (n > OUT_SIZE) {
		hash(body, p, n);
		return;
	}
	memcpy(body->out + body->n, p, n);
	body->n += n;
}

static void
put_text(struct pn_dkim_body *body, const char *p, size_t n)
{
	for (; body->ends > 0; body->ends--)
		put(body, "\r\n", 2);
	if (body->blank)
		put(body, " ", 1);
	body->blank = false;
	body->any = true;
	put(body, p, n);
}

static bool
is_text(const struct pn_dkim_body *body, char c)
{
	if ((unsigned char)c > ' ')
		return true;
	return c != '\r' && c != '\n' && (!body->relaxed || (c != ' ' && c != '\t'));
}

/* Are these STEP bytes text and single blanks inside it?  One byte behind them is read too.  Written so that
 * the compiler compares all at once: a byte at a time this would cost more than the hash. */
static bool
is_plain(const char *p)
{
	const unsigned char *c = (const unsigned char *)p;
	unsigned char odd = 0;

	for (size_t i = 0; i < STEP; i++)
		odd |= (unsigned char)(c[i] < ' ') | ((c[i] == ' ') & (c[i + 1] <= ' '));
	return odd == 0;
}

/* How many bytes at p stay as they are: text, and single blanks inside it. */
static size_t
text_length(const struct pn_dkim_body *body, const char *p, size_t n)
{
	size_t i = 0;

	if (n == 0 || !is_text(body, p[0]))
		return 0;
	while (n - i > STEP && is_plain(p + i))
		i += STEP;
	while (i < n && (is_text(body, p[i])
	    || (p[i] == ' ' && i > 0 && i + 1 < n && is_text(body, p[i + 1]))))
		i++;
	return i;
}

void
pn_dkim_body_add(struct pn_dkim_body *body, struct pn_str chunk)
{
	for (size_t i = 0; i < chunk.n;) {
		size_t n = text_length(body, chunk.p + i, chunk.n - i);
		char c = chunk.p[i];

		if (body->cr && c != '\n')
			put_text(body, "\r", 1);
		body->cr = c == '\r';
		body->line = c == '\n' ? 0 : body->line + (n > 0 ? n : 1);
		if (!body->cr && body->line > body->longest)
			body->longest = body->line;
		if (n > 0)
			put_text(body, chunk.p + i, n);
		else if (c == '\n') {
			body->ends++;
			body->blank = false;
		} else if (c != '\r')
			body->blank = true;
		i += n > 0 ? n : 1;
	}
}

size_t
pn_dkim_body_longest(const struct pn_dkim_body *body)
{
	return body->longest;
}

void
pn_dkim_body_end(struct pn_dkim_body *body, unsigned char digest[PN_DKIM_HASH_SIZE])
{
	int done;

	if (body->cr)
		put_text(body, "\r", 1);
	/* one line end behind the text, however many there were; and for simple also without text */
	if (body->any || !body->relaxed)
		put(body, "\r\n", 2);
	flush(body);
	done = EVP_DigestFinal_ex(body->md, digest, NULL);
	assert(done == 1);
}
