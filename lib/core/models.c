#include "postern/directory.h"

/* What mail can do with the models of a standard Odoo 19 (Odoo rules 4.3, 6.3,
 * 6.4, 9.2).  The label is the English one of ir.model, which orders routes.
 * "" for the primary email: senders of its mail are never counted when it
 * creates a record.
 *
 * Only what is certain stands here: a model that is missing accepts mail, while
 * a wrong row could refuse it.  A `model` section of the configuration adds to
 * the table and corrects it. */

#define ROW(n, l, thread, black, company, email) \
	{ .name = { n, sizeof(n) - 1 }, .label = { l, sizeof(l) - 1 }, .exists = true, \
	  .is_mail_thread = thread, .message_new = true, .message_update = true, .blacklist = black, \
	  .has_company = company, .primary_email = { email, sizeof(email) - 1 } }

/*	model                   label                   thread black  company email */
static const struct pn_model rows[] = {
	ROW("account.move",         "Journal Entry",        true, false, true,  ""),
	ROW("calendar.event",       "Calendar Event",       true, false, false, ""),
	ROW("crm.lead",             "Lead",                 true, true,  true,  "email_from"),
	ROW("crm.team",             "Sales Team",           true, false, true,  ""),
	ROW("event.event",          "Event",                true, false, true,  ""),
	ROW("event.registration",   "Event Registration",   true, false, true,  ""),
	ROW("forum.post",           "Forum Post",           true, false, false, ""),
	ROW("helpdesk.team",        "Helpdesk Team",        true, false, true,  ""),
	ROW("helpdesk.ticket",      "Helpdesk Ticket",      true, false, true,  "partner_email"),
	ROW("hr.applicant",         "Applicant",            true, true,  true,  "email_from"),
	ROW("hr.expense",           "Expense",              true, false, true,  ""),
	ROW("hr.job",               "Job Position",         true, false, true,  ""),
	ROW("mail.group",           "Mail Group",           false, false, false, ""),
	ROW("mailing.contact",      "Mailing Contact",      true, true,  false, "email"),
	ROW("maintenance.equipment", "Maintenance Equipment", true, false, true, ""),
	ROW("maintenance.request",  "Maintenance Request",  true, false, true,  ""),
	ROW("product.product",      "Product Variant",      true, false, true,  ""),
	ROW("product.template",     "Product",              true, false, true,  ""),
	ROW("project.project",      "Project",              true, false, true,  ""),
	ROW("project.task",         "Task",                 true, false, true,  "email_from"),
	ROW("purchase.order",       "Purchase Order",       true, false, true,  ""),
	ROW("repair.order",         "Repair Order",         true, false, true,  ""),
	ROW("res.partner",          "Contact",              true, true,  true,  "email"),
	ROW("sale.order",           "Sales Order",          true, false, true,  ""),
	ROW("slide.channel",        "Course",               true, false, false, ""),
	ROW("stock.picking",        "Transfer",             true, false, true,  ""),
	ROW("survey.survey",        "Survey",               true, false, false, ""),
	ROW("survey.user_input",    "Survey User Input",    true, false, false, ""),
};

const struct pn_models pn_models_odoo19 = { rows, PN_COUNT(rows) };
