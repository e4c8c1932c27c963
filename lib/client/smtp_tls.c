/* TLS, over a socket that never blocks and never raises SIGPIPE. */
#include "smtp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

enum { NAMES_SHOWN = 5, NAME_SHOWN_MAX = 255 };

/* -- the socket ----------------------------------------------------------------------- */

static int
bio_write(BIO *bio, const char *p, int n)
{
	const struct smtp *s = BIO_get_data(bio);
	ssize_t done = send(s->fd, p, (size_t)n, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)done;
}

static int
bio_read(BIO *bio, char *p, int n)
{
	const struct smtp *s = BIO_get_data(bio);
	ssize_t done = recv(s->fd, p, (size_t)n, 0);

	BIO_clear_retry_flags(bio);
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)done;
}

static long
bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return what == BIO_CTRL_FLUSH;
}

static BIO *
new_bio(struct smtp *s)
{
	BIO *bio;

	s->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "smtp");
	if (s->method == NULL || BIO_meth_set_write(s->method, bio_write) != 1
	    || BIO_meth_set_read(s->method, bio_read) != 1 || BIO_meth_set_ctrl(s->method, bio_ctrl) != 1
	    || (bio = BIO_new(s->method)) == NULL)
		pn_out_of_memory();
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	return bio;
}

/* -- what is wrong --------------------------------------------------------------------- */

short
smtp_tls_wants(const struct smtp *s, int n)
{
	int error = SSL_get_error(s->ssl, n);

	return error == SSL_ERROR_WANT_READ ? POLLIN : error == SSL_ERROR_WANT_WRITE ? POLLOUT : 0;
}

static const char *
reason(unsigned long error)
{
	const char *text = ERR_reason_error_string(error);

	return text != NULL ? text : "unknown error";
}

bool
smtp_tls_fail(struct smtp *s)
{
	static const char closed[] = "the server closed the connection";
	unsigned long error = ERR_peek_error();
	bool is_tls = error != 0 && ERR_GET_LIB(error) == ERR_LIB_SSL;

	if (is_tls && ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER && !SSL_is_init_finished(s->ssl))
		return smtp_fail(s, PN_SMTP_CAUSE_NOT_TLS, "the server does not speak TLS here");
	if (is_tls && ERR_GET_REASON(error) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return smtp_fail(s, PN_SMTP_CAUSE_HANDSHAKE, "TLS: %s", reason(error));
	/* with TLS 1.3 our side of the handshake is over before the server has judged us */
	if (s->wants_certificate)
		return smtp_fail(s, PN_SMTP_CAUSE_HANDSHAKE, "%s: it wants a certificate of ours", closed);
	return smtp_fail(
	    s, SSL_is_init_finished(s->ssl) ? PN_SMTP_CAUSE_CLOSED : PN_SMTP_CAUSE_HANDSHAKE, "%s", closed);
}

static bool
own_file(struct smtp *s, struct pn_str path)
{
	return smtp_fail(s, PN_SMTP_CAUSE_OWN_FILE, PN_STR_FMT ": %s", PN_STR_ARG(path),
	    reason(ERR_peek_last_error()));
}

/* -- their certificate ------------------------------------------------------------------ */

static enum pn_smtp_cause
cause_of(long verified)
{
	switch (verified) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return PN_SMTP_CAUSE_EXPIRED;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return PN_SMTP_CAUSE_WRONG_NAME;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_UNTRUSTED:
		return PN_SMTP_CAUSE_ISSUER;
	default:
		return PN_SMTP_CAUSE_CERTIFICATE;
	}
}

static struct pn_str
asn1_text(const ASN1_STRING *text)
{
	struct pn_str all = { (const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text) };

	return pn_str_head(all, NAME_SHOWN_MAX);
}

static struct pn_str
name_part(const X509_NAME *name, int nid)
{
	int at = X509_NAME_get_index_by_NID(name, nid, -1);

	return at < 0 ? PN_STR_EMPTY : asn1_text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
}

/* An address as text; nothing for what is no address. */
static struct pn_str
address_text(const struct smtp *s, const ASN1_STRING *bytes)
{
	char text[INET6_ADDRSTRLEN];
	int family = ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6;

	if (family == AF_INET6 && ASN1_STRING_length(bytes) != 16)
		return PN_STR_EMPTY;
	(void)inet_ntop(family, ASN1_STRING_get0_data(bytes), text, sizeof(text));
	return pn_arena_dup(s->arena, pn_str_c(text));
}

/* The names that a client compares (RFC 6125): the alternative ones, else the common name. */
static struct pn_str
names_of(const struct smtp *s, const X509 *certificate)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	struct pn_strs_builder shown = { .arena = s->arena };

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && shown.list.n < NAMES_SHOWN; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			pn_strs_add(&shown, pn_arena_dup(s->arena, asn1_text(name->d.dNSName)));
		else if (name->type == GEN_IPADD)
			pn_strs_add(&shown, address_text(s, name->d.iPAddress));
	}
	GENERAL_NAMES_free(names);
	if (shown.list.n == 0)
		pn_strs_add(&shown, name_part(X509_get_subject_name(certificate), NID_commonName));
	return pn_strs_join(shown.list, PN_STR(", "), s->arena);
}

static struct pn_str
issuer_of(const struct smtp *s, const X509 *certificate)
{
	const X509_NAME *issuer = X509_get_issuer_name(certificate);
	struct pn_str name = name_part(issuer, NID_organizationName);

	return pn_arena_dup(s->arena, name.n > 0 ? name : name_part(issuer, NID_commonName));
}

static struct pn_str
day_of(const struct smtp *s, const ASN1_TIME *time)
{
	char text[16];
	struct tm parts;

	if (ASN1_TIME_to_tm(time, &parts) != 1)
		return PN_STR("?");
	return pn_arena_dup(s->arena, pn_str_n(text, strftime(text, sizeof(text), "%Y-%m-%d", &parts)));
}

static struct pn_str
describe(const struct smtp *s, const X509 *certificate)
{
	return pn_arena_printf(s->arena,
	    "certificate for " PN_STR_FMT " from " PN_STR_FMT ", valid from " PN_STR_FMT " to " PN_STR_FMT,
	    PN_STR_ARG(names_of(s, certificate)), PN_STR_ARG(issuer_of(s, certificate)),
	    PN_STR_ARG(day_of(s, X509_get0_notBefore(certificate))),
	    PN_STR_ARG(day_of(s, X509_get0_notAfter(certificate))));
}

static bool
is_strict(const struct smtp *s)
{
	enum pn_security security = s->plan->relay->security;

	return security == PN_SECURITY_STARTTLS_STRICT || security == PN_SECURITY_SSL_STRICT;
}

/* Nothing is sent before this: the handshake goes on with any certificate, so
 * that we can say what it is that we do not take. */
static bool
judge(struct smtp *s)
{
	const X509 *certificate = SSL_get0_peer_certificate(s->ssl);
	long verified = certificate != NULL ? SSL_get_verify_result(s->ssl) : X509_V_ERR_UNSPECIFIED;
	struct pn_str text = certificate != NULL ? describe(s, certificate) : PN_STR("no certificate");
	const char *fault = X509_verify_cert_error_string(verified);
	bool good = verified == X509_V_OK;

	if (!good && is_strict(s))
		return smtp_fail(s, cause_of(verified), "%s: " PN_STR_FMT, fault, PN_STR_ARG(text));
	s->result.text = pn_arena_printf(s->arena, "%s, " PN_STR_FMT "%s%s", SSL_get_version(s->ssl),
	    PN_STR_ARG(text), good ? "" : "; not checked: ", good ? "" : fault);
	return true;
}

/* -- ours -------------------------------------------------------------------------------- */

/* A key with a passphrase is refused: nobody is there to be asked. */
static int
no_passphrase(char *to, int size, int writing, void *ctx)
{
	(void)to;
	(void)size;
	(void)writing;
	(void)ctx;
	return -1;
}

static int
no_certificate(SSL *ssl, X509 **certificate, EVP_PKEY **key)
{
	struct smtp *s = SSL_get_app_data(ssl);

	(void)certificate;
	(void)key;
	s->wants_certificate = true;
	return 0;
}

static bool
load_files(struct smtp *s)
{
	const struct pn_relay *relay = s->plan->relay;

	ERR_clear_error();
	SSL_CTX_set_default_passwd_cb(s->context, no_passphrase);
	SSL_CTX_set_client_cert_cb(s->context, no_certificate);
	if (relay->ca_file.n == 0 && SSL_CTX_set_default_verify_paths(s->context) != 1)
		return own_file(s, PN_STR("the system's certificates"));
	if (relay->ca_file.n > 0
	    && SSL_CTX_load_verify_file(s->context, pn_arena_cstr(s->arena, relay->ca_file)) != 1)
		return own_file(s, relay->ca_file);
	if (relay->certificate_file.n == 0)
		return true;
	if (SSL_CTX_use_certificate_chain_file(
		s->context, pn_arena_cstr(s->arena, relay->certificate_file)) != 1)
		return own_file(s, relay->certificate_file);
	if (SSL_CTX_use_PrivateKey_file(
		s->context, pn_arena_cstr(s->arena, relay->key_file), SSL_FILETYPE_PEM) != 1)
		return own_file(s, relay->key_file);
	return true;
}

/* A DNS name goes into SNI too; an address may not (RFC 6066 section 3). */
static bool
set_name(struct smtp *s)
{
	const char *host = pn_arena_cstr(s->arena, s->plan->relay->host);

	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), host) == 1)
		return true;
	SSL_set_hostflags(s->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set_tlsext_host_name(s->ssl, host) == 1 && SSL_set1_host(s->ssl, host) == 1;
}

static bool
handshake(struct smtp *s)
{
	for (;;) {
		short wants;
		int n;

		ERR_clear_error();
		n = SSL_connect(s->ssl);
		if (n == 1)
			return true;
		wants = smtp_tls_wants(s, n);
		if (wants == 0)
			return smtp_tls_fail(s);
		if (!smtp_wait(s, wants))
			return false;
	}
}

bool
smtp_tls(struct smtp *s)
{
	BIO *bio;

	s->context = SSL_CTX_new(TLS_client_method());
	if (s->context == NULL || SSL_CTX_set_min_proto_version(s->context, TLS1_2_VERSION) != 1)
		pn_out_of_memory();
	SSL_CTX_set_verify(s->context, SSL_VERIFY_NONE, NULL);	/* judge() does */
	/* a flood of session tickets comes back to where the deadline is looked at */
	SSL_CTX_clear_mode(s->context, SSL_MODE_AUTO_RETRY);
	if (!load_files(s))
		return false;
	s->ssl = SSL_new(s->context);
	if (s->ssl == NULL)
		pn_out_of_memory();
	(void)SSL_set_app_data(s->ssl, s);
	bio = new_bio(s);
	SSL_set_bio(s->ssl, bio, bio);
	if (!set_name(s))
		return smtp_fail(s, PN_SMTP_CAUSE_WRONG_NAME, "no certificate can be for this host name");
	return handshake(s) && judge(s);
}

void
smtp_tls_done(struct smtp *s)
{
	if (s->ssl != NULL && SSL_is_init_finished(s->ssl))
		(void)SSL_shutdown(s->ssl);
	ERR_clear_error();
	SSL_free(s->ssl);
	SSL_CTX_free(s->context);
	BIO_meth_free(s->method);
	s->ssl = NULL;
	s->context = NULL;
	s->method = NULL;
}
