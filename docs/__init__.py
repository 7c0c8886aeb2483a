"""The documents, and what draws their pictures and builds their site; nothing else imports this."""
