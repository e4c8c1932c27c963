/* serve.h - the clients of postern-signer: a thread for each, and what one may ask of us.
 *
 *   who           root, this user, and those that our programs run as; others are sent away
 *   clients       at most CLIENTS_MAX; past it the one that has asked for nothing for the longest time (a second at
 *                 least) makes room, and until there is one, new ones wait in the kernel's queue
 *   a request     at most PN_KEY_REQUEST_MAX bytes, complete within 5 seconds of its first byte
 *   an answer     taken within 5 seconds
 *   idle          closed after 5 minutes
 */
#ifndef SIGNER_SERVE_H
#define SIGNER_SERVE_H

#include "postern/signer.h"

enum { CLIENTS_MAX = 512 };

struct server;

struct server *server_new(struct pn_signer *signer);

/* Takes whoever waits at the listening socket, and sees those off that have gone: when one of the two can be read.
 * False: there is no room now, ask again in a moment. */
bool server_accept(struct server *server, int listener);
int server_fd(const struct server *server);

/* The next request has the new keys; the old ones are closed when no answer needs them. */
void server_follow(struct server *server, struct pn_signer *signer);

/* Answers what is being asked, ends all threads and closes the keys. */
void server_free(struct server *server);

#endif
