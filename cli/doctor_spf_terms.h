/* The words of an SPF record as the doctor reads them: more kindly than a receiver, to say what was meant. */
#ifndef CLI_DOCTOR_SPF_TERMS_H
#define CLI_DOCTOR_SPF_TERMS_H

#include "doctor.h"

/* Takes the next word off the front; false: there is none. */
bool doctor_spf_next_word(struct pn_str *rest, struct pn_str *word);

bool doctor_spf_is_record(struct pn_str text);
/* No record, but meant as one: "v=spf1; ...", "v = spf1", in quotes that are part of it ... */
bool doctor_spf_is_similar(struct pn_str text);

/* '+', '-', '~', '?' of an all; 0: it is none. */
char doctor_spf_all_of(struct pn_str word);
/* The first all of a record, or 'r' where redirect= takes its place; 0: neither. */
char doctor_spf_ending_of(struct pn_str record);

/* Is there a term of that name, "a" or "include"? */
bool doctor_spf_has_term(struct pn_strs terms, const char *name);

/* Why a term of the domain's record does no good; NULL: it may stay, also where the DNS cannot tell. */
const char *doctor_spf_fault_of(struct doctor *d, struct pn_str domain, struct pn_str word);

#endif
