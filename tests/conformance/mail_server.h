/* mail_server.h - Odoo's outgoing side around the core's choice of a server, for
 * the cases of kind `mail_server` (odoo-behaviour 12-15). */
#ifndef POSTERN_TESTS_MAIL_SERVER_H
#define POSTERN_TESTS_MAIL_SERVER_H

#include <jansson.h>

#include "postern/arena.h"

/* The answer in the form of a case's `expect`, with what the question decides.
 * The caller owns it. */
json_t *mail_server_answer(const json_t *item, const json_t *models, const json_t *worlds,
    struct pn_arena *arena);

#endif
