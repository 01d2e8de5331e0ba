"""A stand-in of Resend: mails are taken as Resend takes them, kept where one can look at them, and told of by webhooks."""
