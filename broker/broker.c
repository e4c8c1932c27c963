#include "broker.h"

#include "fetch.h"
#include "keep.h"
#include "postern/clock.h"
#include "postern/daemon.h"
#include "postern/log.h"
#include "postern/program.h"
#include "postern/token.h"
#include "wipe.h"

enum { ARENA_LIMIT = 1 << 20, LOOK_MS = 5 * 1000, BUSY_WAIT_MS = 1000, STOP_MS = 5 * 1000 };

struct broker {
	const char *path;
	struct pn_config *config;
	struct pn_arena *arena;		/* of the accounts: as old as the configuration */
	struct accounts accounts;
	struct keep keep;
	CURLM *multi;
	int signals;
	size_t busy;
	bool once;
	bool reload;			/* wanted */
	int64_t looked_ms;		/* for tokens that were refused */
	int64_t stop_ms;		/* when the end comes at the latest; 0: it does not */
	enum pn_status worst;		/* once */
};

static int64_t
now_ms(void)
{
	return pn_clock_mono_us() / 1000;
}

/* -- one account ------------------------------------------------------------------------ */

static void
begin_line(const struct broker *broker, const struct account *a, const char *what, struct pn_buf *line)
{
	struct pn_arena *arena = pn_arena_new_like(broker->arena);

	pn_buf_init(line, 4096);
	pn_buf_add_c(line, what);
	pn_log_key(line, "relay", pn_strs_join(a->names, PN_STR(","), arena));
	pn_arena_free(arena);
}

static void
end_line(enum pn_log_level level, struct pn_buf *line)
{
	pn_log_line(level, pn_buf_str(line));
	pn_buf_done(line);
}

static void
log_success(const struct broker *broker, const struct account *a, uint64_t lifetime)
{
	struct pn_buf line;

	begin_line(broker, a, "fetched", &line);
	pn_buf_addf(&line, " lifetime=%llu", (unsigned long long)lifetime);
	end_line(PN_LOG_INFO, &line);
}

static void
complain(const struct broker *broker, struct account *a, enum pn_log_level level, const char *text)
{
	struct pn_buf line;

	if (!account_complains(a, text, now_ms()))
		return;
	begin_line(broker, a, "problem", &line);
	pn_log_key_text(&line, "text", pn_str_c(text));
	end_line(level, &line);
}

static void
failed(struct broker *broker, struct account *a, enum pn_status st, int64_t retry_after_ms,
    struct pn_error *err)
{
	bool ended = a->ends_ms <= now_ms();

	if (ended)
		(void)pn_fail_in(err, st, "no token, mail waits");
	complain(broker, a, ended || st == PN_INVALID ? PN_LOG_ERROR : PN_LOG_WARN, err->text);
	if (st == PN_INVALID)
		wipe_buf(&a->unsaved);	/* the operator's new one counts */
	account_failed(a, st, retry_after_ms, now_ms());
	if (broker->worst != PN_INVALID)
		broker->worst = st;
}

static bool
is_in_file(const char *path, struct pn_str token, struct pn_arena *arena)
{
	struct pn_str text = { NULL, 0 };
	bool same = pn_config_secret(path, arena, &text, NULL) == PN_OK && pn_str_eq(text, token);

	wipe_text(text);
	return same;
}

/* One that cannot be saved is remembered: that in the file may be dead. */
static void
save_refresh(struct broker *broker, struct account *a, struct pn_str token, struct pn_arena *arena)
{
	const char *path = pn_arena_cstr(arena, a->relay->oauth_refresh_token_file);
	struct pn_error err = { "" };

	if (path[0] == '\0')
		return;
	if (token.n > 0) {
		wipe_buf(&a->unsaved);
		pn_buf_add(&a->unsaved, token);
	}
	if (a->unsaved.n == 0)
		return;
	if (is_in_file(path, pn_buf_str(&a->unsaved), arena)
	    || keep_secret(path, pn_buf_str(&a->unsaved), &err) == PN_OK) {
		wipe_buf(&a->unsaved);
		return;
	}
	(void)pn_fail_in(&err, PN_TEMPFAIL, "the new refresh token is lost when postern-broker ends; let its "
	    "user write to the folder of oauth_refresh_token_file");
	complain(broker, a, PN_LOG_ERROR, err.text);
}

static enum pn_status
save(struct broker *broker, const struct fetch *fetch, const struct answer *answer, struct pn_arena *arena,
    struct pn_error *err)
{
	const struct account *a = fetch->account;
	enum pn_status st = PN_OK;

	save_refresh(broker, fetch->account, answer->refresh, arena);
	for (size_t i = 0; st == PN_OK && i < a->names.n; i++)
		st = keep_token(&broker->keep, a->names.v[i], answer->token,
		    fetch->began + (int64_t)answer->lifetime, err);
	return st;
}

/* Ends the request, wherever it is. */
static void
put_away(struct broker *broker, struct account *a)
{
	(void)curl_multi_remove_handle(broker->multi, a->fetch->easy);
	fetch_free(a->fetch);
	a->fetch = NULL;
	broker->busy--;
}

static void
finish(struct broker *broker, struct fetch *fetch, CURLcode done)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct account *a = fetch->account;
	struct answer answer = { { NULL, 0 }, { NULL, 0 }, 0 };
	struct pn_error err = { "" };
	int64_t retry_after_ms;
	enum pn_status st = fetch_result(fetch, done, arena, &answer, &retry_after_ms, &err);

	if (st == PN_OK)
		st = save(broker, fetch, &answer, arena, &err);
	put_away(broker, a);
	if (st != PN_OK)
		failed(broker, a, st, retry_after_ms, &err);
	else {
		account_succeeded(a, answer.lifetime, now_ms());
		log_success(broker, a, answer.lifetime);
	}
	if (broker->once)
		a->due_ms = INT64_MAX;
	wipe_text(answer.token);
	wipe_text(answer.refresh);
	pn_arena_free(arena);
}

static void
start(struct broker *broker, struct account *a)
{
	struct pn_error err = { "" };
	enum pn_status st = fetch_new(a, &a->fetch, &err);

	if (st != PN_OK) {
		failed(broker, a, st, 0, &err);
		if (broker->once)
			a->due_ms = INT64_MAX;
		return;
	}
	if (curl_multi_add_handle(broker->multi, a->fetch->easy) != CURLM_OK)
		pn_out_of_memory();
	broker->busy++;
}

/* -- all of them ------------------------------------------------------------------------ */

static bool
take_refusals(const struct broker *broker, const struct account *a)
{
	bool any = false;

	for (size_t i = 0; i < a->names.n; i++)
		if (pn_token_take_refusal(broker->config->state_directory, a->names.v[i]))
			any = true;
	return any;
}

static void
look_for_refusals(struct broker *broker)
{
	int64_t now = now_ms();
	struct pn_buf line;

	if (broker->once || now < broker->looked_ms + LOOK_MS)
		return;
	broker->looked_ms = now;
	for (size_t i = 0; i < broker->accounts.n; i++) {
		struct account *a = &broker->accounts.v[i];

		if (!take_refusals(broker, a) || !account_refused(a, now))
			continue;
		begin_line(broker, a, "refused", &line);
		pn_log_key_text(&line, "text", PN_STR("the mail server does not take the token, another one is fetched"));
		end_line(PN_LOG_WARN, &line);
	}
}

static void
start_due(struct broker *broker)
{
	struct account *a;

	while (broker->busy < BROKER_PARALLEL && (a = accounts_due(&broker->accounts, now_ms())) != NULL)
		start(broker, a);
}

static void
finish_done(struct broker *broker)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(broker->multi, &left)) != NULL) {
		struct fetch *fetch = NULL;
		CURLcode done = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch);
		finish(broker, fetch, done);
	}
}

/* -- the configuration ------------------------------------------------------------------ */

static void
follow(struct broker *broker, struct pn_config *config)
{
	accounts_done(&broker->accounts);
	pn_arena_free(broker->arena);
	pn_config_free(broker->config);
	broker->config = config;
	broker->arena = pn_arena_new(ARENA_LIMIT);
	broker->accounts = accounts_of(config->relays, broker->arena);
	pn_log_set_level(config->log_debug ? PN_LOG_DEBUG : PN_LOG_INFO);
}

/* Another state directory is opened before the old one is left. */
static bool
move_to(struct broker *broker, const struct pn_config *config)
{
	struct pn_error err = { "" };
	struct keep keep;

	if (pn_str_eq(config->state_directory, broker->config->state_directory))
		return true;
	if (keep_open(&keep, config->state_directory, &err) != PN_OK) {
		pn_log(PN_LOG_ERROR, "%s", err.text);
		return false;
	}
	keep_close(&broker->keep);
	broker->keep = keep;
	return true;
}

static void
reload(struct broker *broker)
{
	struct pn_config *config = pn_daemon_config_again(broker->path);

	broker->reload = false;
	if (config == NULL || !move_to(broker, config)) {
		pn_config_free(config);
		pn_log(PN_LOG_ERROR, "the new configuration is not used; the old one stays");
		return;
	}
	follow(broker, config);
	pn_log(PN_LOG_INFO, "reloaded accounts=%zu", broker->accounts.n);
}

/* -- life ------------------------------------------------------------------------------- */

static void
take_signals(struct broker *broker)
{
	enum pn_signal signal;

	while ((signal = pn_signals_next(broker->signals)) != PN_SIGNAL_NONE)
		if (signal == PN_SIGNAL_RELOAD)
			broker->reload = true;
		else if (broker->stop_ms == 0) {
			broker->stop_ms = now_ms() + STOP_MS;
			pn_notify("STOPPING=1");
		}
}

/* Until a request moves, a signal comes, the next account is due or to be looked at, or the end is. */
static void
wait_for_something(struct broker *broker)
{
	struct curl_waitfd signals = { .fd = broker->signals, .events = CURL_WAIT_POLLIN };
	int64_t next = broker->stop_ms != 0 ? broker->stop_ms : accounts_next_ms(&broker->accounts);
	int64_t now = now_ms();
	int64_t wait = next <= now ? 0 : next - now < LOOK_MS ? next - now : LOOK_MS;

	/* those that are due and not begun wait for one that ends */
	if (broker->busy > 0 && wait < BUSY_WAIT_MS)
		wait = BUSY_WAIT_MS;
	(void)curl_multi_poll(broker->multi, &signals, 1, (int)wait, NULL);
}

static bool
is_over(const struct broker *broker)
{
	if (broker->stop_ms != 0)
		return broker->busy == 0 || now_ms() >= broker->stop_ms;
	return broker->once && broker->busy == 0 && accounts_next_ms(&broker->accounts) == INT64_MAX;
}

static void
serve(struct broker *broker)
{
	int running;

	for (;;) {
		if (broker->reload && broker->busy == 0 && broker->stop_ms == 0)
			reload(broker);
		if (!broker->reload && broker->stop_ms == 0) {
			look_for_refusals(broker);
			start_due(broker);
		}
		(void)curl_multi_perform(broker->multi, &running);
		finish_done(broker);
		if (is_over(broker))
			return;
		wait_for_something(broker);
		take_signals(broker);
	}
}

static void
abandon(struct broker *broker)
{
	if (broker->busy > 0)
		pn_log(PN_LOG_WARN, "ended with %zu requests on their way", broker->busy);
	for (size_t i = 0; i < broker->accounts.n; i++)
		if (broker->accounts.v[i].fetch != NULL)
			put_away(broker, &broker->accounts.v[i]);
	(void)curl_multi_cleanup(broker->multi);
	curl_global_cleanup();
	accounts_done(&broker->accounts);
	pn_arena_free(broker->arena);
	pn_config_free(broker->config);
	keep_close(&broker->keep);
}

enum pn_status
broker_run(const char *path, struct pn_config *config, int signals, bool once, struct pn_error *err)
{
	struct broker broker = { .path = path, .signals = signals, .once = once, .worst = PN_OK };
	enum pn_status st = keep_open(&broker.keep, config->state_directory, err);

	if (st != PN_OK) {
		pn_config_free(config);
		return st;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || (broker.multi = curl_multi_init()) == NULL)
		pn_out_of_memory();
	follow(&broker, config);
	pn_log(PN_LOG_INFO, "started version=" PN_VERSION " accounts=%zu", broker.accounts.n);
	if (!once)
		pn_notify("READY=1");
	serve(&broker);
	abandon(&broker);
	if (!once)
		return PN_OK;
	return broker.stop_ms != 0 && broker.worst == PN_OK ? PN_TEMPFAIL : broker.worst;
}
