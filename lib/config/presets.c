/* What is known of the usual providers, as the keys of a relay take it. */
#include "postern/config.h"

/* In the order of the words of the key `preset`. */
const struct pn_preset pn_presets[] = {
	{ .name = "custom",
	    .host = "smtp.acme.example", .own_host = true,
	    .port = "587", .other_ports = "465 2525 25",
	    .security = "starttls_strict", .authentication = "login", .limits = "",
	    .login = "User and password as whoever runs the server says." },
	{ .name = "gmail",
	    .host = "smtp.gmail.com",
	    .port = "587", .other_ports = "465",
	    .security = "starttls_strict", .authentication = "login", .limits = "500/day, 100/message",
	    .login = "User is the address; password is an app password, which needs 2-step verification, "
		"never the one of the account. Google Workspace allows 2000/day, and may forbid app passwords: "
		"then set authentication = oauth, oauth_token_url = \"https://oauth2.googleapis.com/token\", "
		"oauth_scope = \"https://mail.google.com/\"." },
	{ .name = "microsoft365",
	    .host = "smtp.office365.com",
	    .port = "587", .other_ports = "25",
	    .security = "starttls_strict", .authentication = "oauth",
	    .limits = "10000/day, 30/minute, 500/message",
	    .login = "User is the mailbox, for which authenticated SMTP must be allowed. Passwords are being "
		"abolished: register an application and set oauth_token_url = "
		"\"https://login.microsoftonline.com/TENANT/oauth2/v2.0/token\"; oauth_scope is "
		"\"https://outlook.office.com/SMTP.Send offline_access\" with a refresh token, "
		"\"https://outlook.office365.com/.default\" without." },
	{ .name = "amazon-ses",
	    .host = "email-smtp.REGION.amazonaws.com", .own_host = true,
	    .port = "587", .other_ports = "465 2587 2465 25",
	    .security = "starttls_strict", .authentication = "login", .limits = "50/message", .dates_change = true,
	    .login = "User and password are SMTP credentials made in the SES console for this region, not an "
		"access key. The account has a limit per day, 200 in the sandbox: set limits to it." },
	{ .name = "mailjet",
	    .host = "in-v3.mailjet.com",
	    .port = "587", .other_ports = "465 2525 25",
	    .security = "starttls_strict", .authentication = "login", .limits = "",
	    .login = "User is the API key, password the secret key. The free plan allows 200/day: set "
		"limits." },
	{ .name = "mailgun",
	    .host = "smtp.mailgun.org",
	    .port = "587", .other_ports = "465 2525 25",
	    .security = "starttls_strict", .authentication = "login", .limits = "1000/message",
	    .login = "User and password are SMTP credentials of the sending domain, like "
		"postmaster@mg.acme.example. Domains in the EU region need host = smtp.eu.mailgun.org." },
	{ .name = "sendgrid",
	    .host = "smtp.sendgrid.net",
	    .port = "587", .other_ports = "465 2525 25",
	    .security = "starttls_strict", .authentication = "login", .limits = "1000/message",
	    .login = "User is the word apikey, password an API key that may send mail." },
};
const size_t pn_preset_count = PN_COUNT(pn_presets);
